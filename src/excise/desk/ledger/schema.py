"""Making the tables, bringing them up to date, and seeing on opening that they are ours.

Alembic does the first two; opening only compares a name, since it happens at every command.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from excise.desk.ledger.database import shown
from excise.records.errors import InputError

VERSIONS = ("0001",)
"""Every version of the schema, oldest first: the revisions in `desk/migrations/versions`."""
_MIGRATIONS = Path(__file__).parents[1] / "migrations"


def version(connection: Connection) -> str | None:
    """The version of the tables there, None if there are none of ours."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def check(connection: Connection, url: str) -> None:
    """Raises InputError: no ledger there, an older one, or a newer one."""
    found = version(connection)
    if found == VERSIONS[-1]:
        return
    name = shown(url)
    if found is None:
        raise InputError(f"{name}: holds no ledger, expected one made by excise desk init")
    if found in VERSIONS:
        raise InputError(
            f"{name}: schema {found} is older than this excise, expected {VERSIONS[-1]}: "
            "excise desk init --upgrade"
        )
    raise InputError(
        f"{name}: schema {found[:40]} is of a newer excise, expected at most {VERSIONS[-1]}: "
        "upgrade excise"
    )


def upgrade(connection: Connection) -> None:
    """Bring the tables to the newest version, from nothing or from an older one."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, "head")
