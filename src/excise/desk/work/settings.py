"""What the work needs to know of a registered model, as it stands in the ledger.

    excise desk model add NAME --source M --settings model.yaml

Paths in it are the operator's own, and are best absolute: a worker looks for relative ones from
where it was started. Nothing of them goes into what is released.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from excise.desk.work.ladder import Ladder
from excise.records.errors import InputError

ASKING = ("plain", "other_door", "prompt", "picture", "sampling", "prefill", "quantisation")


class Budget(BaseModel):
    """How much all requests together may cost before the model should be rebuilt.

    Shares of what the base model scores; the model's health is held against them after every batch.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    memory: float = Field(0.9, ge=0, le=1)
    understanding: float = Field(0.95, ge=0, le=1)


class ModelSettings(BaseModel):
    """How requests for one model are carried out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    others: Path | None = None
    """A data folder of everybody else: `retain` and `unseen` to score, `anchors/` and `few` for the
    method to hold to. Whoever asks to be forgotten is left out of it from then on."""
    method: str = "anchored"
    options: Mapping[str, str] = {}
    ladder: Ladder = Ladder()
    gate: Path | None = None
    preset: Literal["quick", "standard", "thorough"] = "quick"
    only: tuple[str, ...] = ASKING
    """Attacks or families to try. Relearning, which takes the weights, is not among them unless it
    is named; the evidence says so."""
    replay: int = Field(64, ge=0)
    """How many earlier requests, drawn anew for each batch, are trained again with it so that they
    stay forgotten; all of them are asked about."""
    reference: str | None = None
    kind: Literal["merged", "lora"] = "merged"
    budget: Budget = Budget()
    seed: int = 0
    launch: Path | None = None
    """A configuration of `accelerate launch`: training then runs under it, in processes of its
    own."""
    loading: Mapping[str, Any] = {}
    """The arguments of `excise.load`."""


def model_settings(name: str, settings: Mapping[str, Any]) -> ModelSettings:
    """Check what is registered.

    Raises:
        InputError: an unknown or wrong setting; the model and the field are named.
    """
    try:
        return ModelSettings.model_validate(dict(settings))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "settings"
        raise InputError(f"model {name}: {field}: {first['msg']}") from None
