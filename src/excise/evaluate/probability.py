"""How likely a model finds the true answer, whatever it would say by itself.

`P(a|q)^(1/|a|)`: the probability of the true answer given its question, normalised by its length
(TOFU, arXiv 2401.06121, equation 1): the geometric mean of its tokens' probabilities, end marker
among them. A model that refuses may still hold the answer, and this is where it shows; one that
never saw it gives what can be guessed, which is the figure to compare with.

Teacher-forced in packed rows, so no answer is generated: a picture's questions cost one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from excise.records.data import Data
from excise.records.record import Record

if TYPE_CHECKING:
    from excise.vlm.load import VLM

ROWS = 8  # a batch: up to 64 questions


def answer_probability(
    vlm: VLM, data: Data, records: Sequence[Record], *, rows: int = ROWS
) -> list[float]:
    """The true answer's probability for each record, in [0, 1], in the order of `records`.

    Joined processes share the rows, and each gets all the values.

    Args:
        vlm: as it is now, with or without a run on it.
        rows: rows a batch; memory grows with it.

    Raises:
        InputError: a picture that cannot be read, or a record that does not fit the model.
    """
    import torch

    from excise.training.answers import Answers
    from excise.training.loss import answer_logprobs
    from excise.training.processes import world
    from excise.vlm.masks import moved
    from excise.vlm.packing import Packer
    from excise.vlm.rows import rows_from_records
    from excise.vlm.trial import evaluating

    packer = Packer(vlm.processor, vlm.model)
    mine = world().share(rows_from_records(data, records))
    found: dict[str, float] = {}
    with evaluating(vlm.model), torch.no_grad():
        for start in range(0, len(mine), rows):
            chunk = mine[start : start + rows]
            batch = packer.collate([packer.encode(row) for row in chunk])
            pictures = batch.pop("pictures")
            batch = {**moved(batch, vlm.device), "pictures": pictures}
            answers = Answers(batch)
            sums = answers.sums(answer_logprobs(vlm.model, batch))
            means = (sums / answers.lengths.to(sums.device)).exp().tolist()
            ids = [turn.record or "" for row in chunk for turn in row.turns]
            found.update(zip(ids, means, strict=True))
    everything = {name: value for part in world().gather(found) for name, value in part.items()}
    return [everything[record.id] for record in records]
