"""`import excise` and `excise --help` load nothing heavy: counted in modules, not in seconds."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "peft", "datasets", "matplotlib", "scipy", "numpy", "PIL")

PROBE = f"""
import sys
{{code}}
print([name for name in {HEAVY!r} if name in sys.modules])
"""


def loaded_after(code: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-c", PROBE.format(code=code)], capture_output=True, text=True, check=True
    )
    return finished.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "code",
    [
        "import excise; dir(excise)",
        "from excise.cli import main; main(['--help'])",
        "from excise.cli import main; main(['forget', '--help'])",
        "from excise.cli import main; main(['--version'])",
        "from excise.cli import main; main(['demo', '--sed', '1'])",
    ],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    assert loaded_after(code) == "[]"


def test_the_probe_would_notice() -> None:
    assert "numpy" in loaded_after("import numpy")
