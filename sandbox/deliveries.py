"""Carries events to the endpoint: when they are due, signed anew each time, until it says 2xx.

A few threads each claim what is due, post it and write down the answer. What is left undone stands
in the store, so a restart goes on where the last process ended.
"""

import http.client
import json
import logging
import sqlite3
import threading
import time
from typing import NamedTuple
from urllib.parse import urlsplit

from sandbox import settings, signatures
from sandbox.settings import Endpoint
from sandbox.store import Store

log = logging.getLogger(__name__)

SENDERS = 16
TIMEOUT_S = 10.0
WOKEN = 5  # as many senders as one payment makes events, and one
KEPT_OF_ANSWER = 4000  # bytes
LONGEST_IDLE_S = 1.0


class Answer(NamedTuple):
    """What became of one sending; ``status`` is None if no answer came."""

    status: int | None
    text: str
    headers: dict[str, str]
    at: float
    took_ms: int

    @property
    def good(self) -> bool:
        """Redirects are failures, as they are with Stripe."""
        return self.status is not None and 200 <= self.status < 300


class Letter(NamedTuple):
    """One sending: an event's bytes as they were serialised, and where they go."""

    event_id: str
    body: bytes
    endpoint: Endpoint


class Deliveries:
    """The senders, and the pages that wait for an event's first answer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._something_due = threading.Condition()
        self._calls = 0
        self._awaited: dict[str, threading.Event] = {}

    def start(self) -> None:
        for number in range(SENDERS):
            threading.Thread(
                target=self._send_forever, name=f"sender-{number}", daemon=True
            ).start()

    def wake(self) -> None:
        """Call after the commit that made something due."""
        with self._something_due:
            self._calls += 1
            self._something_due.notify(WOKEN)

    def expect(self, event_id: str) -> None:
        """Makes the first answer to this event something to wait for; call before it is due."""
        self._awaited[event_id] = threading.Event()

    def wait_for_answer(self, event_id: str, longest_s: float) -> None:
        """Returns once the first sending was answered, or failed, or time is up."""
        answered = self._awaited.get(event_id)
        if answered is not None:
            answered.wait(longest_s)
            self._awaited.pop(event_id, None)

    def _send_forever(self) -> None:
        while True:
            try:
                self._send_what_is_due()
            except sqlite3.ProgrammingError:
                return  # the store was closed: the process is ending
            except Exception:
                # A sender must outlive whatever one delivery met, or the pool would dry up.
                log.exception("a delivery failed for a reason of the sandbox's own")
                time.sleep(LONGEST_IDLE_S)

    def _send_what_is_due(self) -> None:
        calls = self._calls
        with self._store.transaction() as db:
            letter = claim(db, time.time())
            idle_s = idle_time(db, time.time()) if letter is None else 0.0
        if letter is None:
            self._rest(idle_s, calls)
            return
        answer = post(letter.endpoint, letter.body)
        with self._store.transaction() as db:
            record(db, letter, answer)
        answered = self._awaited.get(letter.event_id)
        if answered is not None:
            answered.set()

    def _rest(self, longest_s: float, calls: int) -> None:
        """Until something is due or :meth:`wake` is called, be it since ``calls`` was read."""
        with self._something_due:
            if self._calls == calls:
                self._something_due.wait(longest_s)


def claim(db: sqlite3.Connection, now: float) -> Letter | None:
    """Marks the longest due event as being sent, if deliveries are on."""
    endpoint = settings.endpoint(db)
    if endpoint is None or not settings.current(db)["deliver"]:
        return None
    row = db.execute(
        "UPDATE deliveries SET state = 'sending' WHERE event_id = (SELECT event_id FROM deliveries"
        " WHERE state = 'pending' AND due_at <= ? ORDER BY due_at LIMIT 1) RETURNING event_id",
        (now,),
    ).fetchone()
    if row is None:
        return None
    event = db.execute("SELECT body FROM events WHERE id = ?", (row["event_id"],)).fetchone()
    return Letter(row["event_id"], event["body"], endpoint)


def idle_time(db: sqlite3.Connection, now: float) -> float:
    row = db.execute(
        "SELECT min(due_at) AS next FROM deliveries WHERE state = 'pending'"
    ).fetchone()
    if row["next"] is None:
        return LONGEST_IDLE_S
    # Something due that was not claimed waits for a switch: look again in a second, not at once.
    until = row["next"] - now
    return min(until, LONGEST_IDLE_S) if until > 0 else LONGEST_IDLE_S


def post(endpoint: Endpoint, body: bytes) -> Answer:
    """One sending. No proxy, no redirect followed: straight to the endpoint, on this machine."""
    at = time.time()
    headers = {
        "Accept": "*/*; q=0.5, application/xml",
        "Cache-Control": "no-cache",
        "Connection": "close",
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": signatures.header(body, endpoint.secret, int(at)),
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    }
    started = time.monotonic()
    try:
        status, text = _exchange(endpoint.url, body, headers)
    except (OSError, http.client.HTTPException) as error:
        status, text = None, f"{type(error).__name__}: {error}"
    took_ms = round((time.monotonic() - started) * 1000)
    return Answer(status, text, headers, at, took_ms)


def _exchange(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, headers)
        response = connection.getresponse()
        return response.status, response.read(KEPT_OF_ANSWER).decode(errors="replace")
    finally:
        connection.close()


def record(db: sqlite3.Connection, letter: Letter, answer: Answer) -> None:
    """Keeps the attempt and decides what is next: done, a retry, or given up."""
    event_id = letter.event_id
    row = db.execute("SELECT tries FROM deliveries WHERE event_id = ?", (event_id,)).fetchone()
    if row is None:
        return  # a reset forgot the event meanwhile
    db.execute(
        "INSERT INTO attempts (event_id, at, url, request_headers, status, answer, took_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            event_id,
            answer.at,
            letter.endpoint.url,
            json.dumps(answer.headers),
            answer.status,
            answer.text,
            answer.took_ms,
        ),
    )
    schedule = settings.current(db)["retry_schedule_s"]
    tries = row["tries"]
    if answer.good:
        state, due_at = "succeeded", answer.at
    elif tries < len(schedule):
        state, due_at = "pending", time.time() + schedule[tries]
    else:
        state, due_at = "failed", answer.at
    # Only a row still being sent: "Send again" in the meantime has queued it anew.
    db.execute(
        "UPDATE deliveries SET state = ?, due_at = ?, tries = tries + 1"
        " WHERE event_id = ? AND state = 'sending'",
        (state, due_at, event_id),
    )
