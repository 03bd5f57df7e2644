"""A run made into something that can be served: a merged checkpoint, or a LoRA, and verified.

The folder is made beside `out` and renamed when it has passed verification, so `out` is a verified
export or nothing. After an interruption the same call goes on at the next shard. The base is
hashed and written shards are checked while the next ones are written, each in a thread of its own:
the wrong base is found out in the first minutes, and what was written is removed.

Cost of a merged export: the base read, written, and read twice more (its hash, the comparison);
memory is the largest touched tensor and a few buffers. Of a LoRA: see `lora_again.py`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from io import FileIO
from pathlib import Path
from typing import Any, Literal

from excise.records.data import Data
from excise.records.errors import ExciseError, InputError
from excise.records.writing import write_json
from excise.vlm.load import VLM
from excise.vlm.memory import gib
from excise.weights.export_base import Base
from excise.weights.export_carried import carry, side_folder, write_card
from excise.weights.json_file import read_object
from excise.weights.lora_again_folder import Tell, Wish, error_report, factor_run, write_adapter
from excise.weights.run import Run
from excise.weights.shards import Entry, Shard
from excise.weights.stream import Edited, write_shard
from excise.weights.verify import (
    MANIFEST,
    SCHEMA,
    Verification,
    compare_outputs,
    probes_for,
)
from excise.weights.verify_adapter import check_adapter
from excise.weights.verify_tensors import Tally, check_edited, check_shard, file_hash

Kind = Literal["merged", "lora"]

RANK = 64
"""Of a LoRA where neither rank nor tolerance is given: on the specimen it forgets as the merged
export does, at a relative error of .2 to .3 (`docs/export.md`)."""
SPARE_DISK = 64 * 2**20
_PLAN = "plan.json"


@dataclass(frozen=True)
class Export:
    """A finished, verified export; `info` is its export.json."""

    folder: Path
    info: dict[str, Any]
    left_behind: tuple[str, ...] = ()
    """Files of the base's folder that were not carried over."""


def _silent(stage: str, done: int, total: int) -> None:
    """Report to nobody."""


def export(
    run: Run | str | Path,
    model: VLM | str | Path | None,
    out: str | Path,
    *,
    as_: Kind = "merged",
    rank: int | None = None,
    tolerance: float | None = None,
    uniform_rank: bool = False,
    seed: int = 0,
    data: Data | str | Path | None = None,
    outputs: bool = True,
    progress: Tell | None = None,
) -> Export:
    """Write a run on its base model as a folder that others can load, and verify it.

    Args:
        model: the base, on disk; None takes the one that the run names, if it is here.
        out: a new or empty folder, outside the base and the run.
        as_: "merged", a checkpoint like the base's; "lora", an adapter for the base.
        rank: of every module's LoRA; 64 if no tolerance is given.
        tolerance: in place of a rank, the relative Frobenius error that each module's LoRA may
            have; it gets the smallest rank that meets it.
        uniform_rank: every module gets the largest rank that the tolerance asks of any.
        seed: of the factorisation and the probes.
        data: probes are drawn from its records; without it they are drawn pictures.
        outputs: also compare what the models say; False leaves it to `verify`.
        progress: is told `(stage, done, total)`.

    Raises:
        InputError: the base is another one, quantised, damaged or not here; a touched module is
            not in it; `out` is in use or inside the base; the disk has no room.
        VerificationFailed: what was written is not base + run. Nothing is left of it.
    """
    if as_ not in ("merged", "lora"):
        raise InputError(f"--as {as_}: expected merged or lora")
    run = run if isinstance(run, Run) else Run.load(run)
    wish = None
    if as_ == "lora":
        rank = RANK if rank is None and tolerance is None else rank
        wish = Wish(rank, tolerance, uniform_rank, seed)
    elif rank is not None or tolerance is not None or uniform_rank:
        raise InputError("--rank, --tolerance and --uniform-rank are for --as lora")
    out = Path(os.path.abspath(out))
    base = Base.find(run, model)
    folder = side_folder(base.source, base.checkpoint.folder)
    _require_place(out, folder, run, as_)
    edited = base.edited(run)
    probes = probes_for(data, seed) if outputs else []
    info: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": as_,
        "run": run.id,
        "method": str(run.info.get("method", "")),
        "base": {"id": _name(base, run), "weights_hash": run.base_hash},
    }
    plan = {
        **info,
        "wish": wish.__dict__ if wish else None,
        "files": {s.name: s.size for s in base.checkpoint.shards},
    }
    tell = progress or _silent
    with _beside(out, plan) as part:
        result = Verification(as_)
        left: list[str] = []
        if wish is None:
            _require_room(out, base, part)
            hashes = _merge(base, edited, run, part, result, tell)
            left = carry(folder, part)
        else:
            base.require_hash(run)
            factored = factor_run(edited.source, run.edit, wish, tell)
            info["lora"] = error_report(factored) | {"wish": plan["wish"]}
            write_adapter(part, factored, base.source if "/" in info["base"]["id"] else None)
            checked = check_adapter(edited.source, run.edit, part)
            result.tensors, result.problems = checked.tensors, checked.problems
            hashes = {}
        result.require()
        if outputs:
            tell("comparing outputs", 0, 1)
            compare_outputs(part, run, base, result, probes)
            tell("comparing outputs", 1, 1)
            result.require()
        else:
            result.outputs = {"compared": False, "why": "not asked for"}
        info["verification"] = result.as_json()
        info["versions"] = {
            name: version(name)
            for name in ("excise", "torch", "transformers", "safetensors", "peft")
        }
        write_card(part, info)
        (part / _PLAN).unlink()
        info["files"] = {
            path.relative_to(part).as_posix(): {
                "bytes": path.stat().st_size,
                "sha256": hashes.get(path.name) or file_hash(path),
            }
            for path in sorted(part.rglob("*"))
            if path.is_file()
        }
        write_json(part / MANIFEST, info)
    return Export(out, info, tuple(left))


