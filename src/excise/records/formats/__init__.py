"""Public benchmarks in their published columns, made into data folders.

Each reader is a file of its own, and enters itself into `FORMATS` when it is imported.
"""

from excise.records.formats import clear, fiubench, mllmu_bench, umu_bench, unlok_vqa
from excise.records.formats.convert import Made, convert
from excise.records.formats.registry import FORMATS, Format

__all__ = [
    "FORMATS",
    "Format",
    "Made",
    "clear",
    "convert",
    "fiubench",
    "mllmu_bench",
    "umu_bench",
    "unlok_vqa",
]
