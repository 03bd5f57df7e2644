"""Four numbers a token, against one plain forward pass an answer in float64."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from excise.evaluate.token_scores import PER_ROW, TokenScores, _grouped, _summed_up, token_scores
from excise.records.data import Data
from excise.records.errors import InputError
from excise.records.record import Record
from excise.training.world import World

if TYPE_CHECKING:
    from PIL import Image

    from excise.vlm import VLM

ANSWERS = ("Riga", "Tallinn", "At the harbour of Tallinn, as a nurse.")


@pytest.fixture
def data(tmp_path: Path, pictures: list[Image.Image], make: Callable[..., Record]) -> Data:
    (tmp_path / "images").mkdir()
    for name, picture in zip("ab", pictures, strict=False):
        picture.save(tmp_path / "images" / f"{name}.png")
    return Data(
        tmp_path,
        (
            make("Riga", image="images/a.png"),
            make("Vera Lindqvist", question="What is the name?", image="images/a.png"),
            make("Riga", image="images/b.png"),
            make("Tallinn", question="Where does Edgar Montfort live?", kind="text_memory"),
        ),
    )


def plain(vlm: VLM, data: Data, record: Record, answer: str) -> dict[str, Any]:
    """The processor's own prompt, the model's own logits, sums over the vocabulary in float64."""
    import torch

    asked = [{"type": "text", "text": record.question}]
    if record.image is not None:
        asked.insert(0, {"type": "image"})
    turns: list[Any] = [
        {"role": "user", "content": asked},
        {"role": "assistant", "content": [{"type": "text", "text": answer}]},
    ]
    said = {}
    for name, messages, begin in (("prompt", turns[:1], True), ("whole", turns, False)):
        text = vlm.processor.apply_chat_template(messages, add_generation_prompt=begin)
        said[name] = vlm.processor(
            text=text, images=data.picture(record), return_tensors="pt", add_special_tokens=False
        )
    start = said["prompt"]["input_ids"].shape[1]
    with torch.no_grad():
        logits = vlm.model(**said["whole"]).logits[0].double()[start - 1 : -1]
    ids = said["whole"]["input_ids"][0][start:].numpy()
    logp = logits.log_softmax(-1).numpy()
    p = np.exp(logp)
    mean = (p * logp).sum(-1)
    return {
        "logprobs": logp[np.arange(len(ids)), ids],
        "hits": logp.argmax(-1) == ids,
        "means": mean,
        "deviations": np.sqrt((p * logp**2).sum(-1) - mean**2),
    }


def pairs_of(data: Data) -> list[tuple[Record, str]]:
    return [(record, answer) for record in data.records for answer in ANSWERS]


def assert_equal(found: list[TokenScores], wanted: list[Any]) -> None:
    for one, other in zip(found, wanted, strict=True):
        other = vars(other) if isinstance(other, TokenScores) else other
        assert (one.hits == other["hits"]).all()
        for name in ("logprobs", "means", "deviations"):
            assert getattr(one, name) == pytest.approx(other[name], rel=1e-4, abs=1e-5), name


def test_every_number_is_that_of_a_pass_of_its_own(tiny: VLM, data: Data) -> None:
    pairs = pairs_of(data)
    wanted = [plain(tiny, data, *pair) for pair in pairs]
    assert_equal(token_scores(tiny, data, pairs), wanted)
    said = [scores.said for scores in token_scores(tiny, data, pairs)]
    assert [len(s.logprobs) for s in said] == [len(w["hits"]) - 1 for w in wanted]


def test_batches_chunks_and_repetition_change_nothing(
    tiny: VLM, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = pairs_of(data)
    found = token_scores(tiny, data, pairs)
    monkeypatch.setattr("excise.training.loss.chunk_of", lambda model: 3)
    assert_equal(token_scores(tiny, data, [*pairs, *pairs], rows=1), [*found, *found])
    monkeypatch.setattr("excise.evaluate.token_scores.PER_ROW", 2)
    assert_equal(token_scores(tiny, data, pairs[::-1])[::-1], found)


def test_a_model_that_cannot_share_rows_gives_the_same(
    tiny: VLM, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = token_scores(tiny, data, pairs_of(data))
    monkeypatch.setattr("excise.vlm.packing.sharing_obstacle", lambda model, processor: "no")
    assert_equal(token_scores(tiny, data, pairs_of(data)), found)


def test_answers_to_one_picture_share_rows_and_equal_ones_are_run_once(data: Data) -> None:
    pairs = pairs_of(data)
    rows = _grouped([*pairs, *pairs])
    assert sum(map(len, rows)) == len(pairs)
    assert [len({record.image for record, _ in row}) for row in rows] == [1, 1, 1]
    many = _grouped([(data.records[0], str(i)) for i in range(PER_ROW * 2 + 1)])
    assert [len(row) for row in many] == [11, 11, 11]  # and not 16, 16, 1


def test_joined_processes_share_the_rows_and_each_gets_all(
    tiny: VLM, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = pairs_of(data)
    alone = token_scores(tiny, data, pairs)
    parts: list[Any] = []

    class Two(World):
        def gather(self, value: Any) -> list[Any]:
            parts.append(value)
            return list(parts)

    monkeypatch.setattr("excise.training.processes._world", Two(1, 2))
    with pytest.raises(KeyError):  # the other process has not given its part yet
        token_scores(tiny, data, pairs)
    monkeypatch.setattr("excise.training.processes._world", Two(0, 2))
    assert_equal(token_scores(tiny, data, pairs), alone)
    assert 0 < len(parts[0]) < len(pairs) and len(parts[0]) + len(parts[1]) == len(pairs)


def test_words_that_the_model_rules_out_and_certainty_stay_numbers() -> None:
    import torch

    logits = torch.tensor([[0.0, 0.0, -torch.inf], [60.0, 0.0, 0.0]])
    values = _summed_up(logits, torch.tensor([1, 0])).double()
    half = -np.log(2)
    assert values[0].tolist() == pytest.approx([half, 0.0, half, 1e-3], abs=1e-6)
    assert values[1].tolist() == pytest.approx([0.0, 1.0, 0.0, 1e-3], abs=1e-6)


def test_the_model_is_left_as_it_was(tiny: VLM, data: Data) -> None:
    tiny.model.train()
    token_scores(tiny, data, pairs_of(data)[:1])
    assert tiny.model.training


def test_an_answer_that_the_model_cannot_take_is_named_by_its_record(tiny: VLM, data: Data) -> None:
    record = data.records[3]
    with pytest.raises(InputError, match=f'record "{record.id}".*tokens'):
        token_scores(tiny, data, [(record, "Riga " * 300)])


@pytest.fixture(autouse=True)
def no_private_text(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    shown = json.dumps(capsys.readouterr())
    assert "Riga" not in shown and "Lindqvist" not in shown
