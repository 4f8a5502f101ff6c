"""The sandbox's memory: one SQLite file, and the only way to it.

Everything a restart must not lose stands here: Stripe's objects, events and their deliveries, the
answers kept for idempotency keys, the mails, the switches. One connection behind one lock serves
all threads: statements take microseconds, and a single writer can't meet SQLITE_BUSY.
"""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

JsonDict = dict[str, Any]
Read = TypeVar("Read")

# Names of what is remembered between two looks.
SETTINGS = "settings"
ENDPOINTS = "webhook endpoints"
SECRETS = "secrets of webhook endpoints"

SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    object TEXT NOT NULL,
    created INTEGER NOT NULL,
    body TEXT NOT NULL,
    private TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS objects_by_kind ON objects (object, created, seq);
CREATE INDEX IF NOT EXISTS objects_by_charge ON objects (json_extract(body, '$.charge'));
CREATE INDEX IF NOT EXISTS objects_by_intent ON objects (json_extract(body, '$.payment_intent'));

CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    object_id TEXT NOT NULL,
    nth INTEGER NOT NULL,
    created INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_age ON events (created, seq);
CREATE INDEX IF NOT EXISTS events_by_object ON events (object_id, type);

CREATE TABLE IF NOT EXISTS renderings (
    event_id TEXT NOT NULL REFERENCES events (id),
    api_version TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (event_id, api_version)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS deliveries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL REFERENCES events (id),
    endpoint_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'sending', 'succeeded', 'failed')),
    tries INTEGER NOT NULL DEFAULT 0,
    due_at REAL NOT NULL,
    judged INTEGER NOT NULL DEFAULT 0,
    claim INTEGER NOT NULL DEFAULT 0,
    UNIQUE (event_id, endpoint_id)
);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (endpoint_id, due_at)
    WHERE state = 'pending';

