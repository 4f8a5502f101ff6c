"""Whether this process is alive, and whether it can do its work."""

from functools import cache

from alembic.script import ScriptDirectory
from flask import Blueprint, current_app
from flask.typing import ResponseReturnValue
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from payflow.db import db

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def alive() -> ResponseReturnValue:
    return {"status": "alive"}


@bp.get("/readyz")
def ready() -> ResponseReturnValue:
    """200 where the database is reachable and its schema the one this code was written for."""
    try:
        found = _revision()
    except SQLAlchemyError as error:
        current_app.logger.error("not ready: %s", error)
        return {"status": "the database cannot be reached"}, 503
    head = _head()
    if found != head:
        return {"status": f"the schema is at {found}, not at {head}: run `flask db upgrade`"}, 503
    return {"status": "ready"}


def _revision() -> str | None:
    if db.session.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    found: str | None = db.session.scalar(text("SELECT version_num FROM alembic_version"))
    return found


@cache
def _head() -> str | None:
    return ScriptDirectory(current_app.extensions["migrate"].directory).get_current_head()
