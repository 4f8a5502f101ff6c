"""Events: what happened, as Stripe tells it. Serialised once; those bytes are what is delivered."""

import json
import sqlite3
import time
from collections.abc import Mapping

from sandbox import settings
from sandbox.ids import new_id
from sandbox.store import JsonDict

API_VERSION = "2026-05-27.dahlia"

NO_REQUEST: Mapping[str, str | None] = {"id": None, "idempotency_key": None}


def record(
    db: sqlite3.Connection,
    kind: str,
    data: JsonDict,
    request: Mapping[str, str | None] = NO_REQUEST,
) -> str:
    """Stores an event about ``data`` as it is now and queues its delivery; returns the event's id.

    Wake the deliveries once the transaction is committed.
    """
    event_id = new_id("evt")
    switches = settings.current(db)
    has_endpoint = switches["webhook_url"] is not None
    event = {
        "id": event_id,
        "object": "event",
        "api_version": API_VERSION,
        "created": int(time.time()),
        "data": {"object": data},
        "livemode": False,
        "pending_webhooks": 1 if has_endpoint else 0,
        "request": dict(request),
        "type": kind,
    }
    db.execute(
        "INSERT INTO events (id, type, object_id, created, body) VALUES (?, ?, ?, ?, ?)",
        (event_id, kind, data["id"], event["created"], _serialise(event)),
    )
    if has_endpoint:
        queue(db, event_id, time.time() + switches["webhook_delay_s"])
    return event_id


def _serialise(event: JsonDict) -> bytes:
    """Indented and in plain UTF-8, as Stripe sends it: no common JSON library's default, so that a
    receiver which verifies a re-serialised body fails here as it would there."""
    return json.dumps(event, indent=2, ensure_ascii=False).encode()


def queue(db: sqlite3.Connection, event_id: str, due_at: float) -> None:
    """Delivers the event at ``due_at``, whatever came of earlier deliveries; retries start anew."""
    db.execute(
        "INSERT INTO deliveries (event_id, state, due_at) VALUES (?, 'pending', ?)"
        " ON CONFLICT (event_id) DO UPDATE"
        " SET state = 'pending', tries = 0, due_at = excluded.due_at",
        (event_id, due_at),
    )


def find(db: sqlite3.Connection, event_id: str) -> JsonDict | None:
    """The event with ``pending_webhooks`` as of now."""
    row = db.execute(
        "SELECT body, state FROM events LEFT JOIN deliveries ON event_id = id WHERE id = ?",
        (event_id,),
    ).fetchone()
    return None if row is None else current(row)


def current(row: sqlite3.Row) -> JsonDict:
    event: JsonDict = json.loads(row["body"])
    event["pending_webhooks"] = int(row["state"] not in (None, "succeeded"))
    return event


def latest_of(db: sqlite3.Connection, object_id: str, kind: str) -> str | None:
    row = db.execute(
        "SELECT id FROM events WHERE object_id = ? AND type = ? ORDER BY seq DESC LIMIT 1",
        (object_id, kind),
    ).fetchone()
    return None if row is None else str(row["id"])
