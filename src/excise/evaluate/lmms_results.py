"""What lmms-eval wrote (`..._results.json`), as figures of the metrics JSON.

Metrics keep lmms-eval's names and scales (accuracies 0 to 1, MMBench in percent, MME up to 2,000
and 800). Its standard error, where it gives one, makes the interval; it takes answers as
independent, while our own figures are clustered by person. The `_clt` errors beside it are those of
single answers and do not fit aggregated scores such as MME's; they are left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from excise.records.errors import InputError

_Z = 1.96


class General(TypedDict):
    """One figure of lmms-eval; without a standard error it has no interval."""

    mean: float
    low: float | None
    high: float | None
    n: int | None


def read_results(path: str | Path) -> dict[str, Any]:
    """Figures of lmms-eval's `..._results.json`, or of all below a folder, the newest of a task.

    Returns:
        `{"general": {"pope.pope_accuracy": General, ...}, "lmms_eval": {version, limit}}`

    Raises:
        InputError: no such file, or none of lmms-eval's.
    """
    path = Path(path)
    files = [path] if path.is_file() else sorted(path.rglob("*_results.json"))
    if not files:
        raise InputError(f"{path}: expected a results file of lmms-eval, or a folder with some")
    general: dict[str, General] = {}
    about: dict[str, Any] = {}
    documents = sorted(map(_document, files), key=lambda document: str(document.get("date", "")))
    for document in documents:
        tasks = set(document["results"])
        general = {k: v for k, v in general.items() if k.split(".")[0] not in tasks}
        general |= figures(document)
        about = {
            "version": document.get("lmms_eval_version") or document.get("git_hash"),
            "limit": (document.get("config") or {}).get("limit"),
        }
    if not general:
        raise InputError(f"{path}: holds no figure, expected results of lmms-eval")
    return {"general": dict(sorted(general.items())), "lmms_eval": about}


def figures(document: Mapping[str, Any]) -> dict[str, General]:
    """`{"task.metric": General}` of one results document; filters other than none are appended."""
    found: dict[str, General] = {}
    samples = document.get("n-samples") or {}
    for task, values in document["results"].items():
        count = samples.get(task)
        n = count.get("effective") if isinstance(count, Mapping) else count
        for key, value in values.items():
            name, _, filtered = key.partition(",")
            if "_stderr" in name or not _number(value):
                continue
            error = values.get(f"{name}_stderr,{filtered}" if filtered else f"{name}_stderr")
            spread = _Z * float(error) if _number(error) else None
            mean = float(value)
            shown = f"{task}.{name}" + (f",{filtered}" if filtered not in ("", "none") else "")
            found[shown] = {
                "mean": mean,
                "low": None if spread is None else mean - spread,
                "high": None if spread is None else mean + spread,
                "n": int(n) if isinstance(n, int | float) else None,
            }
    return found


def _document(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError:
        raise InputError(f"{path}: expected JSON, as lmms-eval writes it") from None
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, dict) or not all(isinstance(v, dict) for v in results.values()):
        raise InputError(f'{path}: no "results" by task, expected a results file of lmms-eval')
    return dict(content)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
