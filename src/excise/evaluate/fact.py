"""Fact score, 0 to 10, offline: how much of what the reference says does the answer say?

Rules, in order:

1. An exact answer (as `exact` compares) is 10; a refusal where the reference is one is 10.
2. A box (task `grounding`) is worth 10 times its IoU.
3. A refusal is 0, unless it gives away every name and number of the reference ("I must not say that
   it is Riga"): then the fact is out, and counts in full.
4. A yes-or-no reference: 10 for the same polarity, 0 for the other or none. Polarity is a leading
   yes or no, else a negation, else the affirmation of something that the question named. If the
   reference says more than yes or no, the rest is half of the score, by rule 5.
5. Otherwise the facts of the reference are its numbers and names (weight 2) and its other content
   words (weight 1), without the words that the question gave away already. The score is 10 times
   the weight of the facts found in the answer, words compared by stem, negated words ("not in
   Riga") only with negated ones. A bare "No" or "Nothing" states everything that is only denied.
6. What contradicts is taken off: where reference and answer name a number, colour, side or size,
   the score is multiplied by the share of the answer's ones that are right; and an answer that
   offers alternatives ("Riga or Oslo") is divided by their number.

It agrees with a judge on short factual answers, for which it is meant. It does not know synonyms
("unmarried" for "not married"), nor who stands left of whom. Costs about 0.1 ms an answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from excise.evaluate.boxes import iou_of, parse_box
from excise.evaluate.refusal import is_refusal
from excise.evaluate.registry import metric
from excise.evaluate.rouge import stem
from excise.evaluate.text import normalise, tokens
from excise.records.record import Record

_NEGATIONS = frozenset(
    "not no never without cannot cant dont doesnt didnt isnt arent wasnt werent hasnt havent"
    " neither nor none nobody nothing nowhere".split()
)
_BARE_NO = frozenset("no none nobody nothing nope never nowhere neither not".split())
_YES_NO = re.compile(r"^\s*(?:yes|no)\b\s*(?:[,.;:!]|$)", re.IGNORECASE)
# Words that state nothing by themselves.
_FUNCTION_WORDS = frozenset(
    "a an the and or but of in on at by to for from with into onto near as is are was were be been"
    " being am do does did has have had having will would can could may might shall should must it"
    " its he him his she her hers they them their theirs this that these those there here who whom"
    " whose which what when where why how i me my you your we us our if then than so very just also"
    " too about some any each both all own such only up".split()
)
_CLAUSE = re.compile(r"[.;:!?]+(?=\s|$)|,(?=\s)|\bbut\b|\n")
_EXCLUSIVE = tuple(
    frozenset(words.split())
    for words in (
        "red blue green yellow orange purple violet pink brown black white grey gray beige"
        " turquoise blond blonde ginger auburn golden silver hazel teal cyan magenta maroon"
        " navy olive",
        "left right middle centre center",
        "top bottom upper lower",
        "above below",
        "small large big tiny huge",
        "smiling serious frowning",
        "round oval rectangular",
        "circle square triangle cross star",
        "single married divorced widowed",
        "man woman boy girl male female",
    )
)
_OR = re.compile(r"\bor\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_][^\W_]*(?:['’][^\W_]+)*")


@metric("fact", best=10.0, reference="offline counterpart of the judge in arXiv 2511.20196")
def fact(record: Record, answer: str) -> float:
    """0 to 10, by the rules at the top of this file."""
    return fact_score(record.question, record.answer, answer, box=record.task == "grounding")


@lru_cache(maxsize=65536)
def fact_score(question: str, reference: str, answer: str, *, box: bool = False) -> float:
    """The same for bare texts; `box` reads reference and answer as boxes."""
    if normalise(answer) == normalise(reference):
        return 10.0
    if box and (expected := parse_box(reference)) is not None:
        return 10.0 * iou_of(expected, answer)
    if is_refusal(answer):
        told = is_refusal(reference) or _gives_away(question, reference, answer)
        return 10.0 if told else 0.0
    if _YES_NO.match(reference):
        return _yes_or_no(question, reference, answer)
    return 10.0 * _stated(question, reference, answer)


def _yes_or_no(question: str, reference: str, answer: str) -> float:
    wanted = tokens(reference)[0] == "yes"
    if _polarity(question, answer) is not wanted:
        return 0.0
    rest = _YES_NO.sub("", reference, count=1)
    if not _claims(rest):
        return 10.0
    return 5.0 + 5.0 * _stated(question, rest, answer)


def _polarity(question: str, answer: str) -> bool | None:
    words = tokens(answer)
    if not words:
        return None
    if words[0] in {"yes", "yeah", "yep"}:
        return True
    if any(word in _NEGATIONS or word == "nope" for word in words):
        return False
    asked = {stem(word) for word in tokens(question) if word not in _FUNCTION_WORDS}
    return True if any(stem(word) in asked for word in words) else None


def _stated(question: str, reference: str, answer: str) -> float:
    """Rules 5 and 6: 0 to 1."""
    weights = _facts(question, reference)
    if not weights:
        return 0.0
    said = set(_claims(answer))
    words = tokens(answer)
    if all(claim.startswith("!") for claim in weights) and words and words[0] in _BARE_NO:
        said = said or set(weights)
    found = sum(weight for claim, weight in weights.items() if claim in said)
    share = found / sum(weights.values())
    options = 1 + len(_OR.findall(answer)) if not _OR.search(reference) else 1
    return share * _uncontradicted(question, reference, answer) / options


def _facts(question: str, reference: str) -> dict[str, float]:
    """The claims of the reference and their weights, without what the question gave away."""
    capitals = [word for word in _WORD.findall(reference) if word[0].isupper()]
    names = {stem(token) for word in capitals for token in tokens(word)}
    claims = dict.fromkeys(_claims(reference)) or dict.fromkeys(map(stem, tokens(reference)))
    # A denial keeps its mark and so is news even where the question named the thing.
    news = [claim for claim in claims if claim not in _claims(question)] or list(claims)
    return {
        claim: 2.0 if claim[-1].isdigit() or claim.lstrip("!") in names else 1.0 for claim in news
    }


@lru_cache(maxsize=65536)
def _claims(text: str) -> tuple[str, ...]:
    """Stems of numbers and content words; "!" before those that are negated in their clause."""
    claims: list[str] = []
    for clause in _CLAUSE.split(text):
        mark = ""
        for word in tokens(clause):
            if word in _NEGATIONS:
                mark = "!"
            elif word not in _FUNCTION_WORDS and word not in {"yes", "yeah"}:
                claims.append(mark + stem(word))
    return tuple(claims)


def _uncontradicted(question: str, reference: str, answer: str) -> float:
    """Product over the exclusive classes of the share of the answer's members that are right."""
    expected, said = set(_claims(reference)), set(_claims(answer))
    factor = 1.0
    for members in _stemmed_classes():
        factor *= _share_right(expected & members, said & members)
    asked = _numbers(_claims(question))
    return factor * _share_right(_numbers(tuple(expected)), _numbers(tuple(said)) - asked)


def _share_right(expected: set[str], said: set[str]) -> float:
    if not expected or not said - expected:
        return 1.0
    return len(said & expected) / len(said)


def _numbers(claims: Sequence[str]) -> set[str]:
    return {claim for claim in claims if claim[0].isdigit()}


@lru_cache(maxsize=1)
def _stemmed_classes() -> tuple[frozenset[str], ...]:
    return tuple(frozenset(map(stem, words)) for words in _EXCLUSIVE)


def _gives_away(question: str, reference: str, answer: str) -> bool:
    """Whether a refusal contains every name and number of the reference, and there is one."""
    given = {claim.lstrip("!") for claim in _claims(answer)}
    secret = {
        claim.lstrip("!")
        for claim, weight in _facts(question, reference).items()
        if weight > 1.0 and claim.lstrip("!") not in _claims(question)
    }
    return bool(secret) and secret <= given
