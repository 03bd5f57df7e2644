"""Where Alembic begins: on the connection that `ledger/schema.py` hands over.

By hand, for writing the next version: `alembic -x url=sqlite:///desk.db` with `script_location`
set to this folder.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from excise.desk.ledger.tables import metadata


def run(connection: Connection) -> None:
    """All steps in one transaction: a schema is whole or it is the old one."""
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    from excise.desk.ledger.database import connect

    with connect(context.get_x_argument(as_dictionary=True)["url"]).begin() as connection:
        run(connection)
