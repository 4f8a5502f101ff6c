"""Carries events to the endpoints: when they are due, signed anew each time, until they say 2xx.

One thread claims what is due, several post it, and whoever has answers writes all there are down in
one transaction. What is left undone stands in the store, so a restart goes on where the last
process ended. Deliveries of different events run side by side, as Stripe's do.
"""

import json
import logging
import queue
import sqlite3
import threading
import time
from collections import deque
from typing import NamedTuple

from sandbox import clock, events, faults, settings, webhook_client, webhook_endpoints
from sandbox.faults import Strike
from sandbox.settings import Endpoint
from sandbox.store import Closed, JsonDict, Store
from sandbox.webhook_client import Answer

log = logging.getLogger(__name__)

SENDERS = 16
MOST_UNDER_WAY = 64
LONGEST_IDLE_S = 1.0


class Letter(NamedTuple):
    """One sending: an event's bytes as this endpoint gets them, and where they go."""

    delivery: int
    event_id: str
    body: bytes
    endpoint: Endpoint
    endpoint_id: str
    strikes: dict[str, Strike]


class Sent(NamedTuple):
    """``at`` is the stand-in's time."""

    letter: Letter
    at: float
    answer: Answer


class Claim(NamedTuple):
    """What was found due: letters to send, and events whose letters come later or never."""

    letters: list[Letter]
    put_off: list[str]


