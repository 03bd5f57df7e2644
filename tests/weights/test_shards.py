"""What a checkpoint holds under which names, and how a touched weight is found in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.weights.exporting import LAYER, touched, write_run
from torch import Tensor
from transformers import conversion_mapping
from transformers.core_model_loading import Chunk, Concatenate, Interleave, WeightConverter

from excise.records.errors import InputError
from excise.vlm import load
from excise.weights.export import export
from excise.weights.run import Run
from excise.weights.shards import Checkpoint
from excise.weights.shards_names import Names

OLD = "language_model.model.layers.0.self_attn.q_proj.weight"


def rewrite(base: Path, change) -> None:
    """The checkpoint as one file, after `change` on its tensors."""
    tensors: dict[str, Tensor] = {}
    for path in base.glob("*.safetensors"):
        tensors |= load_file(path)
        path.unlink()
    (base / "model.safetensors.index.json").unlink(missing_ok=True)
    save_file(change(tensors), base / "model.safetensors", metadata={"format": "pt"})


def test_a_tensor_is_read_as_it_was_written(sharded) -> None:
    checkpoint = Checkpoint.read(str(sharded))
    for path in sharded.glob("*.safetensors"):
        for name, tensor in load_file(path).items():
            found = checkpoint.tensor(name)
            assert found.dtype == tensor.dtype and torch.equal(found, tensor)


def test_names_of_older_checkpoints_lead_to_the_modules_of_today(sharded) -> None:
    keys = list(Checkpoint.read(str(sharded)).places)
    assert OLD in keys  # what save_pretrained writes is not what the model calls it
    [piece] = Names(str(sharded), keys).pieces({LAYER: (32, 32)})
    assert piece.keys == [OLD] and piece.modules == {f"{LAYER}.weight": LAYER}


def test_todays_names_are_found_as_they_are(sharded, small_run, tmp_path) -> None:
    base = shutil.copytree(sharded, tmp_path / "base")
    modules = load(sharded, dtype="bfloat16", device="cpu").model.state_dict()
    rewrite(base, lambda tensors: {k: t.contiguous() for k, t in modules.items()})
    names = Names(str(base), Checkpoint.read(str(base)).places)
    assert [piece.keys for piece in names.pieces({LAYER: (32, 32)})] == [[f"{LAYER}.weight"]]


def test_a_touched_weight_that_is_not_stored_is_named(sharded, small_run, tmp_path) -> None:
    base = shutil.copytree(sharded, tmp_path / "base")
    rewrite(base, lambda tensors: {k: t for k, t in tensors.items() if k != OLD})
    names = Names(str(base), Checkpoint.read(str(base)).places)
    with pytest.raises(InputError, match=rf"{LAYER}\.weight is not in the checkpoint"):
        names.pieces({LAYER: (32, 32)})


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (LAYER, (32, 31), "the run was made for"),
        ("model.language_model.norm", (32, 32), "expected a plain Linear"),
        ("model.language_model.nothing", (32, 32), "does not have"),
    ],
)
def test_modules_that_do_not_fit_are_named(module, shape, message, sharded) -> None:
    names = Names(str(sharded), Checkpoint.read(str(sharded)).places)
    with pytest.raises(InputError, match=rf"^{module}: .*{message}"):
        names.pieces({module: shape})


def test_one_side_of_tied_weights_is_refused(sharded, tmp_path) -> None:
    base = shutil.copytree(sharded, tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    size = config["text_config"]["vocab_size"]
    free = Names(str(base), Checkpoint.read(str(base)).places)
    assert len(free.pieces({"lm_head": (size, 32)})) == 1
    config["tie_word_embeddings"] = config["text_config"]["tie_word_embeddings"] = True
    (base / "config.json").write_text(json.dumps(config))
    tied = Names(str(base), Checkpoint.read(str(base)).places)
    with pytest.raises(InputError, match=r"^lm_head: its weight is tied to .*embed_tokens"):
        tied.pieces({"lm_head": (size, 32)})


def test_packed_bytes_are_not_taken_for_weights(sharded, small_run, tmp_path) -> None:
    base = shutil.copytree(sharded, tmp_path / "base")
    rewrite(base, lambda tensors: tensors | {OLD: tensors[OLD].to(torch.float8_e4m3fn)})
    with pytest.raises(InputError, match=rf"^{OLD}: is stored as F8_E4M3"):
        export(small_run, base, tmp_path / "out")


@pytest.mark.parametrize("kind", ["moved", "unlisted", "broken"])
def test_an_index_that_does_not_fit_is_refused(kind, sharded, tmp_path) -> None:
    base = shutil.copytree(sharded, tmp_path / "base")
    path = base / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    files = sorted(set(index["weight_map"].values()))
    if kind == "moved":
        index["weight_map"][OLD] = next(f for f in files if f != index["weight_map"][OLD])
    elif kind == "unlisted":
        del index["weight_map"][OLD]
    path.write_text("{" if kind == "broken" else json.dumps(index))
    with pytest.raises(InputError):
        Checkpoint.read(str(base))


def fused(tensors: dict[str, Tensor], parts: list[str], whole: str) -> dict[str, Tensor]:
    made = dict(tensors)
    for key in tensors:
        if key.startswith("language_model") and key.endswith(parts[0]):
            stem = key.removesuffix(parts[0])
            made[stem + whole] = torch.cat([made.pop(stem + part) for part in parts])
    return made


def halved(tensors: dict[str, Tensor], whole: str, parts: list[str]) -> dict[str, Tensor]:
    made = dict(tensors)
    for key in tensors:
        if key.startswith("language_model") and key.endswith(whole):
            rows = made.pop(key).chunk(2)
            stem = key.removesuffix(whole)
            made |= {stem + p: t.contiguous() for p, t in zip(parts, rows, strict=True)}
    return made


@pytest.fixture
def registered(request) -> Iterator[None]:
    """A family whose checkpoints hold weights otherwise than its modules do."""
    conversion_mapping.register_checkpoint_conversion_mapping("qwen2", [request.param()])
    yield
    del conversion_mapping._checkpoint_conversion_mapping_cache["qwen2"]


GATE_UP = ["mlp.gate_proj.weight", "mlp.up_proj.weight"]
HALVES = ["self_attn.q_a.weight", "self_attn.q_b.weight"]


@pytest.mark.parametrize(
    ("registered", "change"),
    [
        (
            lambda: WeightConverter("mlp.gate_up.weight", list(GATE_UP), [Chunk(dim=0)]),
            lambda tensors: fused(tensors, GATE_UP, "mlp.gate_up.weight"),
        ),
        (
            lambda: WeightConverter(list(HALVES), "self_attn.q_proj.weight", [Concatenate(dim=0)]),
            lambda tensors: halved(tensors, "self_attn.q_proj.weight", HALVES),
        ),
    ],
    indirect=["registered"],
)
def test_weights_that_a_loader_cuts_or_joins_are_edited_through_it(
    registered, change, sharded, small_run, tmp_path
) -> None:
    base = shutil.copytree(sharded, tmp_path / "base")
    rewrite(base, change)
    run = write_run(tmp_path / "run", base, touched(base))
    vlm = load(base, dtype="bfloat16", device="cpu")
    plain = load(base, dtype="bfloat16", device="cpu")
    Run.load(run).apply(vlm)

    made = export(run, base, tmp_path / "out", outputs=False).folder

    assert load_file(made / "model.safetensors").keys() == (
        load_file(base / "model.safetensors").keys()
    )
    exported = load(made, dtype="bfloat16", device="cpu").model.state_dict()
    for name, tensor in vlm.model.state_dict().items():
        assert torch.equal(tensor, exported[name]), name
    assert not torch.equal(exported[f"{LAYER}.weight"], plain.model.state_dict()[f"{LAYER}.weight"])


class OneWay(Interleave):
    """A conversion that cannot be taken back."""

    @property
    def reverse_op(self):
        raise NotImplementedError


@pytest.mark.parametrize(
    "registered",
    [lambda: WeightConverter("self_attn.q.weight", "self_attn.q_proj.weight", [OneWay(dim=0)])],
    indirect=True,
)
def test_a_conversion_without_a_way_back_is_refused_by_name(registered, sharded, tmp_path) -> None:
    base = shutil.copytree(sharded, tmp_path / "base")
    renamed = "language_model.model.layers.0.self_attn.q.weight"
    rewrite(base, lambda tensors: {renamed if k == OLD else k: t for k, t in tensors.items()})
    run = write_run(tmp_path / "run", base, {LAYER: (32, 32)})
    with pytest.raises(InputError, match=r"self_attn\.q\.weight: cannot be edited"):
        export(run, base, tmp_path / "out")
