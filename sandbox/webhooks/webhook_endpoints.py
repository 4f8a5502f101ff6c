"""Webhook endpoints: where events go, which ones, in which version's shape, signed by what secret.

The endpoint of the command line (and of the switches ``webhook_url`` and ``webhook_secret``) is one
of them, under an id of its own that never changes; it follows those switches, and a change of its
``url`` through the API is a change of the switch. Secrets are told once, when the API makes one.
"""

import json
import secrets
import sqlite3
from collections.abc import Mapping
from typing import Any

from sandbox import clock, settings
from sandbox.protocol import versions
from sandbox.protocol.checks import (
    Checker,
    boolean,
    changed_metadata,
    list_of,
    metadata,
    metadata_change,
    one_of,
    or_empty,
    string,
    top_level,
)
from sandbox.protocol.errors import ApiError, not_found
from sandbox.protocol.ids import new_id
from sandbox.settings import BadSetting
from sandbox.store import (
    ENDPOINTS,
    SECRETS,
    JsonDict,
    delete_object,
    find_object,
    insert_object,
    private_part,
    remembered,
    update_object,
    update_private,
)
from sandbox.webhooks.event_types import EVENT_TYPES

KIND = "webhook_endpoint"
COMMAND_LINE = "we_000000000000CommandLine"
MOST = 16


def _url(value: Any, name: str) -> str:
    try:
        url = settings.loopback_url(name, string()(value, name))
    except BadSetting as error:
        raise ApiError(400, f"Invalid URL: {error}", code="url_invalid", param=name) from None
    return str(url)


def _event_type(value: Any, name: str) -> str:
    if value != "*" and value not in EVENT_TYPES:
        raise ApiError(
            400, f"Invalid {name}: must be one of the event types or *, not {value}", param=name
        )
    return str(value)


def _not_for_connect(value: Any, name: str) -> bool:
    if boolean(value, name):
        raise ApiError(400, "The sandbox does not support Connect; Stripe may.", param=name)
    return False


CREATE: Mapping[str, Checker] = {
    "api_version": one_of(*versions.KNOWN),
    "connect": _not_for_connect,
    "description": or_empty(string()),
    "enabled_events": list_of(_event_type),
    "expand": list_of(string()),
    "metadata": metadata,
    "url": _url,
}

UPDATE: Mapping[str, Checker] = {
    "description": or_empty(string()),
    "disabled": boolean,
    "enabled_events": list_of(_event_type),
    "expand": list_of(string()),
    "metadata": metadata_change,
    "url": _url,
}


def create(db: sqlite3.Connection, values: Mapping[str, Any]) -> JsonDict:
    """The only answer that tells the secret."""
    params = top_level(values, CREATE, required=("enabled_events", "url"))
    if len(known(db)) >= MOST:
        raise ApiError(400, f"You have reached the maximum of {MOST} test webhook endpoints.")
    endpoint = _shape(new_id("we"), params)
    secret = f"whsec_{secrets.token_urlsafe(24).replace('-', 'x').replace('_', 'y')}"
    insert_object(db, endpoint, {"secret": secret})
    return endpoint | {"secret": secret}


def _shape(endpoint_id: str, params: Mapping[str, Any]) -> JsonDict:
    return {
        "id": endpoint_id,
        "object": KIND,
        "api_version": params.get("api_version"),
        "application": None,
        "created": int(clock.now()),
        "description": params.get("description") or None,
        "enabled_events": params["enabled_events"],
        "livemode": False,
        "metadata": params.get("metadata", {}),
        "status": "enabled",
        "url": params["url"],
    }


def load(db: sqlite3.Connection, endpoint_id: str) -> JsonDict:
    endpoint = find_object(db, endpoint_id, KIND)
    if endpoint is None:
        raise not_found("webhook endpoint", endpoint_id)
    return endpoint


def update(db: sqlite3.Connection, endpoint_id: str, values: Mapping[str, Any]) -> JsonDict:
    params = top_level(values, UPDATE)
    endpoint = load(db, endpoint_id)
    for name in ("enabled_events", "url"):
        endpoint[name] = params.get(name, endpoint[name])
    if "description" in params:
        endpoint["description"] = params["description"] or None
    if "metadata" in params:
        endpoint["metadata"] = changed_metadata(endpoint["metadata"], params["metadata"])
    if "disabled" in params:
        endpoint["status"] = "disabled" if params["disabled"] else "enabled"
        if params["disabled"]:
            _give_up(db, endpoint_id)
    update_object(db, endpoint)
    if endpoint_id == COMMAND_LINE and "url" in params:
        settings.change(db, {"webhook_url": endpoint["url"]})
    return endpoint


def delete(db: sqlite3.Connection, endpoint_id: str) -> JsonDict:
    """What was still to be delivered there is given up."""
    load(db, endpoint_id)
    if endpoint_id == COMMAND_LINE:
        settings.change(db, {"webhook_url": None})
    else:
        _remove(db, endpoint_id)
    return {"id": endpoint_id, "object": KIND, "deleted": True}


def _remove(db: sqlite3.Connection, endpoint_id: str) -> None:
    delete_object(db, endpoint_id)
    _give_up(db, endpoint_id)


def _give_up(db: sqlite3.Connection, endpoint_id: str) -> None:
    db.execute(
        "UPDATE deliveries SET state = 'failed' WHERE endpoint_id = ? AND state <> 'succeeded'",
        (endpoint_id,),
    )


def known(db: sqlite3.Connection) -> list[JsonDict]:
    """All endpoints, oldest first, the command line's among them."""
    return [dict(endpoint) for endpoint in remembered(db, ENDPOINTS, lambda: _read(db))]


def secret_of(db: sqlite3.Connection, endpoint_id: str) -> str:
    """What signs the events for this endpoint, one of the :func:`known`."""
    return remembered(db, SECRETS, lambda: _read_secrets(db))[endpoint_id]


def _read_secrets(db: sqlite3.Connection) -> dict[str, str]:
    return {one["id"]: private_part(db, one["id"])["secret"] for one in known(db)}


def _read(db: sqlite3.Connection) -> list[JsonDict]:
    rows = db.execute("SELECT body FROM objects WHERE object = ? ORDER BY seq", (KIND,)).fetchall()
    return [json.loads(row["body"]) for row in rows]


def listening(db: sqlite3.Connection, event_type: str) -> list[JsonDict]:
    """The endpoints that are on and asked for this type."""
    return [
        endpoint
        for endpoint in known(db)
        if endpoint["status"] == "enabled"
        and ("*" in endpoint["enabled_events"] or event_type in endpoint["enabled_events"])
    ]


@settings.follower
def _follow_command_line(db: sqlite3.Connection) -> None:
    """What the switches say counts; what waits for the endpoint follows it to its new address."""
    wanted = settings.endpoint(db)
    kept = find_object(db, COMMAND_LINE, KIND)
    if wanted is None:
        _remove(db, COMMAND_LINE)
    elif kept is None:
        params = {"url": wanted.url, "enabled_events": ["*"], "description": "The command line's"}
        insert_object(db, _shape(COMMAND_LINE, params), {"secret": wanted.secret})
    else:
        if kept["url"] != wanted.url:
            update_object(db, kept | {"url": wanted.url})
        if private_part(db, COMMAND_LINE)["secret"] != wanted.secret:
            update_private(db, COMMAND_LINE, {"secret": wanted.secret})
