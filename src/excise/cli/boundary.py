"""The one place where errors become what the user sees: a line, an exit code, no traceback.

Exit codes: 0 done, 1 done but a gate did not pass, 2 the input or the machine would not allow it,
70 a mistake in excise itself, 130 interrupted. Of several processes of one launch, one speaks. An
unexpected error names its type and the line of code, never its message, which may hold a question
or an answer of the very data to be erased; `--debug` shows everything.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import typer

from excise.cli.commands import app

PAUSE = 30.0  # seconds in which a process that is to say what went wrong has surely said it
DONE, WRONG_INPUT, BUG, INTERRUPTED = 0, 2, 70, 130

_OS_REASONS = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. `--debug` is understood anywhere on the line."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    if arguments[:1] not in (["forget"], ["evaluate"]) and os.environ.get("RANK", "0") != "0":
        return DONE  # what processes cannot share, the first of a launch does alone
    if not debug:
        # Advice that libraries print for developers would bury our own lines.
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        code = app(args=arguments or ["--help"], prog_name="excise", standalone_mode=False)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _left(_report(error))
    if code == INTERRUPTED:
        resumes = arguments[:1] in (["demo"], ["forget"], ["export"], ["bench"])
        _say(f"interrupted; the same command {'resumes' if resumes else 'starts over'}")
        _left(code)
    return code if isinstance(code, int) else DONE


def _report(error: Exception) -> int:
    line = explain(error)
    if line is not None:
        _say(f"error: {line}")
        return WRONG_INPUT
    _say(f"error: unexpected {type(error).__name__}{_where(error)}; --debug shows the traceback")
    return BUG


def explain(error: BaseException) -> str | None:
    """One line for an error that the user can do something about, None for a mistake of ours."""
    if isinstance(error, typer.TyperException):
        return _one_line(error.format_message())
    from excise.records.errors import ExciseError  # here: it brings pydantic, which takes a while

    if isinstance(error, ExciseError):
        return _one_line(str(error))
    if isinstance(error, OSError) and error.errno in _OS_REASONS:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{_OS_REASONS[error.errno]}"
    if "No space left on device" in str(error):  # writers in Rust and C++ raise their own types
        return _OS_REASONS[errno.ENOSPC]
    if _out_of_memory(error):
        return _memory_line(error)
    if _is_validation_error(error):
        return _first_problem(error)
    return None


def _out_of_memory(error: BaseException) -> bool:
    if "torch" not in sys.modules:  # then torch did not raise it
        return isinstance(error, MemoryError)
    from excise.vlm.memory import is_out_of_memory

    return is_out_of_memory(error)


def _memory_line(error: BaseException) -> str:
    """For memory that ran out elsewhere than in training, which knows better (`advice.py`)."""
    found = re.search(r"to allocate ([\d.]+ ?[KMG]i?B|\d+ bytes)", str(error), re.IGNORECASE)
    asked = f" ({found[1]} more were asked for)" if found else ""
    return (
        f"out of memory{asked}; what helps: --dtype bfloat16 (half of float32), --quantize 4bit "
        "(an eighth, for the language model), --device-map auto (all GPUs and main memory), and in "
        "training -o batch=1 -o gradient_checkpointing=true"
    )


def _is_validation_error(error: BaseException) -> bool:
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(error, pydantic.ValidationError)


def _first_problem(error: BaseException) -> str:
    """Field and expectation. The value is left out: it may be private."""
    problems = error.errors(include_url=False, include_input=False)  # type: ignore[attr-defined]
    field = ".".join(str(part) for part in problems[0]["loc"]) or "value"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return _one_line(f"{field}: {problems[0]['msg']}{more}")


def _where(error: BaseException) -> str:
    package = Path(__file__).parents[1]
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if Path(f.filename).is_relative_to(package)]
    if not ours:
        return ""
    return f" at {Path(ours[-1].filename).relative_to(package)}:{ours[-1].lineno}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _say(line: str) -> None:
    if _speaks():
        print(f"excise: {line}", file=sys.stderr)


def _speaks() -> bool:
    processes = sys.modules.get("excise.training.processes")
    return processes.speaks() if processes else os.environ.get("RANK", "0") == "0"


def _left(code: int) -> int:
    """The exit code; a process of a launch ends here and now.

    A launcher kills the others as soon as one ends, so whoever is silent lets the one that speaks
    go first; an interrupted launcher ends them all anyway. Torch would wait at the exit for work
    that nobody will finish.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        if not _speaks() and code != INTERRUPTED:
            time.sleep(PAUSE)
        os._exit(code)
    return code
