"""What single neurons and single weights have to do with some rows: looked up, nothing trained.

Activations and gradients are taken where they arise, through hooks, and only sums over the rows are
kept, so that memory does not grow with the rows; the model is afterwards as it was. Nothing random:
no dropout, rows in their order.

Cost: for activations a forward pass a row; for gradients also a backward pass, which keeps one
whole gradient matrix at a time, and 4 bytes for each entry of the asked-for weights on the CPU.
Who cannot hold that for all weights asks for some of them after the other (`in_groups`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from excise.training.batches import batches
from excise.training.loss import answer_cross_entropy, run_answers
from excise.training.undisturbed import undisturbed
from excise.vlm.load import VLM
from excise.vlm.rows import Row


@dataclass
class Activity:
    """Sums over tokens of one layer's inputs: how active each of its (n,) neurons is; float64."""

    tokens: int
    absolute: Tensor
    plain: Tensor
    square: Tensor

    @property
    def mean_abs(self) -> Tensor:
        return self.absolute / self.tokens

    @property
    def rms(self) -> Tensor:
        """Root of the mean square."""
        return (self.square / self.tokens).sqrt()

    @property
    def std(self) -> Tensor:
        """Standard deviation over the tokens, of the population."""
        mean = self.plain / self.tokens
        return (self.square / self.tokens - mean.square()).clamp(min=0).sqrt()


def activity(vlm: VLM, rows: Sequence[Row], modules: Sequence[str]) -> dict[str, Activity]:
    """How active the inputs of some linear layers are over all tokens of the rows.

    Raises:
        InputError: a row does not fit the model.
    """
    found: dict[str, Activity] = {}

    def see(name: str, x: Tensor) -> None:
        x = x.double()
        sums = (x.abs().sum(0).cpu(), x.sum(0).cpu(), x.square().sum(0).cpu())
        if name not in found:
            found[name] = Activity(len(x), *sums)
            return
        there = found[name]
        there.tokens += len(x)
        for whole, part in zip((there.absolute, there.plain, there.square), sums, strict=True):
            whole += part

    _inputs(vlm, rows, modules, see)
    return found


def input_products(vlm: VLM, rows: Sequence[Row], modules: Sequence[str]) -> dict[str, Tensor]:
    """`2 / tokens * sum of x xᵀ` over a layer's inputs x, (in, in) float32 on the CPU.

    That is the Hessian of the squared error of the layer's outputs, the same for each output.

    Raises:
        InputError: a row does not fit the model.
    """
    found: dict[str, Tensor] = {}
    tokens: dict[str, int] = {}

    def see(name: str, x: Tensor) -> None:
        x = x.float()
        if name not in found:
            found[name], tokens[name] = torch.zeros(x.shape[1], x.shape[1]), 0
        found[name] += (x.T @ x).cpu()
        tokens[name] += len(x)

    _inputs(vlm, rows, modules, see)
    return {name: product.mul_(2 / tokens[name]) for name, product in found.items()}


def gradients(
    vlm: VLM, rows: Sequence[Row], modules: Sequence[str], batch: int = 1
) -> dict[str, Tensor]:
    """The gradient of the answers' cross entropy at the weights, a mean over batches of rows.

    Returns:
        (out, in), float32, on the CPU, by module.

    Raises:
        InputError: a row does not fit the model.
    """
    return _over_batches(vlm, rows, modules, batch, lambda grad: grad)


def squared_gradients(
    vlm: VLM, rows: Sequence[Row], modules: Sequence[str], batch: int = 1
) -> dict[str, Tensor]:
    """The diagonal of the empirical Fisher information: a mean of squared batch gradients."""
    return _over_batches(vlm, rows, modules, batch, Tensor.square)


def in_groups(sizes: Mapping[str, int], most: int) -> Iterator[list[str]]:
    """The names in their order, in groups of at most so much together, or of one."""
    group: list[str] = []
    left = most
    for name, size in sizes.items():
        if group and size > left:
            yield group
            group, left = [], most
        group.append(name)
        left -= size
    if group:
        yield group


def _inputs(
    vlm: VLM, rows: Sequence[Row], modules: Sequence[str], see: Callable[[str, Tensor], None]
) -> None:
    """Show every layer's inputs, (tokens, in), row after row."""

    def hook(name: str, module: nn.Module, given: tuple[Tensor, ...]) -> None:
        see(name, given[0].detach().flatten(0, -2))

    model: Any = vlm.model  # whose methods have no types
    given = batches(vlm, rows, 1)
    with undisturbed(model), ExitStack() as hooks, torch.no_grad():
        model.eval()
        for name in modules:
            module = model.get_submodule(name)
            hooks.enter_context(_removed(module.register_forward_pre_hook(partial(hook, name))))
        for batch in given:
            run_answers(model, batch)


def _over_batches(
    vlm: VLM,
    rows: Sequence[Row],
    modules: Sequence[str],
    size: int,
    each: Callable[[Tensor], Tensor],
) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    count = 0

    def hook(name: str, weight: Tensor) -> None:
        assert weight.grad is not None
        found[name] += each(weight.grad.float()).cpu()
        weight.grad = None  # else all of them would be held together

    model: Any = vlm.model
    given = batches(vlm, rows, size)
    with undisturbed(model), ExitStack() as hooks:
        model.eval()
        model.requires_grad_(False)
        for name in modules:
            weight: Any = model.get_parameter(f"{name}.weight").requires_grad_(True)
            found[name] = torch.zeros(weight.shape)
            handle = weight.register_post_accumulate_grad_hook(partial(hook, name))
            hooks.enter_context(_removed(handle))
        for batch in given:
            answer_cross_entropy(model, batch).backward()  # type: ignore[no-untyped-call]
            count += 1
    return {name: total.div_(count) for name, total in found.items()}


@contextmanager
def _removed(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()
