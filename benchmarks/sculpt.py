"""Sculpting weights against the dense way: `python benchmarks/sculpt.py`.

Weights in bfloat16 with the shapes of one layer of a model, and two LoRAs of rank 16 on each. A
turn puts the sculpted change onto all of them, in place, as `Run.apply` and `excise export` do.
The usual way builds both products in float32, masks one by the other and adds it; excise goes tile
by tile. Both are given the factors and find the norms themselves; what they write is compared.
Memory is what a turn needs beyond the weights.

On a GPU (`--device cuda`) the kernel is also timed against a plain copy of the weights, on the
device's own clock, and a 7B model's time is added up from its layers.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import median
from typing import Any

import measure

# (out, in) of the linear weights of one layer, and how many of each; layers of the model.
MODELS: dict[str, tuple[dict[tuple[int, int], int], int]] = {
    "one": ({(4096, 11008): 1}, 1),
    "7b": ({(4096, 4096): 4, (11008, 4096): 2, (4096, 11008): 1}, 32),
    "72b": ({(8192, 8192): 2, (1024, 8192): 2, (29568, 8192): 2, (8192, 29568): 1}, 80),
}
K, EPS, SEED, SAMPLED = 2.0, 1e-8, 0, 997


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    say = parser.add_argument
    say("--models", default="one,7b,72b", help="which of " + ", ".join(MODELS))
    say("--turns", type=int, default=7)
    say("--rank", type=int, default=16)
    say("--dtype", default="bfloat16", choices=["bfloat16", "float16", "float32"])
    say("--device", default="cpu")
    say("--threads", type=int, default=0, help="on a CPU; all cores if not given")
    say("--json", type=Path, help="also write the figures here")
    say("--side", choices=measure.SIDES, help=argparse.SUPPRESS)
    say("--model", choices=MODELS, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    for name in given.models.split(","):
        if name not in MODELS:
            parser.error(f"--models: {name!r}; expected some of {', '.join(MODELS)}")
    return given


class Layer:
    """One matrix: its weight, and the factors of the two changes."""

    def __init__(self, shape: tuple[int, int], given: argparse.Namespace, seed: int) -> None:
        import torch

        from excise.weights.delta import LowRank
        from excise.weights.edit import EditSpec

        generator = torch.Generator().manual_seed(seed)
        dtype, device = getattr(torch, given.dtype), given.device

        def draw(rows: int, columns: int, size: float) -> Any:
            return torch.randn(rows, columns, generator=generator).mul_(size)

        self.weight = torch.empty(shape, dtype=dtype, device=device)
        for rows in self.weight.split(256):  # without a second matrix in float32
            rows.copy_(draw(len(rows), shape[1], 0.02))
        self.f, self.a = (
            LowRank(
                draw(shape[0], given.rank, 0.01).to(device),
                draw(given.rank, shape[1], 0.03).to(device),
                1.0,
            )
            for _ in range(2)
        )
        self.shapes = {"m": shape}
        branches = [{"adapter": "forgetting", "k": K}]
        self.spec = EditSpec.parse(
            {"criterion": "both", "branches": branches, "anchor": "anchor", "eps": EPS}, "edit"
        )

    def products(self, module: str, device: Any) -> Any:
        from excise.weights.products import Products

        return Products((self.f,), (self.f.norm(),), self.a, self.a.norm())

    def excise(self) -> None:
        from excise.weights.tiles import edit_weight

        edit_weight(self.weight, self, "m", self.spec, out=self.weight)

    def usual(self) -> None:
        f, a = self.f.scale * (self.f.b @ self.f.a), self.a.scale * (self.a.b @ self.a.a)
        rho = f.norm() / (a.norm() + EPS)
        mask = (f * a < 0) & (K * rho * a.abs() < f.abs())
        self.weight.copy_(self.weight.float() + f.masked_fill(mask, 0.0))


def layers(given: argparse.Namespace, model: str) -> list[Layer]:
    counted, _ = MODELS[model]
    shapes = [shape for shape, count in counted.items() for _ in range(count)]
    return [Layer(shape, given, SEED + i) for i, shape in enumerate(shapes)]


def serve(given: argparse.Namespace) -> None:
    import torch

    if given.device == "cpu" and given.threads:
        torch.set_num_threads(given.threads)
    here = layers(given, given.model)
    import excise.weights.tiles  # noqa: F401

    with measure.counted():  # what counting and products hold is there before the memory is read
        torch.mm(*torch.rand(2, 1024, 1024, device=given.device))
    measure.forget_peak(given.device)

    def job() -> list[float]:
        for layer in here:
            getattr(layer, given.side)()
        return [x for layer in here for x in layer.weight.view(-1)[::SAMPLED].tolist()]

    measure.serve(job, given.device, "float32")


def compared(given: argparse.Namespace, argv: list[str], model: str) -> dict[str, Any]:
    """Both sides on one model's layer, in turns."""
    print(f"one layer of {model}", file=sys.stderr)
    options = [*argv, "--model", model]
    readings = measure.compare(Path(__file__), options, given.turns, resident=True)
    extra = {s: max(readings.memory[s] - readings.resting[s], 0) for s in measure.SIDES}
    pairs = list(zip(readings.evidence["usual"], readings.evidence["excise"], strict=True))
    return {
        "ratio": readings.ratio(),
        "memory_ratio": extra["excise"] / extra["usual"],
        "extra_mib": {side: round(extra[side] / measure.MIB, 1) for side in measure.SIDES},
        "seconds": readings.seconds,
        "equal": sum(x == y for x, y in pairs) / len(pairs),
        "weights": sum(r * c * n for (r, c), n in MODELS[model][0].items()),
        "machine": readings.machine,
    }


