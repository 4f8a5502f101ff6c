"""``/_sandbox``: the switches and a look behind the scenes, for tests. No part of Stripe."""

import json
from typing import Any

from flask import Blueprint, Response, request

from sandbox import clock, settings, store
from sandbox.api import request_log
from sandbox.desk import presets
from sandbox.settings import BadSetting
from sandbox.store import JsonDict
from sandbox.world import world

control = Blueprint("control", __name__, url_prefix="/_sandbox")


def _json(body: Any, status: int = 200) -> Response:
    return Response(json.dumps(body, indent=2) + "\n", status, content_type="application/json")


@control.errorhandler(BadSetting)
def refuse(error: BadSetting) -> Response:
    return _json({"error": str(error)}, 400)


@control.get("/settings")
def show_settings() -> Response:
    with world().store.reading() as db:
        return _json(settings.current(db))


@control.post("/settings")
def change_settings() -> Response:
    wanted = request.get_json(silent=True)  # None for another content type, no browser form's
    with world().store.transaction() as db:
        settings.change(db, wanted)
        after = settings.current(db)
    return _json(after)


def _no_fields() -> None:
    if request.get_json(silent=True):
        raise BadSetting("This call takes no fields.")


@control.post("/presets/<name>")
def choose_preset(name: str) -> Response:
    _no_fields()
    wanted = presets.switches_of(name)
    if wanted is None:
        listed = ", ".join(presets.PRESETS)
        return _json({"error": f"There is no preset {name!r}; there are {listed}."}, 404)
    with world().store.transaction() as db:
        settings.change(db, wanted)
        after = settings.current(db)
    return _json(after)


@control.post("/reset")
def reset() -> Response:
    _no_fields()
    return _json(start_over())


def start_over() -> JsonDict:
    """Forgets what happened; returns the switches, which are at their defaults then."""
    with world().store.transaction() as db:
        store.reset(db)
        clock.move(db, 0.0)
        settings.reset(db)
        after = settings.current(db)
    world().under_way.forget()
    world().deliveries.forget()
    return after


@control.get("/requests.json")
def requests() -> Response:
    with world().store.reading() as db:
        return _json(request_log.newest_last(db))
