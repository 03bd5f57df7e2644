"""The rows of an audit's page, from its JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from excise.report.figures import Figure, figure_at, number, percent

# Family -> what it is, for a reader who has never attacked a model.
FAMILIES = {
    "plain": "the question as it is",
    "other_door": "another way in: without the picture, with another one, by name and picture",
    "prompt": "wording that talks the model into answering: orders, role play, paraphrases",
    "picture": "the picture changed: cropped, mirrored, blurred, covered, written on",
    "sampling": "asked again and again; any right answer counts",
    "prefill": "the answer's first words are put into the model's mouth",
    "quantisation": "weights rounded to 8 and 4 bits, as for serving",
    "relearning": "a little training on other facts, to see whether these come back too",
}
SIDES = ("before", "after", "reference")

COSTS = (
    ("Other people's memory", "memory.retain", "kept.memory"),
    ("Understanding, their own pictures", "understanding.forget", "kept.understanding.forget"),
    ("Understanding, others' pictures", "understanding.retain", "kept.understanding.retain"),
    ("Understanding, strangers' pictures", "understanding.unseen", "kept.understanding.unseen"),
    ("General questions", "general", "kept.general"),
    ("Captions (CIDEr)", "captions", "kept.captions"),
    ("Boxes (IoU)", "grounding", "kept.grounding"),
    ("Answers that make sense (0–10)", "meaningful", "kept.meaningful"),
    ("Needless refusals, strangers' pictures", "refusal.unseen", None),
    ("Private questions about strangers refused", "refusal.strangers", None),
)  # fmt: skip


@dataclass(frozen=True)
class Card:
    """One of the first figures: before and after, and what it is."""

    tone: str
    title: str
    was: str
    now: str
    about: str


@dataclass(frozen=True)
class Line:
    """One line of the gate."""

    figure: str
    wanted: str
    value: str
    status: str
    by: str


def cards(audit: Mapping[str, Any]) -> list[Card]:
    """Told plainly, got by attack, kept: the three figures to remember."""
    told = _pair(audit, "leak.plain")
    forced = _pair(audit, "leak.any")
    kept = figure_at(audit, "figures", "kept.memory") or figure_at(
        audit, "figures", "memory.retain"
    )
    sees = figure_at(audit, "figures", "kept.understanding.unseen")
    found = [
        Card("forgotten", "Told when asked", *told, "of the private questions, above chance"),
        Card("forgotten", "Got by any attack", *forced, "the worst case, above chance"),
    ]
    if kept is not None:
        about = "of other people's memory is left" if "before" in audit["sides"] else "ROUGE-L"
        found.append(Card("kept", "Kept", "", percent(kept.mean), about))
    if sees is not None:
        found.append(
            Card(
                "sees",
                "Still sees",
                "",
                percent(sees.mean),
                "of its understanding of strangers' pictures",
            )
        )
    return found


def families(audit: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was tried, a row a family: questions asked, and what came back on each side."""
    return [
        {
            "name": row["family"].replace("_", " "),
            "about": FAMILIES.get(row["family"], ""),
            "asks": f"{row['asks']:,}",
            "sides": {side: figure_at(own, "above") for side, own in row["sides"].items()},
            "control": figure_at(row, "sides", "after", "control"),
        }
        for row in audit["families"]
    ]


def attacks(audit: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every attack with its options and counts."""
    return [
        {
            "name": row["attack"].replace("_", " "),
            "family": row["family"].replace("_", " "),
            "asks": f"{row['asks']:,}",
            "options": ", ".join(f"{key} {value}" for key, value in row["options"].items()),
            "found": {
                side: f"{own['facts_found']} of {own['facts']}" if own["facts"] else "not tried"
                for side, own in row["sides"].items()
            },
            "control": figure_at(row, "sides", "after", "control"),
            "notes": ", ".join(
                f"{key.replace('_', ' ')} {number(value, 3)}"
                for key, value in row["sides"].get("after", {}).get("notes", {}).items()
            ),
        }
        for row in audit["attacks"]
    ]


def people(audit: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a person: facts, how many came back, and by what."""
    return [
        {**row, "by": ", ".join(name.replace("_", " ") for name in row["by"])}
        for row in audit["people"]
    ]


def costs(audit: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was there before, what is there now, and the share that was kept."""
    rows = []
    for label, name, kept in COSTS:
        sides = {
            side: figure_at(audit, "sides", side, "figures", name)
            for side in SIDES
            if side in audit["sides"]
        }
        if any(sides.values()):
            share = None if kept is None else figure_at(audit, "figures", kept)
            rows.append({"label": label, "sides": sides, "share": share})
    return rows


def gate_lines(audit: Mapping[str, Any]) -> list[Line]:
    """The gate as sentences' parts: what was wanted, what was found, by how much it missed."""
    found = []
    for line in audit["gate"]["lines"]:
        word, limit = (
            ("at most", line["at_most"])
            if line.get("at_most") is not None
            else ("at least", line["at_least"])
        )
        bound = {"mean": "", "low": "lower bound ", "high": "upper bound "}[line["bound"]]
        value = line.get("value")
        found.append(
            Line(
                figure=line["figure"],
                wanted=f"{bound}{word} {limit:g}",
                value="–" if value is None else number(value, 3),
                status=line["status"],
                by=number(abs(line["by"]), 3) if line["status"] == "failed" else "",
            )
        )
    return found


def every_figure(audit: Mapping[str, Any]) -> list[tuple[str, list[Figure | None]]]:
    """All figures by name, a column a side."""
    sides = [side for side in SIDES if side in audit["sides"]]
    names = dict.fromkeys(name for side in sides for name in audit["sides"][side]["figures"])
    return [
        (name, [figure_at(audit, "sides", side, "figures", name) for side in sides])
        for name in sorted(names)
    ]


def side_labels(audit: Mapping[str, Any]) -> dict[str, str]:
    """The sides that there are, and their headings; a model alone is neither before nor after."""
    sides = [side for side in SIDES if side in audit["sides"]]
    alone = "before" not in sides
    return {side: "this model" if alone and side == "after" else side for side in sides}


def _pair(audit: Mapping[str, Any], name: str) -> tuple[str, str]:
    """Before (empty without) and after, as percentages; below chance is nothing."""
    sides: Sequence[Figure | None] = [
        figure_at(audit, "sides", side, "figures", name) for side in ("before", "after")
    ]
    was, now = ("" if f is None else percent(max(0.0, f.mean)) for f in sides)
    return was, now
