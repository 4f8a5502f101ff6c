"""The API requests received, for tests that count them: the newest thousand or so."""

import json
import sqlite3

from sandbox.store import JsonDict

KEPT = 1000
PRUNED_EVERY = 100


def add(db: sqlite3.Connection, record: JsonDict) -> None:
    cursor = db.execute("INSERT INTO requests (record) VALUES (?)", (json.dumps(record),))
    seq = cursor.lastrowid or 0
    if seq % PRUNED_EVERY == 0:
        db.execute("DELETE FROM requests WHERE seq <= ?", (seq - KEPT,))


def newest_last(db: sqlite3.Connection) -> list[JsonDict]:
    return [
        json.loads(row["record"]) for row in db.execute("SELECT record FROM requests ORDER BY seq")
    ]
