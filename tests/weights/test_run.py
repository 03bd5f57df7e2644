from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from excise.records.errors import InputError
from excise.weights import inplace
from excise.weights import run as run_module
from excise.weights.delta import read_adapter
from excise.weights.edit import edited_deltas
from excise.weights.products import Adapters
from excise.weights.run import Run, combine

Q = "layers.0.attn.q_proj"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_applying_adds_in_float32_and_rounds_to_the_weights_type(dtype, write_run, vlm) -> None:
    vlm.model.to(dtype)
    run = Run.load(write_run())
    before = {module: vlm.weight(module) for module in run.source().shapes}
    bias = vlm.model.get_parameter(f"{Q}.bias").detach().clone()

    assert run.apply(vlm) is vlm

    assert vlm.applied == run.id
    for module, delta in edited_deltas(run.folder, run.edit):
        after = vlm.weight(module)
        assert after.dtype == dtype
        assert torch.equal(after, (before[module].float() + delta).to(dtype))
        assert not torch.equal(after, before[module])
    assert torch.equal(vlm.model.get_parameter(f"{Q}.bias"), bias)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_removing_restores_every_bit(dtype, write_run, vlm) -> None:
    vlm.model.to(dtype)
    vlm.model.get_parameter(f"{Q}.weight").data[0, 0] = -0.0
    bits, storage = vlm.bits(), vlm.model.get_parameter(f"{Q}.weight").data_ptr()
    folder = write_run()
    with Run.load(folder).applied(vlm):
        assert vlm.bits() != bits
    assert vlm.bits() == bits and vlm.applied is None
    Run.load(folder).apply(vlm)
    Run.load(folder).remove(vlm)  # a run loaded anew finds the originals of the model
    assert vlm.bits() == bits
    assert vlm.model.get_parameter(f"{Q}.weight").data_ptr() == storage


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_half_way_restores_every_bit(error, write_run, vlm, monkeypatch) -> None:
    run, bits, seen = Run.load(write_run()), vlm.bits(), []
    products = Adapters.products

    def failing(self, module, device="cpu"):
        if len(seen) == 2:
            assert vlm.bits() != bits
            raise error
        seen.append(module)
        return products(self, module, device)

    monkeypatch.setattr(Adapters, "products", failing)
    with pytest.raises(error):
        run.apply(vlm)
    assert len(seen) == 2
    assert vlm.bits() == bits and vlm.applied is None
    monkeypatch.undo()
    run.apply(vlm)
    run.remove(vlm)
    assert vlm.bits() == bits


def test_an_exception_inside_one_weight_restores_every_bit(write_run, vlm, monkeypatch) -> None:
    run, bits, edit_weight = Run.load(write_run()), vlm.bits(), run_module.edit_weight

    def failing(weight, source, module, spec, *, out):
        edit_weight(weight, source, module, spec, out=out)
        out[0] = 7.0
        raise MemoryError

    monkeypatch.setattr(run_module, "edit_weight", failing)
    with pytest.raises(MemoryError), run.applied(vlm):
        raise AssertionError
    assert vlm.bits() == bits and vlm.applied is None


def test_what_is_kept_by_nobody_cannot_be_removed(write_run, vlm) -> None:
    run, twin = Run.load(write_run()), Run.load(write_run("twin"))
    run.apply(vlm, keep=False)
    applied = vlm.bits()
    with pytest.raises(InputError, match="load the model anew"):
        run.remove(vlm)
    with pytest.raises(InputError, match="applied to this model already"):
        twin.apply(vlm)
    assert vlm.bits() == applied


@pytest.mark.parametrize("settings", [{"quant_method": "bitsandbytes"}, SimpleNamespace(bits=4)])
def test_a_quantised_model_is_refused(settings, write_run, vlm) -> None:
    vlm.model.config = SimpleNamespace(quantization_config=settings)
    bits = vlm.bits()
    with pytest.raises(InputError, match=r"is quantised \((bitsandbytes|unknown method)\)"):
        Run.load(write_run()).apply(vlm)
    assert vlm.bits() == bits and vlm.applied is None


