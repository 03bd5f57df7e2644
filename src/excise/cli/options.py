"""What the user types as `-o key=value` and `--config run.yaml`, made into plain values.

The method itself says what its options are and what type each has (`excise.methods.make`); here
they are only taken apart. A value on the command line wins over the same one in the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from excise.records.errors import InputError, did_you_mean
from excise.records.record import SPLITS, Split

LOADING = {"dtype", "device_map", "quantize", "chat_template", "max_image_tokens", "part"}


class Job(BaseModel):
    """One act of forgetting: the keys of `run.yaml` and the options of `excise forget`."""

    model_config = ConfigDict(extra="forbid")

    model: str
    data: Path
    out: Path
    method: str = "anchored"
    seed: int = 0
    upon: Path | None = None
    options: dict[str, str] = {}
    dtype: str | None = None
    device_map: str | dict[str, int | str] | None = None
    quantize: str | None = None
    chat_template: Path | None = None
    max_image_tokens: int | None = None
    part: list[str] = []

    @property
    def loading(self) -> dict[str, Any]:
        """What was said about loading the model, as `loading.arguments` takes it."""
        given = self.model_dump(include=LOADING)
        return {name: value for name, value in given.items() if value}


def pairs(options: Sequence[str]) -> dict[str, str]:
    """`["k=5", "lr=1e-4"]` as a dictionary; InputError for anything without key or `=`."""
    found: dict[str, str] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not key.strip():
            raise InputError(f"-o {option}: expected key=value, for example -o k=5")
        if key.strip() in found:
            raise InputError(f"-o {option}: {key.strip()} is given twice")
        found[key.strip()] = value.strip()
    return found


def job(config: Path | None, given: dict[str, Any], options: Sequence[str]) -> Job:
    """The file's keys, overridden by what was `given` on the command line (None: not given)."""
    keys = {} if config is None else _read_yaml(config)
    keys |= {key: value for key, value in given.items() if value is not None}
    keys["options"] = keys.get("options", {}) | pairs(options)
    for key in ("model", "data", "out"):
        if key not in keys:
            raise InputError(f"--{key} is missing (or `{key}:` in the file given to --config)")
    return Job.model_validate(keys)


def dial(options: Sequence[str]) -> dict[str, Any]:
    """The arguments of `Run.turned`: `k=2`, or `k.NAME=2` for one branch, `criterion=both`, or
    `strength=1.2`."""
    found: dict[str, Any] = {}
    branches: dict[str, float] = {}
    for key, value in pairs(options).items():
        name, _, branch = key.partition(".")
        known(name, ("k", "criterion", "strength"), "option")
        if branch:
            branches[branch] = _number(key, value)
        else:
            found[key] = value if key == "criterion" else _number(key, value)
    if not found and not branches:
        raise InputError(
            "nothing to turn: expected -o k=NUMBER, -o strength=NUMBER or -o criterion=NAME"
        )
    if "k" in found and branches:
        raise InputError("-o k and -o k.NAME exclude each other")
    return found | ({"k": branches} if branches else {})


def split_names(listed: str) -> list[Split]:
    """`"forget, retain"` as a list; InputError for an unknown split."""
    names = [name.strip() for name in listed.split(",") if name.strip()]
    if not names:
        raise InputError(f"--splits: expected some of {', '.join(SPLITS)}")
    for name in names:
        known(name, SPLITS, "split")
    return [split for split in SPLITS if split in names]


def known(word: str, words: Iterable[str], what: str) -> str:
    """`word` if it is one of `words`, else an InputError with the nearest of them."""
    choices = list(words)
    if word not in choices:
        hint = did_you_mean(word, choices) or f"; expected one of {', '.join(choices)}"
        raise InputError(f'unknown {what} "{word}"{hint}')
    return word


def _number(key: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InputError(f"-o {key}={value}: expected a number") from None


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (IsADirectoryError, UnicodeDecodeError):
        raise InputError(f"{path}: expected a YAML file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        raise InputError(f"{path}{line}: not valid YAML") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected keys and values, for example `method: smfa`")
    for key in content:
        known(str(key), Job.model_fields, f"key in {path}:")
    options = content.get("options") or {}
    if not isinstance(options, dict):
        raise InputError(f"{path}: options: expected keys and values, for example `k: 5`")
    content["options"] = {str(k): _plain(path, str(k), v) for k, v in options.items()}
    return content


def _plain(path: Path, key: str, value: Any) -> str:
    """The value as it would be typed after `-o key=`, so that both ways are read alike."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value)
    raise InputError(f"{path}: options.{key}: expected one plain value")
