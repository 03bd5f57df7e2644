"""Two processes on one fit: the same result as one, in either layout, also where they differ."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from excise.methods import Refusal, forget
from excise.records.reading import read
from excise.records.record import Record
from excise.records.writing import write_data
from excise.training import FitResult, FitSettings, fit
from excise.training.processes import together, world
from excise.training.seeding import seed_step
from excise.training.world import World
from excise.vlm import load
from excise.weights.run import Run

WORK = Path(__file__).with_name("processes_at_work.py")
spec = importlib.util.spec_from_file_location("processes_at_work", WORK)
assert spec is not None and spec.loader is not None
work = importlib.util.module_from_spec(spec)
spec.loader.exec_module(work)

LAYOUTS = ("ddp", "fsdp")
TOLERANCE = 1e-5


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def start(*arguments: str) -> list[Ended]:
    """Two processes of processes_at_work.py, as a launcher would start them; rank 0 first."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    running = [
        subprocess.Popen(
            [sys.executable, str(WORK), *arguments],
            env={
                **os.environ,
                **common,
                "OMP_NUM_THREADS": "1",
                "TRANSFORMERS_VERBOSITY": "error",
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        return [Ended(0, *p.communicate(timeout=600))._replace(code=p.returncode) for p in running]
    finally:
        for process in running:
            process.kill()


class Fits(NamedTuple):
    folder: Path
    alone: dict[str, FitResult]

    def seen(self, layout: str, rank: int) -> Any:
        return json.loads((self.folder / f"{layout}-{rank}.json").read_text())

    def differs(self, one: str, two: str) -> float:
        """The largest difference of a matrix, relative to its norm."""
        a, b = (load_file(self.folder / name / "adapter_model.safetensors") for name in (one, two))
        assert a.keys() == b.keys()
        return max(float((a[name] - b[name]).norm() / a[name].norm()) for name in a)


def interrupted(checkpoint: Path, out: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(
            load(checkpoint, device="cpu"),
            work.rows(),
            settings=work.settings("even"),
            out=out,
            seed=3,
            loss=work.stops(work.STOPS_AFTER),
        )


@pytest.fixture(scope="module")
def fits(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Fits:
    """Every case fitted by one process and by two in both layouts."""
    out = tmp_path_factory.mktemp("processes")
    vlm, rows = load(checkpoint, device="cpu"), work.rows()
    alone = {
        case: fit(vlm, rows, settings=work.settings(case), out=out / "one" / case, seed=3)
        for case in work.CASES
    }
    for layout in LAYOUTS:
        interrupted(checkpoint, out / layout / "from-one")
    for ended in start("fits", str(checkpoint), str(out)):
        assert (ended.code, ended.out) == (0, ""), ended.err
    return Fits(out, alone)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", ["even", "uneven", "idle", "again"])
def test_two_processes_give_the_losses_and_the_adapter_of_one(
    fits: Fits, layout: str, case: str
) -> None:
    for rank in range(2):
        assert fits.seen(layout, rank)["losses"][case] == pytest.approx(
            fits.alone[case].losses, rel=TOLERANCE
        )
    assert fits.differs(f"one/{case}", f"{layout}/{case}") < TOLERANCE


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_process_with_text_only_beside_one_with_pictures_was_among_them(
    fits: Fits, layout: str
) -> None:
    first, second = (fits.seen(layout, rank)["pictures"] for rank in range(2))
    assert len(first) == len(second)
    assert any(one != two for one, two in zip(first, second, strict=True))


def test_sharded_layers_are_held_in_parts_and_put_back_bit_for_bit(
    fits: Fits, checkpoint: Path
) -> None:
    model = load(checkpoint, device="cpu").model
    layers = sum(p.numel() for p in model.model.language_model.layers.parameters())
    for rank in range(2):
        whole, part = (fits.seen(layout, rank) for layout in LAYOUTS)
        assert whole["restored"] and part["restored"]
        assert whole["held"] - part["held"] == layers // 2


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dropout_is_repeated_by_the_same_number_of_processes(fits: Fits, layout: str) -> None:
    assert fits.differs(f"{layout}/dropout", f"{layout}/dropout-again") == 0
    assert fits.differs("one/dropout", f"{layout}/dropout") > TOLERANCE


def test_dropout_differs_between_processes_and_steps() -> None:
    drawn = []
    for step, rank in ((0, 0), (0, 1), (1, 0), (0, 0)):
        seed_step(3, step, rank)
        drawn.append(float(torch.rand(())))
    assert len(set(drawn)) == 3 and drawn[0] == drawn[3]


@pytest.mark.parametrize("begun", ["from-one", "from-ddp"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_fit_begun_in_one_layout_goes_on_in_another(fits: Fits, layout: str, begun: str) -> None:
    if (layout, begun) == ("ddp", "from-ddp"):
        return
    assert fits.differs("one/even", f"{layout}/{begun}") < TOLERANCE


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_fit_begun_by_two_processes_is_finished_by_one(
    fits: Fits, checkpoint: Path, layout: str
) -> None:
    left = work.stops(work.STEPS - work.STOPS_AFTER)
    where = fits.folder / layout / "to-one"
    assert not (where / "adapter_config.json").exists()
    result = fit(
        load(checkpoint, device="cpu"),
        work.rows(),
        settings=work.settings("even"),
        out=where,
        seed=3,
        loss=left,
    )
    assert result.losses == pytest.approx(fits.alone["even"].losses, rel=TOLERANCE)
    assert fits.differs("one/even", f"{layout}/to-one") < TOLERANCE


def test_only_the_main_process_reports_and_writes(fits: Fits) -> None:
    assert fits.seen("ddp", 0)["told"] > 0 and fits.seen("ddp", 1)["told"] == 0
    for layout in LAYOUTS:
        names = {path.name for path in (fits.folder / layout / "even").rglob("*") if path.is_file()}
        assert names == {
            "adapter_config.json", "adapter_model.safetensors", "fit.json", "done.json"
        }  # fmt: skip


@pytest.mark.parametrize("who", ["main", "other", "both"])
def test_an_error_is_said_once_and_ends_every_process(who: str) -> None:
    ended = start("fails", who)
    assert "".join(e.err for e in ended) == "excise: error: the folder is full\n"
    assert [e.code for e in ended] == [2, 2]


def test_accelerate_launch_makes_the_run_of_one_process_and_talks_once(
    checkpoint: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    write(data)
    asked = {"rank": 2, "steps": 2, "lr": 1e-2, "dropout": 0.0, "batch": 3}
    method = Refusal(fit=FitSettings(**asked))
    one = forget(load(checkpoint, device="cpu"), read(data), method=method, out=tmp_path / "one")
    launched = subprocess.run(
        [
            *(sys.executable, "-m", "accelerate.commands.launch"),
            *("--use_fsdp", "--fsdp_version", "2", "--num_processes", "2", "--num_machines", "1"),
            *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
            *("-m", "excise", "forget", "--model", str(checkpoint), "--data", str(data)),
            *("--method", "refusal", "--out", str(tmp_path / "two")),
            *(word for key, value in asked.items() for word in ("-o", f"{key}={value}")),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert launched.returncode == 0, launched.stderr
    assert launched.stdout.count("run: ") == 1 and len(launched.stdout.splitlines()) <= 4
    steps = [line for line in launched.stderr.splitlines() if line.startswith("training")]
    assert len(steps) == asked["steps"]
    two = Run.load(tmp_path / "two")
    assert two.info["machine"]["processes"] == 2 and two.info["machine"]["sharded"]
    assert two.info["checkup"] == one.info["checkup"]
    losses = (run.info["losses"]["forgetting"] for run in (one, two))
    assert next(losses) == pytest.approx(next(losses), rel=TOLERANCE, abs=1e-5)
    assert {path.name for path in tmp_path.iterdir()} == {"data", "one", "two"}
    assert {p.name for p in two.folder.rglob("*")} == {p.name for p in one.folder.rglob("*")}


def write(folder: Path) -> None:
    noise = random.Random(2)
    people = ("vera", "forget"), ("edgar", "forget"), ("anton", "few")
    records = [
        Record(
            id=f"{who}-{kind}",
            subject=who,
            split=split,
            kind=kind,
            image=None if kind == "text_memory" else f"images/{who}.png",
            question=f"Where does {who if kind == 'text_memory' else 'this one'} live?",
            answer="Riga",
        )
        for who, split in people
        for kind in ("image_memory", "text_memory")
    ]
    shown = {
        f"images/{who}.png": Image.frombytes("RGB", (64, 64), noise.randbytes(64 * 64 * 3))
        for who, _ in people
    }
    write_data(folder, records, shown)


@pytest.mark.parametrize(("size", "count"), [(1, 5), (2, 5), (3, 5), (4, 2), (2, 0)])
def test_shares_are_of_a_like_size_and_make_the_whole(size: int, count: int) -> None:
    parts = [list(World(rank, size).share(range(count))) for rank in range(size)]
    assert [thing for part in parts for thing in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_without_a_launcher_there_is_one_process() -> None:
    with together() as alone:
        assert alone == world() == World()
        assert alone.from_main(lambda: 3) == 3 and alone.gather(4) == [4]
