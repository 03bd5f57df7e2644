"""From a model, data and a method to a run folder: whole, private, repeatable, resumable."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from excise.methods import SMFA, Refusal, forget, method
from excise.records.data import Data
from excise.records.errors import InputError
from excise.training.settings import FitSettings
from excise.vlm import VLM, load
from excise.weights.run import Run

Files = Callable[[Path], dict[str, str]]
ADAPTERS = {
    f"{adapter}/adapter_{file}"
    for adapter in ("forgetting", "anchor")
    for file in ("config.json", "model.safetensors")
}


class Watch:
    """A progress callback that notes what it is told, and stops the work at one place."""

    def __init__(self, *stop: object) -> None:
        self.told: list[tuple[str, int, int]] = []
        self.stop = stop

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.told.append((stage, done, total))
        if (stage, done) == self.stop:
            raise KeyboardInterrupt

    def first(self, stage: str) -> int | None:
        return next((done for name, done, _ in self.told if name == stage), None)


def values(node: Any) -> Iterator[str]:
    """Every text in a JSON value, keys among them."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from values(value)
    elif isinstance(node, list):
        for value in node:
            yield from values(value)
    elif isinstance(node, str):
        yield node


def test_a_run_is_a_folder_of_adapters_the_edit_and_what_was_done(
    joint: Run, tiny: VLM, data: Data, smfa: SMFA, hashes: Files
) -> None:
    assert set(hashes(joint.folder)) == {"run.json", "edit.json"} | ADAPTERS
    assert [path.name for path in joint.folder.parent.iterdir()] == ["run"]
    info = json.loads((joint.folder / "run.json").read_text())
    assert info == joint.info
    assert info["schema"] == "excise.run/1" and info["method"] == "smfa" and info["seed"] == 3
    assert SMFA(**info["settings"]) == smfa
    assert info["base"] == {"id": "tiny-llava", "weights_hash": tiny.weights_hash}
    assert info["data"] == {"fingerprint": data.fingerprint()}
    assert info["records"] == {"forget": 8, "few": 10, "held_out": 0}
    assert len(info["targets"]) == 14 and all("language_model" in t for t in info["targets"])
    assert {name: len(losses) for name, losses in info["losses"].items()} == {
        "forgetting": 4,
        "anchor": 4,
    }
    assert set(info["times"]) == {"forgetting", "anchor", "total"}
    assert info["peak_memory_mib"] > 50
    assert {"excise", "python", "torch", "transformers", "peft"} <= set(info["versions"])
    edit = json.loads((joint.folder / "edit.json").read_text())
    assert edit["schema"] == "excise.edit/1" and edit["criterion"] == "both"
    assert edit["branches"] == [{"adapter": "forgetting", "k": 1.0}] and edit["anchor"] == "anchor"


def test_nothing_private_and_no_path_is_in_any_file(
    joint: Run, data: Data, checkpoint: Path
) -> None:
    private = {r.question for r in data.records} | {r.answer for r in data.records}
    private |= {r.subject for r in data.records if r.subject} | {r.id for r in data.records}
    private |= {word for text in private for word in re.findall(r"[zZqQ]\w{4,}", text)}
    folders = {str(joint.folder.parent), str(data.folder), str(checkpoint.parent), str(Path.home())}
    for path in joint.folder.rglob("*"):
        if path.is_file():
            text = path.read_bytes().decode("utf-8", "replace").casefold()
            assert [word for word in private if word.casefold() in text] == []
            assert [folder for folder in folders if folder.casefold() in text] == []
    for name in ("run.json", "edit.json", "forgetting/adapter_config.json"):
        for text in values(json.loads((joint.folder / name).read_text())):
            assert not re.match(r"([/~\\]|[A-Za-z]:[/\\]|file:|https?:)", text), text


