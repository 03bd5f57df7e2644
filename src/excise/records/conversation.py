"""TRL's conversational form (`messages`, `images`) as records.

A conversation of several questions becomes one record a question: excise asks every question about
a picture on its own. `split`, `kind` and all other columns are those of the row; without an `id`
the row's number makes one.
"""

from __future__ import annotations

import json
from typing import Any

from excise.records.errors import InputError
from excise.records.tables import RawRow

_PLACEHOLDER = "<image>"


def is_conversation(row: RawRow) -> bool:
    """Whether the row is in TRL's form and not a record yet."""
    return "messages" in row.values and "question" not in row.values


def records_of(row: RawRow) -> list[RawRow]:
    """One row a question, with a record's columns.

    Raises:
        InputError: the messages do not alternate user, assistant; several pictures; content other
            than text and pictures.
    """
    rest = dict(row.values)
    messages = rest.pop("messages")
    if isinstance(messages, str):  # tables may hold nested columns as JSON text
        try:
            messages = json.loads(messages)
        except ValueError:
            raise InputError.at(row.where, "messages", "expected a list of messages") from None
    if not isinstance(messages, list) or not messages:
        raise InputError.at(row.where, "messages", "expected a list of messages")
    pictures = rest.pop("images", None) or []
    if not isinstance(pictures, list):
        pictures = [pictures]
    pictures = list(pictures)

    texts: list[str] = []
    for index, message in enumerate(messages):
        expected = ("user", "assistant")[index % 2]
        role = message.get("role") if isinstance(message, dict) else None
        if role != expected:
            raise InputError.at(
                row.where,
                f"messages[{index}].role",
                f'expected "{expected}" (user and assistant in turn, no system message)',
            )
        text, found = _content(row, index, message.get("content"))
        texts.append(text)
        pictures.extend(found)
    if len(texts) % 2:
        raise InputError.at(
            row.where, "messages", "expected an assistant's answer to every user's question"
        )
    if len(pictures) > 1:
        raise InputError.at(row.where, "images", f"{len(pictures)} pictures, expected at most one")
    if pictures:
        rest["image"] = pictures[0]

    name = rest.pop("id", None) or f"row-{row.number}"
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    return [
        RawRow(
            row.where,
            row.number,
            {
                **rest,
                "id": name if len(pairs) == 1 else f"{name}-{turn}",
                "question": question,
                "answer": answer,
            },
        )
        for turn, (question, answer) in enumerate(pairs, start=1)
    ]


def _content(row: RawRow, index: int, content: Any) -> tuple[str, list[Any]]:
    """The text of a message and the pictures that stand in it (placeholders are not pictures)."""
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(blocks, list):
        raise InputError.at(
            row.where, f"messages[{index}].content", "expected text or a list of blocks"
        )
    texts: list[str] = []
    pictures: list[Any] = []
    for block in blocks:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "text" and isinstance(block.get("text"), str):
            texts.append(block["text"].replace(_PLACEHOLDER, "").strip())
        elif kind == "image":
            if block.get("image") is not None:
                pictures.append(block["image"])
        else:
            raise InputError.at(
                row.where, f"messages[{index}].content", 'expected blocks of type "text" or "image"'
            )
    return "\n".join(text for text in texts if text), pictures
