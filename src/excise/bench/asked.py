"""What is asked of a bench, checked: whatever is wrong is one line, before any training starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from excise.bench import reference
from excise.bench.grid import Trial
from excise.bench.on_ray import OnRay
from excise.bench.scoring import Scoring, scored_records
from excise.bench.source import Source
from excise.bench.workers import Here, Processes, Workers
from excise.methods.material import retained, to_forget
from excise.methods.method import METHODS
from excise.methods.registry import make
from excise.records.data import Data, require_forgettable
from excise.records.errors import InputError
from excise.specimen import RATIOS, checkpoint


def source(model: str | Path | None, data: str | Path | None, specimen: bool, out: Path) -> Source:
    if specimen:
        if model is not None or data is not None:
            raise InputError("--specimen brings its own model and data, expected it alone")
        return Source.of_specimen(out)
    for name, value in (("model", model), ("data", data)):
        if value is None:
            raise InputError(f"--{name} is missing (or --specimen)")
    return Source(str(model), Path(str(data)), out)


def seeds(seeds: int | Sequence[int]) -> list[int]:
    found = list(range(seeds)) if isinstance(seeds, int) else list(dict.fromkeys(seeds))
    if not found or min(found) < 0:
        raise InputError(f"seeds {seeds}: expected at least one, 0 or more each")
    return found


def ratios(ratios: Sequence[int] | None, specimen: bool) -> list[int | None]:
    if not ratios:
        return [RATIOS[0]] if specimen else [None]
    for ratio in ratios:
        if specimen and ratio not in RATIOS:
            raise InputError(f"ratio {ratio}: expected some of {', '.join(map(str, RATIOS))}")
        if not 0 < ratio < 50:
            raise InputError(f"ratio {ratio}: expected a percentage between 1 and 49")
    return list(dict.fromkeys(ratios))


def references(
    given: str | Sequence[str],
    specimen: bool,
    ratios: Sequence[int | None],
    seeds: Sequence[int],
    model: str,
) -> dict[reference.Place, str]:
    """The reference of each choice of people that is in the bench."""
    found = reference.parse([given] if isinstance(given, str) else given)
    for ratio, seed in found:
        if ratio not in ratios or (seed is not None and seed not in seeds):
            expected = "RATIO/SEED=CHECKPOINT of the bench's" if None not in ratios else "one path"
            raise InputError(
                f"--reference: belongs to no people of this bench, expected {expected}"
            )
    for checkpoint_ in found.values():
        reference.require_same_architecture(checkpoint_, model)
    if specimen and 5 in ratios and 0 in seeds:
        found.setdefault((5, 0), str(checkpoint("retrained")))
    return found


def require_usable(data: Data, names: Sequence[str], scoring: Scoring) -> None:
    """What `forget` and the scoring would say after minutes, said now."""
    require_forgettable(data)
    to_forget(data)
    for name in names:
        retained(data, METHODS[name].model_construct())
    scored_records(data, scoring.limit, scoring.seed)


def seen(data: Data, name: str, trials: Sequence[Trial]) -> tuple[dict[str, str], ...]:
    """Hashes of what a method learns from beside the records, for each trial."""
    return tuple(make(name, trial.given).sees(data) for trial in trials)


def workers(jobs: int, ray: str | None, finished: bool) -> Workers:
    if ray is not None and not finished:
        return OnRay(ray, jobs)
    return Processes(jobs) if jobs and not finished else Here()