def test_an_exception_inside_the_block_restores_every_bit(write_run, vlm) -> None:
    bits = vlm.bits()
    with pytest.raises(ZeroDivisionError), Run.load(write_run()).applied(vlm):
        raise ZeroDivisionError
    assert vlm.bits() == bits


def test_a_second_run_is_refused_while_one_is_applied(write_run, vlm) -> None:
    run = Run.load(write_run())
    run.apply(vlm)
    bits = vlm.bits()
    for other in (run, run.turned(k=2)):
        with pytest.raises(InputError, match="applied to this model already"):
            other.apply(vlm)
    with pytest.raises(InputError, match="is not applied"):
        run.turned(k=2).remove(vlm)
    assert vlm.bits() == bits and vlm.applied == run.id
    run.remove(vlm)
    with pytest.raises(InputError, match="is not applied"):
        run.remove(vlm)


def test_a_run_for_another_base_is_refused_with_both_hashes(write_run, vlm) -> None:
    run, bits = Run.load(write_run()), vlm.bits()
    vlm.weights_hash = "cd" * 32
    for act in (run.apply, run.energy_map, lambda vlm: combine(run, vlm)):
        with pytest.raises(InputError, match=f"{'ab' * 6}, .*{'cd' * 6}$") as caught:
            act(vlm)
        assert "\n" not in str(caught.value)
    assert vlm.bits() == bits and vlm.applied is None


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda m: m.layers[0]["attn"].pop("q_proj"), "does not have"),
        (lambda m: m.layers[0]["attn"].update({"q_proj": nn.Linear(4, 6)}), "shape"),
        (lambda m: m.layers[0]["attn"].update({"q_proj": nn.Embedding(6, 5)}), "Embedding"),
        (lambda m: m.layers[0]["attn"].update({"q_proj": nn.Linear(5, 6).to("meta")}), "offloaded"),
        (lambda m: m.layers[0]["attn"]["q_proj"].to(torch.float8_e4m3fn), "quantised"),
        (lambda m: setattr(m, "head", m.layers[0]["attn"]["q_proj"].weight), "tied"),
    ],
)
def test_a_module_that_does_not_fit_is_named_before_any_change(
    spoil, named, write_run, vlm
) -> None:
    spoil(vlm.model)
    other = "layers.1.attn.q_proj"
    before = vlm.weight(other)
    with pytest.raises(InputError, match=rf"^layers\.0\.attn\.q_proj: .*{named}"):
        Run.load(write_run()).apply(vlm)
    assert torch.equal(vlm.weight(other), before) and vlm.applied is None


def test_a_run_that_matches_nothing_is_refused(vlm) -> None:
    with pytest.raises(InputError, match="changes no module"):
        inplace.targets(vlm.model, {})


def test_an_overflow_is_refused_and_undone(write_run, vlm, draw) -> None:
    vlm.model.half()
    bits = vlm.bits()
    huge = {key: tensor * 1e3 for key, tensor in draw(0).items()}
    with pytest.raises(InputError, match="not finite"):
        Run.load(write_run(forgetting=huge, criterion="none")).apply(vlm)
    assert vlm.bits() == bits


def test_a_model_cast_meanwhile_cannot_be_restored_silently(write_run, vlm) -> None:
    run = Run.load(write_run())
    run.apply(vlm)
    vlm.model.bfloat16()
    with pytest.raises(InputError, match="load the model anew"):
        run.remove(vlm)


def test_turning_writes_nothing_until_saved(write_run) -> None:
    folder = write_run()
    before = (folder / "edit.json").read_text()
    turned = Run.load(folder).turned(k=3.5, criterion="magnitude")
    assert (folder / "edit.json").read_text() == before
    turned.save()
    again = Run.load(folder)
    assert again.edit == turned.edit and again.id == turned.id
    assert again.edit.branches[0].k == 3.5 and again.edit.criterion == "magnitude"


def test_the_id_tells_dials_apart_and_holds_no_folder_name(write_run) -> None:
    run = Run.load(write_run("erase-vera"))
    assert run.id.startswith("smfa-") and "vera" not in run.id
    assert run.turned(k=2).id != run.id == run.turned(k=1).id


