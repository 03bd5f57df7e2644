"""What is done with a run's adapters, as `edit.json` says it, and doing it.

The edit is enough to redo the change exactly from the finished adapters, without training: each
branch's change is sculpted against the anchor's by its own k, and the branches are combined: by
their mean, or a weighted sum, or TIES (`edits.py`). Criterion "none" applies the plain adapter
(refusal tuning). The work itself is the engine's (`tiles.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    model_validator,
)
from torch import Tensor

from excise.records.errors import InputError, did_you_mean
from excise.records.writing import write_json
from excise.weights.edits import Combination
from excise.weights.json_file import read_object
from excise.weights.products import Adapters, Device, Source
from excise.weights.sculpt import EPS, Criterion, require_criterion, require_dial
from excise.weights.tiles import delta_tiles


def _inside(name: str) -> str:
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith(("/", "\\")) or ":" in name:
        raise ValueError("expected the name of a folder inside the run")
    return name


AdapterName = Annotated[str, AfterValidator(_inside)]


class Branch(BaseModel):
    """One forgetting adapter, or sparse change, and its dial.

    k is needed unless the criterion does without it.

    `weight` is for "sum" and "ties". A `fixed` branch is an earlier run's, upon which this one was
    trained: no dial of this run turns it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    adapter: AdapterName
    k: FiniteFloat | None = Field(default=None, ge=0)
    weight: FiniteFloat = Field(default=1.0, ge=-1e6, le=1e6)
    fixed: bool = False


class EditSpec(BaseModel):
    """The contents of `edit.json`; `density` is the share of entries that TIES keeps."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_: Literal["excise.edit/1"] = Field(default="excise.edit/1", alias="schema")
    criterion: Criterion
    branches: tuple[Branch, ...] = Field(min_length=1)
    anchor: AdapterName | None = None
    eps: FiniteFloat = Field(default=EPS, gt=0)
    combine: Combination = "mean"
    density: FiniteFloat | None = Field(default=None, gt=0, le=1)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.criterion != "none" and self.anchor is None:
            raise ValueError(f"criterion {self.criterion!r} needs an anchor")
        if self.criterion in ("both", "magnitude") and any(b.k is None for b in self.branches):
            raise ValueError(f"criterion {self.criterion!r} needs k for every branch")
        if len({branch.adapter for branch in self.branches}) < len(self.branches):
            raise ValueError("branches name one adapter twice")
        if self.combine == "mean" and any(branch.weight != 1 for branch in self.branches):
            raise ValueError("combine 'mean' takes no weights; expected 'sum' or 'ties'")
        if (self.combine == "ties") != (self.density is not None):
            raise ValueError("density: needed by combine 'ties', and by nothing else")
        if all(branch.fixed for branch in self.branches):
            raise ValueError("branches: all are fixed, expected one that is not")
        return self

    @classmethod
    def parse(cls, value: Mapping[str, object], where: str) -> EditSpec:
        """A spec from JSON; InputError names `where` and the first field that is wrong."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            raise InputError(": ".join(part for part in (where, field, message) if part)) from None

    @classmethod
    def read(cls, path: Path) -> EditSpec:
        return cls.parse(read_object(path), str(path))

    def write(self, path: Path) -> None:
        write_json(path, self.as_json())

    def as_json(self) -> dict[str, Any]:
        value = self.model_dump(mode="json", by_alias=True)
        # As edits were written before there was a choice: their runs keep their ids.
        for branch in value["branches"]:
            if not branch["fixed"]:
                del branch["fixed"]
        if self.combine == "mean":
            del value["combine"], value["density"]
            for branch in value["branches"]:
                del branch["weight"]
        return value

    def turned(
        self,
        k: float | Mapping[str, float] | None = None,
        criterion: Criterion | None = None,
        strength: float | None = None,
    ) -> EditSpec:
        """The same edit with another dial: one k for all branches, or k by adapter name.

        Args:
            strength: the weight of every branch in their sum that is not fixed; 1 is what was
                trained.

        Raises:
            InputError: k is negative or not finite, an adapter is unknown, or the criterion is
                unknown or needs what this edit lacks.
        """
        names = [branch.adapter for branch in self.branches]
        dials = dict(k) if isinstance(k, Mapping) else dict.fromkeys(names, k)
        for name, value in dials.items():
            if name not in names:
                raise InputError(f"k: no branch {name!r}{did_you_mean(name, names)}")
            if value is not None:
                require_dial(value)
        value = self.as_json()
        value["criterion"] = self.criterion if criterion is None else require_criterion(criterion)
        for branch in value["branches"]:
            turned = dials.get(branch["adapter"])
            branch["k"] = branch["k"] if turned is None else turned
        if strength is not None:
            if not math.isfinite(strength) or strength < 0:
                raise InputError(f"strength: {strength!r}; expected a finite number, 0 or larger")
            if self.combine == "mean" and len(self.branches) == 1:
                value["combine"] = "sum"  # the mean of one thing
            elif self.combine != "sum":
                raise InputError(f"strength: the branches are combined by {self.combine}")
            for branch in value["branches"]:
                if not branch.get("fixed"):
                    branch["weight"] = math.copysign(strength, branch.get("weight", 1.0))
        return EditSpec.parse(value, "edit")

    @property
    def strength(self) -> float:
        """The weight at which the adapters that are not fixed are applied; 1 is as trained."""
        return abs(next(branch.weight for branch in self.branches if not branch.fixed))


def edited_deltas(
    run_folder: Path, spec: EditSpec, *, source: Source | None = None, device: Device = "cpu"
) -> Iterator[tuple[str, Tensor]]:
    """Module name and dense float32 change, one touched matrix after the other.

    Each is built as a whole, 4 bytes an entry; what can work with rows takes `delta_tiles`.

    Raises:
        InputError: as `Adapters`; nothing is yielded before all adapters have been checked.
    """
    if source is None:
        names = [branch.adapter for branch in spec.branches]
        source = Adapters(run_folder, names, spec.anchor)
    for module, shape in source.shapes.items():
        delta = torch.empty(shape, device=device)
        for rows, block in delta_tiles(source, module, spec, device=device):
            delta[rows] = block
        yield module, delta
