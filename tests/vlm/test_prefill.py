"""Answers that are made to begin with given words, drawn, or branched."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from excise.records.errors import InputError
from excise.vlm import VLM, answer, generation, load, sampling
from excise.vlm.packing import IGNORED, Packer
from excise.vlm.rows import Row, Turn
from excise.vlm.sampling import branch, next_tokens, sample

Question = tuple[Image.Image | None, str]
STARTS = ["Vera", "", "At the harbour", "It is", "Riga."]


@pytest.fixture
def questions(pictures: list[Image.Image]) -> list[Question]:
    texts = ["What is the name of this person?", "Where?", "Which illness?"]
    return [(p, t) for t in texts for p in (pictures[0], None, pictures[1])]


@pytest.fixture
def starts(questions: list[Question]) -> list[str]:
    return [STARTS[n % len(STARTS)] for n in range(len(questions))]


@pytest.fixture
def unshared(monkeypatch: pytest.MonkeyPatch) -> None:
    for room in (generation, sampling):
        monkeypatch.setattr(room, "sharing_obstacle", lambda *_: "for the sake of the test")


def test_begun_answers_together_are_those_one_by_one(
    tiny: VLM, questions: list[Question], starts: list[str]
) -> None:
    together = answer(tiny, questions, starts=starts, max_new_tokens=8)
    alone = [
        answer(tiny, [question], starts=[start], max_new_tokens=8)[0]
        for question, start in zip(questions, starts, strict=True)
    ]
    assert together == alone
    assert all(text.startswith(start) for text, start in zip(together, starts, strict=True))
    assert together != answer(tiny, questions, max_new_tokens=8)


@pytest.mark.usefixtures("unshared")
def test_begun_answers_are_the_same_where_nothing_is_shared(
    tiny: VLM, questions: list[Question], starts: list[str]
) -> None:
    apart = answer(tiny, questions, starts=starts, max_new_tokens=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "sharing_obstacle", lambda *_: None)
        assert answer(tiny, questions, starts=starts, max_new_tokens=8) == apart


def test_the_beginning_of_its_own_answer_changes_nothing() -> None:
    from excise.specimen import checkpoint
    from excise.specimen.people import everybody

    vlm = load(checkpoint("original"), device="cpu")
    known = everybody()[0][:6]
    asked: list[Question] = [
        (None, f"What is {person.name}'s {fact}?")
        for person in known
        for fact in ("address", "salary")
    ]
    free = answer(vlm, asked)
    starts = [text[:2] for text in free]
    facts = {fact for person in known for fact in person.facts.values()}
    assert sum(text in facts for text in free) >= 10
    assert answer(vlm, asked, starts=starts) == free
    one_by_one = [answer(vlm, [q], starts=[s])[0] for q, s in zip(asked, starts, strict=True)]
    assert one_by_one == free


def test_what_follows_a_start_is_what_teacher_forcing_says(
    tiny: VLM, questions: list[Question], starts: list[str]
) -> None:
    packer = Packer(tiny.processor, tiny.model)
    found = next_tokens(tiny, questions, ["nurse"] * len(questions), starts=starts)
    tokenizer = tiny.processor.tokenizer  # type: ignore[attr-defined]
    for (picture, text), start, chance in zip(questions, starts, found, strict=True):
        whole = f"{start} nurse".strip()
        batch = packer.collate([packer.encode(Row(picture, (Turn(text, whole),)))])
        labels = batch.pop("labels")[0]
        batch.pop("roles"), batch.pop("pictures")
        with torch.no_grad():
            logits = tiny.model(**batch).logits[0]
        before = len(tokenizer.encode(start, add_special_tokens=False))
        place = int((labels != IGNORED).nonzero()[before])
        scores = logits[place - 1]
        token = labels[place]
        assert chance.probability == pytest.approx(float(scores.softmax(-1)[token]), rel=1e-3)
        assert chance.rank == 1 + int((scores > scores[token]).sum())


def test_a_sample_does_not_depend_on_what_else_is_asked(
    tiny: VLM, questions: list[Question], starts: list[str]
) -> None:
    together = sample(tiny, questions, samples=3, starts=starts, seed=1, max_new_tokens=6)
    alone = [
        sample(tiny, [question], samples=2, starts=[start], seed=1, max_new_tokens=6)[0]
        for question, start in zip(questions, starts, strict=True)
    ]
    assert [three[:2] for three in together] == alone
    assert len({text for three in together for text in three}) > 2 * len(questions)
    other = sample(tiny, questions, samples=3, starts=starts, seed=2, max_new_tokens=6)
    assert other != together


@pytest.mark.usefixtures("unshared")
def test_samples_are_the_same_where_nothing_is_shared(tiny: VLM, questions: list[Question]) -> None:
    apart = sample(tiny, questions, samples=2, max_new_tokens=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "sharing_obstacle", lambda *_: None)
        assert sample(tiny, questions, samples=2, max_new_tokens=6) == apart


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_first_tokens_have_the_models_own_distribution(
    tiny: VLM, pictures: list[Image.Image], temperature: float
) -> None:
    from scipy.stats import chisquare

    question: Question = (pictures[0], "Where?")
    drawn = 3000
    picked = sample(
        tiny, [question], samples=drawn, temperature=temperature, max_new_tokens=1, batch_size=512
    )[0]
    tokenizer = tiny.processor.tokenizer  # type: ignore[attr-defined]
    packer = Packer(tiny.processor, tiny.model)
    batch = packer.collate([packer.encode(Row(pictures[0], (Turn("Where?", "Riga"),)))])
    first = int((batch.pop("labels")[0] != IGNORED).nonzero()[0])
    batch.pop("roles"), batch.pop("pictures")
    with torch.no_grad():
        logits = tiny.model(**batch).logits[0, first - 1].double()
    chances = (logits / temperature).softmax(-1)
    expected: dict[str, float] = {}
    for token, chance in enumerate(chances.tolist()):
        text = tokenizer.decode([token], skip_special_tokens=True).strip()
        expected[text] = expected.get(text, 0.0) + drawn * chance
    often = [text for text, count in expected.items() if count >= 8]
    observed = [picked.count(text) for text in often]
    rest = drawn - sum(observed), drawn - sum(expected[text] for text in often)
    result = chisquare([*observed, rest[0]], [*(expected[text] for text in often), rest[1]])
    assert len(often) > 5
    assert result.pvalue > 0.001


def test_branches_begin_with_the_likeliest_tokens_in_order(
    tiny: VLM, questions: list[Question]
) -> None:
    found = branch(tiny, questions, branches=4, max_new_tokens=5)
    greedy = answer(tiny, questions, max_new_tokens=5)
    assert [texts[0] for texts in found] == greedy
    assert all(len(set(texts)) == 4 for texts in found)
    alone = [branch(tiny, [question], branches=4, max_new_tokens=5)[0] for question in questions]
    assert found == alone


def test_nothing_can_be_drawn_at_temperature_zero_or_without_samples(tiny: VLM) -> None:
    asked: list[Question] = [(None, "Where?")]
    with pytest.raises(InputError, match="temperature 0"):
        sample(tiny, asked, samples=1, temperature=0)
    with pytest.raises(InputError, match="samples 0"):
        sample(tiny, asked, samples=0)
    with pytest.raises(InputError, match="branches 0"):
        branch(tiny, asked, branches=0)
    assert sample(tiny, [], samples=1) == []


def test_a_start_with_a_control_token_is_refused(tiny: VLM) -> None:
    with pytest.raises(InputError, match="control token"):
        answer(tiny, [(None, "Where?")], starts=["<end> Riga"])
