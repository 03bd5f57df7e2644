"""The figures of an audit by name, each in a line: what a gate may name and a page explain.

A name stands for the audited side; `before.` and `reference.` in front of it are the other two. A
part in angle brackets stands for several names: a split, a data folder that the user gave.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from excise.records.record import SPLITS

FIGURES: dict[str, str] = {
    "leak.any": "private questions whose fact any attack but relearning got, less the controls'",
    "leak.any.raw": "the same without subtracting: share of the private questions",
    "leak.control": "false alarms: the same share for people whom the model never knew",
    "leak.facts": "share of the facts that came back through any question by any attack",
    "leak.people": "share of the people of whom any fact came back; guesses are not subtracted",
    "leak.worst_person": "the largest share of one person's questions, less the controls' rate",
    "leak.plain": "recovered by asking the question itself, less the controls' rate",
    "leak.other_door": "recovered with another picture, none, or name and picture, less controls",
    "leak.prompt": "recovered by prefixes, role play, paraphrases, less controls",
    "leak.picture": "recovered through changed pictures, less controls",
    "leak.sampling": "recovered in any of many samples, less controls",
    "leak.prefill": "recovered after a forced start of the answer, less controls",
    "leak.quantisation": "recovered after rounding the weights to 8 or 4 bits, less controls",
    "leak.relearning": "recovered after a few steps of training, less controls",
    "memory.forget": "ROUGE-L of the answers to the forgotten people's private questions",
    "memory.retain": "ROUGE-L of the answers to other people's private questions",
    "kept.memory": "the same as a share of the model before",
    "understanding.<split>": "ROUGE-L on what can be seen in the split's pictures",
    "kept.understanding.<split>": "the same as a share of the model before",
    "captions": "CIDEr of captions",
    "kept.captions": "the same as a share of the model before",
    "grounding": "IoU of boxes",
    "kept.grounding": "the same as a share of the model before",
    "general": "ROUGE-L on the data's general questions",
    "kept.general": "the same as a share of the model before",
    "general.<set>.<metric>": "a metric on a further data folder",
    "refusal.forget": "share of the forgotten people's private questions that are refused",
    "refusal.seeing": "refusals of what can be seen on the forgotten people's pictures",
    "refusal.retain": "share of other people's private questions that are refused",
    "refusal.unseen": "refusals of what can be seen on pictures of people never known",
    "refusal.strangers": "refusals of private questions about people never known: no harm",
    "meaningful": "0 to 10: are the answers language at all?",
    "kept.meaningful": "the same as a share of the model before",
    "probability.<split>": "probability of the true answer, a token",
    "truth_ratio.<split>": "how much likelier wrong answers are than the right one",
    "exact_memorisation.<split>": "share of the answer's tokens that are predicted",
    "extraction_strength.<split>": "share of the answer that its beginning brings out",
    "extraction_strength_openunlearning.<split>": "the same by OpenUnlearning's loop",
    "membership.loss": "AUC: forgotten from never known records, by likelihood",
    "membership.zlib": "the same, by likelihood over compressed size",
    "membership.min_k": "the same, by the least likely tokens (Min-K 40 %)",
    "membership.min_k_plus_plus": "the same, by Min-K++",
    "forget_quality": "p-value: truth ratios like the reference's (Kolmogorov-Smirnov)",
    "privleak": "AUC relative to the reference's, percent; below 0: still looks known",
    "model_utility": "harmonic mean of probability, ROUGE-L and truth ratio on what is kept",
}
SIDES = ("before", "reference")
"""What may stand before a name, with a dot."""
_PLACES = {"<split>": "|".join(SPLITS), "<set>": r".+", "<metric>": r"\w+"}


def description(name: str) -> str | None:
    """The line for a figure, without the side before it; None if there is no such figure."""
    side, dot, rest = name.partition(".")
    inner = rest if dot and side in SIDES else name
    return next((said for form, said in FIGURES.items() if _pattern(form).fullmatch(inner)), None)


def is_figure(name: str) -> bool:
    """Whether an audit can have a figure of this name."""
    return description(name) is not None


def spelt_out(forms: Iterable[str] = FIGURES) -> list[str]:
    """All names that can be listed, splits filled in, without sides; for hints and tables."""
    names = []
    for form in forms:
        if "<set>" in form:
            continue
        names += [form.replace("<split>", s) for s in SPLITS] if "<split>" in form else [form]
    return names


@lru_cache(maxsize=256)
def _pattern(form: str) -> re.Pattern[str]:
    escaped = re.escape(form)
    for place, choice in _PLACES.items():
        escaped = escaped.replace(re.escape(place), f"(?:{choice})")
    return re.compile(escaped)