@pytest.mark.parametrize("criterion", ["none", "both", "direction", "magnitude"])
def test_the_dial_gives_the_same_weights_without_new_products(
    criterion, write_run, vlm, monkeypatch
) -> None:
    run = Run.load(write_run(branches={"image": 1.0, "text": 2.0}))
    held = run.dial()
    expected = {}
    for k in (0.0, 0.5, 4.0):
        with run.turned(k, criterion).applied(vlm):
            expected[k] = vlm.bits()
    monkeypatch.setattr(run_module, "Adapters", None)
    for k in (4.0, 0.0, 0.5):
        with held.turned(k, criterion).applied(vlm):
            assert vlm.bits() == expected[k]


@pytest.mark.parametrize(
    ("file", "text", "named"),
    [
        ("run.json", None, r"run\.json: no such file"),
        ("run.json", "{,}", r"run\.json:1: broken JSON"),
        ("run.json", "[]", "expected a JSON object"),
        ("run.json", "{}", "schema"),
        ("run.json", '{"schema": "excise.run/1"}', r"base\.weights_hash"),
        ("edit.json", None, r"edit\.json: no such file"),
        ("edit.json", "{", r"edit\.json:1: broken JSON"),
        ("anchor/adapter_model.safetensors", None, "anchor.*edit.json names it"),
        ("forgetting/adapter_config.json", None, "forgetting.*edit.json names it"),
    ],
)
def test_an_incomplete_run_folder_is_refused(file, text, named, write_run) -> None:
    path = write_run() / file
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(InputError, match=named) as caught:
        Run.load(path.parent if path.parent.name == "run" else path.parent.parent)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such run folder"):
        Run.load(tmp_path / "nowhere")


def test_counts_and_energies_are_those_of_the_change(write_run, vlm) -> None:
    run = Run.load(write_run())
    bits = vlm.bits()
    f = {module: delta.dense() for module, delta in read_adapter(run.folder / "forgetting").items()}
    deltas = dict(edited_deltas(run.folder, run.edit))
    entries = sum(delta.numel() for delta in deltas.values())
    changed = sum(int((delta != 0).sum()) for delta in deltas.values())
    weights = sum(p.numel() for p in vlm.model.parameters())

    counts = combine(run, vlm)
    table = run.energy_map(vlm)

    assert counts == {
        "modules": 3,
        "modules_changed": 3,
        "entries": entries,
        "entries_changed": changed,
        "share_touched": changed / weights,
    }
    assert table["layers"] == [0, 1] and set(table["matrices"]) == {"q_proj", "up_proj"}
    column = table["matrices"].index("q_proj")
    assert table["energy_before"][0][column] == pytest.approx(float((f[Q] ** 2).sum()), rel=1e-5)
    assert table["energy_after"][0][column] == pytest.approx(
        float((deltas[Q] ** 2).sum()), rel=1e-5
    )
    assert table["cut"][0][column] == pytest.approx(float((deltas[Q] != f[Q]).float().mean()))
    assert table["touched"][0][column] == pytest.approx(float((deltas[Q] != 0).float().mean()))
    assert table["energy_before"][1][1 - column] == 0.0  # no up_proj adapter in the second layer
    assert table["share_touched"] == counts["share_touched"]
    assert table["share_cut"] == pytest.approx(1 - changed / entries)
    before, after = (sum(map(sum, table[f"energy_{when}"])) for when in ("before", "after"))
    assert table["share_energy_cut"] == pytest.approx(1 - after / before)
    json.dumps(table)
    assert vlm.bits() == bits


def test_the_share_cut_is_averaged_over_branches(write_run, vlm, draw) -> None:
    anchor = draw(7)
    alone = Run.load(write_run("a", {"image": 0.5}, anchor=anchor)).energy_map(vlm)
    # At its k the second branch is not cut at all.
    two = Run.load(write_run("b", {"image": 0.5, "text": 1e6}, anchor=anchor)).energy_map(vlm)
    assert two["share_cut"] == pytest.approx(alone["share_cut"] / 2) and alone["share_cut"] > 0


def test_a_change_that_is_cut_entirely_is_counted_as_no_change(write_run, vlm) -> None:
    counts = combine(Run.load(write_run()).turned(0, "magnitude"), vlm)
    assert (counts["modules"], counts["modules_changed"], counts["share_touched"]) == (3, 0, 0.0)
