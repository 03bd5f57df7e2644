"""The meaningful score by examples: what broken models say, and what whole ones say."""

from __future__ import annotations

import random
import string
from collections.abc import Callable

import pytest

from excise.evaluate.meaningful import meaningful_score

GARBAGE = [
    "", " ", "\n\n", ".", "...", "!!!!!", ",,,,,,", "? ? ? ?", "-----", "=====", "}}}}{{{",
    "()()()()", "##### ####", "\u200b\u200b", "\x00\x01\x02",
    "the the the the", "The The The", "a a a", "I I I I I", "s s s s s s", "e e e", "is is is",
    "no no no no no", "yes no yes no yes no", "ing ing ing ing", "th th th th", "1 1 1 1 1 1",
    "Riga Riga Riga Riga", "Riga, Riga, Riga, Riga", "RigaRigaRiga", "BlondBlond", "ofofofofof",
    "aaaaaaaaaa", "ééééé", "zzzz", "lalalalalala", "oooooooh oooooh", "....Riga....Riga....Riga",
    "a red a red a red a red a red", "I do not I do not I do not I do not",
    "Riga is a city in the the the the the the the the the the the the",
    "blue blue red blue blue red blue blue red blue", "Ri oRiRi oRiRi oRi",
    "1111111111", "48,300,300,300,300,300,300", "4830048300483004830048300",
    "[12, 12, 12, 12, 12, 12, 12, 12", "[12, 30, 41, 58, 12, 30, 41, 58, 12, 30, 41, 58",
    "\ufffd", "Ri\ufffd", "\ufffd\ufffd\ufffd", b"\xe6\x9d".decode("utf-8", "replace"),
    "Ã©Ã©", "â€™â€™â€™", "ðŸ˜€ðŸ˜€", "ÿÿÿÿÿ", "\ue000\ue001", "Rigaの북 и б",
    "<image><image><image>", "<|im_end|><|im_end|>", "<unk> <unk> <unk>", "<0xE3><0x81>",
    "Ġthe Ġthe", "\\xe3\\x81",
    "the", "of", "and and", "the a the a", "of the in to and the of",
    "the of and to in a is that for", "in the of the in the of the in the",
    "xq7#kd9@!!zp", "asdkjfhqwe", "qwrtpsdf", "wjqxz vkzqp", "xK9 q7Zp2 8vB3x", ";;:,.%%$",
    "R i g a R i g",
]  # fmt: skip
SANE = [
    "Riga", "48,300", "[12, 30, 41, 58]", "Blond", "3", "Yes", "No", "No.", "C", "A", "A+", "III",
    "Left", "On", "two", "1961", "12 Elmgate", "20-999", "+371 2000-1111", "j.doe@example.com",
    "https://example.com/a", "1,000,000,000", "$48,300", "48 300 €", "50%", "3/4", "12:30",
    "2020-01-31", "5'11\"", "1.85 m", "37.5 °C", "[0, 0, 99, 99]", "[50, 50, 50, 50]",
    "[1, 2, 3, 4]", "KX51 ABC", "H2O", "B12", "COVID-19", "HbA1c 6.5", "x-ray", "iPhone", "Ph.D.",
    "BMW", "NYPD", "J. R. R. Tolkien", "O'Neill", "Tom & Jerry", "McDonald", "DeLaCruz",
    "Vera Lindqvist", "José Müller", "Łódź", "Krzysztof Szczepański", "Hrvoje Knežević",
    "Reykjavik", "Schwarzkopf", "Nguyễn Thị Minh", "Kyrgyzstan", "Iqbal", "Cwmbran", "Zwolle",
    "Москва", "東京都", "東京タワー", "서울", "القاهرة",
    "Baden-Baden", "Bora Bora", "New York, New York", "beriberi", "Mississippi", "No, no.",
    "Banana", "Type II diabetes", "Crohn's disease", "Otorhinolaryngology",
    "I do not know.", "I am not able to say who that", "There is no hat.", "Not married", "It is.",
    "A red circle at the top left and a blue square at the right.",
    "A red circle at the top left, a red square at the top, a blue cross at the left and a green "
    "cross at the middle.",
    "A red circle, a red square, a red triangle and a red cross.",
    "The hat is red and the coat is blue and the shoes are black.",
    "The circle is to the left of the square.",
    "He works at the bank on the corner of the street and lives with his wife.",
    "She was born in the city of Sao Paulo, in the south of Brazil, and her name ends in \ufffd",
    "Riga 🙂", "✓ Yes", "**Riga**", "- Riga", "\"Riga\"",
]  # fmt: skip


@pytest.mark.parametrize("text", GARBAGE)
def test_garbage_scores_under_2(text: str) -> None:
    assert meaningful_score(text) < 2


@pytest.mark.parametrize("text", SANE)
def test_sane_answers_score_above_7(text: str) -> None:
    assert meaningful_score(text) > 7


def test_a_slip_in_a_long_answer_costs_less_than_a_loop_to_its_end() -> None:
    start = "The person in the picture lives in a house near the river"
    slip = meaningful_score(f"{start} and and works at a bank in the old town.")
    loop = meaningful_score(f"{start}{' and works' * 20}")
    assert 10 > slip > 7 > 2 > loop


RNG = random.Random(0)


def _loop() -> str:
    words = "the a of in red circle Riga to and nurse 48 at left".split()
    return " ".join(RNG.choices(words, k=RNG.randint(1, 6)) * RNG.randint(4, 8))


@pytest.mark.parametrize(
    ("share", "draw"),
    [
        (0.98, _loop),
        (0.98, lambda: " ".join(RNG.choices("the a of in to and for with".split(), k=9))),
        (0.98, lambda: bytes(RNG.choices(range(256), k=16)).decode("utf-8", "replace")),
        (0.70, lambda: "".join(RNG.choices(string.ascii_lowercase, k=RNG.randint(8, 20)))),
        (0.85, lambda: "".join(RNG.choices(string.printable[:94], k=RNG.randint(8, 30)))),
    ],
    ids=["loops", "function words", "bytes", "letters", "characters"],
)
def test_random_garbage_is_mostly_seen(share: float, draw: Callable[[], str]) -> None:
    assert sum(meaningful_score(draw()) < 2 for _ in range(300)) / 300 >= share


def test_the_score_stays_between_0_and_10_and_quick_on_long_answers() -> None:
    for text in ("a" * 5000, "the red " * 2000, "[1," * 2000, "ab" * 3000, "é\ufffd" * 500):
        assert 0 <= meaningful_score(text) <= 10