CREATE TABLE IF NOT EXISTS attempts (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL REFERENCES events (id),
    endpoint_id TEXT NOT NULL,
    at REAL NOT NULL,
    url TEXT NOT NULL,
    request_headers TEXT NOT NULL,
    status INTEGER,
    answer TEXT NOT NULL,
    took_ms INTEGER NOT NULL,
    fault TEXT
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

CREATE TABLE IF NOT EXISTS later (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    due_at REAL NOT NULL,
    action TEXT NOT NULL,
    object_id TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS later_due ON later (due_at);
CREATE INDEX IF NOT EXISTS later_of ON later (object_id);

CREATE TABLE IF NOT EXISTS fault_counts (
    rule TEXT PRIMARY KEY,
    seen INTEGER NOT NULL,
    struck INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS event_counts (type TEXT PRIMARY KEY, seen INTEGER NOT NULL);

CREATE TABLE IF NOT EXISTS clock (name TEXT PRIMARY KEY, value REAL NOT NULL);
"""

FORGOTTEN_BY_RESET = (
    "attempts", "deliveries", "renderings", "events", "objects", "idempotency_keys", "requests",
    "mails", "later",
)  # fmt: skip


class Closed(Exception):
    """The store was closed: the process is ending, and so should the thread that meets this."""


class Connection(sqlite3.Connection):
    """Remembers what is read at every turn and hardly ever changes: the switches, the endpoints.

    ``undo`` puts back what a rolled-back transaction changed outside of the database; ``told`` are
    the events stored so far, which nobody is to hear of before the commit; ``wakes`` says whether
    that commit has to wake the deliveries.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.memory: dict[str, Any] = {}
        self.undo: list[Callable[[], None]] = []
        self.told: list[bytes] = []
        self.wakes = False


def _ours(db: sqlite3.Connection) -> Connection:
    assert isinstance(db, Connection), "the store makes all connections"
    return db


def remembered(db: sqlite3.Connection, name: str, read: Callable[[], Read]) -> Read:
    """What ``read`` gives, asked only once until :func:`forget`; nobody may change it."""
    db = _ours(db)
    if name not in db.memory:
        db.memory[name] = read()
    found: Read = db.memory[name]
    return found


def forget(db: sqlite3.Connection, *names: str) -> None:
    """Call when what was read changes; without names, all of it."""
    db = _ours(db)
    for name in names or list(db.memory):
        db.memory.pop(name, None)


def if_undone(db: sqlite3.Connection, put_back: Callable[[], None]) -> None:
    """Calls ``put_back`` if the transaction, or the :func:`part` of it, is rolled back."""
    _ours(db).undo.append(put_back)


def wake_deliveries(db: sqlite3.Connection) -> None:
    """Once this is committed: something is due, or may go where or when it could not before."""
    _ours(db).wakes = True


@contextmanager
def part(db: sqlite3.Connection) -> Iterator[None]:
    """A part of a transaction that is undone whole, and alone, if it raises."""
    db = _ours(db)
    undo, told = len(db.undo), len(db.told)
    db.execute("SAVEPOINT part")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK TO part")
        _put_back(db, undo, told)
        raise
    finally:
        db.execute("RELEASE part")


def _put_back(db: Connection, undo: int, told: int) -> None:
    """All that was remembered, or changed elsewhere, since these two lists were so long."""
    while len(db.undo) > undo:
        db.undo.pop()()
    del db.told[told:]
    forget(db)


# Another number than this: the tables are of another version of the sandbox.
VERSION = 1


class Store:
    """One SQLite connection, shared by all threads behind one lock."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._closed = False
        self._tell: Callable[[bytes], None] | None = None
        self._wake: Callable[[], None] = lambda: None
        self._connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, factory=Connection
        )
        self._connection.row_factory = sqlite3.Row
        # NORMAL: a crash of the process loses nothing, only one of the machine could.
        self._connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")
        self._refuse_other_versions()
        self._connection.executescript(SCHEMA)
        # A process that died while sending never learned the answer: those are sent again.
        self._connection.execute("UPDATE deliveries SET state = 'pending' WHERE state = 'sending'")

    def _refuse_other_versions(self) -> None:
        """Nothing here is worth being carried over; but nothing is deleted unasked."""
        (found,) = self._connection.execute("PRAGMA user_version").fetchone()
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables and found != VERSION:
            raise sqlite3.DatabaseError(
                "another version of the sandbox made it; delete its sandbox.sqlite3 to begin anew"
            )
        self._connection.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Reads and writes that stand or fall together. Never wait for the network inside.

        Raises :class:`Closed`, as :meth:`reading` does.
        """
        with self.reading() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                db.execute("ROLLBACK")
                _put_back(db, 0, 0)
                db.wakes = False
                raise
            wakes = self._committed(db)
        if wakes:  # without the lock, which is what they want first
            self._wake()

    def _committed(self, db: Connection) -> bool:
        """Whether the deliveries are to be woken."""
        db.undo.clear()
        told, db.told = db.told, []
        wakes, db.wakes = db.wakes, False
        if self._tell is not None:
            for body in told:
                self._tell(body)
        return wakes

    def on_wake(self, wake: Callable[[], None]) -> None:
        """Calls ``wake`` after each commit that asked for it by :func:`wake_deliveries`."""
        self._wake = wake

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A consistent look: nothing is written by others in the meantime."""
        with self._lock:
            if self._closed:
                raise Closed
            yield self._connection

    def on_event(self, tell: Callable[[bytes], None]) -> None:
        """Calls ``tell`` with the body of each event committed from now on; for recordings."""
        self._tell = tell
        self._connection.create_function(
            "event_stored", 1, lambda body: self._connection.told.append(body)
        )
        self._connection.execute(
            "CREATE TEMP TRIGGER tell_of_events AFTER INSERT ON main.events"
            " BEGIN SELECT event_stored(NEW.body); END"
        )

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._connection.close()


def reset(db: sqlite3.Connection) -> None:
    """Forgets what happened; the switches are the settings module's."""
    for table in FORGOTTEN_BY_RESET:
        db.execute(f"DELETE FROM {table}")
    forget(db)


def keep_newest(db: sqlite3.Connection, table: str, column: str, most: int, size: int) -> None:
    """Deletes the oldest rows beyond ``most``, or beyond ``size`` characters or bytes of
    ``column``; the newest always stays."""
    db.execute(
        f"DELETE FROM {table} WHERE rowid <= (SELECT max(rowid) FROM ("
        f" SELECT rowid, row_number() OVER newest AS place,"
        f" sum(length({column})) OVER newest AS sum FROM {table}"
        " WINDOW newest AS (ORDER BY rowid DESC))"
        " WHERE place > 1 AND (place > ? OR sum > ?))",
        (most, size),
    )


def insert_object(db: sqlite3.Connection, body: JsonDict, private: JsonDict) -> None:
    """Keeps one of Stripe's objects; ``private`` is what the API never shows of it."""
    db.execute(
        "INSERT INTO objects (id, object, created, body, private) VALUES (?, ?, ?, ?, ?)",
        (body["id"], body["object"], body["created"], json.dumps(body), json.dumps(private)),
    )
    _changed(db, body["id"])


def update_object(db: sqlite3.Connection, body: JsonDict) -> None:
    db.execute("UPDATE objects SET body = ? WHERE id = ?", (json.dumps(body), body["id"]))
    _changed(db, body["id"])


def update_private(db: sqlite3.Connection, object_id: str, private: JsonDict) -> None:
    db.execute("UPDATE objects SET private = ? WHERE id = ?", (json.dumps(private), object_id))
    _changed(db, object_id)


def delete_object(db: sqlite3.Connection, object_id: str) -> None:
    db.execute("DELETE FROM objects WHERE id = ?", (object_id,))
    _changed(db, object_id)


def _changed(db: sqlite3.Connection, object_id: str) -> None:
    if object_id.startswith("we_"):
        forget(db, ENDPOINTS, SECRETS)
        wake_deliveries(db)


def find_object(db: sqlite3.Connection, object_id: str, kind: str | None = None) -> JsonDict | None:
    row = db.execute("SELECT object, body FROM objects WHERE id = ?", (object_id,)).fetchone()
    if row is None or (kind is not None and row["object"] != kind):
        return None
    body: JsonDict = json.loads(row["body"])
    return body


def stored(db: sqlite3.Connection, object_id: str) -> JsonDict:
    """What another object names, and so was stored before it; nothing of that is ever deleted."""
    found = find_object(db, object_id)
    assert found is not None, f"{object_id} is named and was never stored"
    return found


def private_part(db: sqlite3.Connection, object_id: str) -> JsonDict:
    row = db.execute("SELECT private FROM objects WHERE id = ?", (object_id,)).fetchone()
    private: JsonDict = json.loads(row["private"])
    return private


def objects_of(db: sqlite3.Connection, kind: str, field: str, object_id: str) -> list[JsonDict]:
    """The objects of a kind that name ``object_id`` in ``field``, newest first."""
    rows = db.execute(
        f"SELECT body FROM objects WHERE json_extract(body, '$.{field}') = ? AND object = ?"
        " ORDER BY seq DESC",
        (object_id, kind),
    ).fetchall()
    return [json.loads(row["body"]) for row in rows]
