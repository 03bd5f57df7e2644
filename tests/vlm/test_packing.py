from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from excise.records import Data, Record
from excise.records.errors import InputError
from excise.training import answer_cross_entropy
from excise.vlm import VLM, Packer, Row, Turn, load, role_id, rows_from_records

TURNS = (
    Turn("What is the name of this person?", "Vera Lindqvist"),
    Turn("Where does this person live?", "In Riga, at the harbour.", role="forget"),
    Turn("What colour is the hair?", "Blond"),
    Turn("What colour is the hair?", "Brown", role="forget"),
)
NAMED = (
    Turn("Where does Vera Lindqvist live?", "In Riga."),
    Turn("Where does Edgar Montfort work?", "At the harbour of Tallinn."),
)


@pytest.fixture(params=["sdpa", "eager"])
def vlm(request: pytest.FixtureRequest, checkpoint: Path) -> VLM:
    loaded = load(checkpoint, device="cpu")
    loaded.model.set_attn_implementation(request.param)
    return loaded


def loss_and_gradient(vlm: VLM, rows: list[Row]) -> tuple[float, dict[str, Tensor]]:
    """Mean loss over the answer tokens of all rows, each row run by itself."""
    packer = Packer(vlm.processor, vlm.model)
    vlm.model.zero_grad()
    batches = [packer.collate([packer.encode(row)]) for row in rows]
    total = sum(int((batch["labels"] != -100).sum()) for batch in batches)
    value = 0.0
    for batch in batches:
        share = int((batch["labels"] != -100).sum()) / total
        loss = answer_cross_entropy(vlm.model, batch) * share
        loss.backward()
        value += loss.item()
    return value, _gradient(vlm)


def _gradient(vlm: VLM) -> dict[str, Tensor]:
    return {
        name: parameter.grad.clone()
        for name, parameter in vlm.model.named_parameters()
        if parameter.grad is not None
    }


def apart(rows: list[Row]) -> list[Row]:
    return [Row(row.picture, (turn,)) for row in rows for turn in row.turns]


def assert_same(one: tuple[float, dict[str, Tensor]], two: tuple[float, dict[str, Tensor]]) -> None:
    assert one[0] == pytest.approx(two[0], rel=1e-5)
    assert one[1].keys() == two[1].keys()
    whole = torch.stack([gradient.norm() for gradient in two[1].values()]).norm().item()
    assert whole > 0
    for name, gradient in one[1].items():
        other = two[1][name]
        # Some gradients are zero but for rounding, such as that of a key's bias without rotation.
        size = max(other.norm().item(), 1e-3 * whole)
        assert (gradient - other).norm().item() <= 1e-5 * size, name


def test_a_packed_row_has_the_loss_and_gradient_of_single_rows(
    vlm: VLM, pictures: list[Image.Image]
) -> None:
    for row in (Row(pictures[0], TURNS), Row(None, NAMED)):
        assert_same(loss_and_gradient(vlm, [row]), loss_and_gradient(vlm, apart([row])))


def test_a_padded_batch_of_mixed_rows_has_the_loss_and_gradient_of_single_rows(
    vlm: VLM, pictures: list[Image.Image]
) -> None:
    rows = [
        Row(None, NAMED),
        Row(pictures[0], TURNS),
        Row(None, NAMED[:1]),
        Row(pictures[1], TURNS[1:2]),
    ]
    packer = Packer(vlm.processor, vlm.model)
    batch = packer.collate([packer.encode(row) for row in rows])
    vlm.model.zero_grad()
    loss = answer_cross_entropy(vlm.model, batch)
    loss.backward()
    assert_same((loss.item(), _gradient(vlm)), loss_and_gradient(vlm, apart(rows)))


def test_a_single_row_has_the_loss_that_transformers_computes(
    vlm: VLM, pictures: list[Image.Image]
) -> None:
    inputs = vlm.processor(
        text=[
            "<bos><user><image>Where does this person live?<assistant>In Riga, at the harbour.<end>"
        ],
        images=[pictures[0]],
        return_tensors="pt",
        add_special_tokens=False,
    )
    start = (
        inputs["input_ids"][0]
        .tolist()
        .index(vlm.processor.tokenizer.convert_tokens_to_ids("<assistant>"))
    )
    labels = inputs["input_ids"].clone()
    labels[:, : start + 1] = -100
    expected = vlm.model(**inputs, labels=labels).loss.item()
    ours, _ = loss_and_gradient(vlm, [Row(pictures[0], TURNS[1:2])])
    assert ours == pytest.approx(expected, rel=1e-5)