class Awaited:
    """An event whose first answers somebody waits for, one from each endpoint."""

    def __init__(self, endpoints: int) -> None:
        self._left = endpoints
        self._lock = threading.Lock()
        self.answered = threading.Event()

    def count(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left <= 0:
                self.answered.set()


class Deliveries:
    """The threads, and the pages that wait for an event's first answers."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._something_due = threading.Condition()
        self._calls = 0
        self._awaited: dict[str, Awaited] = {}
        self._letters: queue.SimpleQueue[Letter] = queue.SimpleQueue()
        self._under_way = threading.Semaphore(MOST_UNDER_WAY)
        self._sent: deque[Sent] = deque()
        self._writing = threading.Lock()

    def start(self) -> None:
        threading.Thread(target=self._claim_forever, name="deliveries", daemon=True).start()
        for number in range(SENDERS):
            threading.Thread(
                target=self._send_forever, name=f"sender-{number}", daemon=True
            ).start()

    def wake(self) -> None:
        """Call after the commit that made something due."""
        with self._something_due:
            self._calls += 1
            self._something_due.notify()

    def expect(self, event_id: str, endpoints: int) -> None:
        """Makes the first answers to this event something to wait for; call before it is due."""
        self._awaited[event_id] = Awaited(endpoints)

    def wait_for_answers(self, event_id: str, longest_s: float) -> None:
        """Returns once each endpoint's first sending was answered, or failed, or time is up."""
        awaited = self._awaited.get(event_id)
        if awaited is not None:
            awaited.answered.wait(longest_s)
            self._awaited.pop(event_id, None)

    def _answered(self, event_id: str) -> None:
        awaited = self._awaited.get(event_id)
        if awaited is not None:
            awaited.count()

    def _claim_forever(self) -> None:
        while True:
            try:
                self._claim_what_is_due()
            except Closed:
                return
            except Exception:
                # This thread must outlive whatever one delivery met, or nothing would leave.
                log.exception("claiming deliveries failed for a reason of the sandbox's own")
                time.sleep(LONGEST_IDLE_S)

    def _claim_what_is_due(self) -> None:
        calls = self._calls
        with self._store.reading() as db:
            idle_s = idle_time(db, clock.now())
        if idle_s > 0:
            self._rest(idle_s, calls)
            return
        with self._store.transaction() as db:
            claimed = claim(db, clock.now())
        for event_id in claimed.put_off:
            self._answered(event_id)
        for letter in claimed.letters:
            self._under_way.acquire()
            self._letters.put(letter)
        if not claimed.letters and not claimed.put_off:
            self._rest(LONGEST_IDLE_S, calls)  # what is due waits for a switch

    def _rest(self, longest_s: float, calls: int) -> None:
        """Until something is due or :meth:`wake` is called, be it since ``calls`` was read."""
        with self._something_due:
            if self._calls == calls:
                self._something_due.wait(longest_s)

    def _send_forever(self) -> None:
        while True:
            letter = self._letters.get()
            try:
                self._sent.append(send(letter))
                self._write_down()
            except Closed:
                return
            except Exception:
                # A sender must outlive whatever one delivery met, or the pool would dry up.
                log.exception("a delivery failed for a reason of the sandbox's own")
            finally:
                self._under_way.release()

    def _write_down(self) -> None:
        """Those who come while another writes find their own answer written."""
        with self._writing:
            sent = [self._sent.popleft() for _ in range(len(self._sent))]
            if sent:
                with self._store.transaction() as db:
                    schedule = settings.current(db)["retry_schedule_s"]
                    for each in sent:
                        record(db, each, schedule)
        for each in sent:
            self._answered(each.letter.event_id)
        if any(not each.answer.good for each in sent):
            self.wake()  # a retry may be due before the claiming thread looks again


def idle_time(db: sqlite3.Connection, now: float) -> float:
    """Seconds until something is due, at most a second: the clock may be moved meanwhile."""
    row = db.execute(
        "SELECT min(due_at) AS next FROM deliveries WHERE state = 'pending'"
    ).fetchone()
    if row["next"] is None:
        return LONGEST_IDLE_S
    return float(min(row["next"] - now, LONGEST_IDLE_S))


def claim(db: sqlite3.Connection, now: float) -> Claim:
    """Marks what is due as being sent, the longest waiting first, if deliveries are on.

    One whose endpoint is switched off waits; a deleted endpoint takes its deliveries along.
    """
    claimed = Claim([], [])
    switches = settings.current(db)
    if not switches["deliver"]:
        return claimed
    webhook_endpoints.known(db)  # the command line's follows the switches
    for row in _due(db, now):
        strikes = _strikes(db, switches, row)
        if strikes.keys() & faults.ON_THE_WAY:
            _put_off(db, row, strikes, now)
            claimed.put_off.append(row["event_id"])
            continue
        db.execute(
            "UPDATE deliveries SET state = 'sending', judged = 1 WHERE seq = ?", (row["seq"],)
        )
        letter = _letter(db, row, strikes)
        claimed.letters.extend([letter, letter] if "duplicate" in strikes else [letter])
    return claimed


def _due(db: sqlite3.Connection, now: float) -> list[sqlite3.Row]:
    return db.execute(
        "SELECT deliveries.*, events.type, objects.body AS endpoint, private FROM deliveries"
        " JOIN events ON events.id = event_id JOIN objects ON objects.id = endpoint_id"
        " WHERE state = 'pending' AND due_at <= ? ORDER BY due_at, deliveries.seq LIMIT ?",
        (now, MOST_UNDER_WAY),
    ).fetchall()


def _strikes(db: sqlite3.Connection, switches: JsonDict, row: sqlite3.Row) -> dict[str, Strike]:
    if not switches[faults.DELIVERY]:
        return {}
    return faults.on_event(db, switches, row["type"], first=not row["judged"])


def _put_off(
    db: sqlite3.Connection, row: sqlite3.Row, strikes: dict[str, Strike], now: float
) -> None:
    """Late, behind events that came after it, or lost for good."""
    if "drop" in strikes:
        db.execute(
            "UPDATE deliveries SET state = 'failed', judged = 1 WHERE seq = ?", (row["seq"],)
        )
        db.execute(
            "INSERT INTO attempts (event_id, endpoint_id, at, url, request_headers, status, answer,"
            " took_ms, fault) VALUES (?, ?, ?, ?, '{}', NULL, 'Never sent.', 0, 'drop')",
            (row["event_id"], row["endpoint_id"], now, json.loads(row["endpoint"])["url"]),
        )
        return
    later_s = sum(strikes[name].seconds for name in ("delay", "reorder") if name in strikes)
    db.execute(
        "UPDATE deliveries SET due_at = ?, judged = 1 WHERE seq = ?", (now + later_s, row["seq"])
    )


def _letter(db: sqlite3.Connection, row: sqlite3.Row, strikes: dict[str, Strike]) -> Letter:
    endpoint = json.loads(row["endpoint"])
    body = events.payload(db, row["event_id"], endpoint["api_version"])
    address = Endpoint(endpoint["url"], json.loads(row["private"])["secret"])
    return Letter(row["seq"], row["event_id"], body, address, row["endpoint_id"], strikes)


def send(letter: Letter) -> Sent:
    """Signed by the machine's time, however far the stand-in's was moved: so the receiver's is."""
    old = letter.strikes.get("old_timestamp")
    answer = webhook_client.post(
        letter.endpoint,
        letter.body,
        time.time() - (old.seconds if old else 0.0),
        corrupt="corrupt_signature" in letter.strikes,
    )
    return Sent(letter, clock.now(), answer)


def record(db: sqlite3.Connection, sent: Sent, schedule: list[float]) -> None:
    """Keeps the attempt and decides what is next: done, a retry, or given up."""
    letter, answer = sent.letter, sent.answer
    row = db.execute(
        "SELECT tries, due_at FROM deliveries WHERE seq = ?", (letter.delivery,)
    ).fetchone()
    if row is None:
        return  # a reset forgot the event meanwhile
    db.execute(
        "INSERT INTO attempts (event_id, endpoint_id, at, url, request_headers, status, answer,"
        " took_ms, fault) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            letter.event_id,
            letter.endpoint_id,
            sent.at,
            letter.endpoint.url,
            json.dumps(answer.headers),
            answer.status,
            answer.text,
            answer.took_ms,
            ", ".join(letter.strikes) or None,
        ),
    )
    tries = row["tries"]
    if answer.good:
        state, due_at = "succeeded", sent.at
    elif tries < len(schedule):
        # By a clock that was moved past several retries, each follows the one before.
        since = row["due_at"] if clock.offset() else clock.now()
        state, due_at = "pending", since + schedule[tries]
    else:
        state, due_at = "failed", sent.at
    # Only a row still being sent: "Send again" in the meantime has queued it anew, and of a letter
    # sent twice the first answer has decided.
    db.execute(
        "UPDATE deliveries SET state = ?, due_at = ?, tries = tries + 1"
        " WHERE seq = ? AND state = 'sending'",
        (state, due_at, letter.delivery),
    )
