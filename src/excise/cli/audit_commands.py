"""`excise audit`: try to get the memory back, and sign what was found.

Exit code 1: the audit was made and the gate did not pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from excise.cli.loading import arguments, loads

NOT_PASSED = 1


@loads
def audit(
    how: dict[str, Any],
    data: Annotated[Path, typer.Option(help="The data folder (records.jsonl, images/).")],
    out: Annotated[Path, typer.Option(help="Gets audit.json, report.html, evidence.json.")],
    run: Annotated[
        Path | None, typer.Argument(help="A run folder: its model is audited before and after.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="What is audited; with a run its base, if that is not where it was."),
    ] = None,
    before: Annotated[
        str | None, typer.Option(help="Without a run: what the model was before.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="A model that never saw the forget set.")
    ] = None,
    gate: Annotated[
        Path | None, typer.Option(help="Thresholds (YAML); the default gate if not given.")
    ] = None,
    preset: Annotated[
        str, typer.Option(help="How much is tried: quick, standard or thorough.")
    ] = "standard",
    only: Annotated[
        str | None, typer.Option(help="Families or names of attacks, with commas between.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("-o", "--option", help="ATTACK.key=value; may be repeated."),
    ] = None,
    general: Annotated[
        list[Path] | None, typer.Option(help="A further data folder to score; may be repeated.")
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(help="The signing key; your own, made at first use, if not given."),
    ] = None,
    people: Annotated[
        Path | None, typer.Option(help="Write who is behind the pseudonyms here, for you alone.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Every random draw comes from it.")] = 0,
) -> None:
    """Try to get the memory back, and sign what was found."""
    from excise.cli.audit_table import show_audit
    from excise.cli.progress import progress
    from excise.erasure.conduct import Wanted, conduct

    wanted = Wanted(
        data=data,
        out=out,
        model=model,
        run=run,
        before=before,
        reference=reference,
        gate=gate,
        preset=preset,
        only=None if only is None else only.split(","),
        options=_by_attack(option or []),
        general=general or [],
        key=key,
        people=people,
        seed=seed,
        loading=arguments(how),
    )
    from excise.report.audit_page import render

    with progress() as report:
        result = conduct(wanted, page=render, progress=report)
    show_audit(result)
    print(f"report: {out / 'report.html'}")
    print(f"evidence: {out / 'evidence.json'}")
    if not result["gate"]["passed"]:
        raise typer.Exit(NOT_PASSED)


def _by_attack(options: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """`{attack: {key: value}}` of `attack.key=value`.

    Raises:
        InputError: another form.
    """
    from excise.cli.options import pairs
    from excise.records.errors import InputError

    found: dict[str, dict[str, Any]] = {}
    for name, value in pairs(options).items():
        attack, dot, key = name.partition(".")
        if not dot or not attack or not key:
            raise InputError(f"-o {name}: expected ATTACK.key=value, such as sampling.samples=50")
        found.setdefault(attack, {})[key] = value
    return found
