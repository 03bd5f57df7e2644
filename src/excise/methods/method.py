"""What a method is: typed settings, what it trains, and the edit that it leaves.

A method sees only the records that it may learn from (`Material`), trains adapters through the one
trainer, and returns an `EditSpec`: which adapters go onto the weights and how. Everything else of a
run (checks, the folder, resuming, run.json) is the same for all methods and lives in `forget.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from excise.records.data import Data
from excise.records.record import Record
from excise.training.fit import FitResult, FitSettings, fit
from excise.training.processes import world
from excise.training.selection import Selection
from excise.training.trainer import Loss
from excise.vlm.load import VLM
from excise.vlm.rows import Row
from excise.weights.edit import EditSpec
from excise.weights.run import Run
from excise.weights.stack import upon

Progress = Callable[[str, int, int], None]


@dataclass
class Material:
    """One act of forgetting in the making: the model, what may be learnt from, and where to write.

    `forget` holds the private records to forget, `few` every retained record that a method may see;
    `held_out` are records of both that no fit of this run learns from, kept for choosing a dial.
    """

    vlm: VLM
    data: Data
    forget: Sequence[Record]
    few: Sequence[Record]
    held_out: Sequence[Record]
    folder: Path
    seed: int
    progress: Progress
    fits: dict[str, FitResult] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    """What the user should be told, a sentence each."""
    upon: Run | None = None
    """An earlier run that is on the model and stays there; what is trained is added to it."""
    done: frozenset[str] = frozenset()
    """Subjects of `forget` of whom the earlier run left nothing."""

    @contextmanager
    def base(self) -> Iterator[None]:
        """The untouched model for the time of the block, without the earlier run."""
        if self.upon is None:
            yield
            return
        self.upon.remove(self.vlm)
        try:
            yield
        finally:
            self.upon.apply(self.vlm)

    def trial(self, edit: EditSpec) -> Run:
        """What the run would be with that edit, the earlier one in it; to be put onto `base`."""
        info = {"base": {"weights_hash": self.vlm.weights_hash}}
        if self.upon is None:
            return Run(self.folder, info, edit)
        earlier = self.upon
        return Run(self.folder, info, world().from_main(lambda: upon(earlier, self.folder, edit)))

    def fit(
        self,
        adapter: str,
        rows: Sequence[Row],
        settings: FitSettings,
        *,
        loss: Loss | None = None,
        mix: bool | Sequence[int] = False,
        identity: str = "",
        targets: Sequence[str] | None = None,
        entries: Selection | None = None,
    ) -> None:
        """Train one adapter into the run's folder; one that is there already is kept.

        See `excise.training.fit` for `loss`, `mix`, `identity`, `targets` and
        `entries`.
        """
        self.fits[adapter] = fit(
            self.vlm, rows, settings=settings, out=self.folder / adapter, seed=self.seed,
            loss=loss, mix=mix, identity=identity, targets=targets, entries=entries,
            progress=lambda done, total: self.progress(f"training {adapter}", done, total),
        )  # fmt: skip


METHODS: dict[str, type[Method]] = {}
"""Every method by its name; a class that says its name enters itself."""


class Method(BaseModel, ABC):
    """A way of forgetting. A subclass adds its settings as fields, with published defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassVar[str]
    kind: ClassVar[str]
    """"loss", "edit" or "loss and edit"."""
    needs: ClassVar[tuple[str, ...]]
    """What it cannot do without: "few" (retained labels), "reference" (the untouched model's
    probabilities), "gradients", "activations", "memorised" (a fit towards the forget set)."""
    takes: ClassVar[tuple[str, ...]] = ()
    """What it uses if it is there: "few", "pictures" (unlabelled)."""
    leaves: ClassVar[tuple[str, ...]]
    """Parts of the run folder: "adapter", "anchor", "edit"."""
    reference: ClassVar[str]

    def __init_subclass__(cls, **given: Any) -> None:
        super().__init_subclass__(**given)
        if "name" in cls.__dict__:
            METHODS[cls.name] = cls

    def sees(self, data: Data) -> dict[str, str]:
        """Hashes of whatever it learns from beside the records, for run.json."""
        return {}

    @property
    def holds_out(self) -> bool:
        """Whether a part of the records is to be held out for choosing a dial."""
        return False

    @abstractmethod
    def run(self, material: Material) -> EditSpec:
        """Train what is to be trained and say what is applied."""
