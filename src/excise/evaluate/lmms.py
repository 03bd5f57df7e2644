"""General ability through lmms-eval: POPE, MME, GQA, MMBench, COCO captions, RefCOCO.

lmms-eval is an optional package that brings data sets and wrappers of models along, so it runs as
a process of its own on a merged export, which is an ordinary checkpoint. Its results file is read
into the metrics JSON, as `general`; one that was made elsewhere reads the same.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from excise.evaluate.lmms_results import read_results
from excise.records.errors import InputError, did_you_mean

SETS: dict[str, str] = {
    "pope": "pope",
    "mme": "mme",
    "gqa": "gqa",
    "mmbench": "mmbench_en_dev_static",
    "coco": "coco2017_cap_val",
    "refcoco": "refcoco_bbox_rec_val",
}
"""Our names and lmms-eval's tasks. MMBench's static task needs no judge over a network."""

FAMILIES: dict[str, str] = {
    "llava": "llava_hf",
    "llava_next": "llava_hf",
    "llava_onevision": "llava_hf",
    "qwen2_vl": "qwen2_vl",
    "qwen2_5_vl": "qwen2_5_vl",
    "qwen3_vl": "qwen3_vl",
    "internvl": "internvl_hf",
    "idefics2": "idefics2",
}
"""`model_type` of a checkpoint's config.json, and lmms-eval's wrapper for it."""

_STDERR = 2  # the descriptor: what stands in for sys.stderr in a notebook has none


def tasks_of(names: Sequence[str]) -> list[str]:
    """lmms-eval's tasks for our names; a name that is not ours is taken as a task's.

    Raises:
        InputError: a name that is nearly one of ours, or none at all.
    """
    if not names:
        raise InputError(f"--sets: expected some of {', '.join(SETS)}")
    for name in names:
        of_a_set = any(known in name for known in SETS)  # "pope_adv" is a task, "popr" a slip
        if not of_a_set and (hint := did_you_mean(name, SETS)):
            raise InputError(f'--sets: unknown set "{name}"{hint}')
    return [SETS.get(name, name) for name in names]


def run(
    export: str | Path,
    sets: Sequence[str] = tuple(SETS),
    *,
    family: str | None = None,
    batch: int = 1,
    device: str | None = None,
    limit: int | None = None,
) -> dict[str, Any]:
    """Run lmms-eval on a merged export; what it prints goes to stderr.

    Args:
        family: lmms-eval's name of the model's wrapper, if `FAMILIES` does not know the checkpoint.
        limit: questions a set, for a trial; None for all.

    Returns:
        What `read_results` returns.

    Raises:
        InputError: lmms-eval is not installed, the folder is no merged export of a known family, a
            set is unknown, or no results came out.
    """
    wanted = tasks_of(sets)
    wrapper = family or _family(Path(export))
    if find_spec("lmms_eval") is None:
        raise InputError(
            'lmms-eval is not installed, expected it for this: pip install "excise[lmms]"'
        )
    path = str(Path(export).resolve())
    if "," in path or "=" in path:
        raise InputError(f"{export}: lmms-eval cannot take a path with a comma or an equals sign")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "lmms_eval", "--model", wrapper]
        command += ["--model_args", f"pretrained={path}", "--tasks", ",".join(wanted)]
        command += ["--batch_size", str(batch), "--output_path", folder]
        command += ["--device", device] if device else []
        command += ["--limit", str(limit)] if limit else []
        code = subprocess.run(command, stdout=_STDERR, check=False).returncode
        if not list(Path(folder).rglob("*_results.json")):
            raise InputError(
                f"lmms-eval left no results (exit code {code}); what it printed says why"
            )
        return read_results(folder)


def _family(export: Path) -> str:
    """lmms-eval's wrapper for the checkpoint."""
    if (export / "adapter_config.json").exists():
        raise InputError(f"{export}: is an adapter, expected an export made with --as merged")
    try:
        model_type = json.loads((export / "config.json").read_text("utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        raise InputError(f"{export}: no config.json, expected a merged export") from None
    if model_type not in FAMILIES:
        raise InputError(
            f'{export}: no wrapper of lmms-eval is known for model_type "{model_type}", expected '
            f"one of {', '.join(FAMILIES)}, or its name by --family"
        )
    return FAMILIES[model_type]
