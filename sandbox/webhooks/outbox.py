"""What is to be delivered: claimed when it is due, written down when it was answered.

The table's rows go pending → sending → succeeded, failed or pending again. Each claim has a number:
the answer to an earlier sending decides nothing any more, unless it is a 2xx, after which nothing
is left to be sent. Callers hold a transaction; ``deliveries`` has the threads.
"""

import json
import sqlite3
from collections.abc import Callable
from typing import NamedTuple

from sandbox import clock, faults, settings
from sandbox.faults import Occasion, Strike
from sandbox.settings import Endpoint
from sandbox.store import JsonDict
from sandbox.webhooks import webhook_endpoints
from sandbox.webhooks.sendings import Sending, Sent

LONGEST_IDLE_S = 1.0
ATTEMPTS_KEPT = 10_000
PRUNED_EVERY = 100

# How many more may be sent to the endpoint of this id now.
Room = Callable[[str], int]


class Claim(NamedTuple):
    """What was found due: what to send now, and (event, endpoint) of what comes later or never."""

    sendings: list[Sending]
    put_off: list[tuple[str, str]]


def idle_time(db: sqlite3.Connection, now: float, room: Room) -> float:
    """Seconds until something can be claimed, at most one: the clock may be moved meanwhile."""
    if not settings.current(db)["deliver"]:
        return LONGEST_IDLE_S
    due_at = [now + LONGEST_IDLE_S]
    for endpoint in webhook_endpoints.known(db):
        if room(endpoint["id"]) > 0:
            (first,) = db.execute(
                "SELECT min(due_at) FROM deliveries WHERE state = 'pending' AND endpoint_id = ?",
                (endpoint["id"],),
            ).fetchone()
            due_at += [] if first is None else [first]
    return min(due_at) - now


def claim(db: sqlite3.Connection, now: float, room: Room) -> Claim:
    """Marks what is due as being sent, to each endpoint as much as there is ``room`` for.

    What waited longest goes first. Nothing is claimed while deliveries are switched off.
    """
    claimed = Claim([], [])
    switches = settings.current(db)
    if not switches["deliver"]:
        return claimed
    for place, endpoint in enumerate(webhook_endpoints.known(db)):
        for row in _waiting(db, endpoint, now, room(endpoint["id"])):
            _take(db, claimed, row, endpoint, _strikes(db, switches, row, place), now)
    return claimed


def _waiting(
    db: sqlite3.Connection, endpoint: JsonDict, now: float, most: int
) -> list[sqlite3.Row]:
    """With their events, and the ``body`` that this endpoint's version gets."""
    return db.execute(
        "SELECT deliveries.*, type, nth, coalesce(renderings.body, events.body) AS body"
        " FROM deliveries JOIN events ON events.id = deliveries.event_id"
        " LEFT JOIN renderings ON renderings.event_id = events.id AND api_version = ?"
        " WHERE state = 'pending' AND endpoint_id = ? AND due_at <= ?"
        " ORDER BY due_at, deliveries.seq LIMIT ?",
        (endpoint["api_version"], endpoint["id"], now, max(0, most)),
    ).fetchall()


def _strikes(
    db: sqlite3.Connection, switches: JsonDict, row: sqlite3.Row, place: int
) -> dict[str, Strike]:
    if not switches[faults.DELIVERY]:
        return {}
    occasion = Occasion(row["type"], row["nth"], place, row["claim"])
    return faults.on_event(db, switches, occasion, first=not row["judged"])


def _take(
    db: sqlite3.Connection,
    claimed: Claim,
    row: sqlite3.Row,
    endpoint: JsonDict,
    strikes: dict[str, Strike],
    now: float,
) -> None:
    if strikes.keys() & faults.ON_THE_WAY:
        _put_off(db, row, endpoint, strikes, now)
        claimed.put_off.append((row["event_id"], endpoint["id"]))
        return
    db.execute(
        "UPDATE deliveries SET state = 'sending', judged = 1, claim = claim + 1 WHERE seq = ?",
        (row["seq"],),
    )
    address = Endpoint(endpoint["url"], webhook_endpoints.secret_of(db, endpoint["id"]))
    sending = Sending(
        row["seq"], row["claim"] + 1, row["event_id"], row["body"], address, endpoint["id"], strikes
    )
    claimed.sendings.extend([sending] * (2 if "duplicate" in strikes else 1))


