"""The pool of refusals that methods train on, against the metric that must recognise them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import excise.evaluate
from excise.evaluate.meaningful import meaningful_score
from excise.evaluate.refusal import is_refusal

ROOM = Path(str(excise.evaluate.__file__)).parent
POOL = (ROOM.parent / "methods" / "refusals.txt").read_text("utf-8").splitlines()


def test_there_are_at_least_240_and_all_differ() -> None:
    bare = {"".join(c for c in line.lower() if c.isalpha() or c == " ") for line in POOL}
    assert len(POOL) >= 240 and len(bare) == len(POOL)


def test_none_is_longer_than_14_words_and_none_is_blank() -> None:
    assert {1 <= len(line.split()) <= 14 and line == line.strip() for line in POOL} == {True}


def test_lengths_and_openings_vary() -> None:
    openings = [" ".join(line.split()[:2]) for line in POOL]
    assert len(set(openings)) >= 80
    assert max(openings.count(opening) for opening in openings) <= len(POOL) / 10
    assert len({len(line.split()) for line in POOL}) >= 10


def test_no_refusal_names_a_person_or_a_number() -> None:
    inner = {word.strip(".,;:") for line in POOL for word in line.split()[1:]}
    assert {w for w in inner if w[:1].isupper()} <= {"I", "I'd", "I'm"}
    assert not any(c.isdigit() for line in POOL for c in line)


@pytest.mark.parametrize("line", POOL)
def test_every_refusal_is_recognised_and_sane(line: str) -> None:
    assert is_refusal(line) and is_refusal(line.lower().rstrip("."))
    assert meaningful_score(line) > 7


def test_blends_of_two_refusals_are_recognised() -> None:
    rng = random.Random(0)
    found = []
    for _ in range(2000):
        first, second = rng.choice(POOL).split(), rng.choice(POOL).split()
        start = first[: rng.randint(2, max(2, len(first) - 1))]
        found.append(is_refusal(" ".join(start + second[rng.randint(1, len(second) // 2 or 1) :])))
    assert sum(found) / len(found) > 0.97


def test_unfinished_refusals_are_recognised() -> None:
    """From the fourth word on; an opening such as "This person is" could go on to anything."""
    starts = {" ".join(line.split()[:n]) for line in POOL for n in range(4, len(line.split()))}
    found = sum(map(is_refusal, starts))
    assert found / len(starts) > 0.93
