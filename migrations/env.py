"""How `flask db` runs the migrations: one process at a time, in one transaction.

A migration works while the previous version of the code is still serving: expand first, contract in
a later release.
"""

from typing import Any

from alembic import context
from flask import current_app
from sqlalchemy import text

from payflow.db import db

# Any number, the same for all processes that might migrate this database at once.
ADVISORY_LOCK = 7_236_501


def is_ours(name: str | None, kind: str, parents: Any) -> bool:
    """Procrastinate's tables come out of its own package: they are none of our models."""
    return kind != "table" or not str(name).startswith("procrastinate_")


def run() -> None:
    with db.engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=db.Model.metadata,
            include_name=is_ours,
            compare_server_default=True,
            **current_app.extensions["migrate"].configure_args,
        )
        with context.begin_transaction():
            # Waiting for a lock is bounded (db.LOCK_TIMEOUT_MS); work on a large table is not.
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
            context.run_migrations()


run()
