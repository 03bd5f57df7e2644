"""`excise desk` on the command line: exit codes, one line for a mistake, no name printed."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from excise.cli import boundary
from excise.cli.commands import desk
from excise.records import Data

from .conftest import NAMES


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Runs a command in an empty folder: exit code, stdout, stderr."""
    app = typer.Typer(add_completion=False)
    app.add_typer(desk, name="desk")
    monkeypatch.setattr(boundary, "app", app)
    monkeypatch.chdir(tmp_path)
    for name in ("DB", "FOLDER", "KEY", "KEY_FILE", "OPEN", "ACTOR"):
        monkeypatch.delenv(f"EXCISE_DESK_{name}", raising=False)

    def command(*words: object) -> tuple[int, str, str]:
        code = boundary.main(["desk", *map(str, words)])
        out, err = capsys.readouterr()
        assert not any(part in out + err for name in NAMES for part in name.split())
        return code, out, err

    return command


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """Just what is hashed of a checkpoint."""
    import torch
    from safetensors.torch import save_file

    (tmp_path / "model").mkdir()
    save_file({"w": torch.zeros(2)}, tmp_path / "model" / "model.safetensors")
    return tmp_path / "model"


def test_the_ledgers_commands_one_after_another(
    run, model_folder: Path, person_data: Data, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run("init")
    assert code == 0 and "key:    desk.key" in out
    assert (tmp_path / "desk.db").stat().st_mode & 0o777 == 0o600
    assert run("model", "add", "m", "--source", model_folder)[0] == 0
    submit = ("submit", "--model", "m", "--data", person_data.folder, "--as", "ada")
    code, out, _ = run(*submit, "--subject", NAMES[0], "--identified", "--accept", "no exception")
    assert code == 0 and "queued" in out
    id = out.split()[1].rstrip(",")
    code, out, err = run(*submit, "--subject", NAMES[0])
    assert code == 2 and id in err and err.count("\n") == 1
    code, out, _ = run("submit", "--model", "m", "--name", NAMES[1])
    other = out.split()[1].rstrip(",")
    assert run("identify", other)[0] == 0
    assert run("attach", other, "--data", person_data.folder)[0] == 0
    assert run("extend", other, "--months", 2, "--reason", "many models")[0] == 0
    assert "withdrawn" in run("decide", other, "refuse", "--reason", "art. 17(3)(b)")[1]
    assert "withdrawn" in run("withdraw", id, "--reason", "changed their mind")[1]
    code, out, _ = run("list")
    assert code == 0 and "2 withdrawn" in out and id in out
    code, out, _ = run("show", id)
    assert code == 0 and "vault.shredded" in out and "changed their mind" in out
    code, out, _ = run("verify")
    assert code == 0
    head = out.split()[1]
    assert run("verify", "--head", head)[0] == 0
    assert run("verify", "--head", f"9999:{head.partition(':')[2]}")[:2] == (
        1,
        f"broken: entry {int(head.partition(':')[0]) + 1}: is missing: the head that was noted "
        "counts it\n",
    )


def test_mistakes_are_one_line_with_exit_code_2(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert run("list")[::2] == (
        2,
        "excise: error: desk.db: no such ledger, expected one made by excise desk init\n",
    )
    run("init")
    (tmp_path / "m.yaml").write_text("nonsense: 1")
    for words in (
        ("init",),
        ("show", "r-000000"),
        ("submit", "--model", "m", "--subject", NAMES[0]),
        ("submit", "--model", "m", "--subject", NAMES[0], "--accept", "fine"),
        ("list", "--state", "qued"),
        ("model", "add", "m", "--source", tmp_path / "nowhere"),
        ("model", "add", "m", "--source", tmp_path, "--settings", tmp_path / "m.yaml"),
        ("verify", "--db", "oracle://x"),
    ):
        code, out, err = run(*words)
        assert (code, out, err.count("\n")) == (2, "", 1), words


def test_a_key_in_the_environment_leaves_no_file(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("EXCISE_DESK_KEY", "A" * 43 + "=")
    assert run("init")[0] == 0
    assert not (tmp_path / "desk.key").exists()
    assert run("verify")[0] == 0
