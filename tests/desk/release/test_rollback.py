"""Rolling a release back: gentler, nothing back, and what is open again is carried out anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.desk.specimen_desk import SpecimenDesk

from excise.cli import main
from excise.desk.release import rollback
from excise.desk.release.manifest import problems, read_manifest
from excise.desk.release.rollback import roll_back
from excise.desk.work.probes import askable
from excise.records.errors import InputError
from excise.weights.run import Run


@pytest.fixture(scope="module")
def rolled(
    new_desk: Callable[..., SpecimenDesk], tmp_path_factory: pytest.TempPathFactory
) -> tuple[SpecimenDesk, str, str]:
    """One batch bears a gentler dial, the other one does not: her memory would be back."""
    desk = new_desk(tmp_path_factory.mktemp("rollback"))
    bears = desk.submit(2)
    desk.worker().run(once=True)
    not_so = desk.submit(1)
    desk.worker().run(once=True)
    assert desk.ledger.counts()["released"] == 2
    real = rollback._back
    current = desk.ledger.current("m")
    assert current is not None
    own = read_manifest(desk.ledger.settings.folder / current.folder)["requests"][not_so]

    def weight(run: object) -> float:
        branches = run.edit.branches  # type: ignore[attr-defined]
        return next(b.weight for b in branches if b.adapter in own["adapters"])

    def back(*arguments: object) -> list[str]:
        found = real(*arguments)  # type: ignore[arg-type]
        tried, asked = arguments[2:4]
        if not_so in asked and weight(tried) < 1.5:  # type: ignore[operator]
            return [not_so]
        return [id for id in found if id != not_so]

    patch = pytest.MonkeyPatch()
    patch.setattr(rollback, "_back", back)
    roll_back(desk.ledger, "m", reason="too many refusals", actor="ops", tell=desk.said.append)
    patch.undo()
    return desk, bears, not_so


def test_it_says_who_is_gentler_and_who_is_open_again(
    rolled: tuple[SpecimenDesk, str, str],
) -> None:
    desk, bears, not_so = rolled
    new, old, _ = desk.ledger.releases("m")
    assert (old.state, new.state) == ("rolled back", "current")
    assert {*new.requests} == {bears, not_so}, "who is open again stays erased meanwhile"
    before = read_manifest(desk.ledger.settings.folder / old.folder)["requests"]
    after = read_manifest(desk.ledger.settings.folder / new.folder)["requests"]
    assert after[bears]["strength"] < before[bears]["strength"]
    assert after[not_so] == before[not_so]
    entry = next(e for e in desk.ledger.entries() if e.content.get("instead_of"))
    assert entry.content["queued_again"] == [not_so]
    assert entry.content["reason"] == "too many refusals"
    assert problems(desk.ledger.settings.folder / new.folder, new.manifest_hash) == []


def test_what_is_open_again_is_trained_anew_and_released(
    rolled: tuple[SpecimenDesk, str, str],
) -> None:
    desk, bears, not_so = rolled
    assert desk.ledger.request(not_so).sealed["data"] == "shredded"
    assert (desk.state(bears), desk.state(not_so)) == ("released", "queued")
    rebuilt = desk.ledger.current("m")
    assert rebuilt is not None
    was = read_manifest(desk.ledger.settings.folder / rebuilt.folder)["requests"][not_so]
    desk.worker().run(once=True)
    assert desk.ledger.counts()["released"] == 2
    release = desk.ledger.current("m")
    assert release is not None
    place = desk.ledger.settings.folder / release.folder
    now = read_manifest(place)["requests"]
    assert {*now} == {bears, not_so}
    assert now[bears]["adapters"] != now[not_so]["adapters"]
    assert len([*(place / "run").glob("*/")]) == 2, "the one that bore no gentler dial is gone"
    assert Run.load(place / "run").info["settings"]["hold"] == "6", "with other options"
    assert was["strength"] == 1.5
    assert desk.ledger.verify() is None


def test_a_reason_that_names_somebody_is_refused_before_anything_is_rebuilt(
    rolled: tuple[SpecimenDesk, str, str],
) -> None:
    desk, *_ = rolled
    head = desk.ledger.head()
    with pytest.raises(InputError, match="names the person"):
        roll_back(desk.ledger, "m", reason=f"{desk.names[1]} complained", actor="ops")
    assert desk.ledger.head() == head


def test_probes_are_shredded_by_command_and_nobody_is_asked_again(
    rolled: tuple[SpecimenDesk, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    desk, bears, _ = rolled
    settings = desk.ledger.settings
    where = ["--db", settings.url, "--folder", str(settings.folder)]
    where += ["--key-file", str(settings.key_file)]
    assert main(["desk", "shred", bears, "--reason", f"{desk.names[2]} asked", *where]) == 2
    assert main(["desk", "shred", bears, "--reason", "the model is retired", *where]) == 0
    assert "its probes are shredded" in capsys.readouterr().out
    assert desk.ledger.request(bears).sealed["probes"] == "shredded"
    assert askable(desk.ledger, [bears]) == []
    assert main(["desk", "shred", bears, "--reason", "once more", *where]) == 2
    assert "has no probes in the vault" in capsys.readouterr().err
    assert desk.ledger.verify() is None


def test_without_a_release_there_is_nothing_to_roll_back(
    new_desk: Callable[..., SpecimenDesk], tmp_path: Path
) -> None:
    desk = new_desk(tmp_path)
    with pytest.raises(InputError, match="model m: has no release to roll back"):
        roll_back(desk.ledger, "m", reason="why not", actor="ops")


def test_where_nobody_bears_a_gentler_dial_nothing_is_done(
    rolled: tuple[SpecimenDesk, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, *_ = rolled
    monkeypatch.setattr(rollback, "_back", lambda *arguments: list(arguments[3]))
    current, files = desk.ledger.current("m"), [*desk.ledger.settings.releases.iterdir()]
    with pytest.raises(InputError, match="no request bears a gentler dial; nothing was done"):
        roll_back(desk.ledger, "m", reason="why not", actor="ops")
    assert desk.ledger.current("m") == current
    assert [*desk.ledger.settings.releases.iterdir()] == files