def test_pictures_are_encoded_once_a_row_and_only_answers_have_labels(
    tiny: VLM, pictures: list[Image.Image]
) -> None:
    packer = Packer(tiny.processor, tiny.model)
    batch = packer.collate([packer.encode(Row(pictures[0], TURNS))])
    image_id = tiny.model.config.image_token_id
    assert int((batch["input_ids"] == image_id).sum()) == 16
    assert batch["pixel_values"].shape[0] == 1
    labels, roles = batch["labels"][0], batch["roles"][0]
    said = tiny.processor.tokenizer.decode(labels[labels != -100])
    assert said == "".join(turn.answer + "<end>" for turn in TURNS)
    forgotten = labels[roles == role_id("forget")]
    assert tiny.processor.tokenizer.decode(forgotten) == "In Riga, at the harbour.<end>Brown<end>"
    assert bool(((roles == -1) == (labels == -100)).all())


def test_a_question_sees_the_prefix_and_itself_only(tiny: VLM, pictures: list[Image.Image]) -> None:
    packer = Packer(tiny.processor, tiny.model)
    row = packer.encode(Row(pictures[0], TURNS[:2]))
    mask = packer.collate([row])["attention_mask"][0, 0]
    segments = row.segments
    for query in range(len(segments)):
        for key in range(len(segments)):
            visible = key <= query and int(segments[key]) in (0, int(segments[query]))
            assert bool(mask[query, key]) == visible
    prefix = int((segments == 0).sum())
    for number in (1, 2):
        assert int(row.position_ids[segments == number][0]) == prefix


def test_a_question_longer_than_the_model_is_refused_with_its_record(tiny: VLM) -> None:
    packer = Packer(tiny.processor, tiny.model)
    row = Row(None, (Turn("why " * 200, "so", record="p017-im-3"),))
    with pytest.raises(InputError, match=r'record "p017-im-3": \d+ tokens, expected at most'):
        packer.encode(row)


def test_a_placeholder_inside_a_question_is_refused_with_its_record(
    tiny: VLM, pictures: list[Image.Image]
) -> None:
    packer = Packer(tiny.processor, tiny.model)
    row = Row(pictures[0], (Turn("<image> again?", "no", record="r1"),))
    with pytest.raises(InputError, match='record "r1": question holds the control token'):
        packer.encode(row)


def test_a_model_that_cannot_share_gets_a_sequence_for_each_question(
    vlm: VLM, pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Row(None, NAMED), Row(pictures[0], TURNS), Row(pictures[1], TURNS[1:2])]
    expected = loss_and_gradient(vlm, apart(rows))
    monkeypatch.setattr("excise.vlm.packing.sharing_obstacle", lambda *_: "for the test's sake")
    packer = Packer(vlm.processor, vlm.model)
    assert packer.obstacle == "for the test's sake"
    batch = packer.collate([packer.encode(row) for row in rows])
    assert batch["input_ids"].shape == batch["labels"].shape == batch["attention_mask"].shape
    assert len(batch["input_ids"]) == 2 + 4 + 1
    assert batch["pixel_values"].shape[0] == 4 + 1
    vlm.model.zero_grad()
    loss = answer_cross_entropy(vlm.model, batch)
    loss.backward()
    assert_same((loss.item(), _gradient(vlm)), expected)


def test_records_become_rows_of_one_picture_and_at_most_so_many_questions(
    tmp_path: Path, pictures: list[Image.Image]
) -> None:
    (tmp_path / "images").mkdir()
    for number in (0, 1):
        pictures[number].save(tmp_path / f"images/{number}.png")

    def record(number: int, image: int | None) -> Record:
        return Record(
            id=f"r{number}",
            split="forget",
            kind="text_memory" if image is None else "image_memory",
            image=None if image is None else f"images/{image}.png",
            question=f"Question {number}?",
            answer=f"Answer {number}",
        )

    seen = [0, None, 1, 0, None, 0, None]
    records = [record(number, image) for number, image in enumerate(seen)]
    data = Data(folder=tmp_path, records=tuple(records))
    rows = rows_from_records(
        data, records, answer=lambda r: "No.", role=lambda r: r.split, per_row=2
    )
    assert [[turn.record for turn in row.turns] for row in rows] == [
        ["r0", "r3"],
        ["r5"],
        ["r1", "r4"],
        ["r6"],
        ["r2"],
    ]
    assert [row.picture is None for row in rows] == [False, False, True, True, False]
    assert rows[0].picture is not None
    assert rows[0].picture.tobytes() == pictures[0].tobytes()
    assert rows[0].turns[0] == Turn("Question 0?", "No.", role="forget", record="r0")
