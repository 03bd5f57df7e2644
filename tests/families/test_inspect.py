from __future__ import annotations

import re

import pytest
from tests.families.checkpoints import FAMILIES
from tests.families.conftest import FamilyVLM

from excise.cli.anatomy import ROW, anatomy

SEES_ITS_QUESTION = "its picture tokens see the question"


@pytest.mark.parametrize("family", FAMILIES)
def test_inspect_tells_parts_targets_sharing_and_memory(family: str, family_vlm: FamilyVLM) -> None:
    vlm = family_vlm(family)
    found = dict(anatomy(vlm))
    for part in ("vision_tower", "projector", "language_model"):
        name = getattr(vlm.parts, part)
        assert re.fullmatch(rf"{name}: [\d,]+ parameters", found[part.replace("_", " ")])
    assert found["adapted layers"].startswith("14 linear layers of the language model")
    assert "2 q_proj" in found["of these"] and "2 down_proj" in found["of these"]
    if family == "paligemma":
        assert found["training"] == f"one question a row: {SEES_ITS_QUESTION}"
        assert found["answering"] == f"each question by itself: {SEES_ITS_QUESTION}"
    else:
        assert found["training"].startswith("rows pack")
        assert found["answering"].startswith("questions share")
    assert {"memory, weights", "memory, adapter", f"memory, a row of {ROW:,}"} <= set(found)
