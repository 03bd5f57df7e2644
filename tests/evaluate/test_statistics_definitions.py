"""Every definition, against OpenUnlearning's written down a second time on plain numpy."""

from __future__ import annotations

import itertools
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import hmean, ks_2samp

from excise.evaluate.statistics.forget_quality import forget_quality
from excise.evaluate.statistics.membership import MEMBERSHIP, Auc, auc
from excise.evaluate.statistics.memorisation import (
    exact_memorisation,
    extraction_strength,
    extraction_strength_openunlearning,
)
from excise.evaluate.statistics.model_utility import (
    Part,
    harmonic_mean,
    model_utility,
    probability_among,
)
from excise.evaluate.statistics.privleak import privleak
from excise.evaluate.statistics.resampling import Draws
from excise.evaluate.statistics.truth_ratio import as_forgotten, as_kept, truth_ratio
from excise.evaluate.token_scores import TokenScores, _summed_up

Floats = NDArray[np.float64]
HITS = st.lists(st.booleans(), min_size=1, max_size=8)


def openunlearning_extraction_strength(hits: list[bool]) -> float:
    """Its loop: `k` keeps its last value where no suffix is right."""
    for k in range(len(hits)):
        if all(hits[k:]):
            break
    return 1 - k / len(hits)


def drawn_answer(seed: int, n: int = 7, words: int = 11) -> tuple[Floats, NDArray[np.int64]]:
    """Log-probabilities (n, words) and tokens (n,), the end marker last."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, words))
    logp = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return logp, rng.integers(0, words, n)


def scores_of(logp: Floats, ids: NDArray[np.int64]) -> TokenScores:
    values = _summed_up(torch.tensor(logp, dtype=torch.float32), torch.tensor(ids))
    logprobs, hits, means, deviations = values.double().numpy().T
    return TokenScores(logprobs, hits > 0, means, deviations)


@given(HITS)
@settings(max_examples=200, deadline=None)
def test_extraction_strength_is_openunlearnings_but_for_a_total_miss(hits: list[bool]) -> None:
    array = np.array(hits)
    theirs = openunlearning_extraction_strength(hits)
    assert extraction_strength_openunlearning(array) == pytest.approx(theirs)
    assert extraction_strength(array) == pytest.approx(theirs if hits[-1] else 0.0)


def test_memorisation_by_hand() -> None:
    hits = np.array([True, False, True, True])
    assert exact_memorisation(hits) == 0.75
    assert extraction_strength(hits) == 0.5  # two tokens given, two follow
    assert extraction_strength(np.array([True, True])) == 1.0
    missed = np.array([True, True, True, False])
    assert extraction_strength(missed) == 0.0
    assert extraction_strength_openunlearning(missed) == 0.25


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [2, 3, 7, 12])
def test_membership_scores_are_openunlearnings_with_the_other_sign(seed: int, n: int) -> None:
    logp, ids = drawn_answer(seed, n)
    target = logp[np.arange(n), ids]
    said, vocabulary = target[:-1], logp[:-1]  # its loops leave the end marker out
    mu = (np.exp(vocabulary) * vocabulary).sum(-1)
    variance = (np.exp(vocabulary) * vocabulary**2).sum(-1) - mu**2
    lowest = max(1, int(len(said) * 0.4))
    wanted = {
        "loss": -target.mean(),
        "zlib": -target.mean() / len(zlib.compress(b"48 Parkside")),
        "min_k": -np.mean(np.sort(said)[:lowest]),
        "min_k_plus_plus": -np.mean(np.sort((said - mu) / np.sqrt(variance))[:lowest]),
    }
    scores = scores_of(logp, ids)
    found = {name: -score(scores, "48 Parkside") for name, score in MEMBERSHIP.items()}
    assert found == pytest.approx(wanted, rel=1e-5)
    assert scores.probability == pytest.approx(np.exp(target.mean()), rel=1e-5)


def test_truth_ratio_by_hand() -> None:
    wrong, right = [2.0, 4.0], [1.0]
    ratio = truth_ratio(wrong, right)
    assert ratio == pytest.approx(np.exp(-3.0) / (np.exp(-1.0) + 1e-10))
    assert as_forgotten(ratio) == ratio and as_kept(ratio) == 1 - ratio
    assert as_forgotten(4.0) == pytest.approx(0.25) and as_kept(4.0) == 0.0
    assert truth_ratio([1.0], [1.0, 3.0]) == pytest.approx(np.e)  # wordings: their mean loss
    with pytest.raises(ValueError, match="wrong answers"):
        truth_ratio([], right)


def test_the_auc_counts_pairs_and_ties_half() -> None:
    members, others = [3.0, 1.0, 1.0], [2.0, 1.0]
    drawn, drawn_others = Draws.of("aab", seed=0), Draws.of("cd", seed=1)
    found = auc(members, others, drawn, drawn_others)
    wins = [(m > o) + 0.5 * (m == o) for m, o in itertools.product(members, others)]
    assert found.value == pytest.approx(np.mean(wins)) and found.n == 5
    turned = auc([-m for m in members], [-o for o in others], drawn, drawn_others)
    assert turned.value == pytest.approx(1 - found.value)


def test_auc_draws_are_those_of_people_drawn_one_by_one() -> None:
    rng = np.random.default_rng(0)
    members, others = rng.normal(0.7, 1, 40), rng.normal(0, 1, 60)
    keys, other_keys = [f"m{i % 8}" for i in range(40)], [f"o{i % 12}" for i in range(60)]
    found = auc(
        members.tolist(), others.tolist(), Draws.of(keys, seed=1), Draws.of(other_keys, seed=2)
    )
    slow = []
    for _ in range(1000):
        one = np.concatenate([members[i::8] for i in rng.integers(0, 8, 8)])
        two = np.concatenate([others[i::12] for i in rng.integers(0, 12, 12)])
        slow.append((one[:, None] > two[None]).mean())
    assert found.resampled.mean() == pytest.approx(np.mean(slow), abs=0.01)
    assert found.resampled.std() == pytest.approx(np.std(slow), rel=0.1)
    assert found.figure()["low"] < found.value < found.figure()["high"]


def test_the_difference_of_a_model_to_itself_has_no_width() -> None:
    drawn, drawn_others = Draws.of("aabbcc", seed=3), Draws.of("ddeeff", seed=4)
    members, others = [1.0, 2, 3, 4, 5, 6], [0.0, 2.5, 3, 1, 7, 2]
    first, again = (auc(members, others, drawn, drawn_others) for _ in range(2))
    assert (first.resampled == again.resampled).all()
    assert set(privleak(first, again).values()) == {0.0, 12}


def test_privleak_by_hand() -> None:
    def at(value: float) -> Auc:
        return Auc(value, np.array([value, value]), 9)

    assert privleak(at(0.9), at(0.5))["mean"] == pytest.approx(-80)  # looks known
    assert privleak(at(0.25), at(0.5))["mean"] == pytest.approx(50)  # looks pushed down
    assert privleak(at(0.5), at(1.0))["mean"] > 1e6  # OpenUnlearning's 1e-10 keeps it a number


def test_forget_quality_is_the_share_of_splits_that_lie_as_far_apart() -> None:
    model, reference = [0.1, 0.2, 0.3, 0.9], [0.25, 0.8, 1.1, 1.3]

    def distance(one: list[float], other: list[float]) -> float:
        places = [*one, *other]
        apart = [np.mean([x <= p for x in one]) - np.mean([x <= p for x in other]) for p in places]
        return float(np.abs(apart).max())

    pooled = [*model, *reference]
    splits = [set(chosen) for chosen in itertools.combinations(range(8), 4)]
    far = [
        distance([pooled[i] for i in s], [pooled[i] for i in range(8) if i not in s])
        >= distance(model, reference) - 1e-12
        for s in splits
    ]
    found = forget_quality(model, reference)
    assert found["mean"] == pytest.approx(np.mean(far))
    assert found["low"] == found["mean"] == found["high"] and found["n"] == 4
    inverse = ks_2samp(1 / (np.array(model) + 1e-10), 1 / (np.array(reference) + 1e-10))
    assert found["mean"] == pytest.approx(inverse.pvalue)  # as OpenUnlearning's other code has it


def test_model_utility_is_the_harmonic_mean_of_what_there_is() -> None:
    retained = Part(["a", "a", "b"], [[0.8, 0.6, 1.0], [1.0, 0.5, 0.9], [0.9, None, 0.7]])
    general = Part(["x", "y"], [[0.4, 0.6], [None, None], [0.2, 0.4]])
    found = model_utility([retained, general, Part([], [[], [], []])], seed=0)
    assert found is not None
    assert found["mean"] == pytest.approx(hmean([0.8, 0.8, 0.8, 0.5, 0.3])) and found["n"] == 5
    assert found["low"] < found["mean"] < found["high"]
    assert model_utility([Part([], [[], [], []])], seed=0) is None


def test_one_lost_ability_makes_utility_nothing() -> None:
    assert harmonic_mean([1.0, 1.0, 0.0]) == 0.0
    assert probability_among(0.5, [0.25, 0.25]) == pytest.approx(0.5)
    assert probability_among(0.5, []) is None
