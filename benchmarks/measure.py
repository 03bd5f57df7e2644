"""Two ways of doing the same work, measured in turns: usual, excise, usual, excise, ...

Each side lives in a process of its own, so that its peak memory is its own. A process first does
the whole job once to warm up, counted operation by operation, and then once a turn against the
clock. Both sides wait idle while the other one works; on a GPU, where the models of both would not
fit, a process lives for one turn. The ratio is taken between neighbours in time, so a slow spell
of the machine hits both; its median, lowest and highest over the turns are given.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NoReturn

SIDES = ("usual", "excise")
QUIET = 1.3
"""Turns of one side that are further apart than this, slowest to fastest, judge nothing."""
PACKAGES = ("excise", "torch", "transformers", "peft", "accelerate")
MIB = 2**20


@dataclass
class Readings:
    """What the turns gave, each by side."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {s: [] for s in SIDES})
    memory: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SIDES, 0))
    """Peak bytes: resident on a CPU, allocated by torch on a GPU."""
    resting: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SIDES, 0))
    """The same before any work: interpreter, libraries and model."""
    flops: dict[str, int] = field(default_factory=dict)
    """Operations of one turn."""
    limit: float = 0.0
    """Operations a second of a large matrix product on this machine, the best seen."""
    evidence: dict[str, Any] = field(default_factory=dict)
    """What the job returned: losses or answers."""
    machine: dict[str, Any] = field(default_factory=dict)

    def ratio(self) -> dict[str, float]:
        """How many times as fast excise is, turn by turn."""
        pairs = zip(self.seconds["usual"], self.seconds["excise"], strict=True)
        found = [usual / ours for usual, ours in pairs]
        return {"median": median(found), "low": min(found), "high": max(found)}

    def spread(self) -> dict[str, float]:
        """Slowest turn by fastest, of each side: near 1 on a machine with nothing else to do."""
        return {side: max(took) / min(took) for side, took in self.seconds.items()}


def compare(script: Path, options: Sequence[str], turns: int, *, resident: bool) -> Readings:
    """Let both sides of a script take turns; see `serve` for what the script does."""
    readings, workers = Readings(), {}
    try:
        for turn in range(turns):
            for side in SIDES:
                if side not in workers:
                    workers[side] = Worker([str(script), *options, "--side", side])
                    ready = workers[side].read()
                    readings.flops[side] = ready["flops"]
                    readings.evidence[side] = ready["evidence"]
                    readings.resting[side] = ready["resting"]
                    readings.machine = ready["machine"]
                took = workers[side].turn()
                readings.seconds[side].append(took["seconds"])
                readings.memory[side] = max(readings.memory[side], took["memory"])
                readings.limit = max(readings.limit, took["limit"])
                if not resident:
                    workers.pop(side).close()
            last = ", ".join(f"{side} {readings.seconds[side][-1]:.2f} s" for side in SIDES)
            print(f"turn {turn + 1} of {turns}: {last}", file=sys.stderr, flush=True)
    finally:
        for worker in workers.values():
            worker.close()
    return readings


class Worker:
    """One side's process; it answers each line with a line of JSON."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=quiet(),
        )

    def read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a side ended with status {self._process.wait()}; see above")
        found: dict[str, Any] = json.loads(line)
        return found

    def turn(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write("turn\n")
        self._process.stdin.flush()
        return self.read()

    def close(self) -> None:
        try:
            self._process.communicate(timeout=60)  # closes its stdin, which ends it
        except subprocess.TimeoutExpired:
            self._process.kill()


def serve(job: Callable[[], Any], device: str, dtype: str) -> None:
    """Be a side: do `job` once to warm up, then once for each line that comes in.

    Whatever libraries print goes to stderr; the answers alone go to the real stdout.
    """
    answers = answer_pipe()

    def say(**found: Any) -> None:
        print(json.dumps(found), file=answers, flush=True)

    resting = peak_memory(device)
    with counted() as flops:
        evidence = job()
    say(flops=flops(), evidence=evidence, resting=resting, machine=machine(device))
    for _ in sys.stdin:
        forget_peak(device)
        started = time.perf_counter()
        job()
        synchronize(device)
        seconds, memory = time.perf_counter() - started, peak_memory(device)
        say(seconds=seconds, memory=memory, limit=product_rate(device, dtype))


def quiet() -> dict[str, str]:
    """The environment of a side: what libraries have to say to each other is not said."""
    return {**os.environ, "PYTHONWARNINGS": "ignore", "TRANSFORMERS_VERBOSITY": "error"}


def answer_pipe() -> Any:
    """The real stdout as a file; file descriptor 1 becomes stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def product_rate(device: str, dtype: str) -> float:
    """Operations a second of a large product at the precision of the work, the best of several."""
    import torch

    on_gpu = device != "cpu"
    side, repeats = (8192, 30) if on_gpu else (1024, 12)
    a, b = torch.rand(2, side, side, device=device, dtype=getattr(torch, dtype))
    best = float("inf")
    for _ in range(repeats):
        synchronize(device)
        started = time.perf_counter()
        a @ b
        synchronize(device)
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best


