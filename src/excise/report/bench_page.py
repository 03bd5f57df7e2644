"""The bench's page: one self-contained HTML file from one bench.json.

For each ratio the plane of forgetting against keeping, the tables with their intervals, and what
each method takes; sample answers where they were kept in clear. Like the report's page it fetches
nothing, and follows the reader's colours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from excise.records.errors import InputError
from excise.records.writing import write_text
from excise.report.bench_rows import cost_of, table_of
from excise.report.figures import figure
from excise.report.gallery import data_uri
from excise.report.outcome import Outcome, outcome
from excise.report.page import lines
from excise.report.plane import Spot, front, plane
from excise.report.rows import KIND_NAMES
from excise.report.templating import drawn

SCHEMA = "excise.bench/1"
FIRST = ("Forgotten memory", "Retained memory", "True answer's probability")
PANELS = (("memory", "Retained memory"), ("understanding", "Understanding"))
NOT_METHODS = ("original", "reference")
HARM = ("understanding harmed", "nothing forgotten")


@dataclass(frozen=True)
class Block:
    """One ratio: its panels, its tables, and what could not be made."""

    title: str
    panels: list[tuple[str, Markup]]
    tables: list[dict[str, Any]]
    costs: list[dict[str, Any]]
    failed: list[Mapping[str, str]]


@dataclass(frozen=True)
class Said:
    """One answer, and who gave it."""

    text: str
    names: tuple[str, ...]
    outcome: Outcome | None


def render(bench: Mapping[str, Any], folder: Path, out: Path) -> Path:
    """Write the page of a bench to `out`; pictures of samples are read from `folder`.

    Returns:
        `out`.

    Raises:
        InputError: another schema, a picture is missing, or `out` cannot be written.
    """
    if bench.get("schema") != SCHEMA:
        raise InputError(f"bench.json: schema: {SCHEMA!r} expected, got {bench.get('schema')!r}")
    text = drawn("bench.html.j2", view(bench, Path(folder)))
    write_text(Path(out), text)
    return Path(out)


def view(bench: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Everything that the template names."""
    return {
        "title": bench["title"],
        "about": bench["about"],
        "intervals": bench["intervals"],
        "created": bench["created"],
        "clear": bench["clear"] is True,
        "blocks": [_block(table, bench["columns"]) for table in bench["tables"]],
        "samples": [_sample(s, folder) for s in bench["samples"]] if bench["clear"] else [],
        "methods": bench["methods"],
        "settings": lines(bench["settings"]),
        "provenance": lines(
            {
                "model": bench["model"]["id"],
                "weights": bench["model"]["weights_hash"],
                "data": bench["data"],
                "seeds": bench["seeds"],
                "versions": bench["versions"],
                "machine": bench["machine"],
            }
        ),
    }


def _block(table: Mapping[str, Any], columns: Sequence[Mapping[str, Any]]) -> Block:
    rows = table["rows"]
    first = [c for c in columns if c["group"] in FIRST]
    second = [c for c in columns if c["group"] not in FIRST]
    return Block(
        title=table["title"],
        panels=[
            (title, plane(title, spots, len(rows)))
            for key, title in PANELS
            if (spots := _spots(rows, key))
        ],
        tables=[t for t in (table_of(rows, first), table_of(rows, second)) if t["columns"]],
        costs=[cost_of(row) for row in rows],
        failed=table["failed"],
    )


def _spots(rows: Sequence[Mapping[str, Any]], key: str) -> list[Spot]:
    """The rows that have figures; those that no other method beats in both stand out."""
    found = []
    for row in rows:
        x, y = figure(row["point"]["forgotten"]), figure(row["point"][key])
        if x and y:
            found.append((row, x, y))
    methods = [(row, x, y) for row, x, y in found if row["key"] not in NOT_METHODS]
    sound = [(row, x, y) for row, x, y in methods if not _harmed(row)]
    best = {
        row["key"]
        for (row, _, _), on in zip(
            sound, front([(-x.mean, y.mean) for _, x, y in sound]), strict=True
        )
        if on
    }
    spots = []
    for row, x, y in found:
        name = row["key"]
        if name in NOT_METHODS:
            style = name
        else:
            style = "warned" if _harmed(row) else "best" if name in best else "method"
        spots.append(Spot(row["label"], style, x, y, _curve(row["curve"], key)))
    return spots


def _harmed(row: Mapping[str, Any]) -> bool:
    return any(warning.startswith(HARM) for warning in row["warnings"])


def _curve(curve: Mapping[str, Any] | None, key: str) -> tuple[tuple[float, float], ...]:
    points = []
    for point in (curve or {}).get("points", []):
        x, y = figure(point["forgotten"]), figure(point[key])
        if x and y:
            points.append((x.mean, y.mean))
    return tuple(points)


def _sample(sample: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    picture, crisp = data_uri(folder, sample["image"]) if sample["image"] else ("", False)
    answers = sample["answers"]
    before = str(answers.get("original", ""))
    together: dict[str, list[str]] = {}
    for name, answer in answers.items():
        together.setdefault(str(answer).strip(), []).append(name)
    who, kind, reference = sample["who"], sample["kind"], sample["reference"]
    said = [
        Said(
            text,
            tuple(names),
            None if names == ["original"] else outcome(who, kind, reference, before, text),
        )
        for text, names in together.items()
    ]
    return {
        "who": who,
        "kind": KIND_NAMES.get(kind, kind),
        "picture": picture,
        "crisp": crisp,
        "question": sample["question"],
        "reference": reference,
        "said": said,
    }
