"""What is done with a run's adapters, as `edit.json` says it, and doing it.

The edit is enough to redo the change exactly from the finished adapters, without training: each
branch's change is sculpted against the anchor's by its own k, and the mean of the branches is what
goes onto the weights. Criterion "none" applies the plain adapter (refusal tuning).

Cost of one module: its dense products, the sculpted change and boolean temporaries; for one branch
about four float32 matrices of the weight's shape at the peak.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

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
from excise.weights.json_file import read_object
from excise.weights.products import Adapters, Device, Products, Source
from excise.weights.sculpt import EPS, Criterion, require_criterion, require_dial, sculpt


def _inside(name: str) -> str:
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith(("/", "\\")) or ":" in name:
        raise ValueError("expected the name of a folder inside the run")
    return name


AdapterName = Annotated[str, AfterValidator(_inside)]


class Branch(BaseModel):
    """One forgetting adapter and its dial. k is needed unless the criterion does without it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    adapter: AdapterName
    k: FiniteFloat | None = Field(default=None, ge=0)


class EditSpec(BaseModel):
    """The contents of `edit.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_: Literal["excise.edit/1"] = Field(default="excise.edit/1", alias="schema")
    criterion: Criterion
    branches: tuple[Branch, ...] = Field(min_length=1)
    anchor: AdapterName | None = None
    eps: FiniteFloat = Field(default=EPS, gt=0)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.criterion != "none" and self.anchor is None:
            raise ValueError(f"criterion {self.criterion!r} needs an anchor")
        if self.criterion in ("both", "magnitude") and any(b.k is None for b in self.branches):
            raise ValueError(f"criterion {self.criterion!r} needs k for every branch")
        if len({branch.adapter for branch in self.branches}) < len(self.branches):
            raise ValueError("branches name one adapter twice")
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
        return self.model_dump(mode="json", by_alias=True)

    def turned(
        self, k: float | Mapping[str, float] | None = None, criterion: Criterion | None = None
    ) -> EditSpec:
        """The same edit with another dial: one k for all branches, or k by adapter name.

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
        return EditSpec.parse(value, "edit")


def change(products: Products, spec: EditSpec) -> Tensor:
    """The change that the edit makes to one weight matrix: float32, (out, in).

    It may be one of the products itself, so it must not be written to.
    """
    total: Tensor | None = None
    for index, branch in enumerate(spec.branches):
        part = sculpted(products, index, branch, spec)
        if part is not None:
            total = part if total is None else total + part
    if total is None:
        raise ValueError("no branch changes this module")
    return total / len(spec.branches) if len(spec.branches) > 1 else total


def sculpted(products: Products, index: int, branch: Branch, spec: EditSpec) -> Tensor | None:
    """One branch's change after the mask; None where the branch does not touch this matrix."""
    f = products.branches[index]
    if f is None or spec.criterion == "none" or products.anchor is None:
        return f
    return sculpt(
        f,
        products.anchor,
        k=branch.k or 0.0,
        criterion=spec.criterion,
        eps=spec.eps,
        norms=(products.branch_norms[index], products.anchor_norm),
    )


def edited_deltas(
    run_folder: Path, spec: EditSpec, *, source: Source | None = None, device: Device = "cpu"
) -> Iterator[tuple[str, Tensor]]:
    """Module name and dense float32 change, one touched matrix after the other.

    Raises:
        InputError: as `Adapters`; nothing is yielded before all adapters have been checked.
    """
    if source is None:
        names = [branch.adapter for branch in spec.branches]
        source = Adapters(run_folder, names, spec.anchor)
    for module in source.shapes:
        yield module, change(source.products(module, device), spec)
