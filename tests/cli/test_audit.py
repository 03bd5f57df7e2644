"""`excise audit` as a user meets it: what it leaves, its exit code, its one-line errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.erasure.conftest import small

from excise.cli import main
from excise.records.data import Data
from excise.records.writing import write_data
from excise.specimen import checkpoint, dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two forgotten people of the specimen and a few records of everything else."""
    import excise

    root = tmp_path_factory.mktemp("audit")
    dataset.write(root / "whole", 5, 0)
    whole = excise.read(root / "whole")
    few: Data = small(whole, people=2, others=2)
    pictures = {r.image: few.picture(r) for r in few.records if r.image is not None}
    write_data(root / "few", few.records, {k: v for k, v in pictures.items() if v is not None})
    return root / "few"


@pytest.fixture(autouse=True)
def own_key(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXCISE_KEY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "config"))


@pytest.fixture(scope="module")
def audited(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The audit of the untouched model."""
    out = tmp_path_factory.mktemp("made") / "audit"
    key = tmp_path_factory.mktemp("key") / "key.pem"
    assert main(["evidence", "key", "--out", str(key)]) == 0
    people = out.parent / "people.json"
    command = ["audit", "--model", str(checkpoint()), "--data", str(data), "--out", str(out)]
    command += ["--preset", "quick", "--only", "plain", "--key", str(key), "--people", str(people)]
    assert main(command) == 1  # the model knows
    return out


def test_it_leaves_a_page_an_audit_and_its_evidence(audited: Path) -> None:
    assert {p.name for p in audited.iterdir()} == {"audit.json", "report.html", "evidence.json"}
    page = (audited / "report.html").read_text()
    assert "Not passed: memories came back" in page
    assert "http" not in page.replace("http-equiv", "")  # it fetches nothing


def test_the_evidence_verifies_with_everything_beside_it(audited: Path, data: Path) -> None:
    assert main(["evidence", "verify", str(audited / "evidence.json"), "--data", str(data)]) == 0


def test_a_changed_page_is_found(audited: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(audited, tmp_path / "copy")
    page = tmp_path / "copy" / "report.html"
    page.write_text(page.read_text().replace("Not passed", "Passed"))
    assert main(["evidence", "verify", str(tmp_path / "copy" / "evidence.json")]) == 1


def test_nothing_private_is_in_the_folder(audited: Path, data: Path) -> None:
    texts = [path.read_text() for path in audited.iterdir()]
    for line in (data / "records.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["split"] == "forget":
            assert not any(record["question"] in text for text in texts)


def test_who_is_behind_the_pseudonyms_is_for_the_operator_alone(audited: Path) -> None:
    people = audited.parent / "people.json"
    rows = json.loads((audited / "audit.json").read_text())["people"]
    assert {row["pseudonym"] for row in rows} == set(json.loads(people.read_text()))
    assert people.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "MODEL", "--gate", "GATE"], 'unknown figure "leak.anny"'),
        (["--model", "MODEL", "--only", "sampl"], 'unknown attack "sampl"'),
        (["--model", "MODEL", "-o", "plain=3"], "expected ATTACK.key=value"),
        (["--model", "MODEL", "--preset", "slow"], 'unknown preset "slow"'),
        ([], "a run or --model is missing"),
        (["nowhere"], "nowhere: no such run folder"),
        (["--model", "nowhere/model/x"], "nowhere/model/x"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    arguments: list[str],
    said: str,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gate = tmp_path / "gate.yaml"
    gate.write_text("leak.anny: {at_most: 0.1}")
    given = [{"MODEL": str(checkpoint()), "GATE": str(gate)}.get(a, a) for a in arguments]
    out = tmp_path / "out"
    assert main(["audit", *given, "--data", str(data), "--out", str(out)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert not out.exists()


def test_a_run_without_its_base_is_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    base = {"id": "gone", "weights_hash": "0" * 64}
    (run / "run.json").write_text(json.dumps({"schema": "excise.run/1", "base": base}))
    (run / "edit.json").write_text(
        json.dumps({"criterion": "none", "branches": [{"adapter": "forgetting"}]})
    )
    assert main(["audit", str(run), "--data", str(data), "--out", str(tmp_path / "out")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_folder_that_is_in_use_is_refused_before_the_work(
    data: Path, audited: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["audit", "--model", str(checkpoint()), "--data", str(data), "--out"]
    assert main([*arguments, str(audited)]) == 2
    assert "exists and is not empty" in capsys.readouterr().err
    assert main([*arguments, str(data / "audit")]) == 2
    assert "is inside the data folder" in capsys.readouterr().err
