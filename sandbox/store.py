"""The sandbox's memory: one SQLite file, and the only way to it.

Everything a restart must not lose stands here: Stripe's objects, events and their deliveries, the
answers kept for idempotency keys, the mails, the switches. One connection behind one lock serves
all threads: statements take microseconds, and a single writer can't meet SQLITE_BUSY.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

JsonDict = dict[str, Any]

SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    object TEXT NOT NULL,
    created INTEGER NOT NULL,
    due_at REAL,
    body TEXT NOT NULL,
    private TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS objects_due ON objects (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS objects_by_kind ON objects (object, seq);

CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    object_id TEXT NOT NULL,
    created INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_object ON events (object_id, type);

CREATE TABLE IF NOT EXISTS deliveries (
    event_id TEXT PRIMARY KEY REFERENCES events (id),
    state TEXT NOT NULL CHECK (state IN ('pending', 'sending', 'succeeded', 'failed')),
    tries INTEGER NOT NULL DEFAULT 0,
    due_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (due_at) WHERE state = 'pending';

CREATE TABLE IF NOT EXISTS attempts (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL REFERENCES events (id),
    at REAL NOT NULL,
    url TEXT NOT NULL,
    request_headers TEXT NOT NULL,
    status INTEGER,
    answer TEXT NOT NULL,
    took_ms INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS attempts_by_event ON attempts (event_id);

CREATE TABLE IF NOT EXISTS idempotency_keys (
    key TEXT PRIMARY KEY,
    path TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status INTEGER NOT NULL,
    body TEXT NOT NULL,
    request_id TEXT NOT NULL,
    created REAL NOT NULL
);

CREATE TABLE IF NOT EXISTS requests (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    record TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS mails (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    received TEXT NOT NULL,
    sender TEXT NOT NULL,
    recipients TEXT NOT NULL,
    raw BLOB NOT NULL
);

CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

FORGOTTEN_BY_RESET = (
    "attempts", "deliveries", "events", "objects", "idempotency_keys", "requests", "mails"
)  # fmt: skip


class Store:
    """One SQLite connection, shared by all threads behind one lock."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        # NORMAL: a crash of the process loses nothing, only one of the machine could.
        self._connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")
        self._connection.executescript(SCHEMA)
        # A process that died while sending never learned the answer: those are sent again.
        self._connection.execute("UPDATE deliveries SET state = 'pending' WHERE state = 'sending'")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Reads and writes that stand or fall together. Never wait for the network inside."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A consistent look: nothing is written by others in the meantime."""
        with self._lock:
            yield self._connection

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def reset(db: sqlite3.Connection) -> None:
    """Forgets what happened; the switches are the settings module's."""
    for table in FORGOTTEN_BY_RESET:
        db.execute(f"DELETE FROM {table}")


def insert_object(
    db: sqlite3.Connection, body: JsonDict, private: JsonDict, due_at: float | None = None
) -> None:
    """Keeps one of Stripe's objects; ``private`` is what the API never shows of it.

    ``due_at`` (epoch seconds) asks the clock to look at the object then.
    """
    db.execute(
        "INSERT INTO objects (id, object, created, due_at, body, private)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (
            body["id"],
            body["object"],
            body["created"],
            due_at,
            json.dumps(body),
            json.dumps(private),
        ),
    )


def update_object(db: sqlite3.Connection, body: JsonDict, due_at: float | None = None) -> None:
    db.execute(
        "UPDATE objects SET body = ?, due_at = ? WHERE id = ?",
        (json.dumps(body), due_at, body["id"]),
    )


def find_object(db: sqlite3.Connection, object_id: str, kind: str | None = None) -> JsonDict | None:
    row = db.execute("SELECT object, body FROM objects WHERE id = ?", (object_id,)).fetchone()
    if row is None or (kind is not None and row["object"] != kind):
        return None
    body: JsonDict = json.loads(row["body"])
    return body


def private_part(db: sqlite3.Connection, object_id: str) -> JsonDict:
    row = db.execute("SELECT private FROM objects WHERE id = ?", (object_id,)).fetchone()
    private: JsonDict = json.loads(row["private"])
    return private


def due_objects(db: sqlite3.Connection, now: float) -> list[JsonDict]:
    """At most 100 objects whose time has come, the longest waiting first."""
    rows = db.execute(
        "SELECT body FROM objects WHERE due_at <= ? ORDER BY due_at LIMIT 100", (now,)
    ).fetchall()
    return [json.loads(row["body"]) for row in rows]
