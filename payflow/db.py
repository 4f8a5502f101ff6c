"""The database: engine options, the session, the base class of every table.

Opens nothing at import, so that a process which preloads the application can fork.
"""

from functools import cache
from typing import Any

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, MetaData, Row
from sqlalchemy.orm import DeclarativeBase

# A statement or lock that waits longer than this is a fault to report, not to sit through: the
# webhook must answer within Stripe's time-out, so that Stripe tries again.
STATEMENT_TIMEOUT_MS = 15_000
LOCK_TIMEOUT_MS = 5_000

# Of a statement on columns: SQLAlchemy can't tell mypy which they are.
AnyRow = Row[*tuple[Any, ...]]


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


# Objects keep what was read after a commit: a look at one must not open a transaction unseen, which
# would then be held while Stripe or the mail server is asked.
db = SQLAlchemy(model_class=Base, session_options={"expire_on_commit": False})


@cache
def without_transaction(engine: Engine) -> Engine:
    """The engine for a single statement that needs no BEGIN and COMMIT around it."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def engine_options() -> dict[str, Any]:
    """Options of SQLAlchemy's engine: a connection for each of a web process's eight threads."""
    timeouts = f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={LOCK_TIMEOUT_MS}"
    return {
        "connect_args": {
            "options": f"{timeouts} -c timezone=UTC",
            "connect_timeout": 5,
            "application_name": "payflow",
        },
        "pool_size": 8,
        "max_overflow": 2,
        "pool_recycle": 300,
        # What customers typed stays out of logs and stored errors.
        "hide_parameters": True,
    }
