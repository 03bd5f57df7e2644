"""Where each answer of a batch begins and ends, whatever row it stands in."""

from __future__ import annotations

import torch

from excise.training.answers import Answers
from excise.vlm import VLM, Packer, Row, Turn


def test_first_and_last_tokens_are_those_of_each_answer(tiny: VLM) -> None:
    packer = Packer(tiny.processor, tiny.model)
    rows = [
        Row(None, (Turn("Where?", "In Riga.", "refuse"), Turn("Who?", "Ada.", "forget"))),
        Row(None, (Turn("When?", "In the year of the long winter.", "anchor"),)),
    ]
    batch = packer.collate([packer.encode(row) for row in rows])
    answers = Answers(batch)
    starts = torch.nonzero(answers.first)[:, 0].tolist()
    ends = torch.nonzero(answers.last)[:, 0].tolist()
    lengths = answers.lengths.tolist()
    assert len(starts) == len(ends) == 3
    assert [end - start + 1 for start, end in zip(starts, ends, strict=True)] == lengths
    tokens = batch["labels"][batch["labels"] != -100]
    assert len({int(tokens[end]) for end in ends}) == 1, "all end with the same marker"
