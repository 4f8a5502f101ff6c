"""The table of things to come: what happens by itself at a time of the stand-in's clock.

    @later.action("refund.succeed")                  a function by a name that a restart remembers;
    def _succeed(db, object_id): ...                 define it in a module that ``api`` imports

    later.at(db, clock.now() + 60, "refund.succeed", refund["id"])
    later.forget(db, refund["id"])                   all that was to happen to it
    later.forget(db, session["id"], "session.expire")
    later.pending(db)                                rows of (due_at, action, object_id), for pages
    later.advance(db, seconds)                       moves the clock and does at once what is due
    later.move_to(db, unix_time)                     the same; going back raises BadMove

An action runs in a transaction. When the clock is moved, ``clock.now()`` is the moment it was due:
a move skips no time, it lets it pass quickly. When it ticks by itself, or the process was down
while something fell due, what is done is dated when it is done: who lists what is new by
``created`` finds it, and nothing is dated before what was there already. What an action schedules
in turn is done too if it is due by then. It must look at the object's state first: a customer may
have been quicker. An action that fails is logged and forgotten.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable

from sandbox import clock
from sandbox.protocol import idempotency
from sandbox.store import Closed, Store, part
from sandbox.webhooks import events

log = logging.getLogger(__name__)

Action = Callable[[sqlite3.Connection, str], None]

LOOK_EVERY_S = 0.5
FARTHEST_S = 10 * 365 * 24 * 60 * 60
END = 3786912000  # 2090-01-01: what is due ten years later still has a card's year of two digits

ACTIONS: dict[str, Action] = {}


class BadMove(ValueError):
    """The message is a sentence for the one who wanted to move the clock."""


def action(name: str) -> Callable[[Action], Action]:
    def keep(function: Action) -> Action:
        ACTIONS[name] = function
        return function

    return keep


def at(db: sqlite3.Connection, when: float, name: str, object_id: str) -> None:
    """Does ``name`` to the object at ``when`` (the stand-in's time, epoch seconds)."""
    assert name in ACTIONS, f"no action is called {name}"
    db.execute(
        "INSERT INTO later (due_at, action, object_id) VALUES (?, ?, ?)", (when, name, object_id)
    )


def forget(db: sqlite3.Connection, object_id: str, name: str | None = None) -> None:
    """Takes back what was to happen to the object, or only the action called ``name``."""
    db.execute(
        "DELETE FROM later WHERE object_id = ? AND (? IS NULL OR action = ?)",
        (object_id, name, name),
    )


def pending(db: sqlite3.Connection) -> list[sqlite3.Row]:
    """What is to come, soonest first."""
    return db.execute("SELECT * FROM later ORDER BY due_at, seq LIMIT 200").fetchall()


def run_due(db: sqlite3.Connection, since: float | None = None) -> int:
    """Does all that is due, in the order of time; returns how many things that was.

    ``since``: when the clock was moved from, if it was; what fell due after that is dated so.
    """
    until, done = clock.now(), 0
    since = until if since is None else since
    while (row := _take(db, until)) is not None:
        with clock.as_of(max(row["due_at"], since)):
            _do(db, row)
        done += 1
    return done


def _take(db: sqlite3.Connection, until: float) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute(
        "DELETE FROM later WHERE seq = (SELECT seq FROM later WHERE due_at <= ?"
        " ORDER BY due_at, seq LIMIT 1) RETURNING *",
        (until,),
    ).fetchone()
    return row


def _do(db: sqlite3.Connection, row: sqlite3.Row) -> None:
    """One thing, whole or not at all; its failure must not stop the clock for all others."""
    try:
        with part(db):
            ACTIONS[row["action"]](db, row["object_id"])
    except Exception:
        # One action in trouble must not keep back what else is due.
        log.exception("%s of %s failed", row["action"], row["object_id"])


def advance(db: sqlite3.Connection, seconds: float) -> int:
    """Moves the clock forward and does what is due by then; returns how many things that was."""
    if not 0 <= seconds <= FARTHEST_S:
        raise BadMove("The clock goes forward only, by ten years at most; a reset sets it back.")
    before = clock.now()
    if before + seconds > END:
        raise BadMove("The clock goes no further than the year 2089.")
    clock.move(db, clock.offset() + seconds)
    return run_due(db, since=before)


def move_to(db: sqlite3.Connection, unix: float) -> int:
    if not 0 <= unix <= END:
        raise BadMove("The clock goes forward only, and no further than the year 2089.")
    return advance(db, unix - clock.now())


def start(store: Store) -> None:
    """Lets the clock tick, in a thread of its own."""
    threading.Thread(target=_tick_forever, args=(store,), name="clock", daemon=True).start()


def _tick_forever(store: Store) -> None:
    while True:
        try:
            _tick(store)
        except Closed:
            return
        except Exception:
            # A tick that met trouble must not be the last one.
            log.exception("a tick of the clock failed")
        # A clock ticks, whatever happens or doesn't.
        time.sleep(LOOK_EVERY_S)


def _tick(store: Store) -> None:
    with store.transaction() as db:
        run_due(db)
        idempotency.forget_old(db, clock.now())
        events.forget_old(db)
