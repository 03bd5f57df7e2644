"""The schema of the ledger and the way from each version to the next (Alembic)."""
