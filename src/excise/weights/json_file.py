"""Reading the small JSON files of a run (`run.json`, `edit.json`, `adapter_config.json`).

They are written by us or by PEFT and edited by hand now and then, so every way in which one can be
wrong ends in one line that names it.
"""

from __future__ import annotations

import json
from pathlib import Path

from excise.records.errors import InputError


def read_object(path: Path) -> dict[str, object]:
    """The JSON object in a file.

    Raises:
        InputError: the file is missing or unreadable, is not JSON, or holds something else than an
            object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: broken JSON ({error.msg})") from None
    except RecursionError:
        raise InputError(f"{path}: broken JSON (nested too deeply)") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value
