"""What a method may learn from, and what is held out of it for choosing a dial."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from excise.methods.material import SHARE, hold_out, retained, to_forget
from excise.methods.refusal import Refusal
from excise.records.data import Data
from excise.records.errors import InputError
from excise.records.record import Record


def fact(record: Record) -> tuple[str | None, str, str]:
    return record.subject, record.kind, record.answer.casefold()


@st.composite
def many(draw: st.DrawFn) -> list[Record]:
    """Records of few facts, so that many of them are asked more than once."""
    facts = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["p1", "p2", None]),
                st.sampled_from(["text_memory", "general"]),
                st.sampled_from(["Riga", "riga", "Oslo", "Ghent"]),
                st.sampled_from(["forget", "few"]),
            ),
            max_size=40,
        )
    )
    return [
        Record.model_validate(
            {
                "id": f"r{i}",
                "subject": subject,
                "kind": kind,
                "split": split,
                "question": f"Question {i}?",
                "answer": answer,
            }
        )
        for i, (subject, kind, answer, split) in enumerate(facts)
    ]


def ids(records: Sequence[Record]) -> list[str]:
    return [record.id for record in records]


@given(many(), st.integers(0, 5), st.sampled_from([0.0, 0.1, SHARE, 0.5, 1.0]))
@settings(max_examples=80, deadline=None)
def test_every_record_is_on_one_side_and_no_fact_goes_unlearnt(
    records: list[Record], seed: int, share: float
) -> None:
    learnt, held = hold_out(records, seed, share)
    assert sorted(ids(learnt) + ids(held)) == sorted(ids(records))
    assert not set(ids(learnt)) & set(ids(held))
    assert ids(learnt) == [r.id for r in records if r in learnt]  # the order of the file stays
    kept = {(r.split, *fact(r)) for r in learnt}
    assert {(r.split, *fact(r)) for r in records} == kept
    assert len(held) <= share * len(records)


@given(many(), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_the_choice_follows_from_the_seed(records: list[Record], seed: int) -> None:
    assert hold_out(records, seed) == hold_out(list(records), seed)


def test_a_fifth_is_held_out_where_every_fact_is_asked_often_and_seeds_differ() -> None:
    records = [
        Record(id=f"r{i}", split="forget", kind="text_memory", question=f"{i}?", answer=f"a{i % 5}")
        for i in range(50)
    ]
    held = {seed: tuple(ids(hold_out(records, seed)[1])) for seed in range(5)}
    assert all(len(chosen) == 10 for chosen in held.values())
    assert len(set(held.values())) == 5


def test_nothing_is_held_out_where_every_fact_is_asked_once() -> None:
    records = [
        Record(id=f"r{i}", split="few", kind="text_memory", question=f"{i}?", answer=f"a{i}")
        for i in range(50)
    ]
    assert hold_out(records, 0) == (records, [])


def test_a_method_forgets_private_records_and_keeps_the_few_of_every_kind(data: Data) -> None:
    forget, few = to_forget(data), retained(data, Refusal())
    assert {r.split for r in forget} == {"forget"} and {r.split for r in few} == {"few"}
    assert {r.kind for r in forget} == {"image_memory", "text_memory"} and len(forget) == 8
    assert "image_understanding" in {r.kind for r in few} and len(few) == 10


def _only(*records: dict[str, str]) -> Data:
    base = {"question": "Who?", "answer": "Riga", "kind": "text_memory"}
    made = [Record.model_validate({"id": f"r{i}", **base, **r}) for i, r in enumerate(records)]
    return Data(Path("folder"), tuple(made))


def test_records_for_scoring_are_not_learnt_from() -> None:
    scored = _only(
        {"split": "forget", "use": "score"}, {"split": "forget"}, {"split": "few", "use": "score"}
    )
    assert ids(to_forget(scored)) == ["r1"]
    with pytest.raises(InputError, match="folder: no records of split few"):
        retained(scored, Refusal())


def test_a_forget_set_of_what_anyone_can_see_is_refused() -> None:
    with pytest.raises(InputError, match="folder: no image_memory or text_memory records"):
        to_forget(_only({"split": "forget", "kind": "general"}))
