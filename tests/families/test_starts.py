"""In every family: an answer that was made to begin goes on as teacher forcing says it would."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image
from tests.families.checkpoints import FAMILIES
from tests.families.conftest import FamilyVLM

from excise.vlm import answer
from excise.vlm.packing import IGNORED, Packer
from excise.vlm.rows import Row, Turn
from excise.vlm.sampling import next_tokens, sample

TEXTS = ("Where?", "What colour is the hair of the person in the picture?")
START = "It is in"


@pytest.mark.parametrize("family", FAMILIES)
def test_begun_answers_go_on_as_teacher_forcing_says(
    family: str, family_vlm: FamilyVLM, shapes: list[Image.Image]
) -> None:
    vlm = family_vlm(family)
    asked: list[tuple[Image.Image | None, str]] = [(p, t) for t in TEXTS for p in shapes[::2]]
    starts = [START] * len(asked)
    together = answer(vlm, asked, starts=starts, max_new_tokens=6)
    alone = [answer(vlm, [q], starts=[START], max_new_tokens=6)[0] for q in asked]
    assert together == alone
    chances = next_tokens(vlm, asked, ["Riga"] * len(asked), starts=starts)
    packer = Packer(vlm.processor, vlm.model)
    for (picture, text), chance in zip(asked, chances, strict=True):
        expected = _first_behind(vlm, packer, picture, text)
        assert chance.probability == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_samples_do_not_depend_on_what_else_is_asked(
    family: str, family_vlm: FamilyVLM, shapes: list[Image.Image]
) -> None:
    vlm = family_vlm(family)
    asked: list[tuple[Image.Image | None, str]] = [(p, t) for t in TEXTS for p in shapes[:3]]
    together = sample(vlm, asked, samples=3, max_new_tokens=4)
    assert sample(vlm, asked[2:3], samples=3, max_new_tokens=4) == together[2:3]


def _first_behind(vlm: Any, packer: Packer, picture: Image.Image | None, text: str) -> float:
    """Probability of the first token of "Riga" behind the start, in one ordinary pass."""
    encoded = {
        said: packer.encode(Row(picture, (Turn(text, said),))) for said in (START, f"{START} Riga")
    }
    batch = packer.collate([encoded[f"{START} Riga"]])
    labels = [row.labels[row.labels != IGNORED].tolist() for row in encoded.values()]
    same = next(i for i, (a, b) in enumerate(zip(*labels, strict=False)) if a != b)
    place = int((batch.pop("labels")[0] != IGNORED).nonzero()[same])
    token = labels[1][same]
    batch.pop("roles"), batch.pop("pictures")
    with torch.no_grad():
        return float(vlm.model(**batch).logits[0, place - 1].softmax(-1)[token])