def on_gpu(given: argparse.Namespace, model: str) -> dict[str, float]:
    """Milliseconds for all layers of a model, on the device's clock: to copy and to sculpt them."""
    import torch

    here, (_, count) = layers(given, model), MODELS[model]

    def timed(work: Any) -> float:
        found = []
        for _ in range(given.turns + 2):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            work()
            end.record()
            torch.cuda.synchronize()
            found.append(start.elapsed_time(end))
        return median(found[2:])

    sums = {"copy_ms": 0.0, "sculpt_ms": 0.0}
    from excise.weights import kernels
    from excise.weights.tiles_plan import plan

    for layer in here:
        made = plan(layer.products("m", given.device), layer.spec, "m", layer.weight.device)
        out = torch.empty_like(layer.weight)
        sums["copy_ms"] += count * timed(lambda: out.copy_(layer.weight))  # noqa: B023
        sums["sculpt_ms"] += count * timed(
            lambda: kernels.edit(made.parts[0], layer.weight, out)  # noqa: B023
        )
    moved = 2 * sum(layer.weight.nbytes for layer in here) * count
    sums["copy_gb_per_s"] = moved / sums["copy_ms"] / 1e6
    sums["share_of_copy"] = sums["copy_ms"] / sums["sculpt_ms"]
    return sums


def run(argv: list[str]) -> dict[str, Any]:
    """Measure, and return the figures."""
    given = parse(argv)
    names = given.models.split(",")
    found: dict[str, Any] = {name: compared(given, argv, name) for name in names}
    gpu = {name: on_gpu(given, name) for name in names} if given.device != "cpu" else None
    kept = {k: v for k, v in vars(given).items() if k not in ("side", "model", "json")}
    main = found[names[0]]
    return {
        "ratio": main["ratio"],  # of the first model named
        "memory_ratio": main["memory_ratio"],
        "models": found,
        "gpu": gpu,
        "setting": kept,
        "versions": measure.versions(),
    }


def goals(found: dict[str, Any]) -> list[tuple[str, bool]]:
    made = []
    for name, here in found["models"].items():
        if found["setting"]["device"] == "cpu" and name != "72b":
            made.append((f"{name}: at least 8 times the dense way", here["ratio"]["median"] >= 8))
        if found["setting"]["device"] == "cpu":
            made.append((f"{name}: at most 5 % of its memory", here["memory_ratio"] <= 0.05))
        made.append((f"{name}: 99.9 % of entries as the dense way has them", here["equal"] > 0.999))
    for name, here in (found["gpu"] or {}).items():
        share = here["share_of_copy"] >= 0.8
        made.append((f"{name}: at least 80 % of the copy's bandwidth", share))
        if name == "7b":
            made.append(("7b: under 15 ms in all", here["sculpt_ms"] < 15))
    return made


def main(argv: list[str]) -> None:
    given = parse(argv)
    if given.side:
        serve(given)
        return
    found = run(argv)
    if given.json:
        from excise.records.writing import write_json

        write_json(given.json, found)
    for name, here in found["models"].items():
        seconds = {s: median(x) for s, x in here["seconds"].items()}
        ratio, extra = here["ratio"], here["extra_mib"]
        print(
            f"{name}: {here['weights'] / 1e6:.0f}M weights, {given.dtype}, rank {given.rank}, "
            f"{here['machine']['device']}, {here['machine']['threads']} threads\n"
            f"  seconds {seconds['usual']:.3f} and {seconds['excise']:.3f}, times as fast "
            f"{ratio['median']:.1f} [{ratio['low']:.1f}, {ratio['high']:.1f}]\n"
            f"  extra memory, MiB {extra['usual']:.0f} and {extra['excise']:.0f}, "
            f"ratio {here['memory_ratio']:.3f}; equal entries {here['equal']:.5f}"
        )
    for name, here in (found["gpu"] or {}).items():
        print(f"{name}, whole model: " + ", ".join(f"{k} {v:.3g}" for k, v in here.items()))
    for goal, met in goals(found):
        print(f"goal, {goal}: {'pass' if met else 'MISS'}")


if __name__ == "__main__":
    main(sys.argv[1:])
