"""Does it really not know any more? Scores, attacks, statistics and their cost, before and after.

Three states of a model can stand side by side: `before` and `after` a run, and a `reference` that
never saw the people. Each is asked plainly, attacked by every family of `evaluate/attacks`, and
looked at teacher-forced; controls on people whom the model never knew give the false alarms. What
comes out is a JSON object (schema `excise.audit/1`) without a name, question or answer in it: the
gate judges its figures, the page and the evidence are made from it.

Cost: about as long for each side as its answers take; the presets bound it (`plan.py`,
docs/audit.md).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from excise.erasure.collateral import collateral
from excise.erasure.folder_hash import folder_hash
from excise.erasure.leaks import RELEARNING, fact, leak_figures
from excise.erasure.limits import not_tried, warnings
from excise.erasure.people import attack_rows, family_rows, people_rows
from excise.erasure.plan import Plan, plan
from excise.erasure.side import Progress, Side, look_at
from excise.evaluate.attacks.run import plan as attacks
from excise.evaluate.gate import Gate
from excise.evaluate.intervals import Figure
from excise.evaluate.statistics import figures as statistics_figures
from excise.methods.forget import versions
from excise.records.data import Data
from excise.records.errors import InputError
from excise.weights.json_file import read_object
from excise.weights.run import Run

if TYPE_CHECKING:
    from excise.vlm.load import VLM

SCHEMA = "excise.audit/1"


def audit(
    vlm: VLM,
    data: Data,
    *,
    run: Run | None = None,
    before: VLM | None = None,
    reference: VLM | None = None,
    gate: Gate | None = None,
    preset: str = "standard",
    only: Sequence[str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    general: Mapping[str, Data] | None = None,
    seed: int = 0,
    salt: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Audit a run (put on `vlm` and taken off again) or `vlm` as it is.

    Args:
        before: for a model without a run: what it was, for the cost to be told.
        reference: a model that never saw the forget set.
        gate: thresholds; the default gate if None.
        preset: quick, standard or thorough.
        only: families or names of attacks; all if None.
        options: `{attack: {option: value}}`, over those of the preset.
        general: further data folders by name, scored before and after.
        salt: of the pseudonyms; a random one if None.

    Raises:
        InputError: nothing to score, a model or run that does not fit, an unknown preset, attack,
            option or figure of the gate.
    """
    began = time.monotonic()
    told = progress or _silent
    judge = gate or Gate.default()
    chosen = plan(data, preset, seed)
    sets = dict(general or {})
    if run is not None and before is not None:
        raise InputError("a run has its own model before it, expected no other")
    if vlm.applied is not None:
        raise InputError(f"run {vlm.applied} is on this model already; remove it first")

    tried = attacks(preset, only=only, options=options)
    # Nobody has to be taught what the model before knows already.
    asking = [attack.name for attack, _ in tried if attack.family != RELEARNING]

    def look(name: str, model: VLM) -> Side:
        names = asking if name == "before" else [attack.name for attack, _ in tried]
        return look_at(
            name, model, chosen, general=sets, only=names, options=options or {}, progress=told
        )

    sides: dict[str, Side] = {}
    if run is not None or before is not None:
        sides["before"] = look("before", before or vlm)
    with nullcontext() if run is None else run.applied(vlm):
        sides["after"] = look("after", vlm)
    if reference is not None:
        sides["reference"] = look("reference", reference)

    found = side_figures(chosen, sides)
    figures = flat(found)
    judge.check(figures)
    names = people_rows(chosen, sides, salt)
    return {
        "schema": SCHEMA,
        "model": {"name": vlm.name, "weights_hash": vlm.weights_hash},
        "run": None if run is None else _run(run),
        "export": _export(vlm),
        "before": None if before is None else _named(before),
        "reference": None if reference is None else _named(reference),
        "data": _data(chosen),
        "preset": preset,
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "versions": versions(),
        "figures": figures,
        "sides": {name: {"figures": of_side} for name, of_side in found.items()},
        "families": family_rows(chosen, sides),
        "attacks": attack_rows(chosen, sides),
        "people": names,
        "warnings": warnings(chosen, sides, found),
        "not_tried": not_tried(chosen, sides),
        "gate": judge.judge(figures),
    }


def side_figures(chosen: Plan, sides: Mapping[str, Side]) -> dict[str, dict[str, Figure]]:
    """The figures of every side; statistics that compare do so with the reference."""
    before, reference = sides.get("before"), sides.get("reference")
    found: dict[str, dict[str, Figure]] = {}
    for name, side in sides.items():
        was = None if before is None or side is before else before.each
        other = None if reference is None or side is reference else reference.statistics
        found[name] = {
            **leak_figures(side.outcomes, chosen.secrets, chosen.controls, chosen.seed),
            **collateral(chosen.scored, side.each, was, chosen.seed),
            **statistics_figures(side.statistics, other),
            **{
                f"general.{name}.{metric}": figure
                for name, metrics in side.general.items()
                for metric, figure in metrics.items()
            },
        }
    return found


def flat(found: Mapping[str, Mapping[str, Figure]]) -> dict[str, Figure]:
    """What a gate names: the audited side's figures, the others' behind `before.`, `reference.`."""
    named = dict(found["after"])
    for side in ("before", "reference"):
        named |= {f"{side}.{name}": figure for name, figure in found.get(side, {}).items()}
    return named


def _run(run: Run) -> dict[str, Any]:
    return {"id": run.id, "method": run.info.get("method"), "hash": folder_hash(run.folder)}


def _export(vlm: VLM) -> dict[str, Any] | None:
    """Of a model that is an export: which run it is of, and its hash."""
    folder = Path(vlm.source)
    if not (folder / "export.json").is_file():
        return None
    return {"run": read_object(folder / "export.json").get("run"), "hash": folder_hash(folder)}


def _named(vlm: VLM) -> dict[str, str]:
    return {"name": vlm.name, "weights_hash": vlm.weights_hash}


def _data(chosen: Plan) -> dict[str, Any]:
    return {
        "fingerprint": chosen.data.fingerprint(),
        "people": len(chosen.data.subjects("forget")),
        "facts": len({fact(record) for record in chosen.secrets}),
        "records": len(chosen.secrets),
        "controls": len(chosen.controls),
        "scored": len(chosen.scored),
    }


def _silent(stage: str, done: int, total: int) -> None:
    pass
