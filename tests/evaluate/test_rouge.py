from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from excise.evaluate.rouge import rouge_l_f1


@given(
    st.text(alphabet="abcdeghinrst ABC.,'-_0123\n", max_size=40),
    st.text(alphabet="abcdeghinrst ABC.,'-_0123\n", max_size=40),
)
@settings(max_examples=100, deadline=None)
def test_on_ascii_the_score_is_the_packages_own(reference: str, answer: str) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    own = RougeScorer(["rougeL"], use_stemmer=True).score(reference, answer)["rougeL"].fmeasure
    assert rouge_l_f1(reference, answer) == pytest.approx(own)


def test_words_are_stemmed_and_their_order_counts() -> None:
    assert rouge_l_f1("She was running", "she was run") == 1.0
    assert rouge_l_f1("a b c", "c b a") == pytest.approx(1 / 3)


@pytest.mark.parametrize("word", ["Malmö", "Łódź", "Москва", "東京"])
def test_letters_outside_ascii_count(word: str) -> None:
    assert rouge_l_f1(word, word) == 1.0
    assert rouge_l_f1(word, "malm") == 0.0


def test_importing_the_room_loads_neither_rouge_score_nor_torch() -> None:
    code = (
        "import sys, excise.evaluate\n"
        "heavy = {'rouge_score', 'nltk', 'absl', 'torch', 'transformers', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
