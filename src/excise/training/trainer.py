"""`transformers.Trainer` with our batches and our loss, silent but for what it tells its caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from excise.training.settings import FitSettings
from excise.vlm.packing import EncodedRow, Packer
from excise.vlm.rows import Row

Loss = Callable[[PreTrainedModel, Mapping[str, Tensor]], Tensor]


class Rows(Dataset[EncodedRow]):
    """The rows of a whole fit in order; encoded when asked for, which the packer caches."""

    def __init__(self, rows: Sequence[Row], order: Sequence[int], packer: Packer) -> None:
        self._rows, self._order, self._packer = rows, order, packer

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> EncodedRow:
        return self._packer.encode(self._rows[self._order[index]])


class AnswerTrainer(Trainer):  # type: ignore[misc,unused-ignore]
    """The Trainer, with a loss that sees the batch and nothing else."""

    def __init__(
        self, *, loss: Loss, progress: Callable[[int, int], None] | None = None, **given: Any
    ) -> None:
        super().__init__(**given)
        self._loss = loss
        self.model_accepts_loss_kwargs = False  # the loss is a mean already
        self.remove_callback(ProgressCallback)  # they print every step
        self.remove_callback(PrinterCallback)
        if progress is not None:
            self.add_callback(_Report(progress))

    def run(self, checkpoint: Path | None) -> None:
        """Train, from a checkpoint if there is one."""
        self.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))

    def compute_loss(  # type: ignore[override,unused-ignore]
        self,
        model: nn.Module,
        inputs: Mapping[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        return self._loss(model, inputs)  # type: ignore[arg-type]


def arguments(
    settings: FitSettings, folder: Path, *, steps: int, seed: int, bf16: bool, cpu: bool
) -> TrainingArguments:
    """Trainer arguments: rows in the given order, ten checkpoints, the newest two kept."""
    args = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=settings.batch,
        max_steps=steps,
        learning_rate=settings.lr,
        lr_scheduler_type=settings.schedule if settings.warmup == 0 else _warm(settings),
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch",
        bf16=bf16,
        use_cpu=cpu,
        seed=seed,
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=not cpu,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_steps=max(1, -(-steps // 10)),
        save_total_limit=2,
        report_to="none",
        disable_tqdm=True,
    )
    args._n_gpu = min(args.n_gpu, 1)  # never torch's DataParallel, which would split packed masks
    return args


def _warm(settings: FitSettings) -> str:
    return "constant_with_warmup" if settings.schedule == "constant" else settings.schedule


class _Report(TrainerCallback):  # type: ignore[misc,unused-ignore]
    """Tells the caller how many steps are done."""

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self._progress = progress

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self._progress(state.global_step, state.max_steps)