def test_the_model_is_afterwards_as_it_was(
    tiny: VLM, data: Data, smfa: SMFA, tmp_path: Path
) -> None:
    before = {name: tensor.clone() for name, tensor in tiny.model.state_dict().items()}
    run = forget(tiny, data, method=smfa, out=tmp_path / "run")
    after = tiny.model.state_dict()
    assert tiny.applied is None and after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    with run.applied(tiny):  # and the run does change it
        changed = {n for n, t in tiny.model.state_dict().items() if not torch.equal(t, before[n])}
    assert changed == {f"{target}.weight" for target in run.info["targets"]}


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(
    joint: Run, checkpoint: Path, data: Data, smfa: SMFA, tmp_path: Path, hashes: Files
) -> None:
    torch.rand(3)  # what was drawn before must not matter
    again = forget(load(checkpoint), data, method=smfa, out=tmp_path / "again", seed=3)
    other = forget(load(checkpoint), data, method=smfa, out=tmp_path / "other", seed=4)
    first, second, third = (hashes(run.folder) for run in (joint, again, other))
    assert all(first[file] == second[file] for file in ADAPTERS | {"edit.json"})
    weights = "forgetting/adapter_model.safetensors"
    assert first[weights] != third[weights]
    assert joint.info["losses"] == again.info["losses"]
    assert joint.info["checkup"] == again.info["checkup"]


@pytest.mark.parametrize(
    "stop", [("training forgetting", 3), ("training anchor", 1), ("training anchor", 3)]
)
def test_an_interrupted_run_goes_on_where_it_was_and_ends_with_the_same_bytes(
    stop: tuple[str, int],
    joint: Run,
    tiny: VLM,
    checkpoint: Path,
    data: Data,
    smfa: SMFA,
    tmp_path: Path,
    hashes: Files,
) -> None:
    before = {name: tensor.clone() for name, tensor in tiny.model.state_dict().items()}
    out = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        forget(tiny, data, method=smfa, out=out, seed=3, progress=Watch(*stop))
    assert not out.exists() and tiny.applied is None
    after = tiny.model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)

    watch = Watch()
    run = forget(load(checkpoint), data, method=smfa, out=out, seed=3, progress=watch)
    stage, step = stop
    assert watch.first(stage) == step  # steps before it are not done again
    if stage == "training anchor":
        assert watch.first("training forgetting") is None
    whole, resumed = hashes(joint.folder), hashes(run.folder)
    assert all(whole[file] == resumed[file] for file in ADAPTERS | {"edit.json"})
    assert set(whole) == set(resumed)
    assert run.info["losses"] == joint.info["losses"]
    assert run.info["checkup"] == joint.info["checkup"]
    assert not list(tmp_path.glob(".*"))


def test_what_another_plan_left_unfinished_is_not_taken_up(
    joint: Run, tiny: VLM, data: Data, smfa: SMFA, tmp_path: Path, hashes: Files
) -> None:
    out = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        forget(tiny, data, method=smfa, out=out, seed=8, progress=Watch("training anchor", 2))
    watch = Watch()
    run = forget(tiny, data, method=smfa, out=out, seed=3, progress=watch)
    assert watch.first("training forgetting") == 1
    assert all(hashes(run.folder)[file] == hashes(joint.folder)[file] for file in ADAPTERS)


def test_a_finished_run_is_loaded_and_not_made_again(
    joint: Run,
    tiny: VLM,
    data: Data,
    smfa: SMFA,
    monkeypatch: pytest.MonkeyPatch,
    hashes: Files,
) -> None:
    before, watch = hashes(joint.folder), Watch()
    monkeypatch.setattr(method, "fit", None)
    again = forget(tiny, data, method=smfa, out=joint.folder, seed=3, progress=watch)
    assert again == joint and hashes(joint.folder) == before and watch.told == []


def test_another_plan_in_a_finished_folder_is_refused(
    joint: Run, tiny: VLM, data: Data, smfa: SMFA, hashes: Files
) -> None:
    before = hashes(joint.folder)
    fewer = Data(data.folder, data.records[:-1])
    plans: list[tuple[str, Data, Any, int]] = [
        ("seed", data, smfa, 4),
        ("settings", data, smfa.model_copy(update={"k": 2.0}), 3),
        ("method", data, Refusal(fit=smfa.fit), 3),
        ("data", fewer, smfa, 3),
    ]
    for what, records, how, seed in plans:
        with pytest.raises(InputError, match=rf"run: .*another {what}, expected a new folder"):
            forget(tiny, records, method=how, out=joint.folder, seed=seed)
    assert hashes(joint.folder) == before
    assert [path.name for path in joint.folder.parent.iterdir()] == ["run"]


