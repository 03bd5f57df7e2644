"""The report: one HTML page, and the same table for a terminal, from report.json."""

from __future__ import annotations

from excise.report.page import render
from excise.report.table import markdown_table, terminal_table

__all__ = ["markdown_table", "render", "terminal_table"]
