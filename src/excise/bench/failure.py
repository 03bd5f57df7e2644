"""Why a cell was not made, in one line without private text and without absolute paths."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from excise.records.errors import ExciseError
from excise.vlm.memory import is_out_of_memory

PACKAGE = Path(__file__).parents[1]


def why(error: Exception) -> str:
    """What went wrong.

    Of an error that is not meant for users only its type and place are told: its text may hold a
    question or an answer.
    """
    if isinstance(error, ExciseError):
        return re.sub(r"(?<![\w.])/(?:[^/\s:]+/)+", "", str(error))
    if is_out_of_memory(error):
        return "out of memory"
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)]
    place = ""
    if ours:
        place = f" at {Path(ours[-1].filename).relative_to(PACKAGE).as_posix()}:{ours[-1].lineno}"
    return f"unexpected {type(error).__name__}{place}"
