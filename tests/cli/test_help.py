"""What the help lists is what there is."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from excise.cli.commands import app

COMMANDS = ["demo", "specimen", "forget", "sculpt", "stack", "evaluate", "methods", "inspect"]
COMMANDS += ["report", "export", "verify", "audit", "probe", "read", "lmms", "bench", "evidence"]
COMMANDS += ["desk"]


def test_every_command_is_listed_and_none_that_is_not_built() -> None:
    listed = CliRunner().invoke(app, ["--help"]).output.split("Commands:")[1]
    assert [line.split()[0] for line in listed.splitlines() if line.strip()] == COMMANDS
    assert "..." not in listed  # each summary fits its line


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"Usage: excise {command}" in result.output


def test_the_package_runs_as_a_module_and_fails_with_exit_2() -> None:
    command = [sys.executable, "-m", "excise", "report", "nowhere.json"]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert finished.stderr == "excise: error: nowhere.json: no such file\n"
