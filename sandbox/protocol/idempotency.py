"""``Idempotency-Key``: the first answer again for a repeat, a refusal for anything else.

https://docs.stripe.com/api/idempotent_requests
"""

import hashlib
import json
import sqlite3
import threading
from typing import NamedTuple

from sandbox.protocol.errors import ApiError
from sandbox.store import JsonDict

KEPT_FOR_S = 24 * 60 * 60
LONGEST_KEY = 255


class Reply(NamedTuple):
    """An answer as it was given; ``original`` is the Request-Id of the request that caused it."""

    status: int
    body: str
    original: str
    replayed: bool


class UnderWay:
    """The keys of requests not answered yet. A process that ends takes them along, rightly."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: set[str] = set()

    def enter(self, key: str) -> None:
        with self._lock:
            if key in self._keys:
                raise ApiError(
                    409,
                    "There is currently another in-progress request using this Idempotency-Key"
                    " (that probably means you submitted twice, and the other request is still"
                    f" going through): {key}. Please try again later.",
                    code="idempotency_key_in_use",
                    kind="idempotency_error",
                    should_retry=True,
                )
            self._keys.add(key)

    def leave(self, key: str) -> None:
        with self._lock:
            self._keys.discard(key)

    def forget(self) -> None:
        with self._lock:
            self._keys.clear()


def check_key(key: str) -> None:
    if len(key) > LONGEST_KEY:
        raise ApiError(
            400,
            f"Idempotency keys can be at most {LONGEST_KEY} characters, this one has {len(key)}.",
            kind="idempotency_error",
            should_retry=False,
        )


def fingerprint(params: JsonDict) -> str:
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()


def find(db: sqlite3.Connection, key: str, path: str, params: JsonDict, now: float) -> Reply | None:
    """The stored answer; raises if the key was used for another endpoint or other parameters."""
    row = db.execute(
        "SELECT * FROM idempotency_keys WHERE key = ? AND created >= ?", (key, now - KEPT_FOR_S)
    ).fetchone()
    if row is None:
        return None
    hint = f"Try using a key other than '{key}' if you meant to execute a different request."
    if row["path"] != path:
        raise ApiError(
            400,
            "Keys for idempotent requests can only be used for the same endpoint they were first"
            f" used for ('{path}' vs '{row['path']}'). {hint}",
            kind="idempotency_error",
            should_retry=False,
        )
    if row["fingerprint"] != fingerprint(params):
        raise ApiError(
            400,
            "Keys for idempotent requests can only be used with the same parameters they were first"
            f" used with. {hint}",
            kind="idempotency_error",
            should_retry=False,
        )
    return Reply(row["status"], row["body"], row["request_id"], replayed=True)


def keep(
    db: sqlite3.Connection, key: str, path: str, params: JsonDict, reply: Reply, now: float
) -> None:
    """An answer to the same key that is too old to be found makes room."""
    db.execute(
        "INSERT OR REPLACE INTO idempotency_keys"
        " (key, path, fingerprint, status, body, request_id, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (key, path, fingerprint(params), reply.status, reply.body, reply.original, now),
    )


def replace(db: sqlite3.Connection, key: str, reply: Reply) -> None:
    """The effect is stored, but what the key will be answered from now on is this; if it was the
    request of this ``reply`` that made the answer which is kept."""
    db.execute(
        "UPDATE idempotency_keys SET status = ?, body = ? WHERE key = ? AND request_id = ?",
        (reply.status, reply.body, key, reply.original),
    )


def forget_old(db: sqlite3.Connection, now: float) -> None:
    db.execute("DELETE FROM idempotency_keys WHERE created < ?", (now - KEPT_FOR_S,))
