"""A request's whole path on the specimen, twice: what is released, what is left, what is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.desk.specimen_desk import SpecimenDesk

from excise.desk.ledger import Release
from excise.desk.release.manifest import problems, read_manifest
from excise.desk.work.answers import SHREDDED, TOLD
from excise.erasure.verification import verify
from excise.vlm.load import load


@pytest.fixture(scope="module")
def desk(
    new_desk: Callable[..., SpecimenDesk], tmp_path_factory: pytest.TempPathFactory
) -> SpecimenDesk:
    """Two people are released in a first batch, a third one in a second."""
    made = new_desk(tmp_path_factory.mktemp("path"))
    made.submit(0)
    made.submit(1, entered="adapter")
    made.worker().run(once=True)
    made.submit(2)
    made.worker().run(once=True)
    return made


@pytest.fixture(scope="module")
def releases(desk: SpecimenDesk) -> tuple[Release, Release]:
    second, first = desk.ledger.releases("m")
    return first, second


def folder_of(desk: SpecimenDesk, release: Release) -> Path:
    return desk.ledger.settings.folder / release.folder


def test_all_are_released_in_two_batches(
    desk: SpecimenDesk, releases: tuple[Release, Release]
) -> None:
    assert desk.ledger.counts()["released"] == 3
    first, second = releases
    assert (first.state, second.state) == ("superseded", "current")
    assert len(first.requests) == 2
    assert {*first.requests} < {*second.requests}
    assert desk.ledger.verify() is None


def test_every_step_is_in_the_log_once(desk: SpecimenDesk) -> None:
    first, second = desk.ledger.batches(open_only=False)
    own = first.requests[0].id
    moved = [e.content["state"] for e in desk.ledger.entries(own) if e.kind == "request.moved"]
    assert moved == ["forgetting", "auditing", "passed", "released"]
    names = [step.name for step in first.steps]
    assert sorted(names) == ["advice", "audit-0", "forget-0"]
    later = [step.name for step in second.steps]
    assert later[:2] == ["forget-0", "audit-0"]
    assert later == [f"{what}-{n}" for n in range(len(later) // 2) for what in ("forget", "audit")]
    assert any("retraining that adapter" in line for line in desk.said)


def test_the_evidence_verifies_with_the_release(
    desk: SpecimenDesk, releases: tuple[Release, Release], signing_key_file: Path
) -> None:
    for release in releases:
        folder = folder_of(desk, release)
        found = verify(
            folder / "evidence" / "evidence.json",
            key=signing_key_file.with_name("key.pem.pub"),
            run=folder / "run",
            export=folder / "model",
        )
        assert found.passed, found.problems
        assert problems(folder, release.manifest_hash) == []
    for request in desk.ledger.requests():
        evidence = request.part().evidence
        assert evidence is not None
        assert (desk.ledger.settings.folder / evidence["file"]).is_file()
        assert request.part().figures["person.came_back"] <= 3
        assert request.part().figures["person.known_before"] >= 8


def test_the_memory_of_all_three_is_gone_from_what_is_served(
    desk: SpecimenDesk, releases: tuple[Release, Release]
) -> None:
    from excise.evaluate.leak import leaked
    from excise.vlm.generation import answer

    def told(source: str | Path) -> float:
        vlm, hits = load(source), []
        for name in desk.names[:3]:
            data = desk.people[name]
            records = data.select(use="score")
            said = answer(vlm, [(data.picture(r), r.question) for r in records])
            hits += [leaked(r, text) for r, text in zip(records, said, strict=True)]
        return sum(hits) / len(hits)

    assert told(desk.ledger.model("m").source) > 0.9
    assert told(folder_of(desk, releases[1]) / "model") < 0.15


def test_the_data_are_shredded_and_the_probes_sealed(desk: SpecimenDesk) -> None:
    for request in desk.ledger.requests():
        assert dict(request.sealed) == {"data": "shredded", "probes": "sealed"}
    assert not any((desk.ledger.settings.folder / "open").iterdir())


def test_nothing_that_is_left_names_anybody_or_holds_an_answer(desk: SpecimenDesk) -> None:
    sought = set()
    for name in desk.names[:3]:
        sought.add(name)
        for record in desk.people[name].records:
            if record.kind in ("image_memory", "text_memory"):
                sought.add(record.question)
                # Alone, a year or a town is in a vocabulary or a count anyway.
                sought |= {record.answer, record.id} if len(record.answer) > 6 else {record.id}
    base = Path(desk.ledger.model("m").source)
    known = b"".join(path.read_bytes() for path in sorted(base.iterdir()) if path.is_file())
    own = [text.encode() for text in sorted(sought) if text.encode() not in known]
    assert len(own) > 40
    files = [path for path in desk.folder.rglob("*") if path.is_file()]
    assert len(files) > 30
    for path in files:
        content = path.read_bytes()
        found = [text for text in own if text in content]
        assert not found, f"{path.name} holds {len(found)}"
    assert not any(text.decode() in line for line in desk.said for text in own)


def test_the_second_release_asks_the_first_ones_again_and_says_what_is_out_of_date(
    desk: SpecimenDesk, releases: tuple[Release, Release]
) -> None:
    first, second = releases
    audit = desk.ledger.batches(open_only=False)[1].done("audit-0")
    assert audit is not None
    assert {*audit.result["earlier"]} == {*first.requests}
    assert all(told <= 2 < asked for told, asked in audit.result["earlier"].values())
    manifest = read_manifest(folder_of(desk, second))
    assert manifest["invalidate"]["releases"] == [first.folder]
    assert {*manifest["requests"]} == {*second.requests}
    assert "3 erasure requests" in (folder_of(desk, second) / "MODEL_CARD.md").read_text()


def test_health_is_kept_after_every_batch_and_says_that_a_rebuild_is_due(
    desk: SpecimenDesk,
) -> None:
    points = desk.ledger.health("m")
    assert [point.figures["covered"] for point in points] == [2, 3]
    assert points[1].figures["rebuild_due"] == 1.0, "such short training costs more than the budget"
    assert any("a rebuild is due" in line for line in desk.said)


def test_only_what_a_release_needs_is_left(
    desk: SpecimenDesk, releases: tuple[Release, Release]
) -> None:
    files = desk.ledger.settings
    assert {path.name for path in files.releases.iterdir()} == {
        Path(release.folder).name for release in releases
    }
    assert not list(files.runs.iterdir()), "a release has all that it is made of"
    manifest = read_manifest(folder_of(desk, releases[1]))
    kept = {path.parent.name for path in (folder_of(desk, releases[1]) / "run").rglob("*.json")}
    assert kept - {"run"} == {
        n for about in manifest["requests"].values() for n in about["adapters"]
    }
    assert not list(files.folder.rglob("*.unfinished"))
    assert not list(files.folder.rglob("*.part"))


def test_a_second_look_at_a_finished_ledger_does_nothing(desk: SpecimenDesk) -> None:
    before = desk.ledger.head()
    assert desk.worker().run(once=True) == 0
    assert desk.ledger.head() == before


def test_the_manifest_names_people_by_nothing_but_requests(
    desk: SpecimenDesk, releases: tuple[Release, Release]
) -> None:
    text = json.dumps(read_manifest(folder_of(desk, releases[1])))
    assert str(desk.folder) not in text
    for request in desk.ledger.requests():
        assert request.pseudonym not in text


def test_what_was_said_before_and_now_is_kept_for_the_page(desk: SpecimenDesk) -> None:
    for request in desk.ledger.requests():
        run = request.part().run
        assert run is not None
        public = json.loads((desk.ledger.settings.folder / run / "answers.json").read_text())
        assert public["schema"] == "excise.answers/1"
        assert {item["kind"] for item in public["items"]} == {"image_understanding"}
        with desk.ledger.unlock(
            request.id, actor="ada", reason="a look", part="probes"
        ) as unlocked:
            private = json.loads((unlocked / "answers.json").read_text())["items"]
        told_before = [item for item in private if item["before"] == TOLD]
        told_now = [item for item in private if item["after"] == TOLD]
        assert len(told_before) > 15
        assert len(told_now) <= 4
        assert {item["answer"] for item in private} == {SHREDDED}
