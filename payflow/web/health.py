"""Whether this process is alive, and whether it can do its work."""

from flask import Blueprint, current_app
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from payflow import schema

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def alive() -> ResponseReturnValue:
    return {"status": "alive"}


@bp.get("/readyz")
def ready() -> ResponseReturnValue:
    """200 where the database is reachable and its schema the one this code was written for."""
    try:
        found = schema.found()
    except SQLAlchemyError as error:
        current_app.logger.error("not ready: %s", error)
        return {"status": "the database cannot be reached"}, 503
    head = schema.head()
    if found != head:
        return {"status": f"the schema is at {found}, not at {head}: run `flask db upgrade`"}, 503
    return {"status": "ready"}
