"""The addresses under which Stripe's Dashboard shows an object, which programs put into letters and
logs: here they lead to the desk's pages."""

import sqlite3

from flask import Blueprint, abort, redirect, url_for
from werkzeug.wrappers import Response

from sandbox.objects import sessions
from sandbox.store import find_object, objects_of
from sandbox.world import world

dashboard_links = Blueprint("dashboard_links", __name__)


@dashboard_links.get("/payments/<any(pi,ch,py):kind>_<rest>")
@dashboard_links.get("/refunds/<any(re,pyr):kind>_<rest>")
@dashboard_links.get("/disputes/<any(du,dp):kind>_<rest>")
def show(kind: str, rest: str) -> Response:
    """The page of the payment that it is, or that it is about."""
    with world().store.reading() as db:
        session_id = _session_of(db, f"{kind}_{rest}") or abort(404)
    return redirect(url_for("payment_page.show", session_id=session_id))


def _session_of(db: sqlite3.Connection, object_id: str) -> str | None:
    found = find_object(db, object_id) or {}
    intent_id = found.get("payment_intent", object_id)
    listed = objects_of(db, sessions.KIND, "payment_intent", intent_id)
    return str(listed[0]["id"]) if listed else None


@dashboard_links.get("/webhooks")
def webhooks() -> Response:
    return redirect(url_for("pages.delivery_list"))