def _put_off(
    db: sqlite3.Connection,
    row: sqlite3.Row,
    endpoint: JsonDict,
    strikes: dict[str, Strike],
    now: float,
) -> None:
    """Late, behind events that came after it, or lost for good."""
    if "drop" in strikes:
        db.execute(
            "UPDATE deliveries SET state = 'failed', judged = 1 WHERE seq = ?", (row["seq"],)
        )
        db.execute(
            "INSERT INTO attempts (event_id, endpoint_id, at, url, request_headers, status, answer,"
            " took_ms, fault) VALUES (?, ?, ?, ?, '{}', NULL, 'Never sent.', 0, 'drop')",
            (row["event_id"], endpoint["id"], now, endpoint["url"]),
        )
        return
    later_s = sum(strikes[name].seconds for name in ("delay", "reorder") if name in strikes)
    db.execute(
        "UPDATE deliveries SET due_at = ?, judged = 1 WHERE seq = ?", (now + later_s, row["seq"])
    )


def record(db: sqlite3.Connection, sent: Sent) -> None:
    """Keeps the attempt and decides what is next: done, a retry, or given up."""
    row = db.execute("SELECT * FROM deliveries WHERE seq = ?", (sent.sending.delivery,)).fetchone()
    if row is None:
        return  # a reset forgot the event meanwhile
    _keep_attempt(db, sent)
    if sent.answer.good:
        _succeed(db, row, sent.at)
    elif row["state"] == "sending" and row["claim"] == sent.sending.claim:
        _try_again(db, row, sent)


def _keep_attempt(db: sqlite3.Connection, sent: Sent) -> None:
    sending, answer = sent.sending, sent.answer
    cursor = db.execute(
        "INSERT INTO attempts (event_id, endpoint_id, at, url, request_headers, status, answer,"
        " took_ms, fault) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            sending.event_id,
            sending.endpoint_id,
            sent.at,
            sending.endpoint.url,
            json.dumps(answer.headers),
            answer.status,
            answer.text,
            answer.took_ms,
            ", ".join(sending.strikes) or None,
        ),
    )
    seq = cursor.lastrowid or 0
    if seq % PRUNED_EVERY == 0:
        db.execute("DELETE FROM attempts WHERE seq <= ?", (seq - ATTEMPTS_KEPT,))


def _succeed(db: sqlite3.Connection, row: sqlite3.Row, at: float) -> None:
    """However late: the endpoint has it. Only what "Send again" has queued anew is sent still."""
    if row["state"] != "pending" or row["tries"]:
        db.execute(
            "UPDATE deliveries SET state = 'succeeded', due_at = ?, tries = tries + 1"
            " WHERE seq = ?",
            (at, row["seq"]),
        )


def _try_again(db: sqlite3.Connection, row: sqlite3.Row, sent: Sent) -> None:
    schedule, tries = settings.current(db)["retry_schedule_s"], row["tries"]
    if tries < len(schedule):
        state, due_at = "pending", _ended(row, sent) + schedule[tries]
    else:
        state, due_at = "failed", sent.at
    db.execute(
        "UPDATE deliveries SET state = ?, due_at = ?, tries = tries + 1 WHERE seq = ?",
        (state, due_at, row["seq"]),
    )


def _ended(row: sqlite3.Row, sent: Sent) -> float:
    """When this sending was over. One that fell due while the clock was being moved is made up for:
    as if it had been made in its time, so that all retries in that time follow each other."""
    if row["due_at"] <= clock.landed():
        return float(row["due_at"] + sent.answer.took_ms / 1000)
    return sent.at
