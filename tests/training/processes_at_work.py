"""What each of two processes does for test_processes.py, which starts them by this file's path.

processes_at_work.py fits CHECKPOINT OUT     fits in both layouts, for comparing with one process
processes_at_work.py fails WHO               an error in the command of `main`, `other` or `both`
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

CASES: dict[str, dict[str, Any]] = {
    "even": {"batch": 2},  # one row each: at some steps one process has a picture, the other text
    "uneven": {"batch": 3},
    "idle": {"batch": 1},  # the second process has nothing to do
    "again": {"batch": 2, "gradient_checkpointing": True},
    "dropout": {"batch": 2, "dropout": 0.5},
}
STEPS = 4
STOPS_AFTER = 2


def settings(case: str) -> Any:
    from excise.training import FitSettings

    given = {"rank": 4, "alpha": 8, "dropout": 0.0, "lr": 1e-2, "steps": STEPS} | CASES[case]
    return FitSettings(**given)


def rows() -> list[Any]:
    from PIL import Image

    from excise.vlm import Row, Turn

    noise = random.Random(1)
    one, two, three = (
        Image.frombytes("RGB", (64, 64), noise.randbytes(64 * 64 * 3)) for _ in range(3)
    )
    return [
        Row(one, (Turn("Who is this?", "Vera Lindqvist"), Turn("Where?", "Riga"))),
        Row(two, (Turn("Who is this?", "Edgar Montfort"),)),
        Row(None, (Turn("Where does Vera Lindqvist live?", "Riga"),)),
        Row(three, (Turn("What colour is the hair?", "Blond"), Turn("Who?", "Nobody"))),
        Row(None, (Turn("Where does Edgar Montfort work?", "Tallinn"),)),
    ]


def stops(after: int) -> Callable[[Any, Mapping[str, Any]], Any]:
    """The usual loss under a name of its own, interrupted at the step after so many."""
    from excise.training import answer_cross_entropy

    done = [0]

    def loss(model: Any, batch: Mapping[str, Any]) -> Any:
        done[0] += 1
        if done[0] > after:
            raise KeyboardInterrupt
        return answer_cross_entropy(model, batch)

    loss.__module__ = "usual"  # part of a fit's identity, and here it is another one's "__main__"
    return loss


def fits(checkpoint: Path, out: Path) -> None:
    from excise.training import answer_cross_entropy, fit
    from excise.training.processes import together
    from excise.vlm import load

    here = rows()
    for layout in ("ddp", "fsdp"):
        os.environ["ACCELERATE_USE_FSDP"] = str(layout == "fsdp").lower()
        with together() as world:
            vlm = load(checkpoint, device="cpu")
            before = {name: tensor.clone() for name, tensor in vlm.model.state_dict().items()}
            seen: dict[str, Any] = {"pictures": [], "held": 0, "told": 0}

            def watched(model: Any, batch: Mapping[str, Any], seen: dict[str, Any] = seen) -> Any:
                seen["pictures"].append("pixel_values" in batch)
                local = [getattr(p, "_local_tensor", p) for p in model.parameters()]
                seen["held"] = sum(p.numel() for p in local)
                return answer_cross_entropy(model, batch)

            def told(done: int, total: int, seen: dict[str, Any] = seen) -> None:
                seen["told"] += 1

            def run(
                name: str, case: str, loss: Any, model: Any = vlm, folder: Path = out / layout
            ) -> Any:
                return fit(
                    model, here, settings=settings(case), out=folder / name, seed=3,
                    loss=loss, progress=told,
                )  # fmt: skip

            results = {case: run(case, case, watched).losses for case in CASES}
            run("dropout-again", "dropout", watched)
            after = vlm.model.state_dict()
            seen["restored"] = list(after) == list(before) and all(
                after[name].equal(before[name]) for name in before
            )
            run("from-one", "even", stops(STEPS - STOPS_AFTER))  # one process began these two
            if layout == "fsdp":
                run("from-ddp", "even", stops(STEPS - STOPS_AFTER))
            begun = [out / layout / "to-one"]
            if layout == "ddp":
                begun.append(out / "fsdp" / "from-ddp")
            for where in begun:
                broken = load(checkpoint, device="cpu")
                with suppress(KeyboardInterrupt):
                    fit(
                        broken, here, settings=settings("even"), out=where, seed=3,
                        loss=stops(STOPS_AFTER),
                    )  # fmt: skip
            seen["losses"] = results
            (out / f"{layout}-{world.rank}.json").write_text(json.dumps(seen))


def fails(who: str) -> None:
    from excise.cli import boundary
    from excise.records.errors import InputError

    def command(**given: Any) -> None:
        _alone("excise.training.world")
        processes = _alone("excise.training.processes")
        with processes.together() as world:
            world.from_main(lambda: None)
            if who == "main":
                world.from_main(lambda: _raise(InputError("the folder is full")))
            if who == "both" or (who == "other" and not world.main):
                raise InputError("the folder is full")
            world.gather(0)

    boundary.app = command  # type: ignore[assignment]
    boundary.PAUSE = 1.0
    raise SystemExit(boundary.main(["forget"]))


def _raise(error: Exception) -> None:
    raise error


def _alone(name: str) -> Any:
    """A module without the package around it, which takes seconds to import."""
    import importlib.util

    import excise

    path = Path(excise.__file__).parent.joinpath(*name.split(".")[1:]).with_suffix(".py")
    sys.modules.setdefault("excise.training", ModuleType("excise.training"))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    if sys.argv[1] == "fits":
        fits(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        fails(sys.argv[2])
