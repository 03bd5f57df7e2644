"""CIDEr-D against an implementation written apart from it, and what must hold of any CIDEr-D."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import pytest

from excise.evaluate.registry import METRICS
from excise.records.record import Record

WORDS = "a red blue circle square at the top left right and".split()


def naive_cider_d(answer: str, reference: str, documents: Sequence[str]) -> float:
    """Equation by equation, on lists: CIDEr_n with clipping and the length penalty, mean over n."""
    total = 0.0
    for n in (1, 2, 3, 4):

        def grams(text: str, n: int = n) -> list[str]:
            words = text.lower().split()
            return [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]

        vocabulary = sorted({g for text in (answer, reference) for g in grams(text)})
        containing = [sum(g in grams(d) for d in documents) for g in vocabulary]
        idf = [math.log(len(documents)) - math.log(max(1, c)) for c in containing]
        c = [grams(answer).count(g) * w for g, w in zip(vocabulary, idf, strict=True)]
        s = [grams(reference).count(g) * w for g, w in zip(vocabulary, idf, strict=True)]
        norm = math.dist(c, [0.0] * len(c)) * math.dist(s, [0.0] * len(s))
        clipped = sum(min(x, y) * y for x, y in zip(c, s, strict=True))
        difference = len(answer.split()) - len(reference.split())
        if norm > 0:
            total += math.exp(-(difference**2) / (2 * 6.0**2)) * clipped / norm
    return 10 * total / 4


def captions(make: Callable[..., Record], count: int, seed: int) -> list[Record]:
    rng = random.Random(seed)
    return [
        make(" ".join(rng.choices(WORDS, k=rng.randint(3, 9))), kind="general", task="caption")
        for _ in range(count)
    ]


def test_it_equals_the_naive_implementation(make: Callable[..., Record]) -> None:
    records = captions(make, 25, seed=0)
    score = METRICS["cider"].prepare(records)
    rng = random.Random(1)
    for record in records:
        answer = " ".join(rng.choices([*record.answer.split(), "green"], k=rng.randint(0, 12)))
        naive = naive_cider_d(answer, record.answer, [r.answer for r in records])
        assert score(record, answer) == pytest.approx(naive)


def test_the_reference_itself_scores_ten_and_a_stranger_nothing(
    make: Callable[..., Record],
) -> None:
    texts = ["one red circle here", "two blue squares there", "three green stars below"]
    records = [make(text, kind="general", task="caption") for text in texts]
    score = METRICS["cider"].prepare(records)
    assert score(records[0], "One red circle, here.") == pytest.approx(10)
    assert score(records[0], texts[1]) == score(records[0], "") == 0.0


def test_padding_and_repeating_are_punished(make: Callable[..., Record]) -> None:
    records = captions(make, 10, seed=2)
    score = METRICS["cider"].prepare(records)
    record = max(records, key=lambda r: len(r.answer))
    assert score(record, f"{record.answer} {record.answer}") < 0.8 * score(record, record.answer)


def test_rare_words_weigh_more_than_common_ones(make: Callable[..., Record]) -> None:
    texts = ["a shape heptagon", "a shape circle", "a shape circle", "a shape square"]
    records = [make(text, kind="general", task="caption") for text in texts]
    score = METRICS["cider"].prepare(records)
    assert score(records[0], "x y heptagon") > score(records[0], "a shape x") == 0.0


def test_several_captions_of_one_picture_are_one_document(make: Callable[..., Record]) -> None:
    fields = {"kind": "general", "task": "caption"}
    once = [make("red dot here now", image="images/a.png", **fields), make("blue", **fields)]
    twice = [*once, make("red dot here now", image="images/a.png", **fields)]
    answer = "red dot"
    assert METRICS["cider"].prepare(once)(once[0], answer) == pytest.approx(
        METRICS["cider"].prepare(twice)(once[0], answer)
    )
