"""The bench: methods x forget ratios x seeds on one model and one data set, in one folder.

    import excise

    table = excise.bench.run("M", "D", methods=["refusal", "smfa"], seeds=3, out="bench")

Every cell of the table is a file of its own, named by everything that its figures depend on, so an
interrupted bench goes on where it was and a larger one runs only what is new.
"""

from __future__ import annotations

from excise.bench.conduct import run

__all__ = ["run"]
