"""`excise evidence`: what is printed, and the exit codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from tests.erasure.a_small_audit import KEY, Small, small

from excise.cli import boundary
from excise.cli.evidence_commands import evidence

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def made(tmp_path: Path) -> Small:
    return small(tmp_path)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """`excise evidence ...` with a user's folder of its own: exit code, stdout, stderr."""
    app = typer.Typer()
    app.add_typer(evidence, name="evidence")
    monkeypatch.setattr(boundary, "app", app)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    for name in ("EXCISE_KEY", "EXCISE_KEY_PASSWORD"):
        monkeypatch.delenv(name, raising=False)

    def invoked(*words: object) -> tuple[int, str, str]:
        code = boundary.main(["evidence", *(str(word) for word in words)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return invoked


def test_verify_prints_a_line_for_everything_it_compared(run: Run, made: Small) -> None:
    given = ("--run", made.run, "--export", made.export, "--data", made.data.folder)
    code, out, err = run("verify", made.folder, *given)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("signature: holds, by key ") and "--key" in lines[0]
    assert lines[1:] == [
        "audit.json: holds",
        "report.html: holds",
        "run: holds, 2 files",
        "export: holds, 2 files",
        "data: holds",
        f"verified: {made.evidence}",
    ]


def test_what_does_not_hold_is_said_and_ends_with_exit_1(run: Run, made: Small) -> None:
    (made.folder / "report.html").write_text("another")
    (made.run / "run.json").unlink()
    code, out, err = run("verify", made.evidence, "--run", made.run)
    assert code == 1
    assert "report.html: DOES NOT HOLD, changed\n" in out
    assert "run: DOES NOT HOLD, run.json: missing\n" in out
    assert "verified" not in out and err.count("\n") == 1 and "does not hold" in err


def test_a_changed_evidence_is_not_compared_further_nor_shown(run: Run, made: Small) -> None:
    made.evidence.write_bytes(made.evidence.read_bytes().replace(b'"seed":0', b'"seed":1'))
    code, out, _ = run("verify", made.evidence, "--run", made.run)
    assert code == 1
    assert "evidence: DOES NOT HOLD, the signature does not fit" in out
    assert "the rest: not checked" in out and "run:" not in out
    code, out, err = run("show", made.evidence)
    assert (code, out) == (1, "") and "does not hold" in err


def test_what_is_not_there_is_the_users_mistake(run: Run, made: Small, tmp_path: Path) -> None:
    for words in (
        ("verify", tmp_path / "none.json"),
        ("verify", made.evidence, "--run", tmp_path / "none"),
        ("verify", made.evidence, "--key", tmp_path / "none.pub"),
        ("show", tmp_path),
        ("key", "--out", made.evidence),
    ):
        code, out, err = run(*words)
        assert (code, out) == (2, "")
        assert err.startswith("excise: error: ") and err.count("\n") == 1


def test_key_makes_a_pair_and_its_public_half_verifies(
    run: Run, made: Small, tmp_path: Path
) -> None:
    code, out, err = run("key", "--out", tmp_path / "mine.pem")
    assert (code, err) == (0, "")
    assert f"private key: {tmp_path / 'mine.pem'}\n" in out
    assert f"public key:  {tmp_path / 'mine.pem.pub'}\n" in out
    assert run("verify", made.folder, "--key", tmp_path / "mine.pem.pub")[0] == 1
    from excise.erasure.key_files import public_pem

    (tmp_path / "signer.pub").write_bytes(public_pem(KEY.public_key()))
    code, out, _ = run("verify", made.folder, "--key", tmp_path / "signer.pub")
    assert code == 0 and "signature: holds, by the key given, " in out


def test_key_alone_shows_the_users_own_and_makes_it_the_first_time(run: Run) -> None:
    code, first, err = run("key")
    assert code == 0 and err.startswith("excise: made a signing key: ")
    code, second, err = run("key")
    assert (code, err) == (0, "") and second == first
    assert len(first.splitlines()[2].removeprefix("fingerprint: ")) == 64


def test_show_says_what_was_audited_and_what_the_gate_said(run: Run, made: Small) -> None:
    code, out, err = run("show", made.folder)
    assert (code, err) == (0, "")
    assert "gate:      passed" in out
    assert "2 people, 6 facts" in out and "1 attacks, preset quick, seed 0" in out
    assert "leak.any, high" in out and "at most 0.15" in out and "not measured" in out
    assert "not tried: questions in other languages" in out
    assert "warning: 2 people only" in out


@pytest.mark.parametrize("command", ["key", "verify", "show"])
def test_every_command_explains_itself(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0 and f"evidence {command}" in out
