"""`excise export` and `excise verify`: a run made into something to serve, and proof that it is it.

Exit code 1: what was written, or what lies there, is not what the run is.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_PASSED = 1

RunFolder = Annotated[Path, typer.Argument(help="A run folder.")]
Base = Annotated[
    str | None,
    typer.Option(help="The base model, a folder or a hub id; as the run names it if not given."),
]
Probes = Annotated[
    Path | None,
    typer.Option(help="Ask records of this data folder instead of drawn pictures."),
]


def export(
    run: RunFolder,
    as_: Annotated[str, typer.Option("--as", help="merged (a checkpoint) or lora (an adapter).")],
    out: Annotated[Path, typer.Option(help="The folder to make.")],
    model: Base = None,
    rank: Annotated[int | None, typer.Option(help="lora: the rank; 64 if not given.")] = None,
    tolerance: Annotated[
        float | None, typer.Option(help="lora: instead, the relative error of each module.")
    ] = None,
    uniform_rank: Annotated[
        bool, typer.Option("--uniform-rank", help="lora: the largest rank needed, for all modules.")
    ] = False,
    data: Probes = None,
    seed: Annotated[int, typer.Option(help="Every random draw comes from it.")] = 0,
) -> None:
    """Write a run out for serving, and verify it.

    merged: the base's checkpoint with the run in it, exactly. lora: an adapter for the base, which
    approximates the run; its error is reported.
    """
    import excise
    from excise.cli.progress import progress
    from excise.weights.verify import VerificationFailed

    try:
        with progress() as report:
            made = excise.export(
                run,
                model,
                out,
                as_=as_,  # type: ignore[arg-type]  # checked there, with the names that there are
                rank=rank,
                tolerance=tolerance,
                uniform_rank=uniform_rank,
                data=data,
                seed=seed,
                progress=report,
            )
    except VerificationFailed as error:
        _refuse(str(error))
    for line in summary(made.info["verification"], made.info.get("lora")):
        print(line)
    if made.left_behind:
        print(f"not carried over: {', '.join(made.left_behind)}")
    print(f"export: {made.folder}")


def verify(
    export: Annotated[Path, typer.Argument(help="An exported folder, merged or lora.")],
    run: RunFolder,
    model: Base = None,
    data: Probes = None,
    seed: Annotated[int, typer.Option(help="Draws the probes.")] = 0,
) -> None:
    """Compare an export with its run, and see it load and answer.

    Every key and every number, then logits and greedy answers on probes.
    """
    import excise

    found = excise.verify(export, run, model, data=data, seed=seed)
    for line in summary(found.as_json(), None):
        print(line)
    for problem in found.problems:
        print(f"problem: {problem}")
    if not found.passed:
        _refuse(f"verification failed: {export} is not what {run} is")
    print(f"verified: {export}")


def summary(verification: Mapping[str, Any], lora: Mapping[str, Any] | None) -> list[str]:
    """What was compared, a line each."""
    tensors, outputs = verification["tensors"], verification["outputs"]
    if not tensors:
        lines = ["tensors: NOT compared: the export cannot be read"]
    elif verification["kind"] == "merged":
        lines = [
            f"tensors: {tensors['total']}, of which {tensors['edited']} edited and "
            f"{tensors['copied']} copied"
        ]
    else:
        lines = [
            f"adapter: {tensors['modules']} modules, relative error "
            f"{tensors['relative_error']:.4f} of the change"
        ]
    if lora is not None:
        smallest, largest = lora["rank"]["smallest"], lora["rank"]["largest"]
        ranks = str(largest) if smallest == largest else f"{smallest} to {largest}"
        lines.append(f"rank: {ranks}, {lora['parameters']:,} parameters")
    if not outputs.get("compared"):
        return [*lines, f"outputs: NOT compared: {outputs.get('why', 'something else is wrong')}"]
    said = outputs["first_differing_answer"]
    answers = "the same answers" if said is None else f"the first other answer is to {said}"
    return [
        *lines,
        f"outputs: {outputs['probes']} probes in {outputs['dtype']}, largest logit difference "
        f"{outputs['largest_logit_difference']:.3g} of {outputs['largest_logit']:.3g}, {answers}",
    ]


def _refuse(line: str) -> None:
    print(f"excise: {line}", file=sys.stderr)
    raise typer.Exit(NOT_PASSED)
