from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from excise.records.errors import InputError
from excise.weights.delta import read_adapter
from excise.weights.edit import EditSpec, edited_deltas
from excise.weights.sculpt import sculpt

Q = "layers.0.attn.q_proj"
EDIT = {
    "schema": "excise.edit/1",
    "criterion": "both",
    "branches": [{"adapter": "forgetting", "k": 5.0}],
    "anchor": "anchor",
}


def test_an_edit_is_written_and_read_again_unchanged(tmp_path: Path) -> None:
    spec = EditSpec.parse(EDIT, "edit")
    spec.write(tmp_path / "edit.json")
    assert EditSpec.read(tmp_path / "edit.json") == spec
    assert EDIT.items() <= json.loads((tmp_path / "edit.json").read_text()).items()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"schema": "excise.edit/9"}, "schema"),
        ({"criterion": "all"}, "criterion"),
        ({"branches": []}, "branches"),
        ({"branches": [{"adapter": "f", "k": -1}]}, r"branches\.0\.k"),
        ({"branches": [{"adapter": "f", "k": float("nan")}]}, r"branches\.0\.k"),
        ({"branches": [{"adapter": "f"}]}, "needs k"),
        ({"branches": [{"adapter": "f", "k": 1}] * 2}, "twice"),
        ({"branches": [{"adapter": "../f", "k": 1}]}, "inside the run"),
        ({"branches": [{"adapter": "/f", "k": 1}]}, "inside the run"),
        ({"anchor": None}, "needs an anchor"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_wrong_edit_file_is_refused_in_one_line(changes, named, tmp_path: Path) -> None:
    path = tmp_path / "edit.json"
    path.write_text(json.dumps({**EDIT, **changes}))
    with pytest.raises(InputError, match=named) as caught:
        EditSpec.read(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_the_dial_turns_all_branches_or_one() -> None:
    branches = [{"adapter": "forgetting-image", "k": 5}, {"adapter": "forgetting-text", "k": 10}]
    spec = EditSpec.parse({**EDIT, "branches": branches}, "edit")
    assert [b.k for b in spec.turned(2).branches] == [2, 2]
    assert [b.k for b in spec.turned({"forgetting-text": 3}).branches] == [5, 3]
    assert [b.k for b in spec.turned(criterion="direction").branches] == [5, 10]
    assert [b.k for b in spec.turned(0).branches] == [0, 0]
    for k in (-1.0, float("nan"), "x"):
        with pytest.raises(InputError, match=r"^k: "):
            spec.turned(k)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"did you mean .forgetting-text"):
        spec.turned({"forgeting-text": 3})
    with pytest.raises(InputError, match=r"criterion: .*did you mean .direction"):
        spec.turned(criterion="direktion")  # type: ignore[arg-type]


def test_a_plain_adapter_cannot_be_sculpted_without_an_anchor() -> None:
    plain = {"criterion": "none", "branches": [{"adapter": "forgetting"}], "anchor": None}
    spec = EditSpec.parse({"schema": "excise.edit/1", **plain}, "edit")
    with pytest.raises(InputError, match="needs an anchor"):
        spec.turned(2, "both")


@pytest.mark.parametrize("criterion", ["both", "direction", "magnitude"])
def test_the_change_is_the_sculpted_product(criterion, write_run) -> None:
    run = write_run(branches={"forgetting": 0.7}, criterion=criterion)
    f, a = read_adapter(run / "forgetting"), read_adapter(run / "anchor")
    deltas = dict(edited_deltas(run, EditSpec.read(run / "edit.json")))
    assert list(deltas) == sorted(f)
    for module, delta in deltas.items():
        expected = sculpt(f[module].dense(), a[module].dense(), k=0.7, criterion=criterion)
        assert torch.equal(delta, expected)
        assert 0 < int(delta.count_nonzero()) < delta.numel()


def test_without_a_criterion_the_plain_adapter_is_applied(write_run) -> None:
    run = write_run(criterion="none")
    f = read_adapter(run / "forgetting")
    for module, delta in edited_deltas(run, EditSpec.read(run / "edit.json")):
        assert torch.equal(delta, f[module].dense())


def test_branches_are_sculpted_by_their_own_k_and_averaged(write_run) -> None:
    run = write_run(branches={"image": 0.3, "text": 2.0})
    image, text, anchor = (read_adapter(run / name) for name in ("image", "text", "anchor"))
    for module, delta in edited_deltas(run, EditSpec.read(run / "edit.json")):
        a = anchor[module].dense()
        parts = [
            sculpt(image[module].dense(), a, k=0.3),
            sculpt(text[module].dense(), a, k=2.0),
        ]
        torch.testing.assert_close(delta, (parts[0] + parts[1]) / 2, rtol=1e-7, atol=0)


def test_a_module_missing_in_one_branch_counts_as_zero_there(write_run, draw) -> None:
    run = write_run(
        branches={"image": 1.0, "text": 1.0}, text=draw(1, {Q: (6, 5)}), criterion="none"
    )
    image, text = read_adapter(run / "image"), read_adapter(run / "text")
    deltas = dict(edited_deltas(run, EditSpec.read(run / "edit.json")))
    assert set(deltas) == set(image)
    other = "layers.1.attn.q_proj"
    assert torch.equal(deltas[other], image[other].dense() / 2)
    assert torch.equal(deltas[Q], (image[Q].dense() + text[Q].dense()) / 2)


def test_adapters_that_do_not_fit_together_are_refused(write_run, draw) -> None:
    lacking = write_run("a", anchor=draw(1, {Q: (6, 5)}))
    with pytest.raises(InputError, match=r"anchor: layers\.0\.mlp\.up_proj is missing"):
        next(edited_deltas(lacking, EditSpec.read(lacking / "edit.json")))
    shapes = {Q: (6, 4), "layers.0.mlp.up_proj": (7, 5), "layers.1.attn.q_proj": (6, 5)}
    other = write_run("b", anchor=draw(1, shapes))
    with pytest.raises(InputError, match=rf"{Q}: shape \(6, 4\)"):
        next(edited_deltas(other, EditSpec.read(other / "edit.json")))
