"""The command line: a thin face on the Python API.

`boundary` turns every error into one line, `commands` holds the commands, the other files what
they print and read. Nothing heavy is imported before a command runs, so help appears at once.
"""

from excise.cli.boundary import main

__all__ = ["main"]
