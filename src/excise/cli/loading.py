"""The options with which every command that loads a model loads it.

They are those of `excise.load`, and are written once: `loads` adds them to a command, which gets
them together as `how`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

Command = TypeVar("Command", bound=Callable[..., None])


def _options(
    dtype: Annotated[
        str | None,
        typer.Option(help="float32, bfloat16, float16; as stored on a GPU if not given."),
    ] = None,
    device_map: Annotated[
        str | None,
        typer.Option(help="Spread the model: auto, balanced, or JSON from module to device."),
    ] = None,
    quantize: Annotated[
        str | None,
        typer.Option(help="4bit: the language model in 4 bits (needs bitsandbytes)."),
    ] = None,
    chat_template: Annotated[
        Path | None, typer.Option(help="A file, for a processor without a template.")
    ] = None,
    max_image_tokens: Annotated[
        int | None, typer.Option(help="How many tokens one picture may take.")
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(help="vision_tower=MODULE and such, where it is not found; may be repeated."),
    ] = None,
) -> None:
    """The options of `excise.load`, as typer reads them."""


def loads(command: Command) -> Command:
    """A command with the loading options; `how` has those that were given."""
    added = inspect.signature(_options).parameters.values()
    own = [p for p in inspect.signature(command).parameters.values() if p.name != "how"]
    hints = get_type_hints(command, include_extras=True)
    hints |= get_type_hints(_options, include_extras=True)
    del hints["how"]

    @functools.wraps(command)
    def called(**given: Any) -> None:
        how = {p.name: given.pop(p.name) for p in added}
        command(**given, how={name: value for name, value in how.items() if value is not None})

    made: Any = called
    made.__signature__ = inspect.Signature(
        [p.replace(kind=p.KEYWORD_ONLY, annotation=hints[p.name]) for p in (*own, *added)]
    )
    made.__annotations__ = hints
    return called  # type: ignore[return-value]


def arguments(how: dict[str, Any]) -> dict[str, Any]:
    """What `excise.load` takes, of what was typed or stands in a file.

    Raises:
        InputError: a part without `=`.
    """
    given = dict(how)
    parts = given.pop("part", None)
    if parts:
        given["parts"] = dict(_pair(part) for part in parts)
    return given


def _pair(part: str) -> tuple[str, str]:
    from excise.records.errors import InputError  # here: it brings pydantic, which help can spare

    name, equals, module = part.partition("=")
    if not equals or not name or not module:
        raise InputError(f"--part {part}: expected NAME=MODULE, such as vision_tower=model.eye")
    return name.strip(), module.strip()
