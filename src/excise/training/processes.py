"""Several processes on one job: joining what a launcher started, and how the job ends.

A launcher (`accelerate launch`, torchrun) starts the same command several times and tells each
process its rank in environment variables. `together` joins them and takes those variables away:
from there on every library believes that it is alone, and what the processes share is shared here
and nowhere else. So the trainer, its checkpoints and its random numbers are those of one process,
and a checkpoint of one layout is a checkpoint of every other.

Files are written by the main process (rank 0) while the others wait; on several machines the run
folder has to be on a disk that all of them see. Waiting ends after `PATIENCE`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from excise.records.errors import ExciseError, InputError
from excise.training.world import ALONE, Elsewhere, World

_dist: Any = dist  # torch leaves parts of its own interface without types

PATIENCE = timedelta(hours=6)
"""How long a process waits for the others before it takes them for dead. A process that ends is
noticed at once; this is for the main process hashing a large model on a slow disk."""

_OURS = (
    "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "ACCELERATE_USE_FSDP",
    "FSDP_CPU_RAM_EFFICIENT_LOADING", "ACCELERATE_MIXED_PRECISION", "ACCELERATE_DYNAMO_BACKEND",
)  # fmt: skip
"""What is hidden from the libraries while the processes are joined."""

_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe")


_world = ALONE
_store: Any = None
_launches = 0
_first_to_fail: bool | None = None


def world() -> World:
    """The processes joined now; alone if none are."""
    return _world


def speaks() -> bool:
    """Whether this process is to say why the job ended.

    Joined processes leave it to the first that failed of its own accord; before they join, all fail
    for the same reason, and the main process says it.
    """
    if _first_to_fail is not None:
        return _first_to_fail
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def together() -> Iterator[World]:
    """Join the processes that a launcher started; alone, or joined already, it does nothing.

    Join before a model is loaded: each process gets the GPU of its local rank. After an exception
    the processes stay joined, since the others may be waiting and cannot be asked any more; the
    process is expected to end.

    Raises:
        InputError: fewer GPUs than processes, or a launcher's mode that is not supported.
    """
    global _world, _first_to_fail
    if _world.size > 1 or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield _world
        return
    sharded = _flag("ACCELERATE_USE_FSDP")
    _require_supported()
    begun = not dist.is_initialized()
    if begun:
        _begin()
    hidden = {name: os.environ.pop(name) for name in _OURS if name in os.environ}
    try:
        _world = World(dist.get_rank(), dist.get_world_size(), sharded)
        yield _world
        dist.barrier()
    except BaseException as error:
        _first_to_fail = not isinstance(error, Elsewhere) and _first()
        if isinstance(error, RuntimeError) and any(sign in str(error) for sign in _LOST):
            raise ExciseError(
                "another process ended without a word, memory may be short"
            ) from error
        raise
    finally:
        os.environ.update(hidden)
    _world = ALONE
    if begun:
        dist.destroy_process_group()


def _begin() -> None:
    global _store, _launches
    backend = "gloo"
    if torch.cuda.is_available():
        local, found = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= found:
            raise InputError(f"process {local} has no GPU, expected at most {found} processes here")
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"  # waiting for the main process is not to load the GPU
    store, rank, size = next(_dist.rendezvous("env://", timeout=PATIENCE))
    _launches += 1  # a store that outlives a group still holds that group's keys
    _store = _dist.PrefixStore(f"excise-{_launches}", store)
    dist.init_process_group(
        backend,
        store=_dist.PrefixStore("group", _store),
        rank=rank,
        world_size=size,
        timeout=PATIENCE,
    )


def _first() -> bool:
    """Whether no other process has failed before this one."""
    if _store is None:  # the group is the caller's
        return _world.main
    try:
        return bool(_store.add("failed", 1) == 1)
    except RuntimeError:  # whoever kept the store is gone, and was first
        return False


def _require_supported() -> None:
    if _flag("ACCELERATE_USE_DEEPSPEED"):
        raise InputError("DeepSpeed is not supported, expected --multi_gpu or --use_fsdp")
    if _flag("ACCELERATE_USE_MEGATRON_LM"):
        raise InputError("Megatron-LM is not supported, expected --multi_gpu or --use_fsdp")


def _flag(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "true", "yes")
