"""What to turn on when a fit runs out of memory, with numbers for this model and this batch."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from transformers import PreTrainedModel

from excise.records.errors import InputError
from excise.training.settings import FitSettings
from excise.vlm.memory import activations, four_bit_saving, gib, is_out_of_memory


@contextmanager
def advising(
    model: PreTrainedModel, targets: list[str], settings: FitSettings, tokens: Callable[[], int]
) -> Iterator[None]:
    """Turns running out of memory inside the block into one line that says what helps.

    Args:
        targets: names of the adapted modules.
        tokens: of the longest row; asked for after the fact only.

    Raises:
        InputError: memory ran out.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        error.__traceback__ = None  # its frames hold what filled the memory
        line = advice(model, targets, settings, tokens())
    else:
        return
    gc.collect()
    raise InputError(line)


def advice(model: PreTrainedModel, targets: list[str], settings: FitSettings, tokens: int) -> str:
    """One line; the figures are estimates (see `vlm/memory.py`)."""
    each = activations(model, targets)
    batch = settings.batch * tokens
    used = batch * (each.checkpointed if settings.gradient_checkpointing else each.plain)
    ways = []
    if settings.batch > 1:
        ways.append(f"-o batch=1 takes about {gib(used / settings.batch)} of them")
    if not settings.gradient_checkpointing:
        saved = batch * (each.plain - each.checkpointed)
        ways.append(f"-o gradient_checkpointing=true saves about {gib(saved)}")
    if (saved := four_bit_saving(model, targets)) > 0:
        ways.append(f"--quantize 4bit saves about {gib(saved)} of weights")
    ways.append("a GPU with more memory or --device-map auto")
    return (
        f"out of memory in training: {settings.batch} rows of up to {tokens:,} tokens take about "
        f"{gib(used)} of activations; what helps: {', '.join(ways)}"
    )
