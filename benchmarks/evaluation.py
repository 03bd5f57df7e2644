"""Evaluation against the usual way: `python benchmarks/evaluation.py`.

The same model, questions, precision and limit of new tokens. excise answers with
`excise.vlm.answer`, batched behind shared pictures; the other side calls `generate` for one
question after another (`usual.py`). A turn answers everything from cold, with processing the
pictures. The answers are compared one by one and those that differ are counted: none should in
float32; in bfloat16 a near tie can fall either way, on random weights more often than on real ones.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import measure
import models


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    models.add_options(parser)
    say = parser.add_argument
    say("--new-tokens", type=int, help="where an answer is cut off")
    say("--batch", type=int, default=64, help="questions that excise answers at a time")
    given = parser.parse_args(argv)
    models.settle(given)
    large = given.model in models.SHAPES
    given.pictures = given.pictures or (16 if large else 20)
    given.new_tokens = given.new_tokens or (16 if large else 48)
    given.turns = given.turns or (3 if large else 5)
    return given


def job(given: argparse.Namespace) -> Any:
    """What one side does in a turn, as a function that returns the answers."""
    import usual

    from excise.vlm import answer

    loaded = models.load(given)
    asked = [(row.picture, turn.question) for row in models.rows(given) for turn in row.turns]
    if given.side == "excise":

        def ours() -> list[str]:
            return answer(
                models.cold(loaded),
                asked,
                max_new_tokens=given.new_tokens,
                batch_size=given.batch,
            )

        return ours
    return lambda: usual.answers(loaded.model, loaded.processor, asked, given.new_tokens)


def run(argv: list[str]) -> dict[str, Any]:
    """Measure, and return the figures."""
    given = parse(argv)
    readings = measure.compare(Path(__file__), argv, given.turns, resident=given.device == "cpu")
    questions = given.pictures * given.questions
    theirs, ours = readings.evidence["usual"], readings.evidence["excise"]
    different = sum(a != b for a, b in zip(theirs, ours, strict=True))
    kept = {k: v for k, v in vars(given).items() if k not in ("side", "json")}
    return {
        **measure.figures(readings, questions),
        "same": {"answers": questions, "different": different, "empty": theirs.count("")},
        "setting": kept,
    }


def goals(found: dict[str, Any]) -> list[tuple[str, bool]]:
    times = 8 if found["setting"]["model"] in models.SHAPES else 5
    return [(f"at least {times} times the questions a second", found["ratio"]["median"] >= times)]


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
        f"evaluation of {setting['model']}: {setting['pictures']} pictures with "
        f"{setting['questions']} questions each, at most {setting['new_tokens']} new tokens, "
        f"{setting['dtype']}, {found['machine']['device']}, {found['machine']['threads']} threads"
    )
    print(measure.table(found))
    print(f"answers that differ: {equal['different']} of {equal['answers']}")
    for goal, met in goals(found):
        print(f"goal, {goal}: {measure.verdict(found, met)}")


if __name__ == "__main__":
    main(sys.argv[1:])