@contextmanager
def counted() -> Iterator[Callable[[], int]]:
    """Count the floating point operations inside: products, convolutions, attention."""
    import torch
    from torch.utils.flop_counter import (
        FlopCounterMode,
        sdpa_backward_flop_count,
        sdpa_flop_count,
    )

    def attention(q: Any, k: Any, v: Any, *rest: Any, **named: Any) -> int:
        return int(sdpa_flop_count(q, k, v))

    def backward(grad: Any, q: Any, k: Any, v: Any, *rest: Any, **named: Any) -> int:
        return int(sdpa_backward_flop_count(grad, q, k, v))

    ops = torch.ops.aten  # torch itself counts the attention of GPUs only
    more = {
        ops._scaled_dot_product_flash_attention_for_cpu: attention,
        ops._scaled_dot_product_flash_attention_for_cpu_backward: backward,
    }
    with FlopCounterMode(display=False, custom_mapping=more) as counter:
        yield counter.get_total_flops


def synchronize(device: str) -> None:
    if device != "cpu":
        import torch

        torch.cuda.synchronize()


def peak_memory(device: str) -> int:
    """Bytes at the highest point since `forget_peak`, or since the process began."""
    if device != "cpu":
        import torch

        return torch.cuda.max_memory_allocated()
    try:  # of this process alone: ru_maxrss also knows what the parent held before the start
        status = Path("/proc/self/status").read_text()
        return next(int(s.split()[1]) for s in status.splitlines() if s.startswith("VmHWM")) * 1024
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def forget_peak(device: str) -> None:
    """Begin a new peak, where the system can."""
    if device != "cpu":
        import torch

        torch.cuda.reset_peak_memory_stats()
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # the peak of the whole process then: the warm-up did the same work


def machine(device: str) -> dict[str, Any]:
    """What it runs on, without names."""
    import torch

    return {
        "device": torch.cuda.get_device_name() if device != "cpu" else "cpu",
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def figures(readings: Readings, questions: int) -> dict[str, Any]:
    """The JSON of a comparison in which one turn handles so many questions."""
    typical = {side: median(readings.seconds[side]) for side in SIDES}
    achieved = {side: readings.flops[side] / typical[side] for side in SIDES}
    return {
        "ratio": readings.ratio(),
        "ratio_of_fastest_turns": min(readings.seconds["usual"]) / min(readings.seconds["excise"]),
        "spread_of_turns": readings.spread(),
        "quiet": max(readings.spread().values()) <= QUIET,
        "memory_ratio": readings.memory["excise"] / readings.memory["usual"],
        "questions_per_second": {side: questions / typical[side] for side in SIDES},
        "memory_mib": {side: round(readings.memory[side] / MIB, 1) for side in SIDES},
        "resting_mib": {side: round(readings.resting[side] / MIB, 1) for side in SIDES},
        "flops_per_question": {side: readings.flops[side] / questions for side in SIDES},
        "limit_flops_per_second": readings.limit,
        "share_of_limit": {side: achieved[side] / readings.limit for side in SIDES},
        "seconds": readings.seconds,
        "machine": readings.machine,
        "versions": versions(),
    }


def table(found: dict[str, Any]) -> str:
    """The same for reading."""
    billions = {side: flops / 1e9 for side, flops in found["flops_per_question"].items()}
    rows = (
        ("questions a second", found["questions_per_second"], "{:.2f}"),
        ("peak memory, MiB", found["memory_mib"], "{:.0f}"),
        ("of it before the work", found["resting_mib"], "{:.0f}"),
        (
            "GFLOP a question",
            billions,
            "{:.3g}",
        ),
        ("share of the limit", found["share_of_limit"], "{:.1%}"),
    )
    lines = [f"{'':<24}{'usual':>12}{'excise':>12}"]
    lines += [
        f"{name:<24}" + "".join(f"{form.format(values[side]):>12}" for side in SIDES)
        for name, values, form in rows
    ]
    ratio = found["ratio"]
    lines += [
        f"limit: {found['limit_flops_per_second'] / 1e9:.0f} GFLOP/s, measured on matrix products",
        f"speed ratio {ratio['median']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}], "
        f"memory ratio {found['memory_ratio']:.2f}",
    ]
    if not found["quiet"]:
        apart = ", ".join(f"{side} {found['spread_of_turns'][side]:.1f}" for side in SIDES)
        lines.append(
            f"BUSY MACHINE: slowest turn by fastest is {apart}, at most {QUIET} is quiet; "
            f"not the median but the fastest turns count: {found['ratio_of_fastest_turns']:.2f}"
        )
    return "\n".join(lines)


def verdict(found: dict[str, Any], met: bool) -> str:
    """Whether a goal is met; nothing, where other work on the machine slowed some of the turns."""
    if not found["quiet"]:
        return "not judged, the machine was busy"
    return "pass" if met else "MISS"


def differ(what: str) -> NoReturn:
    raise SystemExit(f"the two sides do not do the same mathematics: {what}")
