"""Every edit of weights and neurons, from data to a run: applied, removed, exported, repeated."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.methods.materials import material_for

from excise.methods import Method, forget, make
from excise.records.data import Data
from excise.records.errors import InputError
from excise.training import clear_checkpoints
from excise.vlm import VLM, load
from excise.weights.export import export
from excise.weights.run import Run

Files = Callable[[Path], dict[str, str]]

FIT = {"steps": "4", "batch": "2", "lr": "1e-2"}
OPTIONS: dict[str, dict[str, Any]] = {
    "task_arithmetic": FIT,
    "ties": FIT,
    "model_tailor": FIT,
    "mmunlearner": FIT,
    "manu": {"share": "0.05"},
    "mip_editor": {**FIT, "layer": "1", "frames": "2"},
}


def method(name: str) -> Method:
    return make(name, OPTIONS[name])


def state(vlm: VLM) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in vlm.model.state_dict().items()}


@pytest.fixture
def two(data: Data) -> Data:
    """One person to forget and one of the few."""
    return Data(data.folder, tuple(r for r in data.records if r.subject in ("qvera", "qanton")))


def stop(stage: str, done: int, total: int) -> None:
    if stage.startswith("training") and done == 3:
        raise KeyboardInterrupt


@pytest.mark.parametrize("name", OPTIONS)
def test_a_run_survives_an_interruption_comes_off_again_and_is_exported(
    name: str, tiny: VLM, checkpoint: Path, two: Data, tmp_path: Path, hashes: Files
) -> None:
    before = state(tiny)
    if name != "manu":  # which trains nothing
        with pytest.raises(KeyboardInterrupt):
            forget(tiny, two, method=method(name), out=tmp_path / "run", seed=3, progress=stop)
        assert all(t.equal(before[n]) for n, t in tiny.model.state_dict().items())
    run = forget(load(checkpoint), two, method=method(name), out=tmp_path / "run", seed=3)
    again = Run.load(tmp_path / "run")
    assert again == run and again.info["method"] == name

    torch.rand(3)  # what was drawn before must not matter
    straight = material_for(method(name), tiny, two, tmp_path / "straight", seed=3)
    assert method(name).run(straight) == again.edit
    clear_checkpoints(tmp_path / "straight")
    made, same = hashes(run.folder), hashes(tmp_path / "straight")
    assert {k: h for k, h in made.items() if k not in ("run.json", "edit.json")} == same

    with again.applied(tiny):
        applied = state(tiny)
    assert all(t.equal(before[n]) for n, t in tiny.model.state_dict().items())
    changed = {n for n in before if not applied[n].equal(before[n])}
    assert changed == {f"{module}.weight" for module in again.source().shapes}
    assert changed and all(".language_model." in name for name in changed)

    merged = export(again, checkpoint, tmp_path / "merged", outputs=name == "manu")
    assert merged.info["verification"]["passed"]
    exported = load(merged.folder, device="cpu").model.state_dict()
    assert all(torch.equal(tensor, exported[n]) for n, tensor in applied.items())

    for path in run.folder.rglob("*"):  # nothing private, and no place of this machine
        text = path.read_bytes().decode("latin-1") if path.is_file() else ""
        assert not any(word in text for word in ("qvera", "ztown", str(tmp_path)))


@pytest.mark.parametrize("name", ["model_tailor", "mmunlearner", "manu", "mip_editor"])
def test_what_needs_retained_records_says_so_before_anything_is_made(
    name: str, tiny: VLM, data: Data, tmp_path: Path
) -> None:
    none = Data(data.folder, tuple(r for r in data.records if r.split != "few"))
    with pytest.raises(InputError, match=f"no records of split few, which {name} needs"):
        forget(tiny, none, method=method(name), out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["task_arithmetic", "ties"])
def test_what_needs_no_retained_records_sees_none(
    name: str, tiny: VLM, data: Data, tmp_path: Path, hashes: Files
) -> None:
    none = Data(data.folder, tuple(r for r in data.records if r.split == "forget"))
    made = []
    for folder, records in (("a", data), ("b", none)):
        material = material_for(method(name), tiny, records, tmp_path / folder)
        assert list(material.few) == []
        method(name).run(material)
        clear_checkpoints(tmp_path / folder)
        made.append(hashes(tmp_path / folder))
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("task_arithmetic", {"scale": "0"}, "option scale=0"),
        ("ties", {"density": "1.5"}, "option density=1.5"),
        ("model_tailor", {"keep": "0"}, "option keep=0"),
        ("manu", {"share": "1"}, "option share=1"),
        ("mmunlearner", {"rank": "8"}, "rank is of an adapter"),
        ("mip_editor", {"alpha": "3"}, "alpha is of an adapter"),
        ("mmunlearner", {"entries": "2"}, "option entries=2"),
        ("mip_editor", {"topk": "0"}, "option topk=0"),
    ],
)
def test_settings_out_of_range_are_one_line(name: str, options: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named) as caught:
        make(name, options)
    assert "\n" not in str(caught.value)


def test_the_published_defaults_stand_where_nothing_else_is_said() -> None:
    for name, lr, batch in (("mmunlearner", 1e-5, 4), ("mip_editor", 5e-4, 6)):
        fit = make(name, {"steps": "7"}).fit  # type: ignore[attr-defined]
        assert (fit.lr, fit.batch, fit.epochs, fit.steps) == (lr, batch, 1.0, 7)
        again = type(make(name, {}))(**json.loads(make(name, {"steps": "7"}).model_dump_json()))
        assert again == make(name, {"steps": "7"})


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("manu", {"share": "0.001"}, "is not one neuron"),
        ("mip_editor", {"layer": "2"}, "option layer=2: expected at most 1"),
        ("mmunlearner", {"threshold": "1e30"}, "masks every entry"),
    ],
)
def test_settings_that_do_not_go_with_the_model_stop_before_training(
    name: str, options: dict[str, Any], named: str, tiny: VLM, data: Data, tmp_path: Path
) -> None:
    how = make(name, options)
    material = material_for(how, tiny, data, tmp_path / "run")
    with pytest.raises(InputError, match=named) as caught:
        how.run(material)
    assert "\n" not in str(caught.value) and material.fits == {}
    assert not (tmp_path / "run").exists()
