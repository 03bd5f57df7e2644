"""The GPU's kernel in triton's interpreter, on the CPU; skipped where triton is not installed."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from types import ModuleType

import pytest
import torch
from tests.weights.factored import Given, drawn, reference, spec

from excise.weights.delta import LowRank
from excise.weights.sculpt import EPS, rho
from excise.weights.tiles import edit_weight
from excise.weights.tiles_mask import Sculptor, sculptor

SHAPE = 70, 150  # more than one program each way, and no multiple of a tile


# Triton decides when it is first imported, so the tests run in a process of their own.
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
interpreted = pytest.mark.skipif(not INTERPRETED, reason="runs in the process of the last test")


@pytest.fixture
def kernels() -> ModuleType:
    return importlib.import_module("excise.weights.kernels")


def made(f: LowRank, a: LowRank, k: float, criterion: str) -> Sculptor:
    weight = k * rho(f.norm(), a.norm(), EPS)
    return sculptor(f, a, criterion=criterion, weight=weight)  # type: ignore[arg-type]


@interpreted
@pytest.mark.parametrize("criterion", ["both", "direction", "magnitude", "none"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_the_kernel_gives_the_float64_reference(criterion, dtype, kernels) -> None:
    f, a = drawn(0, 4, SHAPE), drawn(1, 20, SHAPE)
    a.b[3], a.a[:, 5] = 0.0, 0.0
    weight = (drawn(2, 3, SHAPE).dense() * 0.1).to(dtype)
    out = torch.full_like(weight, 9.0)
    kernels.edit(made(f, a, 1.3, criterion), weight, out)
    expected = weight.double() + reference(f, a, 1.3, criterion)
    if dtype == torch.float16:
        assert (out == expected.half()).double().mean() >= 0.999
    torch.testing.assert_close(out.double(), expected, rtol=2.0**-10, atol=1e-7)
    kernels.edit(made(f, a, 1.3, criterion), weight, weight)
    assert torch.equal(weight, out)


@interpreted
@pytest.mark.parametrize("room", [1 << 30, 256])  # a list too short, and one that is long enough
def test_what_float32_cannot_tell_is_told_in_float64(room, kernels, monkeypatch) -> None:
    monkeypatch.setattr(kernels, "LISTED", room)
    monkeypatch.setattr(kernels, "SETTLED", 999)
    a = drawn(1, 16, SHAPE)
    for more, share in ((1e-9, 0.0), (-1e-9, 1.0)):
        f = LowRank(a.b.double() * (1 + more), a.a, -0.7)
        part = made(f, a, 1 / (f.norm() / (a.norm() + EPS)), "both")
        weight = torch.zeros(SHAPE)
        kernels.edit(part, weight, weight)
        assert float((weight != 0).double().mean()) == pytest.approx(share, abs=0.01)


@interpreted
def test_the_kernel_cuts_where_the_cpu_cuts(kernels) -> None:
    f, a = drawn(5, 16, SHAPE), drawn(6, 16, SHAPE)
    a.b[:, 1:], a.a[1:] = 0.0, 0.0
    a.b[:35] = 2.0**-140
    weight = torch.zeros(SHAPE)
    on_cpu = edit_weight(weight, Given([f], a), "m", spec("both", [0.9]))
    kernels.edit(made(f, a, 0.9, "both"), weight, weight)
    assert torch.equal(weight == 0, on_cpu == 0)
    torch.testing.assert_close(weight, on_cpu, rtol=1e-5, atol=1e-8)


@pytest.mark.skipif(INTERPRETED, reason="is this process")
def test_the_kernel_passes_its_tests_in_the_interpreter() -> None:
    pytest.importorskip("triton")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(
        command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "skipped" in done.stdout and "11 passed" in done.stdout