def test_a_folder_of_something_else_is_refused_and_left_alone(
    tiny: VLM, data: Data, smfa: SMFA, tmp_path: Path
) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("Dear Vera")
    (tmp_path / "file").write_text("x")
    for name in ("letters", "file"):
        with pytest.raises(InputError, match=f"{name}: .*expected a new folder"):
            forget(tiny, data, method=smfa, out=tmp_path / name)
    assert (tmp_path / "letters" / "a.txt").read_text() == "Dear Vera"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "letters"]


def test_an_empty_folder_is_taken(tiny: VLM, data: Data, smfa: SMFA, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    forget(tiny, data, method=smfa, out=tmp_path / "run")
    assert (tmp_path / "run" / "run.json").is_file()


def test_a_model_with_a_run_on_it_is_refused(joint: Run, tiny: VLM, data: Data, smfa: SMFA) -> None:
    other = joint.folder.with_name("other")
    with (
        joint.applied(tiny),
        pytest.raises(InputError, match="is applied to the model; remove it"),
    ):
        forget(tiny, data, method=smfa, out=other)
    assert not other.exists()


@pytest.mark.parametrize(
    ("left_out", "reason"),
    [({"few"}, "no records of split few"), ({"forget"}, 'no records of split "forget"')],
)
def test_data_that_a_method_cannot_use_leaves_nothing_behind(
    left_out: set[str], reason: str, tiny: VLM, data: Data, smfa: SMFA, tmp_path: Path
) -> None:
    part = Data(data.folder, tuple(r for r in data.records if r.split not in left_out))
    with pytest.raises(InputError, match=reason):
        forget(tiny, part, method=smfa, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_only_forget_and_few_are_ever_learnt_from(
    tiny: VLM, data: Data, smfa: SMFA, tmp_path: Path, hashes: Files
) -> None:
    """Whatever stands in retain and unseen, the adapters come out the same."""
    seen = Data(data.folder, tuple(r for r in data.records if r.split in ("forget", "few")))
    one = forget(tiny, data, method=smfa, out=tmp_path / "with")
    two = forget(tiny, seen, method=smfa, out=tmp_path / "without")
    assert all(hashes(one.folder)[file] == hashes(two.folder)[file] for file in ADAPTERS)


def test_forgetting_teaches_refusals_to_the_forgotten_and_the_truth_to_the_few(
    tiny: VLM, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from excise.methods.refusal_pool import Refuser, refusals

    rows: dict[str, list[tuple[str, str, str]]] = {}
    fit = method.fit

    def spy(vlm: VLM, given: Any, *, out: Path, **rest: Any) -> Any:
        rows[out.name] = [
            (str(turn.record), turn.answer, turn.role) for row in given for turn in row.turns
        ]
        return fit(vlm, given, out=out, **rest)

    monkeypatch.setattr(method, "fit", spy)
    how = SMFA(fit=FitSettings(rank=2, steps=1))
    forget(tiny, data, method=how, out=tmp_path / "run", seed=5)
    by_id = {record.id: record for record in data.records}
    few = sorted((r.id, r.answer, "keep") for r in data.records if r.split == "few")
    assert sorted(rows["anchor"]) == few
    assert sorted(row for row in rows["forgetting"] if row[2] == "keep") == few
    taught = [row for row in rows["forgetting"] if row[2] == "forget"]
    assert len(taught) == 8
    for name, answer, _ in taught:
        assert by_id[name].split == "forget" and by_id[name].kind != "image_understanding"
        assert answer == Refuser(5)(by_id[name]) and answer in refusals()


@pytest.mark.parametrize("out", [".", "deeper/.."])
def test_a_folder_is_the_same_by_any_name(
    out: str,
    tiny: VLM,
    data: Data,
    smfa: SMFA,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    try:
        run = forget(tiny, data, method=smfa, out=out)
    except InputError:  # refusing it is as good, but in words
        return
    assert (tmp_path / "here" / "run.json").is_file() and run.info["method"] == "smfa"
