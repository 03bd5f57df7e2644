"""The one way in which pages are drawn: escaped, strict about missing names, with our filters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from excise.report.figures import number, percent


def drawn(template: str, view: Mapping[str, Any]) -> str:
    """The HTML of a template of `templates/`, given everything that it names."""
    environment = Environment(
        loader=PackageLoader("excise.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, number=number)
    return environment.get_template(template).render(view)
