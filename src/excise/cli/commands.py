"""The commands. Each takes its words apart, calls the Python API, and prints what came of it.

Imports of the rooms stand inside the commands: torch alone takes seconds to load, and help,
a misspelt option or a missing file should not have to wait for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from excise.cli.audit_commands import audit
from excise.cli.bench_commands import bench
from excise.cli.desk_commands import desk
from excise.cli.desk_request_commands import attach, decide, extend, identify, shred, withdraw
from excise.cli.desk_serve_commands import key, serve
from excise.cli.desk_work_commands import check, rollback, work
from excise.cli.evidence_commands import evidence
from excise.cli.export_commands import export, verify
from excise.cli.lmms_commands import lmms
from excise.cli.loading import arguments, loads
from excise.cli.probe_commands import probe
from excise.cli.read_commands import read

app = typer.Typer(
    name="excise",
    help="Remove chosen memories from a vision-language model and leave the rest of it alone.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Model = Annotated[str, typer.Option(help="A checkpoint folder or a hub id.")]
DataFolder = Annotated[Path, typer.Option(help="The data folder (records.jsonl, images/).")]
Seed = Annotated[int, typer.Option(help="Every random draw comes from it.")]
Settings = Annotated[
    list[str] | None, typer.Option("-o", "--option", help="key=value; may be repeated.")
]


def _version(wanted: bool) -> None:
    if wanted:
        from excise import __version__

        print(f"excise {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """The options before the command; `--debug` is taken off the line in `boundary`."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("excise-demo"),
    seed: Seed = 0,
) -> None:
    """The whole job on the embedded model, request to report."""
    from excise import demo as room
    from excise.cli.progress import progress
    from excise.cli.tables import console
    from excise.report import terminal_table
    from excise.weights.json_file import read_object

    with progress() as report:
        page = room.run(out, seed, progress=report)
    console().print(terminal_table(read_object(page.parent / "report.json")))
    print(f"report: {page}")


@app.command()
def specimen(
    folder: Annotated[Path, typer.Argument(help="Gets original/ (a checkpoint) and data/.")],
    ratio: Annotated[int, typer.Option(help="Percent of the people to forget: 5, 10 or 15.")] = 5,
    seed: Annotated[int, typer.Option(help="Chooses who is forgotten.")] = 0,
) -> None:
    """Write the embedded model and a data folder to practise on."""
    import excise

    excise.specimen.write(folder, ratio=ratio, seed=seed)
    print(f"model: {folder / 'original'}")
    print(f"data:  {folder / 'data'}")


@app.command()
@loads
def forget(
    how: dict[str, Any],
    model: Annotated[str | None, typer.Option(help="A checkpoint folder or a hub id.")] = None,
    data: Annotated[Path | None, typer.Option(help="The data folder.")] = None,
    method: Annotated[
        str | None, typer.Option(help="See `excise methods`; anchored if not given.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder to make.")] = None,
    seed: Annotated[int | None, typer.Option(help="Every random draw comes from it.")] = None,
    upon: Annotated[
        Path | None, typer.Option(help="An earlier run, which stays and is added to.")
    ] = None,
    option: Settings = None,
    config: Annotated[
        Path | None, typer.Option(help="A YAML file with these options; the line wins over it.")
    ] = None,
) -> None:
    """Make a run that takes the forget set off a model."""
    import excise
    from excise.cli.options import job, known
    from excise.cli.progress import progress
    from excise.training.processes import together

    given = {"model": model, "data": data, "method": method, "out": out, "seed": seed,
             "upon": upon, **how}  # fmt: skip
    wanted = job(config, given, option or [])
    known(wanted.method, excise.methods.METHODS, "method")
    chosen = excise.methods.make(wanted.method, wanted.options)
    records = excise.read(wanted.data)  # before the model: a misspelt path should not cost minutes
    earlier = None if wanted.upon is None else excise.Run.load(wanted.upon)
    with together() as processes, progress() as report:
        vlm = excise.load(wanted.model, **arguments(wanted.loading))
        run = excise.forget(
            vlm,
            records,
            method=chosen,
            out=wanted.out,
            seed=wanted.seed,
            upon=earlier,
            progress=report,
        )
    if not processes.main:
        return
    print(f"adapted: {len(run.info['targets'])} linear layers of the language model")
    print(f"rows: {run.info.get('rows', 'packed')}")
    for warning in run.info["checkup"]["warnings"]:
        print(f"warning: {warning}")
    print(f"run: {run.folder}")


