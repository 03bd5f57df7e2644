"""What stands in the report's table: every model in a column, every question that matters in a row.

The same rows serve the page, the terminal and Markdown, so the three can never disagree. Rows and
columns for which a report has no figure are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from excise.report.figures import Figure, figure, figure_at

Better = Literal["lower", "higher", ""]
_Line = tuple[str, Better, tuple[str, ...]]  # label, which way is better, path in the metrics
ARROW: dict[Better, str] = {"lower": "↓", "higher": "↑", "": ""}

KIND_NAMES = {
    "image_memory": "image memory",
    "text_memory": "text memory",
    "image_understanding": "understanding",
    "general": "general skills",
}
SPLIT_NAMES = {
    "forget": "Forgotten people",
    "few": "People shown to the method",
    "retain": "People kept",
    "unseen": "Never seen before",
}
METRIC_NAMES = {
    "rouge_l": "ROUGE-L",
    "exact": "exact answer",
    "refusal": "refusals",
    "fact": "fact score, 0–10",
    "meaningful": "meaningful score, 0–10",
    "cider": "captions, CIDEr",
    "iou": "boxes, IoU",
}
OVERALL_NAMES = {
    "memory": "kept − forgotten",
    "understanding": "understanding",
    "meaningful": "meaningful",
}


@dataclass(frozen=True)
class Column:
    """One model of the report."""

    key: str
    label: str
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One line of the table, a figure for each column or None."""

    label: str
    better: Better
    cells: tuple[Figure | None, ...]

    @property
    def arrow(self) -> str:
        return ARROW[self.better]


@dataclass(frozen=True)
class Group:
    """Rows under one heading."""

    title: str
    rows: tuple[Row, ...]


def columns(report: Mapping[str, Any]) -> list[Column]:
    """The models that have metrics, in the report's order."""
    return [
        Column(str(m["key"]), str(m.get("label") or m["key"]), m["metrics"])
        for m in report.get("models") or []
        if m.get("metrics")
    ]


def groups(report: Mapping[str, Any]) -> list[Group]:
    """The main table: ROUGE-L by split and kind, general skills, needless refusals, overall."""
    cols = columns(report)
    out = [
        _group(
            SPLIT_NAMES[split],
            [
                (KIND_NAMES[kind], _wanted(split, kind), ("splits", split, kind, "rouge_l"))
                for kind in ("image_memory", "text_memory", "image_understanding")
            ],
            cols,
        )
        for split in ("forget", "retain", "unseen")
    ]
    out.append(_group("General skills", list(_general(cols)), cols))
    out.append(_group("Needless refusals", list(_over_refusal(cols)), cols))
    overall: list[_Line] = [
        (name, "higher", ("overall", key)) for key, name in OVERALL_NAMES.items()
    ]
    out.append(_group("Overall, 0–10", overall, cols))
    return [g for g in out if g.rows]


def every_metric(report: Mapping[str, Any]) -> list[Group]:
    """Every metric of every split and kind, for whoever wants more than the main table."""
    cols = columns(report)
    out = []
    for split, split_name in SPLIT_NAMES.items():
        for kind, kind_name in KIND_NAMES.items():
            lines: list[_Line] = [
                (METRIC_NAMES.get(m, m), "", ("splits", split, kind, m))
                for m in _keys(cols, "splits", split, kind)
            ]
            out.append(_group(f"{split_name}: {kind_name}", lines, cols))
    return [g for g in out if g.rows]


def _wanted(split: str, kind: str) -> Better:
    return "lower" if split == "forget" and kind != "image_understanding" else "higher"


def _general(cols: Sequence[Column]) -> Iterator[_Line]:
    """General skills lie in whatever split the data put them; the split is named if ambiguous."""
    found = [s for s in SPLIT_NAMES if _keys(cols, "splits", s, "general")]
    for split in found:
        suffix = f" ({split})" if len(found) > 1 else ""
        for metric, name in (("rouge_l", "questions"), ("cider", "captions, CIDEr")):
            yield name + suffix, "higher", ("splits", split, "general", metric)
        yield "boxes, IoU" + suffix, "higher", ("splits", split, "general", "iou")


def _over_refusal(cols: Sequence[Column]) -> Iterator[_Line]:
    if any(figure(c.metrics.get("over_refusal")) for c in cols):
        yield "of what is seen", "lower", ("over_refusal",)
    else:
        for key in _keys(cols, "over_refusal"):
            yield key.replace("_", " "), "lower", ("over_refusal", key)
    for kind, label in (("image_memory", "of kept, image"), ("text_memory", "of kept, text")):
        path = ("splits", "retain", kind, "refusal")
        if any(figure_at(c.metrics, *path) for c in cols):
            yield label, "lower", path


def _keys(cols: Sequence[Column], *path: str) -> list[str]:
    """The keys found at `path` in any column, in order of first appearance."""
    seen: dict[str, None] = {}
    for column in cols:
        tree: Any = column.metrics
        for key in path:
            tree = tree.get(key) if isinstance(tree, Mapping) else None
        if isinstance(tree, Mapping):
            seen.update(dict.fromkeys(tree))
    return list(seen)


def _group(title: str, lines: Sequence[_Line], cols: Sequence[Column]) -> Group:
    rows = [
        Row(label, better, tuple(figure_at(c.metrics, *path) for c in cols))
        for label, better, path in lines
    ]
    return Group(title, tuple(r for r in rows if any(r.cells)))
