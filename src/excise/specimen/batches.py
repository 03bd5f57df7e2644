"""Pack samples into one batch for training from nothing, as fast as two cores allow.

The layout is that of `excise.vlm.rows`: the picture's tokens once, then every question, each seeing
the picture and itself, with positions restarted. Rows that are learnt from nothing by the hundred
thousand are tokenised here in one call for the whole batch, which is what this file is for; a test
holds it to the general packer, tensor by tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from excise.specimen.architecture import IMAGE_TOKENS
from excise.specimen.curriculum import Sample


class Batcher:
    """Turns samples into model inputs."""

    def __init__(self, processor: Any) -> None:
        self.tokenizer = processor.tokenizer
        ids = self.tokenizer.convert_tokens_to_ids
        self.pad, self.end = ids("<|pad|>"), ids("<|end|>")
        self.text_prefix = [ids("<|bos|>"), ids("<|user|>")]
        self.image_prefix = [*self.text_prefix, *[ids("<image>")] * IMAGE_TOKENS]
        self.answer = ids("<|assistant|>")

    def __call__(self, samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        """Inputs of shape `(B, T)`, a boolean mask `(B, 1, T, T)`, pixels `(P, 3, 64, 64)`."""
        texts = [text for sample in samples for turn in sample.turns for text in turn]
        ids = iter(self.tokenizer(texts, add_special_tokens=False)["input_ids"])
        rows: list[tuple[list[int], list[int], list[int], list[int]]] = []
        for sample in samples:
            prefix = self.text_prefix if sample.picture is None else self.image_prefix
            tokens, labels = list(prefix), [-100] * len(prefix)
            positions, owner = list(range(len(prefix))), [0] * len(prefix)
            for number in range(1, len(sample.turns) + 1):
                question, answer = next(ids), next(ids)
                turn = [*question, self.answer, *answer, self.end]
                tokens += turn
                labels += [-100] * (len(question) + 1) + [*answer, self.end]
                positions += range(len(prefix), len(prefix) + len(turn))
                owner += [number] * len(turn)
            rows.append((tokens, labels, positions, owner))
        length = max(len(row[0]) for row in rows)
        shape = (len(rows), length)
        inputs, labels_ = np.full(shape, self.pad), np.full(shape, -100)
        positions_, owners = np.zeros(shape, dtype=np.int64), np.full(shape, -1)
        for i, row in enumerate(rows):
            for array, values in zip((inputs, labels_, positions_, owners), row, strict=True):
                array[i, : len(values)] = values
        owners_ = torch.from_numpy(owners)
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        shared = (owners_[:, None, :] == 0) | (owners_[:, None, :] == owners_[:, :, None])
        batch = {
            "input_ids": torch.from_numpy(inputs),
            "position_ids": torch.from_numpy(positions_),
            "attention_mask": (shared & causal)[:, None],
            "labels": torch.from_numpy(labels_),
        }
        pictures = [np.asarray(s.picture) for s in samples if s.picture is not None]
        if pictures:
            pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
            batch["pixel_values"] = pixels.float() / 127.5 - 1
        return batch