@app.command()
def sculpt(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    option: Settings = None,
) -> None:
    """Turn the dial of a finished run without training.

    -o k=2 for every branch, -o k.NAME=2 for one, -o criterion=both for the mask,
    -o strength=1.2 for an adapter that is applied as it is.
    """
    import excise
    from excise.cli.options import dial

    wanted = dial(option or [])
    turned = excise.Run.load(run).turned(**wanted)
    turned.save()
    print(f"run: {turned.folder}")


@app.command()
def stack(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, one a request.")],
    out: Annotated[Path, typer.Option(help="The run folder to make.")],
) -> None:
    """Make one run of several: requests that came one after another.

    Each stays as it was made, on the untouched model; what is served is the sum of their changes.
    """
    import excise

    made = excise.stack([excise.Run.load(run) for run in runs], out)
    print(f"run: {made.folder}")


@app.command()
@loads
def evaluate(
    how: dict[str, Any],
    model: Model,
    data: DataFolder,
    out: Annotated[Path, typer.Option(help="The JSON file to write.")],
    run: Annotated[Path | None, typer.Option(help="Put this run on the model first.")] = None,
    splits: Annotated[
        str | None, typer.Option(help="Some of forget,few,retain,unseen; all if not given.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Score a model, with or without a run on it."""
    import excise
    from excise.cli.files import check_writable
    from excise.cli.options import split_names
    from excise.cli.tables import show_scores
    from excise.evaluate.evaluate import evaluate as score
    from excise.records.writing import write_json
    from excise.training.processes import together

    wanted = None if splits is None else split_names(splits)
    check_writable(out)  # before the scoring, which takes minutes
    records = excise.read(data)
    loaded = None if run is None else excise.Run.load(run)
    with together() as processes:
        vlm = excise.load(model, **arguments(how))
        if loaded is not None:
            loaded.apply(vlm)
        scores: dict[str, Any] = score(vlm, records, splits=wanted, seed=seed)
    if not processes.main:
        return
    write_json(out, scores)
    show_scores(scores)
    print(f"scores: {out}")


@app.command()
def methods() -> None:
    """List the methods: kind, needs, reference."""
    import excise
    from excise.cli.tables import show

    def cell(value: object) -> str:
        return value if isinstance(value, str) else ", ".join(map(str, value))  # type: ignore[call-overload]

    rows = [
        [name, *(cell(getattr(m, part)) for part in ("kind", "needs", "leaves", "reference"))]
        for name, m in sorted(excise.methods.METHODS.items())
    ]
    show(["name", "kind", "needs", "leaves", "reference"], rows, numbers_from=5)


@app.command()
@loads
def inspect(
    how: dict[str, Any],
    model: Annotated[str, typer.Argument(help="A checkpoint folder or a hub id.")],
) -> None:
    """A model's parts, what would be adapted, memory needed."""
    import excise
    from excise.cli.anatomy import anatomy
    from excise.cli.tables import show

    show(["part", "found"], anatomy(excise.load(model, **arguments(how))), numbers_from=2)


@app.command()
def report(
    path: Annotated[Path, typer.Argument(help="A report.json, or the folder that holds one.")],
    out: Annotated[
        Path | None, typer.Option(help="The page; beside the JSON if not given.")
    ] = None,
) -> None:
    """Draw the page again from its report.json."""
    from excise.cli.files import check_writable
    from excise.weights.json_file import read_object

    source = path / "report.json" if path.is_dir() else path
    page = out or source.with_suffix(".html")
    content = read_object(source)
    check_writable(page)
    from excise.report.page import render  # matplotlib, which a misspelt path need not wait for

    render(content, source.parent, page)
    print(f"report: {page}")


app.command()(export)
app.command()(verify)
app.command()(audit)
app.add_typer(evidence, name="evidence")
app.command()(probe)
for command in (
    *(identify, attach, decide, extend, withdraw, shred),
    *(work, check, rollback, serve),
):
    desk.command()(command)
desk.add_typer(key, name="key")
app.add_typer(desk, name="desk")
app.command()(read)
app.command()(lmms)
app.command()(bench)
