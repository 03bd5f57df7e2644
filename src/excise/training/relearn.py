"""A model with a short fit on it, for the time of a block: did it only seem to have forgotten?

The fit is an ordinary one, an adapter on the model as it is now (with a run on it, if there is
one). The adapter is put beside the weights and not into them, so nothing has to be restored, a
model in 4 bits will do as well, and the model comes out bit for bit. What was learnt is on disk for
the time of the fit only, in a temporary folder that is gone before the block begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from peft import PeftModel
from peft.utils import set_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor

from excise.records.errors import ExciseError
from excise.training.adapter import WEIGHTS, attached
from excise.training.fit import _quiet, fit
from excise.training.processes import world
from excise.training.seeding import seeded
from excise.training.settings import FitResult, FitSettings
from excise.vlm.load import VLM
from excise.vlm.rows import Row


@contextmanager
def relearnt(
    vlm: VLM, rows: Sequence[Row], *, settings: FitSettings, seed: int
) -> Iterator[FitResult]:
    """The model with an adapter fitted to `rows` inside the block, as it was after it.

    Raises:
        InputError: as `fit`; no room on disk for the adapter.
    """
    with TemporaryDirectory(prefix="excise-") as folder:
        out = Path(world().from_main(lambda: folder))
        result = fit(vlm, rows, settings=settings, out=out, seed=seed)
        weights = world().from_main(lambda: load_file(out / WEIGHTS))
    gpus = sorted({p.device.index for p in vlm.model.parameters() if p.device.type == "cuda"})
    with _quiet(), seeded(seed, gpus), attached(vlm.model, result.targets, settings) as adapter:
        _fill(adapter, weights)
        adapter.eval()
        yield result


def _fill(adapter: PeftModel, weights: dict[str, Tensor]) -> None:
    """Give the adapter its weights, one and all.

    Raises:
        ExciseError: a weight has no place, or a place no weight.
    """
    found: Any = set_peft_model_state_dict(adapter, weights)
    empty = [name for name in found.missing_keys if ".lora_" in name]
    if found.unexpected_keys or empty:
        wrong = len(found.unexpected_keys) + len(empty)
        raise ExciseError(f"{wrong} weights of the adapter that was just fitted do not fit")
