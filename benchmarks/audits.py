"""What the audit says of models that are known: `python benchmarks/audits.py --bench runs/bench`.

The untouched specimen, the one that never saw the five, and every run of a bench folder of 5 % and
seed 0 (`excise bench --specimen --ratios 5 --seeds 1 --budget 1 ... --out runs/bench`): what each
family of attacks got out of it, above what guessing gets, and which lines of the gate failed.
Finished audits are not made again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from excise import specimen
from excise.cli.progress import progress
from excise.erasure.conduct import Wanted, conduct
from excise.records.writing import write_json
from excise.report.audit_page import render
from excise.specimen import dataset
from excise.weights.json_file import read_object

FAMILIES = ("plain", "other_door", "prompt", "picture", "sampling", "prefill", "quantisation",
            "relearning")  # fmt: skip


def row(name: str, audit: dict[str, Any]) -> str:
    """One line of the table: questions recovered above chance, facts, and what failed."""
    sides = {r["family"]: r["sides"]["after"]["above"] for r in audit["families"]}
    cells = ["–" if not (f := sides.get(k)) else f"{max(0.0, f['mean']):.2f}" for k in FAMILIES]
    facts = audit["figures"]["leak.facts"]["mean"] * audit["data"]["facts"]
    failed = dict.fromkeys(
        line["figure"] for line in audit["gate"]["lines"] if line["status"] == "failed"
    )
    verdict = "passed" if audit["gate"]["passed"] else ", ".join(failed)
    seconds = f"{audit['seconds']:.0f}"
    return " | ".join([f"| {name}", *cells, f"{facts:.0f}", seconds, f"{verdict} |"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bench", type=Path, help="a bench folder with runs of 5 %% and seed 0")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--reference", action="store_true", help="compare with `retrained` too")
    parser.add_argument("--out", type=Path, default=Path("runs/audits"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    data = given.out / "data"
    if not data.is_dir():
        dataset.write(data, 5, 0)
    original, retrained = (str(specimen.checkpoint(n)) for n in ("original", "retrained"))
    wanted: dict[str, dict[str, Any]] = {
        "untouched": {"model": original},
        "never shown them": {"model": retrained, "before": original},
    }
    runs = sorted((given.bench / "runs").glob("*-5-0-*")) if given.bench else []
    for run in runs:
        wanted[run.name.split("-")[0]] = {"model": original, "run": run}
    reference = retrained if given.reference else None
    audits = {}
    print(f"| | {' | '.join(f.replace('_', ' ') for f in FAMILIES)} | facts | s | gate |")
    print("|---|" + "---:|" * (len(FAMILIES) + 2) + "---|")
    for name, about in wanted.items():
        out = given.out / f"{name.replace(' ', '-')}-{given.preset}"
        if (out / "audit.json").is_file():
            audits[name] = read_object(out / "audit.json")
        else:
            with progress() as tell:
                audits[name] = conduct(
                    Wanted(data=data, out=out, preset=given.preset, reference=reference, **about),
                    page=render, progress=tell,
                )  # fmt: skip
        print(row(name, audits[name]), flush=True)
    if given.json:
        write_json(given.json, {name: audit["figures"] for name, audit in audits.items()})


if __name__ == "__main__":
    main()
