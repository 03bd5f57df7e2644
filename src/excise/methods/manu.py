"""MANU: prune the neurons that are busier on what is to be forgotten than on what is to stay.

How active a neuron of the feed-forward blocks is over some rows is measured in three ways: mean
size, standard deviation, and root mean square of its activations. Its score is how much larger
these are on the forget set than on the retained records,

    S_n = sum over the three of  I_k(D_f, n) / (I_k(D_r, n) + eps) - 1,

for rows with a picture and for those without, each by itself: the two doors use different neurons.
At each door the best `share` of all neurons of all layers are pruned. Nothing is trained.

As in the authors' code are the measures, their equal weights (it gives the paper's fourth, the
frequency of activation, none), the score, and one threshold for all layers. The paper itself
compares the doors within each measure instead. Other than there: a neuron is one of the block's
hidden units, and pruning it sets its row in the matrices before it and its column in the one after
it to zero, where the code takes every matrix's outputs for neurons of their own; the vision tower
is left alone; averages run over all tokens, where the code averages over the places of padded
batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from transformers import PreTrainedModel

from excise.methods.fit_defaults import require_floats
from excise.methods.method import Material, Method
from excise.records.errors import InputError
from excise.records.record import Record
from excise.training.importance import Activity, activity
from excise.training.processes import world
from excise.vlm.feed_forward import FeedForward, feed_forwards
from excise.vlm.placement import quantised
from excise.vlm.rows import rows_from_records
from excise.weights.edit import Branch, EditSpec
from excise.weights.sparse import Sparse, compact, write_sparse

EPS = 1e-5


class MANU(Method):
    """`manu`: prunes `share` of the neurons at each door, some 3 % with both."""

    name: ClassVar[str] = "manu"
    kind: ClassVar[str] = "edit"
    needs: ClassVar[tuple[str, ...]] = ("few", "activations")
    leaves: ClassVar[tuple[str, ...]] = ("edit",)
    reference: ClassVar[str] = "Liu et al., MANU (arXiv 2502.15910)"

    share: float = Field(0.02, gt=0, lt=1)
    """The authors' code prunes 2 %, the paper compares 2, 5 and 10 %."""

    def run(self, material: Material) -> EditSpec:
        require_floats(self.name, quantised(material.vlm.model))
        blocks = feed_forwards(material.vlm.model, material.vlm.parts)
        if int(self.share * sum(block.neurons for block in blocks)) < 1:
            raise InputError(f"manu: option share={self.share:g}: is not one neuron of this model")
        world().from_main(lambda: self._prune(material, blocks))
        return EditSpec(criterion="none", branches=(Branch(adapter="pruned"),))

    def _prune(self, material: Material, blocks: Sequence[FeedForward]) -> None:
        chosen: dict[str, Tensor] = {}
        for pictured in (True, False):
            sides = [
                [r for r in records if (r.image is not None) == pictured]
                for records in (material.forget, material.few)
            ]
            if not all(sides):
                continue
            forget, keep = (self._activity(material, blocks, side) for side in sides)
            for name, found in best({n: score(forget[n], keep[n]) for n in forget}, self.share):
                chosen[name] = torch.unique(torch.cat([chosen.get(name, found), found]))
        if not chosen:
            raise InputError("manu: split few has no records of the forget set's doors to compare")
        material.notes["neurons_pruned"] = sum(len(found) for found in chosen.values())
        pruned: dict[str, Sparse] = {}
        for block in blocks:
            if block.down in chosen:
                pruned |= prune(material.vlm.model, block, chosen[block.down])
        write_sparse(material.folder / "pruned", pruned, material.vlm.name)

    def _activity(
        self, material: Material, blocks: Sequence[FeedForward], records: Sequence[Record]
    ) -> dict[str, Activity]:
        rows = rows_from_records(material.data, records)
        return activity(material.vlm, rows, [block.down for block in blocks])


def score(forget: Activity, keep: Activity) -> Tensor:
    """How much more active each neuron is on the forget side, (n,): S_n, float64."""
    pairs = ((forget.mean_abs, keep.mean_abs), (forget.std, keep.std), (forget.rms, keep.rms))
    return sum((f / (k + EPS) - 1 for f, k in pairs), torch.zeros(len(forget.plain)))


def best(scores: Mapping[str, Tensor], share: float) -> list[tuple[str, Tensor]]:
    """The neurons of the best scores of all layers together, by layer: at least so many."""
    everything = torch.cat([*scores.values()])
    threshold = everything.topk(max(1, int(share * len(everything)))).values[-1]
    found = ((name, (values >= threshold).nonzero().view(-1)) for name, values in scores.items())
    return [(name, neurons) for name, neurons in found if len(neurons)]


def prune(model: PreTrainedModel, block: FeedForward, neurons: Tensor) -> dict[str, Sparse]:
    """The change that sets a neuron's rows before it and its column after it to zero, exactly."""
    changes = {}
    for name in (*block.up, block.down):
        weight = model.get_parameter(f"{name}.weight").detach()
        inside = torch.zeros(weight.shape, dtype=torch.bool)
        if name == block.down:
            inside[:, neurons] = True
        else:
            inside[block.rows(model, name, neurons)] = True
        index = inside.view(-1).nonzero().view(-1)
        values = -weight.reshape(-1)[index.to(weight.device)].float().cpu()
        shape = (weight.shape[0], weight.shape[1])
        changes[name] = Sparse(shape, compact(index, weight.numel()), values)
    return changes
