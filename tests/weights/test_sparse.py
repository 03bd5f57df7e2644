"""The sparse change on disk: what is written is read back, and nothing doubtful is read at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from excise.records.errors import InputError
from excise.weights.changes import read_changes
from excise.weights.sparse import Sparse, compact, read_sparse, write_sparse

M = "layers.0.mlp.up_proj"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A folder of one matrix of (3, 4); keyword arguments replace its parts."""

    def made(config: Any = None, **parts: Tensor | None) -> Path:
        folder = tmp_path / "branch"
        folder.mkdir()
        tensors: dict[str, Tensor | None] = {
            "index": torch.tensor([1, 5, 11]),
            "values": torch.tensor([0.5, -1.0, 2.0]),
        } | parts
        kept = {f"{M}.{name}": t for name, t in tensors.items() if t is not None}
        save_file(kept, folder / "sparse.safetensors")
        plain = {"schema": "excise.sparse/1", "shapes": {M: [3, 4]}}
        (folder / "sparse.json").write_text(json.dumps(plain if config is None else config))
        return folder

    return made


def test_what_is_written_is_read_back_with_the_same_bits(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    dense = torch.randn(30, 20, generator=generator)
    dense[torch.rand(30, 20, generator=generator) < 0.8] = 0.0
    empty = Sparse((2, 2), torch.empty(0, dtype=torch.int32), torch.empty(0))
    write_sparse(tmp_path / "a", {M: Sparse.of(dense), "no": empty}, "tiny")
    found = read_sparse(tmp_path / "a")
    assert found.keys() == {M} and torch.equal(found[M].dense(), dense)
    assert found[M].norm() == pytest.approx(float(dense.double().norm()), rel=1e-12)
    assert torch.equal(found[M].negated().dense(), -dense)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "sparse.json",
        "sparse.safetensors",
    ]
    config = json.loads((tmp_path / "a" / "sparse.json").read_text())
    assert config == {
        "schema": "excise.sparse/1",
        "base_model_name_or_path": "tiny",
        "shapes": {M: [30, 20]},
    }


def test_places_are_32_bits_wide_where_that_is_enough() -> None:
    assert compact(torch.tensor([3]), 2**31 - 1).dtype == torch.int32
    assert compact(torch.tensor([3]), 2**31).dtype == torch.int64


@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
def test_both_kinds_of_places_are_read(kind: torch.dtype, write: Callable[..., Path]) -> None:
    found = read_changes(write(index=torch.tensor([1, 5, 11], dtype=kind)))[M]
    assert found.dense().tolist() == [[0, 0.5, 0, 0], [0, -1.0, 0, 0], [0, 0, 0, 2.0]]


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"index": torch.tensor([1, 5, 12])}, r"points outside of a matrix of \(3, 4\)"),
        ({"index": torch.tensor([-1, 5, 11])}, "points outside"),
        ({"index": torch.tensor([1, 5, 5])}, "does not rise"),
        ({"index": torch.tensor([5, 1, 11])}, "does not rise"),
        ({"index": torch.tensor([1.0, 5.0, 11.0])}, "not a list of int32 or int64"),
        ({"index": torch.tensor([[1, 5, 11]])}, "not a list"),
        ({"index": torch.tensor([1, 5, 11], dtype=torch.int16)}, "not a list"),
        ({"values": torch.tensor([0.5, float("nan"), 1.0])}, "NaN or infinite"),
        ({"values": torch.tensor([0.5, float("inf"), 1.0])}, "NaN or infinite"),
        ({"values": torch.tensor([0.5, 1.0])}, r"expected float32 \(3,\)"),
        ({"values": torch.tensor([0.5, 1.0, 1.0]).bfloat16()}, "bfloat16"),
        ({"values": None}, "values is missing"),
        ({"index": None}, "index is missing"),
        ({"bias": torch.zeros(3)}, r"up_proj\.bias is neither index nor values"),
    ],
)
def test_doubtful_entries_are_refused_naming_the_module(
    parts: dict[str, Any], named: str, write: Callable[..., Path]
) -> None:
    with pytest.raises(InputError, match=named) as caught:
        read_changes(write(**parts))
    assert M in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ([], "expected a JSON object"),
        ({"schema": "excise.sparse/2", "shapes": {M: [3, 4]}}, "schema"),
        ({"schema": "excise.sparse/1"}, "shapes: expected an object"),
        ({"schema": "excise.sparse/1", "shapes": {}}, "shapes: expected an object"),
        ({"schema": "excise.sparse/1", "shapes": {M: [3]}}, r"expected \[out, in\]"),
        ({"schema": "excise.sparse/1", "shapes": {M: [0, 4]}}, r"expected \[out, in\]"),
        ({"schema": "excise.sparse/1", "shapes": {M: [3, True]}}, r"expected \[out, in\]"),
        ({"schema": "excise.sparse/1", "shapes": {M: "3x4"}}, r"expected \[out, in\]"),
        ({"schema": "excise.sparse/1", "shapes": {"other": [3, 4]}}, "neither index nor values"),
    ],
)
def test_a_configuration_that_says_something_else_is_refused(
    config: Any, named: str, write: Callable[..., Path]
) -> None:
    with pytest.raises(InputError, match=named) as caught:
        read_changes(write(config))
    assert "\n" not in str(caught.value)


def test_damaged_and_missing_files_are_named(write: Callable[..., Path]) -> None:
    folder = write()
    weights = folder / "sparse.safetensors"
    weights.write_bytes(weights.read_bytes()[:-3])
    with pytest.raises(InputError, match=r"sparse\.safetensors: not a readable"):
        read_changes(folder)
    weights.unlink()
    with pytest.raises(InputError, match=r"sparse\.safetensors: no such file"):
        read_changes(folder)
    with pytest.raises(InputError, match="no such folder"):
        read_sparse(folder / "nowhere")


def test_a_folder_with_both_kinds_is_refused(write: Callable[..., Path]) -> None:
    folder = write()
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="a LoRA and a sparse change"):
        read_changes(folder)


def test_a_change_of_nothing_or_of_no_numbers_is_not_written(tmp_path: Path) -> None:
    empty = Sparse.of(torch.zeros(2, 2))
    with pytest.raises(InputError, match=r"^a: changes no entry"):
        write_sparse(tmp_path / "a", {M: empty}, "tiny")
    spoilt = Sparse((2, 2), torch.tensor([1], dtype=torch.int32), torch.tensor([float("nan")]))
    with pytest.raises(InputError, match="not finite"):
        write_sparse(tmp_path / "a", {M: spoilt}, "tiny")
    assert not (tmp_path / "a").exists()
