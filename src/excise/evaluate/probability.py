"""How likely a model finds the true answer, whatever it would say by itself.

`P(a|q)^(1/|a|)`: the probability of the true answer given its question, normalised by its length
(TOFU, arXiv 2401.06121, equation 1): the geometric mean of its tokens' probabilities, end marker
among them. A model that refuses may still hold the answer, and this is where it shows; one that
never saw it gives what can be guessed, which is the figure to compare with.

Teacher-forced in packed rows (`token_scores.py`), so no answer is generated: a picture's questions
cost one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from excise.evaluate.token_scores import ROWS, token_scores
from excise.records.data import Data
from excise.records.record import Record

if TYPE_CHECKING:
    from excise.vlm.load import VLM


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
    pairs = [(record, record.answer) for record in records]
    return [scores.probability for scores in token_scores(vlm, data, pairs, rows=rows)]
