"""The API requests received, for tests that count them: the newest thousand, if they are short."""

import json
import sqlite3

from sandbox.store import JsonDict, keep_newest

KEPT = 1000
BYTES_KEPT = 16 * 1024 * 1024
PRUNED_EVERY = 100
LONG = 100_000  # characters


def add(db: sqlite3.Connection, record: JsonDict) -> None:
    text = json.dumps(record)
    cursor = db.execute("INSERT INTO requests (record) VALUES (?)", (text,))
    if (cursor.lastrowid or 0) % PRUNED_EVERY == 0 or len(text) > LONG:
        keep_newest(db, "requests", "record", KEPT, BYTES_KEPT)


def newest_last(db: sqlite3.Connection) -> list[JsonDict]:
    return [
        json.loads(row["record"]) for row in db.execute("SELECT record FROM requests ORDER BY seq")
    ]
