"""Fit a LoRA adapter to rows: the one way in which anything here is trained.

The base model is frozen and comes out bit for bit as it went in. The order of rows, LoRA's start
and dropout follow from the seed, so the same fit gives the same bytes on the same machine, also
when it was interrupted and resumed. Joined processes (`processes.together`) share the rows of each
batch; the result is that of one process but for rounding and dropout, and either can resume the
other's fit. Memory: the model, its activations for one batch, and for each
adapted matrix of (out, in) 4 bytes x 4 x rank x (out + in): weights, gradient and Adam's moments,
in float32.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NoReturn

from safetensors import SafetensorError
from torch import bfloat16
from transformers.utils import logging as _logging

from excise.records.errors import InputError, did_you_mean
from excise.training import checkpoints
from excise.training.adapter import attached, save_adapter
from excise.training.advice import advising
from excise.training.arguments import arguments
from excise.training.checkpoints import clear_checkpoints
from excise.training.loss import answer_cross_entropy
from excise.training.processes import world
from excise.training.recompute import recomputing
from excise.training.seeding import mixed_order, seeded, shared_out
from excise.training.selection import Selection
from excise.training.settings import FitResult, FitSettings
from excise.training.sharding import sharded
from excise.training.trainer import AnswerTrainer, Loss, Rows
from excise.vlm.load import VLM
from excise.vlm.packing import EncodedRow, Packer
from excise.vlm.parts import linear_targets
from excise.vlm.rows import Row

_NO_ROOM = ("os error 28", "PytorchStreamWriter", "inline_container", "iostream error")
"""How safetensors and torch.save say that a file could not be written to its end."""

__all__ = ["FitResult", "FitSettings", "clear_checkpoints", "fit"]


def fit(
    vlm: VLM,
    rows: Sequence[Row],
    *,
    settings: FitSettings,
    out: Path,
    seed: int,
    loss: Loss | None = None,
    mix: bool | Sequence[int] = False,
    identity: str = "",
    targets: Sequence[str] | None = None,
    entries: Selection | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FitResult:
    """Train an adapter on the language model's linear layers and save it in `out`.

    Args:
        rows: what to train on; each is seen about `settings.epochs` times.
        out: folder for the PEFT adapter. A fit that was interrupted there goes on from its last
            checkpoint; one that is done there is not repeated.
        loss: takes the model and a batch of `Packer.collate`, returns a scalar, a mean over the
            batch's answer tokens; their cross entropy if None. Several processes weight it by
            those tokens.
        mix: give every batch an even share of each role (that of a row is its first turn's), for
            losses with a term for each; or shares, by the order in which the roles first appear.
            `settings.epochs` then counts the rows of the first.
        identity: whatever else the result depends on, such as a loss's own settings, so that a fit
            with another identity does not resume from this one.
        targets: exact names of the modules to adapt, some of `linear_targets`; all of them if None.
        entries: train these entries of the weights and no adapter; `out` then gets a sparse change
            (`weights/sparse.py`), and `targets`, rank, alpha and dropout have no meaning.
        progress: is told steps done and steps in all after each step.

    Raises:
        InputError: no rows, a row that does not fit the model (record named), a target that is no
            linear layer of the language model, or `out` cannot be written to.
    """
    if not rows:
        raise InputError("no rows to train on, expected at least one")
    started = time.monotonic()
    loss = loss or answer_cross_entropy
    adapted = _targets(vlm, targets if entries is None else list(entries.index))
    packer = Packer(vlm.processor, vlm.model)
    width = vlm.model.config.get_text_config().hidden_size
    settings = settings.model_copy(update={"lr": settings.rate(width)})
    groups = _by_role(rows) if mix else [range(len(rows))]
    if settings.batch < len(groups):
        raise InputError(
            f"batch {settings.batch}: expected {len(groups)} or more, a row of each role"
        )
    parts = [1] * len(groups) if isinstance(mix, bool) else list(mix)[: len(groups)]
    sizes = shared_out(settings.batch, parts)
    # An epoch is over when each row of the first role has been seen.
    steps = settings.total_steps(math.ceil(len(groups[0]) * settings.batch / sizes[0]))
    processes = world()
    bf16 = settings.precision == "bf16" or (settings.precision == "auto" and vlm.dtype == bfloat16)
    content = [
        settings.model_dump_json(),
        json.dumps([seed, steps, adapted, vlm.weights_hash, vlm.applied, str(vlm.dtype), bf16]),
        f"{getattr(loss, '__module__', '')}.{getattr(loss, '__qualname__', type(loss).__name__)}",
        identity + (f"mix {sizes}" if mix else ""),
        _digest(packer.encode(row) for row in rows),
        *([] if entries is None else [entries.digest]),
    ]
    digest = hashlib.sha256("\n".join(content).encode()).hexdigest()
    out = Path(out)
    gpus = sorted({p.device.index for p in vlm.model.parameters() if p.device.type == "cuda"})
    if entries is not None and processes.sharded:
        raise InputError("single entries cannot be trained in sharded weights, expected no FSDP")
    if processes.size > 1 and len({p.device for p in vlm.model.parameters()}) > 1:
        raise InputError("the model is spread over devices, expected one process for it")
    try:
        done = processes.from_main(lambda: checkpoints.begin(out, digest))
        if done is not None:
            return done
        with (
            _quiet(),
            advising(vlm.model, adapted, settings, lambda: _longest(packer, rows)),
            seeded(seed, gpus),
            _put(vlm, adapted, settings, entries) as adapter,
            recomputing(vlm.model, vlm.parts.language_model, settings.gradient_checkpointing),
            sharded(vlm.model, vlm.parts.language_model, adapted, processes),
        ):
            trainer = AnswerTrainer(
                model=adapter,
                loss=loss,
                batch=settings.batch,
                world=processes,
                progress=progress if processes.main else None,
                args=arguments(
                    settings,
                    out / checkpoints.FOLDER,
                    steps=steps,
                    seed=seed,
                    bf16=bf16,
                    place=vlm.device,
                    saves=processes.main,
                ),
                train_dataset=Rows(
                    rows, mixed_order(groups, sizes, steps * settings.batch, seed), packer
                ),
                data_collator=packer.collate,
            )
            trainer.run(processes.from_main(lambda: checkpoints.latest(out)))
            result = FitResult(
                losses=[entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
                seconds=time.monotonic() - started,
                steps=trainer.state.global_step,
                trainable=sum(p.numel() for p in adapter.parameters() if p.requires_grad),
                targets=adapted,
            )
            if entries is None:
                processes.from_main(lambda: save_adapter(adapter, adapted, vlm.name, out))
            else:
                processes.from_main(lambda: entries.save(adapter, vlm.name, out))
        processes.from_main(lambda: checkpoints.finish(out, result))
    except (OSError, SafetensorError) as error:
        _cannot_write(out, error)
    except RuntimeError as error:
        if not any(sign in str(error) for sign in _NO_ROOM):
            raise
        _cannot_write(out, error)
    return result


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' notices about names that will change and clocks of file systems."""
    logging: Any = _logging  # transformers leaves it without types
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.set_verbosity(level)


def _targets(vlm: VLM, chosen: Sequence[str] | None) -> list[str]:
    """The modules to adapt, in the model's order."""
    every = linear_targets(vlm.model, vlm.parts)
    if chosen is None:
        return every
    unknown = [name for name in chosen if name not in every]
    if unknown or not chosen:
        what = f'target "{unknown[0]}"' if unknown else "no targets"
        hint = did_you_mean(unknown[0], every) if unknown else ""
        raise InputError(f"{what}: expected linear layers of the language model{hint}")
    return [name for name in every if name in chosen]


def _put(
    vlm: VLM, targets: Sequence[str], settings: FitSettings, entries: Selection | None
) -> AbstractContextManager[Any]:
    """The model with what is trained on it."""
    if entries is None:
        return attached(vlm.model, targets, settings)
    return entries.attached(vlm.model)


def _by_role(rows: Sequence[Row]) -> list[list[int]]:
    """Row numbers by the role of each row's first turn, in the order of first appearance."""
    groups: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        groups.setdefault(row.turns[0].role if row.turns else "", []).append(number)
    return [*groups.values()]


def _longest(packer: Packer, rows: Sequence[Row]) -> int:
    return max(packer.encode(row).input_ids.numel() for row in rows)


def _digest(rows: Iterable[EncodedRow]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        for tensor in (row.input_ids, row.position_ids, row.segments, row.labels, row.roles):
            digest.update(tensor.numpy().tobytes())
        digest.update(row.picture.key.encode() if row.picture else b"-")
    return digest.hexdigest()


def _cannot_write(out: Path, error: Exception) -> NoReturn:
    reason = getattr(error, "strerror", None) or str(error)
    full = getattr(error, "errno", None) == errno.ENOSPC
    if full or any(sign in reason for sign in _NO_ROOM):
        reason = "the disk is full, expected room to write"
    raise InputError(f"{out}: cannot be written ({reason})") from error
