"""`transformers.Trainer` with our batches and our loss, silent but for what it tells its caller.

With several processes each has a Trainer that believes it is alone (see `processes.py`) and runs
its part of every batch. After the backward pass the gradients are added up, each process's weighted
by its number of answer tokens, so that every Trainer goes on with the gradient and the loss of the
whole batch: the mean over its answer tokens, as in one process. Costs one sum of 4 bytes per
trained parameter a step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
)

from excise.training.answers import Totals
from excise.training.seeding import seed_step
from excise.training.world import ALONE, World
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
    """The Trainer, with a loss that sees the batch and nothing else.

    Args:
        loss: takes the model and a batch, returns the mean over the batch's answer tokens, or a
            sum of such means over the tokens or answers of a role (`answers.py`).
        batch: rows a step, over all processes.
        world: the processes among which each batch is shared.
    """

    def __init__(
        self,
        *,
        loss: Loss,
        batch: int,
        world: World = ALONE,
        progress: Callable[[int, int], None] | None = None,
        **given: Any,
    ) -> None:
        super().__init__(**given)
        self._loss = loss
        self._batch = batch
        self._world = world
        self._tokens: Tensor | None = None
        self.model_accepts_loss_kwargs = False  # the loss is a mean already
        self.remove_callback(ProgressCallback)  # they print every step
        self.remove_callback(PrinterCallback)
        if progress is not None:
            self.add_callback(_Report(progress))

    def run(self, checkpoint: Path | None) -> None:
        """Train, from a checkpoint if there is one."""
        self._world.follow_main(self._trained())
        self.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))

    def get_train_dataloader(self) -> DataLoader[Any]:
        """This process's part of every batch.

        A process that gets no row runs one all the same, for nothing (see `training_step`): sharded
        layers are put together only when every process runs them.
        """
        given: Any = self.train_dataset
        rows = range(len(given))
        batches = [rows[start : start + self._batch] for start in rows[:: self._batch]]
        loader = DataLoader(
            given,
            batch_sampler=[list(self._world.share(batch)) or [batch[0]] for batch in batches],
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )
        prepared: DataLoader[Any] = self.accelerator.prepare(loader)
        return prepared

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> Tensor:
        """Forward and backward; returns the loss of the whole batch, on every process."""
        if self._world.size == 1:
            return super().training_step(model, inputs, num_items_in_batch)
        seed_step(self.args.seed, self.state.global_step, self._world.rank)
        idle = self._world.rank >= self._batch
        here = Totals() if idle else Totals.of(inputs)
        inputs["totals"] = sum(self._world.gather(here), Totals())
        self._tokens = torch.tensor(float(here.size), device=self.args.device)
        loss = super().training_step(model, inputs, num_items_in_batch)
        trained = self._trained()
        pieces = [p.new_zeros(p.shape) if p.grad is None else p.grad for p in trained]
        flat = torch.cat([*(piece.reshape(-1) for piece in pieces), loss[None], self._tokens[None]])
        self._world.add_up(flat)
        flat = flat[:-1] / flat[-1]
        sizes = [parameter.numel() for parameter in trained]
        for parameter, piece in zip(trained, torch.split(flat[:-1], sizes), strict=True):
            parameter.grad = piece.view_as(parameter)
        return flat[-1]

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Nobody reads this estimate, which counts all parameters at every step."""
        return 0

    def compute_loss(  # type: ignore[override,unused-ignore]
        self,
        model: nn.Module,
        inputs: Mapping[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        loss = self._loss(model, inputs).to(self.args.device)  # type: ignore[arg-type]
        return loss if self._tokens is None else loss * self._tokens

    def _trained(self) -> list[nn.Parameter]:
        model: Any = self.model
        return [parameter for parameter in model.parameters() if parameter.requires_grad]


class _Report(TrainerCallback):  # type: ignore[misc,unused-ignore]
    """Tells the caller how many steps are done."""

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self._progress = progress

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self._progress(state.global_step, state.max_steps)
