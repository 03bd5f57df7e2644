"""Choosing records, fingerprints, pseudonyms, and what can be forgotten at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from excise.records import Data, InputError, Record, pseudonym, require_forgettable, write_data
from excise.records.errors import ExciseError, did_you_mean
from excise.records.reading import read


def record(name: str, split: str, **changes: Any) -> Record:
    content = {"kind": "text_memory", "question": "Where?", "answer": "Riga", **changes}
    return Record.model_validate({"id": name, "split": split, **content})


def data(*records: Record) -> Data:
    return Data(Path("data"), records)


MIXED = data(
    record("f1", "forget", subject="p2"),
    record("f2", "forget", subject="p1", use="score"),
    record("f3", "forget", subject="p1", use="fit"),
    record("w1", "few", subject="p3"),
    record("r1", "retain", subject="p4", kind="general"),
    record("u1", "unseen", subject="p5"),
)


def names(records: list[Record]) -> list[str]:
    return [chosen.id for chosen in records]


def test_only_forget_and_few_are_ever_fitted() -> None:
    assert names(MIXED.select(use="fit")) == ["f1", "f3", "w1"]


def test_what_is_kept_for_fitting_is_not_scored() -> None:
    assert names(MIXED.select(use="score")) == ["f1", "f2", "w1", "r1", "u1"]


def test_splits_and_kinds_choose() -> None:
    assert names(MIXED.select(splits=["retain", "few"])) == ["w1", "r1"]
    assert names(MIXED.select(kinds=["general"])) == ["r1"]
    assert names(MIXED.select(splits=[])) == []
    assert MIXED.subjects("forget") == ["p1", "p2"]


def test_an_unknown_split_has_the_nearest_name() -> None:
    with pytest.raises(InputError, match='did you mean "unseen"'):
        MIXED.select(splits=["unseeen"])  # type: ignore[list-item]


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        MIXED.records[0].answer = "Oslo"


def test_forgetting_needs_something_to_forget() -> None:
    require_forgettable(MIXED)
    with pytest.raises(InputError, match='no records of split "forget"'):
        require_forgettable(data(record("r", "retain")))
    with pytest.raises(InputError, match='has use "score"'):
        require_forgettable(data(record("f", "forget", use="score")))


@pytest.mark.parametrize("split", ["few", "retain", "unseen"])
def test_nobody_is_both_forgotten_and_kept(split: str) -> None:
    with pytest.raises(InputError, match=f'also in split "{split}"') as caught:
        require_forgettable(
            data(record("f", "forget", subject="Vera"), record("o", split, subject="Vera"))
        )
    assert "Vera" not in str(caught.value)


def test_the_fingerprint_ignores_order_and_sees_every_change(tmp_path: Path) -> None:
    one = record("a", "forget", kind="image_memory", image="a.png")
    two = record("b", "forget", note="x")

    def fingerprint(name: str, records: list[Record], colour: str = "red") -> str:
        write_data(
            tmp_path / name,
            records,
            {r.image: Image.new("RGB", (9, 9), colour) for r in records if r.image},
        )
        return read(tmp_path / name).fingerprint()

    base = fingerprint("1", [one, two])
    assert base == fingerprint("2", [two, one])
    assert base == fingerprint("3", [one.model_copy(update={"image": "other/b.png"}), two])
    changed = {
        fingerprint("4", [one, two], "blue"),
        fingerprint("5", [one.model_copy(update={"answer": "Oslo"}), two]),
        fingerprint("6", [one, record("b", "forget", note="y")]),
        fingerprint("7", [one]),
    }
    assert len(changed | {base}) == 5


def test_a_picture_that_vanished_is_named(tmp_path: Path) -> None:
    one = record("a", "forget", kind="image_memory", image="a.png")
    write_data(tmp_path / "d", [one], {"a.png": Image.new("RGB", (9, 9))})
    read_back = read(tmp_path / "d")
    (tmp_path / "d/a.png").unlink()
    with pytest.raises(InputError, match=r'a\.png: picture of record "a" is missing'):
        read_back.picture(one)
    with pytest.raises(InputError, match=r'a\.png: picture of record "a" cannot be read'):
        read_back.fingerprint()


def test_pseudonyms_depend_on_person_and_salt_only() -> None:
    assert pseudonym("Vera", "s") == pseudonym("Vera", "s")
    assert len({pseudonym(f"p{n}", "s") for n in range(100)} | {pseudonym("p1", "t")}) == 101
    assert pseudonym("Vera", "s").startswith("person-") and "Vera" not in pseudonym("Vera", "s")


def test_an_error_is_one_line() -> None:
    assert str(ExciseError("one\ntwo\r\nthree")) == "one two three"


def test_a_near_name_is_suggested_and_a_far_one_is_not() -> None:
    assert did_you_mean("SMFAA", ["smfa", "refusal"]) == '; did you mean "smfa"?'
    assert did_you_mean("xyz", ["smfa", "refusal"]) == ""
