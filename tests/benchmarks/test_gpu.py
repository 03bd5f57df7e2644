"""The table of the rows that need a GPU, and what happens without one."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

FOUND = {
    "ratio": {"median": 7.0, "low": 6.5, "high": 7.5},
    "quiet": True,
    "memory_ratio": 0.5,
    "share_of_limit": {"usual": 0.4, "excise": 0.45},
    "machine": {"device": "a card"},
}


def test_every_row_is_printed_with_pass_or_miss_and_rows_at_hand_are_not_measured_again(
    scripts: dict[str, ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for model in scripts["models"].SHAPES:
        for bench in ("training", "evaluation"):
            found = {**FOUND, "setting": {"model": model}}
            (tmp_path / f"{bench}-{model}.json").write_text(json.dumps(found))
    scripts["gpu"].main(["--out", str(tmp_path)])
    lines = [line for line in capsys.readouterr().out.splitlines() if "goal" not in line]
    rows = [line for line in lines if line.startswith("| training") or "| evaluation" in line]
    assert len(rows) == 6
    assert sum(row.endswith("| pass |") for row in rows) == 4  # speed and memory of training
    assert sum(row.endswith("| MISS |") for row in rows) == 2  # 7 times is not 8 times


def test_without_a_gpu_the_large_shapes_say_so(scripts: dict[str, ModuleType]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SystemExit, match="no GPU can be used here"):
        scripts["training"].run(["--model", "llava-1.5-7b"])
