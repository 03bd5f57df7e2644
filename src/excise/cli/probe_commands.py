"""`excise probe`: what an untouched model knows of a person, and the records to forget it by.

The terminal shows questions, marks and figures; answers stand there only with `--cleartext`, and in
the data folder only with `--out`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from excise.cli.loading import arguments, loads

if TYPE_CHECKING:
    from excise.erasure.probe_result import Line, Probe


@loads
def probe(
    how: dict[str, Any],
    model: Annotated[str, typer.Option(help="An untouched checkpoint folder or hub id.")],
    image: Annotated[
        list[Path] | None, typer.Option(help="A picture of the person; may be repeated.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The person's name.")] = None,
    questions: Annotated[
        Path | None, typer.Option(help="A file with lines `key: wording`; ours if not given.")
    ] = None,
    control_pictures: Annotated[
        Path | None,
        typer.Option(help="A folder of other people's pictures; drawn faces if not given."),
    ] = None,
    follow_name: Annotated[
        bool, typer.Option(help="Ask by the name that the model tells from the pictures, too.")
    ] = True,
    out: Annotated[Path | None, typer.Option(help="The data folder to make.")] = None,
    cleartext: Annotated[bool, typer.Option("--cleartext", help="Show the answers.")] = False,
    seed: Annotated[int, typer.Option(help="Every random draw comes from it.")] = 0,
) -> None:
    """Ask a model what it knows of a person; write the records."""
    import excise
    from excise.cli.files import check_writable
    from excise.cli.progress import progress
    from excise.erasure.battery import read_battery
    from excise.erasure.probe import check_person
    from excise.erasure.probe import probe as ask
    from excise.erasure.probe_records import write_records
    from excise.records.errors import InputError
    from excise.records.unlabelled import read_unlabelled

    check_person(image or (), name)  # before the model, which takes minutes to load
    battery = read_battery(questions)
    if control_pictures is not None:
        read_unlabelled(control_pictures, required=True)
    if out is not None:
        if out.is_dir() and any(out.iterdir()):
            raise InputError(f"{out}: exists and is not empty, expected a new or empty folder")
        check_writable(out / "records.jsonl")
    vlm = excise.load(model, **arguments(how))
    with progress() as report:
        found = ask(
            vlm,
            pictures=image or (),
            name=name,
            questions=battery,
            control_folder=control_pictures,
            follow_name=follow_name,
            seed=seed,
            progress=report,
        )
    _show(found, cleartext)
    if out is not None and found.known:
        count = write_records(found, out)
        print(f"data: {out} ({count} records to forget, with names and answers in clear)")
    elif out is not None:
        print("nothing is known, so there is nothing to forget: no records written")


def _show(found: Probe, cleartext: bool) -> None:
    from excise.cli.tables import show

    headings = [
        "question",
        "asked by",
        "mark",
        "confidence",
        "agreement",
        "recognised",
        "control rate",
        "asks",
    ]
    rows = [_row(line, cleartext) for line in found.lines]
    show([*headings, *(["answer"] if cleartext else [])], rows, numbers_from=3)
    for warning in found.warnings:
        print(f"note: {warning}")
    print(f"known: {len(found.known)} of {len(found.lines)}")


def _row(line: Line, cleartext: bool) -> list[str]:
    rate = line.control
    return [
        line.key,
        line.door,
        line.mark,
        f"{line.confidence:.2f}",
        f"{line.agreement:.2f}",
        f"{line.recognition:.2f}",
        f"{rate['mean']:.2f} [{rate['low']:.2f}, {rate['high']:.2f}]",
        str(line.asks),
        *([line.answer] if cleartext else []),
    ]
