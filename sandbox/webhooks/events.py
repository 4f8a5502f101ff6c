"""Events: what happened, as Stripe tells it. Serialised once; those bytes are what is delivered.

An event is kept in the account's API version (the switch ``api_version``), and beside it once more
for each other version that an endpoint listens in. Read back, it is in the account's.
"""

import json
import sqlite3
from collections.abc import Mapping

from sandbox import clock, faults, settings
from sandbox.protocol import versions
from sandbox.protocol.ids import new_id
from sandbox.store import JsonDict, wake_deliveries
from sandbox.webhooks import indented, webhook_endpoints

READABLE_FOR_S = 30 * 24 * 60 * 60
FORGOTTEN_AT_ONCE = 200

# A condition of the table ``deliveries``. A deleted endpoint waits for nothing any more.
UNDELIVERED = "state <> 'succeeded' AND endpoint_id IN (SELECT id FROM objects)"

# The request that brought something about, as events tell it.
Cause = Mapping[str, str | None]

NO_REQUEST: Cause = {"id": None, "idempotency_key": None}


def record(
    db: sqlite3.Connection,
    kind: str,
    data: JsonDict,
    request: Cause = NO_REQUEST,
    previous: Mapping[str, object] | None = None,
) -> str:
    """Stores an event about ``data`` as it is now and queues its deliveries; returns its id.

    ``previous`` tells the former values of what changed, as ``…updated`` events have them.
    """
    event_id = new_id("evt")
    switches = settings.current(db)
    endpoints = webhook_endpoints.listening(db, kind)
    event: JsonDict = {
        "id": event_id,
        "object": "event",
        "api_version": versions.API_VERSION,
        "created": int(clock.now()),
        "data": {"object": data} | ({"previous_attributes": dict(previous)} if previous else {}),
        "livemode": False,
        "pending_webhooks": len(endpoints),
        "request": dict(request),
        "type": kind,
    }
    account = switches["api_version"]
    _keep(db, event, account, {endpoint["api_version"] or account for endpoint in endpoints})
    for endpoint in endpoints:
        queue(db, event_id, clock.now() + switches["webhook_delay_s"], endpoint["id"])
    return event_id


def _keep(db: sqlite3.Connection, event: JsonDict, account: str, listened: set[str]) -> None:
    db.execute(
        "INSERT INTO events (id, type, object_id, nth, created, body) VALUES (?, ?, ?, ?, ?, ?)",
        (
            event["id"],
            event["type"],
            event["data"]["object"]["id"],
            faults.count_event(db, event["type"]),
            event["created"],
            _serialise(db, event, account),
        ),
    )
    db.executemany(
        "INSERT INTO renderings (event_id, api_version, body) VALUES (?, ?, ?)",
        [
            (event["id"], version, _serialise(db, event, version))
            for version in listened - {account}
        ],
    )


def _serialise(db: sqlite3.Connection, event: JsonDict, version: str) -> bytes:
    """Indented and in plain UTF-8, as Stripe sends it: no common JSON library's default, so that a
    receiver which verifies a re-serialised body fails here as it would there."""
    shown = versions.render(db, event, version) | {"api_version": version}
    return indented.dumps(shown).encode()


def payload(db: sqlite3.Connection, event_id: str, version: str | None) -> bytes:
    """The event's bytes for an endpoint of ``version`` (None: of the account's)."""
    row = db.execute(
        "SELECT body FROM renderings WHERE event_id = ? AND api_version = ?", (event_id, version)
    ).fetchone()
    row = row or db.execute("SELECT body FROM events WHERE id = ?", (event_id,)).fetchone()
    return bytes(row["body"])


def queue(
    db: sqlite3.Connection, event_id: str, due_at: float, endpoint_id: str | None = None
) -> None:
    """Delivers the event at ``due_at`` whatever came of earlier deliveries; retries start anew.

    ``endpoint_id`` None: to all endpoints that listen to its type now.
    """
    if endpoint_id is None:
        row = db.execute("SELECT type FROM events WHERE id = ?", (event_id,)).fetchone()
        for endpoint in webhook_endpoints.listening(db, row["type"]):
            queue(db, event_id, due_at, endpoint["id"])
        return
    db.execute(
        "INSERT INTO deliveries (event_id, endpoint_id, state, due_at)"
        " VALUES (?, ?, 'pending', ?)"
        " ON CONFLICT (event_id, endpoint_id) DO UPDATE"
        " SET state = 'pending', tries = 0, due_at = excluded.due_at",
        (event_id, endpoint_id, due_at),
    )
    wake_deliveries(db)


def oldest() -> float:
    """Events that were made before this time can't be read any more."""
    return clock.now() - READABLE_FOR_S


def find(db: sqlite3.Connection, event_id: str) -> JsonDict | None:
    """The event with ``pending_webhooks`` as of now; None once it is too old to be read."""
    row = db.execute(
        "SELECT * FROM events WHERE id = ? AND created > ?", (event_id, oldest())
    ).fetchone()
    return None if row is None else current(db, row)


def current(db: sqlite3.Connection, row: sqlite3.Row) -> JsonDict:
    """A row of the table ``events``: how many endpoints are yet to say 2xx is counted anew."""
    event: JsonDict = json.loads(row["body"])
    pending = db.execute(
        f"SELECT count(*) FROM deliveries WHERE event_id = ? AND {UNDELIVERED}", (event["id"],)
    ).fetchone()
    event["pending_webhooks"] = pending[0]
    return event


def forget_old(db: sqlite3.Connection) -> None:
    """What can't be read any more goes, with its deliveries: some at each tick of the clock."""
    rows = db.execute(
        "SELECT id FROM events WHERE created <= ? LIMIT ?", (oldest(), FORGOTTEN_AT_ONCE)
    ).fetchall()
    ids = [(row["id"],) for row in rows]
    for table in ("attempts", "deliveries", "renderings"):
        db.executemany(f"DELETE FROM {table} WHERE event_id = ?", ids)
    db.executemany("DELETE FROM events WHERE id = ?", ids)


def latest_of(db: sqlite3.Connection, object_id: str, kind: str) -> str | None:
    row = db.execute(
        "SELECT id FROM events WHERE object_id = ? AND type = ? ORDER BY seq DESC LIMIT 1",
        (object_id, kind),
    ).fetchone()
    return None if row is None else str(row["id"])
