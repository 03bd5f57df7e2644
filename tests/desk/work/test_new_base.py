"""A base that changes: everything on it begins again, from what the new one still tells."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.desk.specimen_desk import SpecimenDesk

from excise import specimen
from excise.desk.work.batch import NOTHING


def changed(folder: Path) -> None:
    """Weights that are others by the last bit of one of them."""
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)


def test_a_new_base_is_forgotten_on_anew_in_its_own_words(
    new_desk: Callable[..., SpecimenDesk], tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(specimen.checkpoint("original"), base)
    desk = new_desk(tmp_path, source=str(base))
    known = desk.submit(2)
    desk.worker().run(once=True)
    assert desk.state(known) == "released"
    old = desk.ledger.current("m")
    assert old is not None
    changed(base)
    # Nothing is queued, so nothing is loaded; the next request finds it.
    late = desk.submit(1)
    desk.worker().run(once=True)
    assert any("its weights have changed" in line for line in desk.said)
    assert desk.ledger.model("m").weights_hash != old.base_hash
    assert (desk.state(known), desk.state(late)) == ("released", "released")
    new = desk.ledger.current("m")
    assert new is not None
    assert {*new.requests} == {known, late}
    assert new.base_hash == desk.ledger.model("m").weights_hash
    again = [call for call in desk.trained.calls if known in call]
    assert len(again) == 2
    reasons = [e.content.get("reason") for e in desk.ledger.entries(known)]
    assert "forgetting again" in reasons, "from its probes: the data are gone"
    assert desk.ledger.request(known).part().figures["person.known_before"] >= 8
    assert desk.ledger.request(known).part().figures["person.came_back"] <= 3
    assert desk.ledger.verify() is None


def test_a_base_that_tells_nothing_says_so(
    new_desk: Callable[..., SpecimenDesk], tmp_path: Path
) -> None:
    """The one that was trained without them."""
    desk = new_desk(tmp_path)
    id = desk.submit(2)
    desk.worker().run(once=True)
    from excise.vlm.weights_hash import hash_weights, weight_files

    never = str(specimen.checkpoint("retrained"))
    again = desk.ledger.register_model("m", never, hash_weights(weight_files(never)), actor="ada")
    assert again == (id,)
    desk.worker().run(once=True)
    assert desk.state(id) == "failed"
    reasons = [e.content.get("reason") for e in desk.ledger.entries(id)]
    assert reasons[-1] == NOTHING
    assert desk.ledger.current("m") is None
    assert desk.ledger.batches() == []
    assert desk.ledger.verify() is None
