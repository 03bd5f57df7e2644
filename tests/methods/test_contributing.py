"""The method of CONTRIBUTING.md is a method: its code is taken out, put into a module, and run."""

from __future__ import annotations

import importlib.util
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from excise.methods import METHODS, forget, make
from excise.methods.by_loss import ByLoss
from excise.records.data import Data
from excise.vlm import VLM, Packer, rows_from_records

GUIDE = Path(__file__).parents[2] / "CONTRIBUTING.md"
USUAL = Path(sys.modules[ByLoss.__module__].__file__ or "").with_name("gradient_difference.py")


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The module of the guide's code below the imports of another method's file."""
    section = GUIDE.read_text("utf-8").split("## Adding a method")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 1
    imports = USUAL.read_text("utf-8").split("\n\nclass ")[0]
    path = tmp_path_factory.mktemp("guide") / "unlikelihood.py"
    path.write_text(f"{imports}\nimport torch\n\n\n{dedent('   ' + blocks[0].lstrip())}", "utf-8")
    spec = importlib.util.spec_from_file_location("unlikelihood", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = dict(METHODS)
    spec.loader.exec_module(module)
    yield module
    METHODS.clear()
    METHODS.update(before)


def test_it_is_listed_with_its_settings_and_no_more_than_ten_lines_long(example: Any) -> None:
    made = make("unlikelihood", {"retain": "2", "lr": "1e-3"})
    assert isinstance(made, example.Unlikelihood)
    assert (made.retain, made.fit.lr) == (2, 1e-3)
    code = dedent(Path(example.__file__).read_text("utf-8").split("\n\nclass ")[1])
    assert len([line for line in code.splitlines() if line.strip()]) <= 10


def test_its_loss_is_what_it_says(example: Any, tiny: VLM, data: Data) -> None:
    packer = Packer(tiny.processor, tiny.model)
    sides = {"forget": data.select(splits=["forget"]), "keep": data.select(splits=["few"])}
    means = {}
    for role, records in sides.items():
        batch = _batch(packer, rows_from_records(data, records, role=role))
        said = example.answer_logprobs(tiny.model, batch).tolist()
        terms = [-math.log(1 - math.exp(p)) if role == "forget" else -p for p in said]
        means[role] = sum(terms) / len(terms)
    rows = [row for role, some in sides.items() for row in rows_from_records(data, some, role=role)]
    found = example.Unlikelihood(retain=0.5).loss(tiny.model, _batch(packer, rows), None).item()
    assert found == pytest.approx(means["forget"] + 0.5 * means["keep"], rel=1e-4)


def _batch(packer: Packer, rows: Any) -> dict[str, Any]:
    return packer.collate([packer.encode(row) for row in rows])


def test_it_makes_a_run(example: Any, tiny: VLM, data: Data, tmp_path: Path) -> None:
    method = make("unlikelihood", {"steps": "2", "rank": "2"})
    run = forget(tiny, data, method=method, out=tmp_path / "run")
    assert run.info["method"] == "unlikelihood" and run.info["settings"]["retain"] == 1
    assert len(run.info["losses"]["forgetting"]) == 2
