"""Makes torchvision importable in this process, also where only torch is a CPU build.

Half of the processors bring a video processor, which transformers builds with torchvision. `make`
puts it beside `.venv` (`.venv/families`), where nothing but these tests looks. On a machine whose
torch is not of the same build its operators cannot be loaded; none of them is used here, so they
are declared only, which is all that the import asks for.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

FOLDER = Path(sys.prefix) / "families"
OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align(Tensor x) -> Tensor",
    "qroi_align(Tensor x) -> Tensor",
    "roi_pool(Tensor x) -> (Tensor, Tensor)",
    "ps_roi_align(Tensor x) -> (Tensor, Tensor)",
    "ps_roi_pool(Tensor x) -> (Tensor, Tensor)",
    "deform_conv2d(Tensor x) -> Tensor",
)
_declared: list[object] = []  # a library that is collected takes its operators with it


def make_importable() -> None:
    """Find torchvision, declare its operators if they cannot be loaded, and import it.

    Raises:
        ModuleNotFoundError: there is none; `make test` installs it.
    """
    if "torchvision" in sys.modules:
        return
    if importlib.util.find_spec("torchvision") is None:
        sys.path.append(str(FOLDER))
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("torchvision is not there; `make test` installs it")
    try:
        torch.ops.load_library(str(Path(spec.origin).with_name("_C.so")))
    except OSError:
        library = torch.library.Library("torchvision", "DEF")
        for operator in OPERATORS:
            library.define(operator)
        _declared.append(library)
    importlib.import_module("torchvision")
