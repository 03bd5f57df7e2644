"""The Trainer's arguments for one fit: our settings, our device, and no word to anybody."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from accelerate.state import AcceleratorState, PartialState
from transformers import TrainingArguments

from excise.training.settings import FitSettings


@dataclass
class Arguments(TrainingArguments):  # type: ignore[misc,unused-ignore]
    """Trainer arguments with the device given: the Trainer would take the first GPU it sees."""

    place: str = "cpu"

    @cached_property
    def _setup_devices(self) -> torch.device:
        AcceleratorState._reset_state(reset_partial_state=True)
        place = torch.device(self.place)
        self.distributed_state = PartialState(cpu=place.type == "cpu")
        self._n_gpu = int(place.type == "cuda")  # never DataParallel, which would split masks
        return place


def arguments(
    settings: FitSettings,
    folder: Path,
    *,
    steps: int,
    seed: int,
    bf16: bool,
    place: torch.device,
    saves: bool = True,
) -> TrainingArguments:
    """Trainer arguments: up to ten checkpoints, the newest two kept; none on a waiting process."""
    cpu = place.type == "cpu"
    return Arguments(
        output_dir=str(folder),
        place=str(place),
        per_device_train_batch_size=settings.batch,
        max_steps=steps,
        learning_rate=settings.rate(1),  # `fit` has made it a number
        lr_scheduler_type=settings.schedule if settings.warmup == 0 else _warm(settings),
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch",
        bf16=bf16,
        use_cpu=cpu,
        seed=seed,
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=not cpu,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="steps" if saves else "no",
        save_steps=_interval(steps),
        save_total_limit=2,
        report_to="none",
        disable_tqdm=True,
    )


def _interval(steps: int) -> int:
    """A tenth of the steps, but in a short fit, where saving would cost more than it keeps, ten."""
    return max(1, -(-steps // 10), min(10, steps // 5))


def _warm(settings: FitSettings) -> str:
    return "constant_with_warmup" if settings.schedule == "constant" else settings.schedule
