"""Influential neuron paths: which neuron of each block an answer leans on, block after block.

The score of a path of neurons, one a block, is an integral of gradients from "all of them silent"
to their own activations w̃, taken at m places (MIP-Editor, equations 4 and 6):

    IGI = sum_n w̃_n * sum_k sum_l  dF/dw_l (k/m w̃)            rows without a picture
    IFI = sum_n z̃_n * sum_k sum_l (dF/dz_l (k/m z̃))²          rows with one

with F the log-probability of the answers. The path is built greedily from the lowest block up: the
neurons chosen so far stay in it, all neurons of the next block are tried at once, scaled together,
and the best one goes on; the best few of each block are told.

Activations and gradients are those at the places that predict answer tokens, their products summed
over the places. Blocks below are held at what they were, as in the authors' code.

Cost: blocks x m forward and backward passes a row, and the activations of all blocks at the
answers' places.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from excise.training.batches import batches
from excise.training.loss import answer_logprobs
from excise.training.undisturbed import undisturbed
from excise.vlm.load import VLM
from excise.vlm.packing import IGNORED
from excise.vlm.rows import Row


def influential(
    vlm: VLM, rows: Sequence[Row], modules: Sequence[str], *, best: int, frames: int
) -> list[list[Tensor]]:
    """The `best` neurons of each block for each row: (best,) places in `modules`' inputs.

    Args:
        modules: the layers that read the neurons, from the lowest block up.
        best: how many neurons a block.
        frames: m, the places at which gradients are taken.

    Raises:
        InputError: a row does not fit the model.
    """
    model: Any = vlm.model
    layers = [model.get_submodule(name) for name in modules]
    given = batches(vlm, rows, 1)
    with undisturbed(model):
        model.eval()
        model.requires_grad_(False)
        found = [path_scores(model, layers, batch, frames) for batch in given]
    return [[each.topk(min(best, len(each))).indices for each in scores] for scores in found]


def path_scores(
    model: Any, layers: Sequence[nn.Module], batch: Mapping[str, Any], frames: int
) -> list[Tensor]:
    """The scores of each block's (n,) neurons as the next one on the best path so far.

    A block that the row does not run (some look at pictures only) has none, (0,).

    Args:
        model: in evaluation mode, its parameters without gradient.
        batch: of one row, without padding; with a picture the slopes are squared.
    """
    fisher, count = batch["pictures"][0] is not None, len(layers)
    places = (batch["labels"][0, 1:] != IGNORED).nonzero().view(-1)
    seen = _activations(model, layers, batch, places)
    layers, own = [layers[number] for number in seen], [*seen.values()]
    path: list[int] = []
    told = [torch.zeros(0) for _ in range(count)]
    for number, which in enumerate(seen):
        gradient = torch.zeros_like(own[number])  # summed over frames, and over the path
        for frame in range(1, frames + 1):
            scaled = [one.clone() for one in own[: number + 1]]
            for one, neuron in zip(scaled, path, strict=False):
                one[:, neuron] *= frame / frames
            scaled[number] *= frame / frames
            slopes = _slopes(model, layers, batch, places, scaled)
            slopes = [slope.square() if fisher else slope for slope in slopes]
            gradient += slopes[number]
            for slope, neuron in zip(slopes, path, strict=False):
                gradient += slope[:, neuron, None]
        activation = own[number].clone()
        for one, neuron in zip(own, path, strict=False):
            activation += one[:, neuron, None]
        scores = (activation * gradient).sum(0)
        told[which] = scores.float().cpu()
        path.append(int(scores.argmax()))
    return told


def _activations(
    model: Any, layers: Sequence[nn.Module], batch: Mapping[str, Any], places: Tensor
) -> dict[int, Tensor]:
    """The inputs of each layer that is run, at some places of the one sequence, (places, n)."""
    seen: dict[int, Tensor] = {}

    def hook(number: int) -> Any:
        def see(module: nn.Module, given: tuple[Tensor, ...]) -> None:
            seen[number] = given[0].detach()[0, places]

        return see

    with torch.no_grad(), _hooked(layers, [hook(n) for n in range(len(layers))]):
        answer_logprobs(model, batch)
    return dict(sorted(seen.items()))


def _slopes(
    model: Any,
    layers: Sequence[nn.Module],
    batch: Mapping[str, Any],
    places: Tensor,
    inputs: Sequence[Tensor],
) -> list[Tensor]:
    """The gradient of the answers' log-probability at given inputs of the lowest layers."""
    put = [one.detach().requires_grad_(True) for one in inputs]

    def hook(number: int) -> Any:
        def replace(module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            x = given[0].clone()
            x[0, places] = put[number]
            return (x, *given[1:])

        return replace

    with _hooked(layers[: len(put)], [hook(n) for n in range(len(put))]):
        total = answer_logprobs(model, batch).sum()
    return [*torch.autograd.grad(total, put)]


@contextmanager
def _hooked(layers: Sequence[nn.Module], hooks: Sequence[Any]) -> Iterator[None]:
    with ExitStack() as inside:
        for layer, hook in zip(layers, hooks, strict=True):
            inside.callback(layer.register_forward_pre_hook(hook).remove)
        yield
