"""How `flask db` runs the migrations: one process at a time.

A migration works while the previous version of the code is still serving: expand first, contract in
a later release.
"""

from typing import Any

from alembic import context
from alembic.util import CommandError
from flask import current_app
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from payflow.db import LOCK_TIMEOUT_MS, db

# Any number, the same for all processes that might migrate this database at once.
ADVISORY_LOCK = 7_236_501


def is_ours(name: str | None, kind: str, parents: Any) -> bool:
    """Procrastinate's tables come out of its own package: they are none of our models."""
    return kind != "table" or not str(name).startswith("procrastinate_")


def run() -> None:
    with _connect() as connection:
        try:
            _migrate(connection)
        finally:
            # Not back to the pool: the time-out and the lock end with it.
            connection.invalidate()


def _connect() -> Connection:
    try:
        return db.engine.connect()
    except OperationalError as error:
        cause = str(error.orig).partition("\n")[0].rstrip(".")
        # Flask-Migrate prints it, and ends with 1.
        raise CommandError(
            f"The database can't be reached: {cause}. Nothing was done. "
            "Look whether Postgres is running, and whether DATABASE_URL is its address."
        ) from error


def _migrate(connection: Connection) -> None:
    # Of the session, not of a transaction: a migration may commit in between. Who waits here waits
    # for another process that migrates; in a migration, waiting for a lock is bounded as anywhere.
    connection.execute(text("SET statement_timeout = 0; SET lock_timeout = 0"))
    connection.execute(text(f"SELECT pg_advisory_lock({ADVISORY_LOCK})"))
    connection.execute(text(f"SET lock_timeout = {LOCK_TIMEOUT_MS}"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=db.Model.metadata,
        include_name=is_ours,
        compare_server_default=True,
        **current_app.extensions["migrate"].configure_args,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
