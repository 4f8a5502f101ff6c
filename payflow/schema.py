"""The database's schema, held against the one that this code was written for."""

from functools import cache

from alembic.script import ScriptDirectory
from flask import current_app
from sqlalchemy import text

from payflow.db import db


def found() -> str | None:
    """The revision that the database is at; None where it was never migrated."""
    if db.session.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    revision: str | None = db.session.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def head() -> str | None:
    """The revision that this code was written for."""
    return _scripts().get_current_head()


def is_behind(revision: str | None) -> bool:
    """Whether it is an older one of ours. One that is unknown here is a later version's, beside
    which this code still works."""
    known = {script.revision for script in _scripts().walk_revisions()}
    return revision != head() and (revision is None or revision in known)


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory(current_app.extensions["migrate"].directory)
