"""What time alone brings about: sessions expire, old idempotency keys are forgotten."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping

from sandbox import idempotency, sessions
from sandbox.deliveries import Deliveries
from sandbox.store import JsonDict, Store, due_objects

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5

WHEN_DUE: Mapping[str, Callable[[sqlite3.Connection, JsonDict], None]] = {
    sessions.KIND: sessions.expire_if_due,
}


def start(store: Store, deliveries: Deliveries) -> None:
    threading.Thread(
        target=_tick_forever, args=(store, deliveries), name="clock", daemon=True
    ).start()


def _tick_forever(store: Store, deliveries: Deliveries) -> None:
    while True:
        try:
            _tick(store, deliveries)
        except sqlite3.ProgrammingError:
            return  # the store was closed: the process is ending
        except Exception:
            # One object that can't be dealt with must not stop the clock for all others.
            log.exception("a tick of the clock failed")
        time.sleep(LOOK_EVERY_S)


def _tick(store: Store, deliveries: Deliveries) -> None:
    with store.transaction() as db:
        due = due_objects(db, time.time())
        for body in due:
            WHEN_DUE[body["object"]](db, body)
        idempotency.forget_old(db, time.time())
    if due:
        deliveries.wake()
