"""Reading a gate's YAML (or JSON) into lines, so that every mistake is named by its place.

The text is read as nodes and not as values: nodes know their lines, and a figure that is written
twice is still there twice, where YAML would silently take the second.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping

import yaml

from excise.evaluate import threshold
from excise.evaluate.figure_names import SIDES, is_figure, spelt_out
from excise.evaluate.threshold import BOUNDS, Line
from excise.records.errors import InputError, did_you_mean

KEYS = (*threshold.SIDES, "bound", "needs")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
"""As in YAML 1.2; PyYAML takes `1e-3` for text."""


def gate_lines(text: str, place: str) -> tuple[Line, ...]:
    """The lines of a gate; `place` is what errors call the text.

    Raises:
        InputError: no YAML, nothing in it, an unknown figure or key, one given twice, or a
            threshold that is no number.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        raise InputError(f"{place}{line}: not valid YAML") from None
    lines = []
    for name, value in _pairs(root, place, "a figure"):
        if not is_figure(name):
            hint = did_you_mean(name, _names(name))
            raise InputError(f'{_at(place, value)}: unknown figure "{name}"{hint}')
        several = value.value if isinstance(value, yaml.SequenceNode) else [value]
        if not several:
            raise InputError(f"{_at(place, value)}: {name}: no threshold, expected one")
        lines += [_line(name, node, place) for node in several]
    if not lines:
        raise InputError(f"{place}: is empty, expected thresholds by figure")
    return tuple(lines)


def _line(name: str, node: yaml.Node, place: str) -> Line:
    where = _at(place, node)
    given = dict(_pairs(node, place, f"{name}: a threshold"))
    for key, value in given.items():
        if key not in KEYS:
            hint = did_you_mean(key, KEYS)
            raise InputError(f'{_at(place, value)}: {name}: unknown key "{key}"{hint}')
    sides = [side for side in threshold.SIDES if side in given]
    if len(sides) != 1:
        raise InputError(f"{where}: {name}: expected one of {' and '.join(threshold.SIDES)}")
    bound = _choice(name, "bound", given, BOUNDS, place) or "mean"
    needs = _choice(name, "needs", given, ("measured",), place)
    value = _number(f"{name}: {sides[0]}", given[sides[0]], place)
    return Line(name, sides[0], value, bound, needs is not None, where)  # type: ignore[arg-type]


def _number(what: str, node: yaml.Node, place: str) -> float:
    text = node.value if isinstance(node, yaml.ScalarNode) and node.style is None else ""
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise InputError(f"{_at(place, node)}: {what}: expected a number")
    return value


def _choice(
    name: str, key: str, given: Mapping[str, yaml.Node], choices: Collection[str], place: str
) -> str | None:
    node = given.get(key)
    if node is None:
        return None
    if isinstance(node, yaml.ScalarNode) and node.value in choices:
        return str(node.value)
    hint = did_you_mean(node.value, choices) if isinstance(node, yaml.ScalarNode) else ""
    raise InputError(f"{_at(place, node)}: {name}: {key}: expected {', '.join(choices)}{hint}")


def _pairs(node: yaml.Node | None, place: str, what: str) -> list[tuple[str, yaml.Node]]:
    """Keys and values of a mapping, each key once."""
    if node is None:
        return []
    if not isinstance(node, yaml.MappingNode):
        expected = "such as `leak.any: {at_most: 0.05}`"
        raise InputError(f"{_at(place, node)}: {what}: expected keys and values, {expected}")
    found: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise InputError(f"{_at(place, key)}: {what}: expected a name")
        if key.value in found:
            raise InputError(f"{_at(place, key)}: {what}: {key.value} is given twice")
        found[str(key.value)] = value
    return list(found.items())


def _at(place: str, node: yaml.Node) -> str:
    return f"{place}:{node.start_mark.line + 1}"


def _names(like: str) -> list[str]:
    """Known names with the same side in front, for a hint."""
    side, dot, _ = like.partition(".")
    front = f"{side}." if dot and side in SIDES else ""
    return [front + name for name in spelt_out()]