def _merge(
    base: Base, edited: Edited, run: Run, part: Path, result: Verification, tell: Tell
) -> dict[str, str]:
    """Write the shards, each checked while the next is written; hashes by file name."""
    shards = base.checkpoint.shards
    tally, hashes = Tally(), {}
    compared = _WhenWritten(edited, tally)
    written: list[Future[tuple[Tally, str]]] = []
    pool = ThreadPoolExecutor(2)
    try:
        hashed = pool.submit(base.require_hash, run)
        for number, shard in enumerate(shards, 1):
            if hashed.done():
                hashed.result()
            if not (part / shard.name).is_file():
                write_shard(edited, shard, part, compared)
            written.append(pool.submit(_checked, edited, shard, part, compared.names))
            tell("writing", number, len(shards))
        for number, (shard, checked) in enumerate(zip(shards, written, strict=True), 1):
            counted, hashes[shard.name] = checked.result()
            tally.add(counted)
            tell("comparing tensors", number, len(shards))
        hashed.result()
    finally:
        pool.shutdown(cancel_futures=True)
    if base.checkpoint.index is not None:
        shutil.copyfile(base.checkpoint.index, part / base.checkpoint.index.name)
    result.count(tally)
    return hashes


class _WhenWritten:
    """Compares touched tensors with their file while they are in memory."""

    def __init__(self, edited: Edited, tally: Tally) -> None:
        self._edited, self._tally = edited, tally
        self.names: set[str] = set()

    def __call__(self, source: FileIO, target: FileIO, entry: Entry, data: memoryview) -> None:
        check_edited(self._edited, data, (source, entry), (target, entry), self._tally)
        self.names.add(entry.name)


def _checked(edited: Edited, shard: Shard, part: Path, done: Collection[str]) -> tuple[Tally, str]:
    made = Shard.read(part / shard.name)
    places = {entry.name: (made, entry) for entry in made.entries}
    tally = check_shard(edited, shard, places, done)
    extra = sorted(places.keys() - {entry.name for entry in shard.entries})
    tally.problems += [f"{name}: extra, the base does not have it" for name in extra]
    return tally, file_hash(made.path)


@contextmanager
def _beside(out: Path, plan: dict[str, Any]) -> Iterator[Path]:
    """The working folder beside `out`, taken up where the same export was interrupted.

    It becomes `out` at the end. An error of ours removes it, since nothing in it can be trusted;
    a full disk or an interruption leaves it to the next call.
    """
    part = out.with_name(f".{out.name}.unfinished")
    try:
        part.mkdir(parents=True, exist_ok=True)
        if not (part / _PLAN).is_file() or read_object(part / _PLAN) != _plain(plan):
            shutil.rmtree(part)  # another plan's remains: nothing of it can be used
            part.mkdir()
            write_json(part / _PLAN, plan)
        for other in part.iterdir():
            if other.name != _PLAN and other.suffix != ".safetensors":
                shutil.rmtree(other) if other.is_dir() else other.unlink()
        yield part
        _flush(part)
        if out.is_dir():
            out.rmdir()
        os.replace(part, out)
    except ExciseError:
        shutil.rmtree(part, ignore_errors=True)
        raise
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{out}: cannot be written ({reason}); the same command goes on from here"
        ) from error


def _plain(plan: dict[str, Any]) -> Any:
    """As it comes back from a file."""
    return json.loads(json.dumps(plan))


def _flush(folder: Path) -> None:
    """Have the system write everything to the disk before the folder gets its name."""
    for path in [*folder.rglob("*"), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _require_place(out: Path, base: Path, run: Run, kind: str) -> None:
    for folder, what in ((base, "base model"), (run.folder, "run")):
        if out.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{out}: is inside the {what}; expected a folder of its own")
    if out.is_dir() and any(out.iterdir()):
        if (out / MANIFEST).is_file():
            found = read_object(out / MANIFEST)
            if (found.get("run"), found.get("kind")) == (run.id, kind):
                raise InputError(f"{out}: holds this export already; `excise verify` checks it")
        raise InputError(f"{out}: exists and is not empty, expected a new or empty folder")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file, expected a new or empty folder")


def _require_room(out: Path, base: Base, part: Path) -> None:
    there = sum(path.stat().st_size for path in part.iterdir() if path.is_file())
    needed = max(0, base.checkpoint.size - there) + SPARE_DISK
    free = shutil.disk_usage(part).free
    if free < needed:
        raise InputError(f"{out}: needs {gib(needed)} of disk, {gib(free)} are free")


def _name(base: Base, run: Run) -> str:
    """What the base is called, without any path of this machine."""
    path = Path(base.source)
    named = str(run.info["base"].get("id") or "")
    return named or (path.resolve().name if path.is_dir() else base.source)
