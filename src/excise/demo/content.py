"""What the demo's report says: sentences and sections from figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from excise.demo.scores import MEMORY, SEEING, Scores
from excise.evaluate.intervals import Figure
from excise.records.record import Kind, Split

# ROUGE-L of the paper's ablation table (arXiv 2511.20196, LLaVA-OneVision, 5 %).
PAPER_ABLATION: dict[str, dict[str, float]] = {
    "original": dict(zip(("fu", "fm", "ru", "rm"), (0.686, 0.676, 0.694, 0.705), strict=True)),
    "none": dict(zip(("fu", "fm", "ru", "rm"), (0.629, 0.312, 0.664, 0.486), strict=True)),
    "direction": dict(zip(("fu", "fm", "ru", "rm"), (0.677, 0.641, 0.670, 0.682), strict=True)),
    "magnitude": dict(zip(("fu", "fm", "ru", "rm"), (0.672, 0.637, 0.685, 0.681), strict=True)),
    "both": dict(zip(("fu", "fm", "ru", "rm"), (0.655, 0.460, 0.679, 0.622), strict=True)),
}
_ABLATION: dict[str, tuple[str, Split, Kind]] = {
    "fu": ("forget_understanding", "forget", "image_understanding"),
    "fm": ("forget_image_memory", "forget", "image_memory"),
    "ru": ("retain_understanding", "retain", "image_understanding"),
    "rm": ("retain_image_memory", "retain", "image_memory"),
}

NOT_TESTED = (
    "Getting the memory back by prompting, prefilled answers, sampling, or relearning: a refusal "
    "is not yet an erasure.",
    "Quantised copies of the model, in which a small change can round away.",
    "Membership inference and other statistics against the retrained model.",
    "Requests that come one after another.",
)


def ablation(scores: Mapping[str, Scores]) -> dict[str, Any]:
    """The mask's two conditions apart and together, beside the paper's table."""
    rows = []
    for criterion, paper in PAPER_ABLATION.items():
        if criterion not in scores:
            continue
        ours = {
            name: _rouge(scores[criterion], [split], (kind,))
            for name, split, kind in _ABLATION.values()
        }
        theirs = {_ABLATION[short][0]: value for short, value in paper.items()}
        rows.append({"criterion": criterion, "ours": ours, "paper": theirs})
    return {"rows": rows}


def verdict(before: Scores, after: Scores, refusal: Scores) -> dict[str, str]:
    """Three sentences with figures: what is gone, what stayed, what is still seen."""

    def share(splits: list[Split], kinds: tuple[Kind, ...], now: Scores) -> str:
        then, new = before.rouge(splits, kinds), now.rouge(splits, kinds)
        return (
            "-" if not then or not new or not then["mean"] else f"{new['mean'] / then['mean']:.0%}"
        )

    gone, was = _rouge(after, ["forget"], MEMORY), _rouge(before, ["forget"], MEMORY)
    kept = share(["retain"], MEMORY, after)
    baseline = share(["retain"], MEMORY, refusal)
    own = share(["forget"], SEEING, after)
    strangers = share(["unseen"], SEEING, after)
    return {
        "forgotten": f"Answers to the forgotten private questions match the truth by {gone:.3f} "
        f"ROUGE-L, {was:.3f} before.",
        "kept": f"Of the memory of everybody else, {kept} is left; refusal tuning alone leaves "
        f"{baseline}.",
        "sees": f"Of the understanding of the forgotten people's own pictures {own} is left, of "
        f"strangers' pictures {strangers}.",
    }


def _rouge(scores: Scores, splits: list[Split], kinds: tuple[Kind, ...]) -> float:
    figure: Figure | None = scores.rouge(splits, kinds)
    return figure["mean"] if figure else float("nan")
