"""Every error ends as one line on stderr and an exit code."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from excise.cli import boundary
from excise.records.errors import InputError


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run `main` with the commands replaced by one that raises; return exit code and stderr."""

    def with_error(error: BaseException, *words: str) -> tuple[int, str]:
        def app(**_: object) -> None:
            raise error

        monkeypatch.setattr(boundary, "app", app)
        code = boundary.main(list(words) or ["forget"])
        return code, capsys.readouterr().err

    return with_error


Run = Callable[..., tuple[int, str]]


def test_a_users_mistake_is_one_line_and_exit_2(run: Run) -> None:
    code, err = run(InputError("data/records.jsonl:3: split: expected forget"))
    assert code == 2
    assert err == "excise: error: data/records.jsonl:3: split: expected forget\n"


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.ENOSPC, "no space left"), (errno.EACCES, "permission denied")],
)
def test_a_full_or_closed_disk_is_one_line_naming_the_file(
    run: Run, number: int, reason: str
) -> None:
    code, err = run(OSError(number, "x", "runs/one"))
    assert code == 2
    assert err.startswith("excise: error: runs/one: ") and reason in err
    assert err.count("\n") == 1


def test_a_full_disk_reported_by_a_rust_writer_is_known_by_its_text(run: Run) -> None:
    code, err = run(RuntimeError("I/O error: No space left on device (os error 28)"))
    assert (code, err) == (2, "excise: error: no space left on the disk\n")


def test_out_of_memory_says_what_helps(run: Run) -> None:
    import torch

    code, err = run(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"))
    assert code == 2
    assert "out of memory" in err and "batch" in err and err.count("\n") == 1


def test_memory_that_a_cpu_does_not_have_is_one_line_with_the_number(run: Run) -> None:
    import torch

    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 55)
    code, err = run(caught.value, "evaluate")
    assert code == 2
    assert "out of memory (144115188075855872 bytes more were asked for)" in err
    for help_ in ("--dtype bfloat16", "--quantize 4bit", "--device-map auto", "-o batch=1"):
        assert help_ in err
    assert err.count("\n") == 1


def test_a_validation_error_names_the_field_and_not_the_private_value(run: Run) -> None:
    from pydantic import BaseModel, ValidationError

    class Settings(BaseModel):
        k: float

    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"k": "Vera Lindqvist"})
    code, err = run(caught.value)
    assert code == 2
    assert "k:" in err and "Vera" not in err and err.count("\n") == 1


def test_ctrl_c_says_that_the_same_command_resumes(run: Run) -> None:
    assert run(KeyboardInterrupt()) == (130, "excise: interrupted; the same command resumes\n")


def test_ctrl_c_promises_no_resuming_where_there_is_none(run: Run) -> None:
    code, err = run(KeyboardInterrupt(), "evaluate")
    assert code == 130
    assert "resumes" not in err


def test_our_own_mistake_hides_its_message_but_not_its_type(run: Run) -> None:
    code, err = run(KeyError("the patient has asthma"))
    assert code == 70
    assert "KeyError" in err and "--debug" in err and "asthma" not in err


def test_debug_shows_the_traceback_wherever_it_stands(run: Run) -> None:
    code, err = run(KeyError("x"), "forget", "--debug")
    assert code == 70
    assert "Traceback" in err


def test_other_os_errors_are_not_taken_for_the_users(run: Run) -> None:
    assert run(OSError(errno.EBADF, "bad file descriptor"))[0] == 70


def test_ctrl_c_inside_a_command_reaches_the_boundary(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("excise.cli.options.dial", interrupted)
    assert boundary.main(["sculpt", "runs/one", "-o", "k=2"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_nothing_typed_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert boundary.main([]) == 0
    assert "Usage: excise" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [["forgt"], ["forget", "--modle", "x"], ["evaluate"], ["specimen", "d", "--ratio", "x"]],
)
def test_a_mistyped_command_line_is_one_line(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert boundary.main(words) == 2
    err = capsys.readouterr().err
    assert err.startswith("excise: error: ") and err.count("\n") == 1


def test_libraries_are_told_to_be_quiet_before_they_load(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.delenv("TRANSFORMERS_VERBOSITY", raising=False)
    run(InputError("x"))
    assert boundary.os.environ["TRANSFORMERS_VERBOSITY"] == "error"
