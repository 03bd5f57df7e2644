"""`excise desk check` against a small real server, for both forms of a release."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.desk.release.server import serving
from tests.desk.specimen_desk import SpecimenDesk

from excise.desk.release.check import check
from excise.desk.release.manifest import read_manifest
from excise.records.errors import InputError
from excise.vlm import VLM, load
from excise.weights.run import Run
from excise.weights.verify_adapter import loaded_by_peft


@pytest.fixture(scope="module", params=["merged", pytest.param("lora", marks=pytest.mark.slow)])
def desk(
    request: pytest.FixtureRequest,
    new_desk: Callable[..., SpecimenDesk],
    tmp_path_factory: pytest.TempPathFactory,
) -> SpecimenDesk:
    """Two releases, of one person and of two."""
    made = new_desk(tmp_path_factory.mktemp("check"), kind=request.param)
    for person in (2, 1):
        made.submit(person)
        made.worker().run(once=True)
    assert made.ledger.counts()["released"] == 2
    return made


def served(desk: SpecimenDesk, number: int) -> VLM:
    """A release as whoever serves it loads it."""
    release = next(r for r in desk.ledger.releases("m") if r.number == number)
    place = desk.ledger.settings.folder / release.folder / "model"
    if release.kind == "merged":
        return load(place)
    vlm = load(desk.ledger.model("m").source)
    assert loaded_by_peft(vlm, place) == []
    return vlm


def test_the_release_passes_and_the_log_says_so(desk: SpecimenDesk) -> None:
    with serving(served(desk, 2)) as url:
        found = check(desk.ledger, "m", url, actor="ops")
    assert found.problems == ()
    assert found.agreed[0] == found.agreed[1] > 20
    assert {*found.back} == {r.id for r in desk.ledger.requests()}
    last = desk.ledger.entries(after=int(desk.ledger.head().split(":")[0]) - 1)[-1]
    assert (last.kind, last.actor) == ("model.checked", "ops")
    assert last.content["said"]["problems"] == 0


def test_the_base_is_found_out_memories_are_back(desk: SpecimenDesk) -> None:
    with serving(load(desk.ledger.model("m").source)) as url:
        found = check(desk.ledger, "m", url, actor="ops")
    backs = [line for line in found.problems if "memories are back" in line]
    assert len(backs) == 2
    assert any("what is served is not release" in line for line in found.problems)
    assert not any(name in line for name in desk.names for line in found.problems)


def test_the_release_before_is_found_out(desk: SpecimenDesk) -> None:
    with serving(served(desk, 1)) as url:
        found = check(desk.ledger, "m", url, actor="ops")
    late = max(desk.ledger.requests(), key=lambda r: r.submitted).id
    assert [line for line in found.problems if line.startswith(f"{late}: ")]
    assert any("what is served is not release" in line for line in found.problems)


def test_another_model_without_the_memories_is_found_out(desk: SpecimenDesk) -> None:
    """The same runs at another dial: nothing is back, but it is not what was audited."""
    release = desk.ledger.current("m")
    assert release is not None
    run = Run.load(desk.ledger.settings.folder / release.folder / "run")
    vlm = load(desk.ledger.model("m").source)
    with run.turned(strength=2.5).applied(vlm), serving(vlm) as url:
        found = check(desk.ledger, "m", url, actor="ops")
    assert [line for line in found.problems if "what is served is not release" in line]


def test_a_key_is_sent_and_a_wrong_one_is_said(desk: SpecimenDesk) -> None:
    with serving(served(desk, 2), name="other", key="secret") as url:
        assert check(desk.ledger, "m", url, served="other", actor="ops", key="secret").asked > 20
        with pytest.raises(InputError, match=r"/models: the server answers 401"):
            check(desk.ledger, "m", url, actor="ops", key="wrong")
        with pytest.raises(InputError, match=r"/chat/completions: the server answers 404"):
            check(desk.ledger, "m", url, served="third", actor="ops", key="secret")


def test_no_server_and_wrong_urls_are_one_line(desk: SpecimenDesk) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    for url in (closed, "localhost:8000", "ftp://x/v1", "http://[::1/v1", ""):
        with pytest.raises(InputError, match="no OpenAI-compatible server answers"):
            check(desk.ledger, "m", url, actor="ops")


def test_a_model_without_a_release_has_nothing_to_check(desk: SpecimenDesk) -> None:
    desk.ledger.register_model("fresh", "models/fresh", "ab" * 32, actor="ada")
    with pytest.raises(InputError, match="model fresh: has no release to check"):
        check(desk.ledger, "fresh", "http://127.0.0.1:9/v1", actor="ops")


def test_a_release_that_was_changed_on_disk_is_named(desk: SpecimenDesk) -> None:
    release = desk.ledger.current("m")
    assert release is not None
    folder = desk.ledger.settings.folder / release.folder
    vlm = served(desk, 2)
    weights = next((folder / "model").glob("*.safetensors"))
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    card = (folder / "release.json").read_text()
    (folder / "release.json").write_text(card + " ")
    try:
        with serving(vlm) as url:
            found = check(desk.ledger, "m", url, actor="ops")
    finally:
        weights.write_bytes(whole)
        (folder / "release.json").write_text(card)
    assert f"release {release.id}: model/ was changed" in found.problems
    assert f"release {release.id}: release.json was changed" in found.problems


def test_a_lora_release_holds_an_adapter_and_a_merged_one_a_model(desk: SpecimenDesk) -> None:
    release = desk.ledger.current("m")
    assert release is not None
    folder = desk.ledger.settings.folder / release.folder
    assert read_manifest(folder)["kind"] == release.kind
    names = {path.name for path in (folder / "model").iterdir()}
    wanted = "model.safetensors" if release.kind == "merged" else "adapter_model.safetensors"
    assert wanted in names
    assert Path(folder / "evidence" / "evidence.json").is_file()
