"""The page: one self-contained HTML file from one report.json.

Everything is inside the file, pictures included, and its content policy forbids it to fetch
anything: it can be mailed, archived and printed. Without `clear` in the report, the page holds
no name, picture, question or answer. Rendering takes well under a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from excise.records.errors import InputError
from excise.records.writing import write_text
from excise.report.figures import Figure, figure, figure_at
from excise.report.gallery import cards, safe_label, shelves
from excise.report.heatmap import heat_map_panels
from excise.report.plots import dial_panels
from excise.report.rows import columns, every_metric, groups
from excise.report.templating import drawn

SCHEMA = "excise.report/1"
VERDICTS = (
    ("forgotten", "Forgotten", "image memory of forgotten people", ("forget", "image_memory")),
    ("kept", "Kept", "image memory of people kept", ("retain", "image_memory")),
    (
        "sees",
        "Still sees",
        "understanding of pictures never seen",
        ("unseen", "image_understanding"),
    ),
)
MODEL_NOTES = {
    "before": "the model as it came",
    "after": "the same model with this run applied",
    "refusal": "trained to refuse, without the mask: the published baseline",
    "retrained": "trained alike but never shown the people to be forgotten",
}
ASKED = ("records", "pictures", "known_people", "ratio")  # each may be missing
CRITERIA = {
    "none": "no mask",
    "direction": "direction only",
    "magnitude": "magnitude only",
    "both": "both",
}
ABLATION = (
    ("forget_image_memory", "forgotten people", "image memory", "↓"),
    ("forget_understanding", "forgotten people", "under\u00adstanding", "↑"),
    ("retain_image_memory", "people kept", "image memory", "↑"),
    ("retain_understanding", "people kept", "under\u00adstanding", "↑"),
)


@dataclass(frozen=True)
class Verdict:
    """One sentence of the verdict with the pair of figures that carries it, where known."""

    key: str
    title: str
    sentence: str
    about: str
    before: Figure | None
    after: Figure | None


def render(report: Mapping[str, Any], folder: Path, out: Path) -> Path:
    """Write the page of `report` to `out`; gallery pictures are read from `folder`.

    Returns:
        `out`.

    Raises:
        InputError: the report is not of schema "excise.report/1" or lacks its models, a gallery
            picture is missing or unreadable, or `out` cannot be written.
    """
    if report.get("schema") != SCHEMA:
        raise InputError(f"report.json: schema: {SCHEMA!r} expected, got {report.get('schema')!r}")
    if not columns(report):
        raise InputError("report.json: models: at least one model with metrics expected")
    write_text(Path(out), drawn("report.html.j2", view(report, Path(folder))))
    return Path(out)


def view(report: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Everything that the template names; parts that the report lacks are empty."""
    clear = report.get("clear") is True
    asked = report.get("asked") or {}
    dial = report.get("dial") or {}
    map_ = report.get("map") or {}
    gallery = cards(report, folder)
    return {
        "title": str(report.get("title") or "What the model forgot"),
        "created": when(str(report.get("created") or "")),
        "clear": clear,
        "asked": {**dict.fromkeys(ASKED), **asked} if asked else {},
        "people": [str(p) if clear else safe_label(str(p)) for p in asked.get("people") or []],
        "verdicts": _verdicts(report),
        "columns": columns(report),
        "notes": MODEL_NOTES,
        "groups": groups(report),
        "every_metric": every_metric(report),
        "dial": dial,
        "dial_panels": dial_panels(dial),
        "dial_rows": _dial_rows(dial),
        "shelves": shelves(gallery),
        "map": {key: figure(map_.get(key)) for key in ("share_touched", "share_energy_cut")},
        "map_panels": heat_map_panels(map_),
        "ablation": _ablation(report.get("ablation") or {}),
        "ablation_names": [names for _, *names in ABLATION],
        "settings": lines(report.get("settings") or {}),
        "provenance": lines(report.get("provenance") or {}),
        "not_tested": [str(line) for line in report.get("not_tested") or []],
    }


def lines(tree: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Settings as (name, value) lines; a nested mapping becomes one line of "name value" pairs."""
    return [
        (str(key).replace("_", " ").replace(" mib", ", MiB"), written(value))
        for key, value in tree.items()
        if value is not None
    ]


def written(value: Any) -> str:
    """A setting's value as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {written(v)}" for key, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(written(v) for v in value)
    return str(value)


def _verdicts(report: Mapping[str, Any]) -> list[Verdict]:
    said = report.get("verdict") or {}
    metrics = {c.key: c.metrics for c in columns(report)}
    return [
        Verdict(
            key,
            title,
            str(said[key]),
            about,
            *(figure_at(metrics.get(m), "splits", *path, "rouge_l") for m in ("before", "after")),
        )
        for key, title, about, path in VERDICTS
        if said.get(key)
    ]


def _dial_rows(dial: Mapping[str, Any]) -> list[dict[str, Any]]:
    keys = ("forget_memory", "held_out_forget", "retain_memory", "understanding")
    points = sorted(dial.get("points") or [], key=lambda p: float(p["k"]))
    return [
        {
            "k": f"{point['k']:g}",
            "chosen": point["k"] == dial.get("chosen_k"),
            "cells": [figure(point.get(key)) for key in keys],
        }
        for point in points
    ]


def _ablation(ablation: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": CRITERIA.get(row["criterion"], str(row["criterion"])),
            "cells": [
                (figure_at(row.get("ours"), key), figure_at(row.get("paper"), key))
                for key, *_ in ABLATION
            ],
        }
        for row in _rows(ablation)
    ]


def _rows(ablation: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return ablation.get("rows") or []


def when(created: str) -> str:
    """ "24 November 2026, 23:50 UTC" from an ISO time or date; any other text as it is."""
    try:
        time = datetime.fromisoformat(created)
    except ValueError:
        return created
    day = f"{time.day} {time:%B %Y}"
    zone = f" {time.tzname()}" if time.tzinfo else ""
    return day if len(created) <= len("2026-11-24") else f"{day}, {time:%H:%M}{zone}"
