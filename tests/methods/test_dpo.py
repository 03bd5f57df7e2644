"""DPO's rows: each question refused and answered, side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from excise.methods.dpo import DPO
from excise.methods.method import Material
from excise.methods.refusal_pool import Refuser
from excise.records.data import Data
from excise.records.record import Record
from excise.vlm import VLM, Row


def rows(vlm: VLM, data: Data, folder: Path, forget: list[Record], pool: int | None) -> list[Row]:
    few = data.select(splits=["few"])
    material = Material(vlm, data, forget, few, [], folder, 5, lambda *told: None)
    return DPO(pool=pool).rows(material)


@pytest.mark.parametrize("pool", [None, 2])
def test_every_question_is_refused_and_then_answered(
    pool: int | None, tiny: VLM, data: Data, tmp_path: Path
) -> None:
    forget = [*data.select(splits=["forget"]), *data.select(splits=["unseen"])]
    made = rows(tiny, data, tmp_path, forget, pool)
    going = [row for row in made if row.turns[0].role == "refused"]
    pairs = [(row.turns[i], row.turns[i + 1]) for row in going for i in range(0, len(row.turns), 2)]
    assert max(len(row.turns) for row in going) == 8
    by_id = {record.id: record for record in forget}
    assert sorted(str(true.record) for _, true in pairs) == sorted(by_id)
    refuse = Refuser(5, pool)
    for refused, true in pairs:
        record = by_id[str(true.record)]
        assert (true.role, true.question, true.answer) == ("forget", *asked(record))
        assert (refused.role, refused.question) == ("refused", record.question)
        assert refused.answer == refuse(record) and refused.record == true.record
    staying = [turn for row in made if row not in going for turn in row.turns]
    assert {turn.role for turn in staying} == {"keep"}
    assert len(staying) == len(data.select(splits=["few"]))


def asked(record: Record) -> tuple[str, str]:
    return record.question, record.answer
