"""`excise desk work|check|rollback` on the command line: exit codes, one line for a mistake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from excise.cli import boundary
from excise.desk.ledger import Ledger
from excise.desk.release.check import Checked

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command on a ledger with the model `m`: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    for name in ("DB", "FOLDER", "KEY", "KEY_FILE", "OPEN", "ACTOR"):
        monkeypatch.delenv(f"EXCISE_DESK_{name}", raising=False)
    with Ledger.init() as ledger:
        ledger.register_model("m", "models/m", "ab" * 32, actor="ada")

    def command(*words: str) -> tuple[int, str, str]:
        code = boundary.main(["desk", *words])
        return code, *capsys.readouterr()

    return command


def test_work_on_nothing_ends_at_once(run: Run) -> None:
    code, out, _ = run("work", "--once")
    assert (code, out.splitlines()) == (0, ["batches: 0", "requests: none"])


def test_a_model_that_is_not_registered_is_one_line(run: Run) -> None:
    for words in (
        ("work", "--once", "--model", "n"),
        ("check", "--url", "http://127.0.0.1:9/v1", "--model", "m"),
        ("rollback", "--model", "m", "--reason", "too many refusals"),
    ):
        code, out, err = run(*words)
        assert (code, out) == (2, "")
        assert len(err.splitlines()) == 1
        assert "model" in err


def test_a_check_that_finds_something_ends_with_1(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Checked("v-1", 20, {"r-1": (9, 20)}, (3, 44), ("r-1: 9 of 20 memories are back",))
    monkeypatch.setattr("excise.desk.release.check.check", lambda *a, **k: found)
    code, out, _ = run("check", "--url", "http://127.0.0.1:9/v1", "--model", "m")
    assert code == 1
    assert out.splitlines() == [
        "release: v-1, 1 requests",
        "private questions: 9 of 20 answered truly",
        "all answers: 3 of 44 as the release's own",
        "problem: r-1: 9 of 20 memories are back",
    ]
