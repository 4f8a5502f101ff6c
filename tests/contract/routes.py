"""Which endpoints the stand-in has, by its own routing, and which of them a recording reached."""

import json
from pathlib import Path
from typing import cast

from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter

from sandbox.app import create_app
from sandbox.world import World

ROUTED = ("GET", "POST", "DELETE")


def routing() -> MapAdapter:
    """Of an app that answers nothing: it has no world."""
    return create_app(cast(World, None)).url_map.bind("127.0.0.1")


def endpoints() -> set[str]:
    """Such as `GET /v1/charges/<charge_id>`."""
    return {
        f"{method} {rule.rule}"
        for rule in routing().map.iter_rules()
        for method in rule.methods or ()
        if rule.rule.startswith("/v1/") and method in ROUTED
    }


def reached(recording: Path) -> set[str]:
    """The endpoints that answered a 2xx in it."""
    adapter, found = routing(), set()
    for line in recording.read_text().splitlines():
        exchange = json.loads(line).get("exchange")
        if exchange and exchange["status"] == 200:
            found.add(_endpoint_of(adapter, exchange["method"], exchange["path"]))
    return found


def _endpoint_of(adapter: MapAdapter, method: str, path: str) -> str:
    try:
        rule, _ = adapter.match(path, method, return_rule=True)
    except HTTPException:
        return f"{method} {path}"
    return f"{method} {rule.rule}"
