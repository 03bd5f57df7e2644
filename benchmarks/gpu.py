"""Every row of docs/speed.md that needs a GPU: `python benchmarks/gpu.py --out DIR`.

Training and evaluation at the shapes of LLaVA-1.5-7B and Qwen2.5-VL-7B with random weights in
bfloat16, ten questions a picture, 576 image tokens, on one GPU of 80 GB; nothing is fetched. The
figures go to DIR, one JSON a row, and a row that is there already is not measured again, so an
interrupted run goes on. On a smaller card give the usual way smaller forward passes
(`--micro 2`) or both sides gradient checkpointing (`--checkpointing`), and say so.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import evaluation
import measure
import models

import training
from excise.records.writing import write_json


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    say = parser.add_argument
    say("--out", type=Path, required=True, help="folder for the figures")
    say("--turns", type=int, default=3)
    say("--micro", type=int, help="questions a forward pass of the usual way")
    say("--checkpointing", action="store_true")
    given, rest = parser.parse_known_args(argv)  # the rest goes to both benchmarks
    only_training = [] if given.micro is None else ["--micro", str(given.micro)]
    only_training += ["--checkpointing"] if given.checkpointing else []
    rows: list[tuple[str, bool, dict[str, Any]]] = []
    for model in models.SHAPES:
        for bench, extra in ((training, only_training), (evaluation, [])):
            options = ["--model", model, "--turns", str(given.turns), *rest, *extra]
            name = f"{bench.__name__}-{model}"
            path = given.out / f"{name}.json"
            if path.is_file():
                found = json.loads(path.read_text())
            else:
                print(name, file=sys.stderr, flush=True)
                found = bench.run(options)
                write_json(path, found)
            rows += [(f"{name}: {goal}", met, found) for goal, met in bench.goals(found)]
    print("| what, and its goal | speed ratio | memory ratio | share of the limit | |")
    print("|---|---|---|---|---|")
    for what, met, found in rows:
        ratio, share = found["ratio"], found["share_of_limit"]
        print(
            f"| {what} | {ratio['median']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}] | "
            f"{found['memory_ratio']:.2f} | {share['usual']:.0%} usual, {share['excise']:.0%} "
            f"excise | {measure.verdict(found, met)} |"
        )
    print(f"measured on: {rows[0][2]['machine']['device']}")


if __name__ == "__main__":
    main(sys.argv[1:])
