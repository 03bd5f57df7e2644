"""Training against the usual way: `python benchmarks/training.py`.

The same model, questions, precision, adapter (LoRA on the same modules, from the same start),
optimiser and steps; a step sees the same questions on both sides. excise trains with
`excise.training.fit`, its rows packed; the other side is `usual.py`. A turn is a whole fit from
cold, with everything a user pays for: tokenising, pictures, checkpoints, the saved adapter.
The losses of both are compared step by step (dropout is off, so that they can be), and a first loss
that differs by more than 0.1 % ends the benchmark. With `--model llava-1.5-7b` on a GPU the weights
are random; see `models.py`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import measure
import models

TOLERANCE = 1e-3  # of the first loss
RANK = 16


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    models.add_options(parser)
    say = parser.add_argument
    say("--epochs", type=int, help="how often each question is seen")
    say("--rows", type=int, help="pictures a step, with all their questions")
    say("--micro", type=int, help="questions a forward pass of the usual way; those of a picture")
    say("--checkpointing", action="store_true", help="gradient checkpointing on both sides")
    given = parser.parse_args(argv)
    models.settle(given)
    large = given.model in models.SHAPES
    given.pictures = given.pictures or (8 if large else 24)
    given.rows = given.rows or (1 if large else 4)
    given.turns = given.turns or (3 if large else 5)
    given.epochs = given.epochs or (3 if large else 5)
    given.micro = given.micro or given.questions  # more at a time is slower on a CPU
    if given.pictures * given.epochs % given.rows:
        raise SystemExit("--pictures times --epochs has to be a multiple of --rows")
    if given.rows * given.questions % given.micro:
        raise SystemExit("the questions of a step have to be a multiple of --micro")
    return given


def job(given: argparse.Namespace) -> Any:
    """What one side does in a turn, as a function that returns the losses."""
    import usual

    from excise.training import FitSettings, fit
    from excise.training.seeding import shuffled_order
    from excise.vlm import linear_targets

    loaded, rows = models.load(given), models.rows(given)
    steps = given.pictures * given.epochs // given.rows
    precision = "bf16" if given.dtype == "bfloat16" else "fp32"
    more = {"gradient_checkpointing": True} if given.checkpointing else {}
    settings = FitSettings(
        rank=RANK, dropout=0.0, steps=steps, batch=given.rows, precision=precision, **more
    )
    if given.side == "excise":

        def ours() -> list[float]:
            vlm = models.cold(loaded)
            with tempfile.TemporaryDirectory() as out:
                return fit(vlm, rows, settings=settings, out=Path(out), seed=given.seed).losses

        return ours

    order = shuffled_order(len(rows), steps * given.rows, given.seed)
    asked = [(rows[i].picture, t.question, t.answer) for i in order for t in rows[i].turns]

    def theirs() -> list[float]:
        with tempfile.TemporaryDirectory() as out:
            return usual.train(
                loaded.model,
                loaded.processor,
                asked,
                targets=linear_targets(loaded.model, loaded.parts),
                settings=settings,
                questions_a_step=given.rows * given.questions,
                micro=given.micro,
                checkpointing=given.checkpointing,
                seed=given.seed,
                out=Path(out),
            )

    return theirs


def same(evidence: dict[str, list[float]]) -> dict[str, float]:
    """How far the losses of the two sides lie apart, relatively."""
    pairs = list(zip(evidence["usual"], evidence["excise"], strict=True))
    apart = [abs(a - b) / abs(a) for a, b in pairs]
    if not apart[0] <= TOLERANCE:
        measure.differ(f"first losses {pairs[0][0]:.6f} and {pairs[0][1]:.6f}")
    return {"first_loss": pairs[0][0], "first_difference": apart[0], "largest": max(apart)}


def run(argv: list[str]) -> dict[str, Any]:
    """Measure, and return the figures."""
    given = parse(argv)
    readings = measure.compare(Path(__file__), argv, given.turns, resident=given.device == "cpu")
    steps = given.pictures * given.epochs // given.rows
    found = measure.figures(readings, steps * given.rows * given.questions)
    kept = {k: v for k, v in vars(given).items() if k not in ("side", "json")}
    return {**found, "same": same(readings.evidence), "setting": {**kept, "steps": steps}}


def goals(found: dict[str, Any]) -> list[tuple[str, bool]]:
    if found["setting"]["model"] in models.SHAPES:
        return [
            ("at least 6 times the questions a second", found["ratio"]["median"] >= 6),
            ("at most 70 % of the memory", found["memory_ratio"] <= 0.7),
        ]
    return [("at least 4 times the questions a second", found["ratio"]["median"] >= 4)]


def main(argv: list[str]) -> None:
    given = parse(argv)
    if given.side:
        measure.serve(job(given), given.device, given.dtype)
        return
    found = run(argv)
    if given.json:
        from excise.records.writing import write_json

        write_json(given.json, found)
    setting, equal = found["setting"], found["same"]
    print(
        f"training {setting['model']}: {setting['steps']} steps of {setting['rows']} pictures with "
        f"{setting['questions']} questions each, {setting['dtype']}, "
        f"{found['machine']['device']}, {found['machine']['threads']} threads"
    )
    print(measure.table(found))
    print(
        f"same mathematics: first losses differ by {equal['first_difference']:.1e}, those of all "
        f"{setting['steps']} steps by at most {equal['largest']:.1e} (relative)"
    )
    for goal, met in goals(found):
        print(f"goal, {goal}: {measure.verdict(found, met)}")


if __name__ == "__main__":
    main(sys.argv[1:])
