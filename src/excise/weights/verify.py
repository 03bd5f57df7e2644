"""An export held against its run: every key, every number, and what the model then says.

A memory that comes back because a file was not carried or an adapter did not load is the worst that
can happen here, so nothing is called done before it is verified, and loading is done the way that a
user loads: by transformers, and by PEFT. A merged export must be base + run byte by byte and say
the same; an adapter must be within its stated error, and so must what it makes the model say.

Cost: the weights are read once more; for the outputs the model is loaded, twice for a merged
export, and asked a few probes. Where a model does not fit into memory the outputs are not compared,
and the result says so.
"""

from __future__ import annotations

import gc
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from excise.records.data import Data
from excise.records.errors import ExciseError, InputError
from excise.records.reading import read
from excise.vlm.load import VLM, load
from excise.vlm.memory import gib
from excise.weights.export_base import Base
from excise.weights.json_file import read_object
from excise.weights.run import Run
from excise.weights.shards import Checkpoint
from excise.weights.verify_adapter import check_adapter, loaded_by_peft
from excise.weights.verify_outputs import (
    Difference,
    Probe,
    ask,
    drawn_probes,
    fingerprints,
    free_memory,
    probes_of,
)
from excise.weights.verify_tensors import Tally, check, file_hash

MANIFEST = "export.json"
SCHEMA = "excise.export/1"
SAME = 1e-4
"""Logits of a merged export may differ by so much of the largest logit: by summation order."""
ROUNDING = {"float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}
"""What rounding alone may do to logits, of the largest one: an adapter beside a weight is rounded
elsewhere than one that was added to it."""


class VerificationFailed(ExciseError):
    """An export is not what its run is; the command line ends with exit code 1."""


@dataclass
class Verification:
    """What was compared and what was found; `problems` is empty if the export is good."""

    kind: str
    tensors: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.problems

    def require(self) -> None:
        """Raise VerificationFailed with the first problem, if there is one."""
        if self.problems:
            more = len(self.problems) - 1
            rest = f" (and {more} more)" if more else ""
            raise VerificationFailed(f"verification failed: {self.problems[0]}{rest}")

    def as_json(self) -> dict[str, Any]:
        """As it stands in `export.json`, and is printed."""
        return {"passed": self.passed, **asdict(self)}

    def count(self, tally: Tally) -> None:
        """Take over what was compared of the tensors."""
        self.tensors = {
            "total": tally.tensors,
            "edited": tally.edited,
            "copied": tally.tensors - tally.edited,
        }
        self.problems += tally.problems


def verify(
    export: str | Path,
    run: Run | str | Path,
    model: VLM | str | Path | None = None,
    *,
    data: Data | str | Path | None = None,
    seed: int = 0,
) -> Verification:
    """Compare an export with its run on the base model.

    Args:
        export: the folder, merged or adapter.
        model: the base the run was made for; None takes the one that the run names, if it is here.
        data: probes are drawn from its records; without it they are drawn pictures.
        seed: draws the probes.

    Raises:
        InputError: a folder is missing or broken, or the model is another one than the run's.
    """
    export = Path(export)
    run = run if isinstance(run, Run) else Run.load(run)
    kind = export_kind(export)
    base = Base.find(run, model)
    base.require_hash(run)
    result = Verification(kind)
    _check_manifest(export, run, result)
    edited = base.edited(run)
    try:
        if kind == "merged":
            result.count(check(edited, Checkpoint.read(str(export))))
        else:
            adapter = check_adapter(edited.source, run.edit, export)
            result.tensors = adapter.tensors
            result.problems += adapter.problems
    except InputError as error:  # a file of the export is missing or damaged
        result.problems.append(str(error))
    compare_outputs(export, run, base, result, probes_for(data, seed))
    return result


def probes_for(data: Data | str | Path | None, seed: int) -> list[Probe]:
    """Records of the data if there are any, else drawn probes."""
    if data is None:
        return drawn_probes(seed)
    return probes_of(data if isinstance(data, Data) else read(data), seed=seed)


def export_kind(folder: Path) -> str:
    """`merged` or `lora`, by what lies in the folder.

    Raises:
        InputError: it is no export.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such export folder")
    if (folder / "adapter_config.json").is_file():
        return "lora"
    if (folder / "config.json").is_file():
        return "merged"
    raise InputError(f"{folder}: holds neither a model nor an adapter")


def compare_outputs(
    export: Path, run: Run, base: Base, result: Verification, probes: Sequence[Probe]
) -> None:
    """Load and ask base + run and the export; figures and problems go into `result`.

    What else is wrong already is enough: a broken export is not loaded.
    """
    if result.problems:
        result.outputs = {"compared": False, "why": "the tensors are wrong"}
        return
    lora, free = result.kind == "lora", free_memory()
    dtype = base.dtype(wide=lora)
    needed = base.memory(dtype, originals=lora)
    if free is not None and needed > free:
        dtype = base.dtype(wide=False)
        needed = base.memory(dtype, originals=lora)
    if free is not None and needed > free:
        why = f"the model needs {gib(needed)} of memory, {gib(free)} are free"
        result.outputs = {"compared": False, "why": why}
        return
    compare = _merged_outputs if result.kind == "merged" else _lora_outputs
    compare(export, run, base, dtype, result, probes)
    result.outputs.update(compared=True, probes=len(probes), dtype=dtype)


def _merged_outputs(
    export: Path, run: Run, base: Base, dtype: str, result: Verification, probes: Sequence[Probe]
) -> None:
    vlm = base.load(dtype)
    model: Any = vlm.model
    device = vlm.device
    before = ask(vlm, probes, answers=False)
    # On the CPU, where the export was made: a GPU's kernel may round one number in a thousand
    # the other way.
    model.to("cpu")
    run.apply(vlm, keep=False)
    weights = fingerprints(vlm)
    model.to(device)
    wanted = ask(vlm, probes)
    del vlm, model
    gc.collect()
    try:
        loaded = load(str(export), dtype=dtype)
        other = _otherwise(weights, fingerprints(loaded), base.cast(run, dtype))
        found = ask(loaded, probes)
    except InputError as error:
        result.problems.append(f"the export cannot be loaded: {error}")
        return
    result.tensors["loaded_equal"] = len(weights) - len(other)
    result.problems += [f"{name}: is loaded otherwise than base + run has it" for name in other]
    gap, moved = Difference.of(wanted, found, probes), Difference.of(before, wanted, probes)
    result.outputs = {
        **gap.as_json(),
        "tolerance": SAME * gap.scale,
        "run_moves_logits_by": moved.largest,
    }
    if not gap.largest <= SAME * gap.scale:
        result.problems.append(
            f"logits differ by up to {gap.largest:.3g} from base + run; expected at most "
            f"{SAME * gap.scale:.3g}"
        )
    elif gap.first_differing is not None:
        result.problems.append(f"{gap.first_differing}: is answered otherwise than by base + run")


def _otherwise(
    applied: Mapping[str, str], loaded: Mapping[str, str], cast: Collection[str]
) -> list[str]:
    """Weights that differ between two models in memory, in whatever way.

    A touched weight that is stored in another type than it is loaded in (`cast`) was rounded before
    the edit in one of them and after it in the other; that is left to the logits.
    """
    names = applied.keys() | loaded.keys()
    return sorted(n for n in names if applied.get(n) != loaded.get(n) and n not in cast)


def _lora_outputs(
    export: Path, run: Run, base: Base, dtype: str, result: Verification, probes: Sequence[Probe]
) -> None:
    vlm = base.load(dtype)
    before = ask(vlm, probes, answers=False)
    with run.applied(vlm):
        wanted = ask(vlm, probes)
    unused = loaded_by_peft(vlm, export)
    if unused:
        result.problems.append(f"PEFT did not load {unused[0]} (and {len(unused) - 1} more)")
        return
    found = ask(vlm, probes)
    gap, moved = Difference.of(wanted, found, probes), Difference.of(before, wanted, probes)
    # An error of e in the change may move the outputs by some e of what the change moved them by;
    # at .9 of it an adapter that is not active at all is still found out.
    share = min(2 * float(result.tensors["relative_error"]), 0.9)
    tolerance = share * moved.rms + ROUNDING[dtype] * gap.scale
    result.outputs = {
        **gap.as_json(),
        "tolerance_rms": tolerance,
        "run_moves_logits_by_rms": moved.rms,
    }
    if not gap.rms <= tolerance:
        result.problems.append(
            f"logits differ by {gap.rms:.3g} (rms) from base + run; expected at most "
            f"{tolerance:.3g}, where the run itself moves them by {moved.rms:.3g}"
        )


def _check_manifest(export: Path, run: Run, result: Verification) -> None:
    """Hold the folder against its own export.json, if it has one."""
    path = export / MANIFEST
    if not path.is_file():
        return
    info = read_object(path)
    if info.get("run") != run.id:
        result.problems.append(f"{MANIFEST}: is of run {info.get('run')}, this is {run.id}")
    listed = info.get("files")
    for name, entry in (listed if isinstance(listed, dict) else {}).items():
        if not (export / name).is_file():
            result.problems.append(f"{name}: missing; {MANIFEST} lists it")
        elif file_hash(export / name) != entry.get("sha256"):
            result.problems.append(f"{name}: changed since the export")
