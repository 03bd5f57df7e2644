"""In a family's batches, only answers and their end markers carry loss, and pictures are whole."""

from __future__ import annotations

import pytest
from PIL import Image
from tests.families.checkpoints import FAMILIES
from tests.families.conftest import FamilyVLM
from tests.families.test_chat import EXPECTED

from excise.vlm import Packer, Row, Turn
from excise.vlm.packing import IGNORED
from excise.vlm.pictures import count_features

ANSWERS = ("In Riga.", "As a nurse, at the harbour.")
TURNS = tuple(
    Turn(question, answer, record=f"r{number}")
    for number, (question, answer) in enumerate(zip(("Where?", "How?"), ANSWERS, strict=True))
)


@pytest.mark.parametrize("family", FAMILIES)
def test_labels_are_the_answers_and_their_end_markers_alone(
    family: str, family_vlm: FamilyVLM, shapes: list[Image.Image]
) -> None:
    vlm = family_vlm(family)
    packer = Packer(vlm.processor, vlm.model)
    rows = [Row(shapes[0], TURNS), Row(None, TURNS)]
    batch = packer.collate([packer.encode(row) for row in rows])
    labelled = batch["labels"] != IGNORED
    assert batch["labels"][labelled].equal(batch["input_ids"][labelled])
    said = packer.chat.tokenizer.decode(batch["labels"][labelled])
    expected = "".join(EXPECTED[family][1].replace("In Riga.", answer) for answer in ANSWERS)
    assert said == 2 * expected


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_has_as_many_image_tokens_as_its_pictures_have_features(
    family: str, family_vlm: FamilyVLM, shapes: list[Image.Image]
) -> None:
    vlm = family_vlm(family)
    packer = Packer(vlm.processor, vlm.model)
    rows = [packer.encode(Row(picture, TURNS)) for picture in shapes[1:]]
    batch = packer.collate(rows)
    tensors = {name: batch[name] for name in rows[0].picture.tensors if name in batch}
    count = int((batch["input_ids"] == packer.chat.image_id).sum())
    sequences = [row.picture for row in rows for _ in range(1 if packer.obstacle is None else 2)]
    assert count == sum(picture.image_tokens for picture in sequences)
    features = count_features(vlm.model, tensors)
    if family == "mllama":  # it looks at its pictures from the side, one token each
        assert features is None and count == len(rows)
    else:
        assert features == count
