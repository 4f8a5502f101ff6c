"""The stand-in's time: the machine's, moved by what ``POST /_sandbox/clock`` asked for.

Everything that Stripe would date or wait for asks :func:`now`, never ``time.time()``: ``created``
of objects and events, expiry, deadlines, retries; but not the timestamp of a signature, which a
receiver holds against the machine's. While the clock was
never moved that is the real time; once moved it runs on from there, and the store remembers by how
much. What time brings about stands in ``later``.

    clock.now()                seconds since 1970, a float; ``int(clock.now())`` for ``created``
    clock.offset()             how far the clock is moved, in seconds
    clock.landed()             when the last move arrived
    clock.move(db, offset_s)   ``later.advance`` and a reset call it; you hardly need to
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from sandbox import store

_OFFSET = "offset_s"
_LANDED = "landed"

# One process has one clock. Reading it takes no database.
_offset_s = 0.0
_landed = 0.0

# While something that was due in the past is made up for, "now" is when it was due.
_as_of: ContextVar[float | None] = ContextVar("as_of", default=None)


def now() -> float:
    moment = _as_of.get()
    return time.time() + _offset_s if moment is None else moment


def offset() -> float:
    return _offset_s


def landed() -> float:
    """The stand-in's time at which the last move arrived: what was due by then was skipped over."""
    return _landed


def move(db: sqlite3.Connection, offset_s: float) -> None:
    """Sets how many seconds the clock is ahead of the machine's (0: not at all)."""
    before = _offset_s, _landed
    store.if_undone(db, lambda: _set(*before))
    _set(offset_s, time.time() + offset_s)
    db.executemany(
        "INSERT OR REPLACE INTO clock (name, value) VALUES (?, ?)",
        [(_OFFSET, _offset_s), (_LANDED, _landed)],
    )
    store.wake_deliveries(db)


def _set(offset_s: float, landed_at: float) -> None:
    global _offset_s, _landed
    _offset_s, _landed = offset_s, landed_at


def restore(db: sqlite3.Connection) -> None:
    """Before anything is dated: the clock goes on where the last process left it."""
    kept = dict(db.execute("SELECT name, value FROM clock").fetchall())
    _set(kept.get(_OFFSET, 0.0), kept.get(_LANDED, 0.0))


@contextmanager
def as_of(moment: float) -> Iterator[None]:
    """In here, in this thread, ``now()`` is ``moment``."""
    token = _as_of.set(moment)
    try:
        yield
    finally:
        _as_of.reset(token)
