"""`excise evidence`: keys to sign audits with, and what a signed audit is worth.

Exit code 1: something does not hold, and what it is was said.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

NOT_PASSED = 1

evidence = typer.Typer(
    help="Make signing keys; verify and show the evidence of an audit.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

File = Annotated[Path, typer.Argument(help="An evidence.json, or the folder that holds it.")]


@evidence.command()
def key(
    out: Annotated[
        Path | None, typer.Option(help="The new private key's file; your own key if not given.")
    ] = None,
) -> None:
    """Make a signing key, or show which one is used.

    The private key gets mode 600, the public one goes beside it (.pub). $EXCISE_KEY_PASSWORD, if it
    is set, encrypts it; $EXCISE_KEY names the key that is used by default.
    """
    from excise.erasure.key_files import make_key, public_file
    from excise.erasure.signing import key_id, own_key_file, signing_key

    file = out or own_key_file()
    private = signing_key() if out is None else make_key(out)
    print(f"private key: {file}")
    print(f"public key:  {public_file(file)}")
    print(f"fingerprint: {key_id(private.public_key())}")


@evidence.command()
def verify(
    file: File,
    key: Annotated[
        Path | None, typer.Option(help="The signer's public key, as you got it from the signer.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="The run folder that was audited.")] = None,
    export: Annotated[Path | None, typer.Option(help="The exported folder.")] = None,
    data: Annotated[Path | None, typer.Option(help="The data folder.")] = None,
    model: Annotated[
        str | None, typer.Option(help="The model that was audited: a folder or a hub id.")
    ] = None,
    alone: Annotated[
        bool, typer.Option("--alone", help="Do not look for audit.json and report.html beside it.")
    ] = False,
) -> None:
    """Verify an evidence, and what it is about.

    Its signature, the files beside it, and whatever of run, export, data and model is given.
    """
    from excise.erasure.verification import verify as compare

    path = _file(file)
    found = compare(path, key=key, run=run, export=export, data=data, model=model, alone=alone)
    for check in found.checks:
        print(check)
    if not found.passed:
        print(f"excise: {path} does not hold: {found.problems[0]}", file=sys.stderr)
        raise typer.Exit(NOT_PASSED)
    print(f"verified: {path}")


@evidence.command()
def show(file: File) -> None:
    """Show what an evidence says, if its signature fits."""
    from excise.cli.tables import show as table
    from excise.erasure.verification import verify as compare

    path = _file(file)
    found = compare(path, alone=True)
    if not found.passed:
        print(f"excise: {path} does not hold: {found.problems[0]}", file=sys.stderr)
        raise typer.Exit(NOT_PASSED)
    for line in _summary(found.body):
        print(line)
    rows = [_gate_row(line) for line in _list(_object(found.body, "gate"), "lines")]
    table(["gate", "wanted", "found", "status"], rows, numbers_from=9)
    for sentence in _list(found.body, "warnings"):
        print(f"warning: {sentence}")
    for sentence in _list(found.body, "not_tried"):
        print(f"not tried: {sentence}")
    print(found.checks[0])


def _file(path: Path) -> Path:
    return path / "evidence.json" if path.is_dir() else path


def _summary(body: Mapping[str, Any]) -> list[str]:
    """What was audited, when, how, and whether the gate was passed."""
    model, data, run = (_object(body, name) for name in ("model", "data", "run"))
    reference = _object(body, "reference")
    people = len(_list(_object(body, "subjects"), "hashes"))
    lines = [
        f"model:     {model.get('name')}, weights {model.get('weights_hash')}",
        f"run:       {run.get('id')}, {run.get('hash')}" if run else "run:       none",
        f"reference: {reference.get('name')}" if reference else "reference: none",
        f"data:      {people} people, {data.get('facts')} facts, {data.get('fingerprint')}",
        f"tried:     {len(_list(body, 'attacks'))} attacks, preset {body.get('preset')}, "
        f"seed {body.get('seed')}",
        f"signed:    {body.get('date')}",
    ]
    passed = _object(body, "gate").get("passed")
    return [*lines, f"gate:      {'passed' if passed else 'NOT passed'}"]


def _gate_row(line: object) -> list[str]:
    """Figure and bound, threshold, value, status, of one line of the gate."""
    said = line if isinstance(line, Mapping) else {}
    side = "at_most" if "at_most" in said else "at_least"
    value, by, threshold = said.get("value"), said.get("by"), said.get(side)
    status = str(said.get("status"))
    if status == "failed" and isinstance(by, float):
        status = f"failed by {by:.3g}"
    bound = "" if said.get("bound") == "mean" else f", {said.get('bound')}"
    return [
        f"{said.get('figure')}{bound}",
        f"{side.replace('_', ' ')} {threshold:g}" if isinstance(threshold, float | int) else "-",
        f"{value:.3g}" if isinstance(value, float | int) else "-",
        status,
    ]


def _object(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part of a body, which may be signed and still be anything."""
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}


def _list(value: Mapping[str, Any], name: str) -> list[Any]:
    found = value.get(name)
    return found if isinstance(found, list) else []
