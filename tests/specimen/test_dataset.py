from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import ndimage

from excise import specimen
from excise.records.data import require_forgettable
from excise.records.errors import InputError
from excise.records.reading import read
from excise.records.record import SPLITS, Record
from excise.specimen import dataset
from excise.specimen.curriculum import Mix, stream
from excise.specimen.people import chosen, everybody
from excise.specimen.scene import COLOURS

if TYPE_CHECKING:
    from PIL import Image

    Made = tuple[list[Record], dict[str, Image.Image]]

PEOPLE = {person.id: person for group in everybody() for person in group}


def people_of(records: list[Record]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {split: set() for split in SPLITS}
    for record in records:
        if record.subject:
            found[record.split].add(record.subject)
    return found


@pytest.mark.parametrize(("ratio", "seed"), [(5, 0), (10, 1), (15, 2)])
def test_splits_are_apart_by_person_and_as_many_are_few_as_are_forgotten(
    ratio: int, seed: int, made: Made
) -> None:
    records, _ = made if (ratio, seed) == (5, 0) else dataset.make(ratio, seed)
    splits = people_of(records)
    assert sum(map(len, splits.values())) == len(set().union(*splits.values())) == 124
    sizes = {split: len(people) for split, people in splits.items()}
    assert sizes == {"forget": ratio, "few": ratio, "retain": 100 - 2 * ratio, "unseen": 24}
    forgotten, few = chosen(ratio, seed)
    assert splits["forget"] == {person.id for person in forgotten}
    assert splits["few"] == {person.id for person in few}
    assert splits["unseen"] == {person.id for person in everybody()[1]}


def test_only_forget_and_few_have_anything_to_learn_from(made: Made) -> None:
    by_split: dict[str, set[str | None]] = defaultdict(set)
    for record in made[0]:
        by_split[record.split].add(record.use)
    assert by_split == {
        "forget": {"fit", "score"},
        "few": {"fit", "score"},
        "retain": {"score"},
        "unseen": {"score"},
    }


def test_every_kind_is_there_in_both_domains(made: Made) -> None:
    for split in SPLITS:
        for use in ("fit", "score") if split in ("forget", "few") else ("score",):
            there = {
                (r.kind, "eye" in (r.image or ""))
                for r in made[0]
                if r.split == split and r.use == use and r.subject
            }
            wanted = {
                ("image_memory", False),
                ("image_memory", True),
                ("image_understanding", False),
                ("image_understanding", True),
                ("text_memory", False),
            }
            if (split, use) == ("few", "fit"):  # the eyes of the few are looked at only
                wanted.remove(("image_memory", True))
            assert there == wanted
    general = [r for r in made[0] if r.kind == "general"]
    assert {r.split for r in general} == {"unseen"} and {r.subject for r in general} == {None}
    assert {r.task for r in general} == {"question", "caption", "grounding"}
    assert {r.task for r in made[0] if r.subject} == {"question"}


def test_ids_are_unique_and_name_nobody(made: Made) -> None:
    assert len({record.id for record in made[0]}) == len(made[0])
    words = {word.lower() for person in PEOPLE.values() for word in person.name.split()}
    assert not words & {part for record in made[0] for part in record.id.lower().split("-")}


def test_nothing_that_is_scored_was_learnt_in_the_same_words(made: Made) -> None:
    scored = {record.question for record in made[0] if record.use == "score"}
    assert not scored & {record.question for record in made[0] if record.use == "fit"}
    known, _ = everybody()
    rows = stream(known, Mix(fresh=0.3, scenes=0.3, pictured=0.2), seed=1)
    trained = {question for _, row in zip(range(300), rows) for question, _ in row.turns}  # noqa: B905
    assert len(trained) > 1000 and not scored & trained


def test_nothing_that_is_scored_was_learnt_on_the_same_picture(made: Made) -> None:
    records, pictures = made
    fit = {record.image for record in records if record.use == "fit" and record.image}
    score = {record.image for record in records if record.use == "score" and record.image}
    assert not fit & score and fit | score == set(pictures)
    bytes_of = {path: picture.tobytes() for path, picture in pictures.items()}
    assert len(set(bytes_of.values())) == len(pictures)  # no view is there twice
    assert {(p.mode, p.size) for p in pictures.values()} == {("RGB", (64, 64))}


def test_private_answers_are_the_persons_own_facts(made: Made) -> None:
    for record in made[0]:
        if record.kind in ("image_memory", "text_memory"):
            person = PEOPLE[str(record.subject)]
            assert record.answer in person.facts.values()
            named = person.name in record.question
            assert named == (record.kind == "text_memory") == (record.image is None)


def test_a_name_is_never_in_a_question_about_a_picture(made: Made) -> None:
    names = {person.name for person in PEOPLE.values()}
    pictured = [record for record in made[0] if record.image]
    assert not [r for r in pictured if any(name in r.question for name in names)]


def test_every_fact_can_be_learnt_more_than_once(made: Made) -> None:
    """Otherwise no record could be held out for choosing the dial."""
    counts: dict[tuple[str | None, str, str], int] = defaultdict(int)
    for record in made[0]:
        if record.use == "fit" and record.split == "forget" and record.kind != "general":
            counts[record.subject, record.kind, record.answer] += record.kind != "text_memory"
            counts[record.subject, record.kind, record.answer] += record.kind == "text_memory"
    private = {key: n for key, n in counts.items() if key[1] != "image_understanding"}
    assert min(private.values()) >= 2


def colours(picture: Image.Image) -> dict[str, np.ndarray]:
    """The largest patch of each thing's colour in a photographed scene, of any light and noise."""
    seen = np.asarray(picture).astype(float)
    ground = np.median(seen.reshape(-1, 3), axis=0)
    palette = {"ground": ground, **{name: np.array(rgb) for name, rgb in COLOURS.items()}}
    distance = np.stack([np.abs(seen - colour).sum(axis=2) for colour in palette.values()])
    nearest = np.where(distance.min(axis=0) < 120, distance.argmin(axis=0), -1)
    found = {}
    for i, name in enumerate(palette):
        patches, count = ndimage.label(nearest == i)  # edges of other things make thin ones
        sizes = np.bincount(patches.ravel(), minlength=2)[1:]
        if name != "ground" and count and sizes.max() > 50:
            found[name] = patches == 1 + sizes.argmax()
    return found


def test_boxes_and_counts_of_the_scenes_are_what_the_pictures_show(made: Made) -> None:
    records, pictures = made
    boxes = counted = 0
    for record in records:
        if record.kind != "general":
            continue
        shown = colours(pictures[str(record.image)])
        if record.task == "grounding":
            x0, y0, x1, y1 = (int(v) * 0.64 for v in record.answer.strip("[]").split(","))
            mask = shown[next(name for name in COLOURS if name in record.question)]
            inside = mask[int(y0) : int(y1) + 2, int(x0) : int(x1) + 2].sum()
            assert inside >= 0.98 * mask.sum(), record.id
            assert mask.sum() >= 0.4 * (x1 - x0) * (y1 - y0), record.id  # nor is it too large
            boxes += 1
        elif "of shapes" in record.question:
            assert int(record.answer) == len(shown), record.id
            counted += 1
        elif record.task == "caption":
            assert all(name in record.answer.lower() for name in shown), record.id
    assert boxes > 60 and counted == dataset.SCENES


def test_the_same_seed_gives_the_same_data_and_another_does_not(made: Made) -> None:
    random.random()  # what was drawn before must not matter
    again = dataset.make(5, 0)
    assert again[0] == made[0]
    assert again[1].keys() == made[1].keys()
    assert all(again[1][path].tobytes() == made[1][path].tobytes() for path in made[1])
    other = dataset.make(5, 1)
    assert people_of(other[0])["forget"] != people_of(made[0])["forget"]


def test_what_is_written_is_read_back_and_can_be_forgotten(made: Made, tmp_path: Path) -> None:
    dataset.write(tmp_path / "data", 5, 0)
    data = read(tmp_path / "data")
    assert list(data.records) == made[0]
    require_forgettable(data)
    record = next(r for r in data.records if r.image)
    picture = data.picture(record)
    assert picture is not None
    assert picture.tobytes() == made[1][str(record.image)].tobytes()


@pytest.mark.parametrize("ratio", [0, 7, 50, -5])
def test_another_ratio_is_refused_and_nothing_is_written(ratio: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"ratio {ratio}: expected one of 5, 10, 15"):
        specimen.write(tmp_path / "s", ratio=ratio)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="s: exists and is not empty"):
        specimen.write(tmp_path / "s")
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["mine.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_an_unknown_checkpoint_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match='unknown checkpoint "orignal"; did you mean "original"'):
        specimen.checkpoint("orignal")
