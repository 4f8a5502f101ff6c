"""Carries events to the endpoints: when they are due, signed anew each time, until they say 2xx.

One thread claims what is due, several send it, and whoever has answers writes all there are down in
one transaction. What is left undone stands in the store (``outbox``): a restart goes on where the
last process ended. Deliveries of different events run side by side, as Stripe's do, and each
endpoint has senders of its own: one that hangs keeps no other waiting.
"""

import logging
import queue
import sqlite3
import threading
import time
from collections import Counter, deque

from sandbox import clock
from sandbox.store import Closed, Store, part
from sandbox.webhooks import outbox
from sandbox.webhooks.sendings import Sending, Sent, send

log = logging.getLogger(__name__)

AT_ONCE = 16  # sendings to one endpoint
REST_AFTER_TROUBLE_S = 1.0


class Awaited:
    """An event whose first answers somebody waits for, one from each endpoint."""

    def __init__(self, endpoints: int) -> None:
        self._endpoints = endpoints
        self._heard: set[str] = set()
        self._lock = threading.Lock()
        self.answered = threading.Event()

    def hear(self, endpoint_id: str) -> None:
        with self._lock:
            self._heard.add(endpoint_id)
            if len(self._heard) >= self._endpoints:
                self.answered.set()


class Deliveries:
    """The threads, and the pages that wait for an event's first answers."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._something_due = threading.Condition()
        self._calls = 0
        self._resets = 0
        self._awaited: dict[str, Awaited] = {}
        self._sendings: queue.SimpleQueue[tuple[int, Sending]] = queue.SimpleQueue()
        self._idle_senders = threading.Semaphore(0)
        self._counting = threading.Lock()
        self._under_way: Counter[str] = Counter()
        self._sent: deque[Sent] = deque()
        self._writing = threading.Lock()

    def start(self) -> None:
        self._store.on_wake(self.wake)
        threading.Thread(target=self._claim_forever, name="deliveries", daemon=True).start()

    def wake(self) -> None:
        """Has the claiming thread look now; the store calls it after commits that ask for it."""
        with self._something_due:
            self._calls += 1
            self._something_due.notify()

    def forget(self) -> None:
        """Call once a reset is committed: what it forgot is not sent any more from here on."""
        self._resets += 1
        for awaited in list(self._awaited.values()):
            awaited.answered.set()

    def expect(self, event_id: str, endpoints: int) -> None:
        """Makes the first answers to this event something to wait for; call before it is due."""
        self._awaited[event_id] = Awaited(endpoints)

    def wait_for_answers(self, event_id: str, longest_s: float) -> None:
        """Returns once each endpoint's first sending was answered, or failed, or time is up."""
        awaited = self._awaited.get(event_id)
        if awaited is not None:
            awaited.answered.wait(longest_s)
            self._awaited.pop(event_id, None)

    def _answered(self, event_id: str, endpoint_id: str) -> None:
        awaited = self._awaited.get(event_id)
        if awaited is not None:
            awaited.hear(endpoint_id)

    def _claim_forever(self) -> None:
        while True:
            try:
                self._claim_what_is_due()
            except Closed:
                return
            except Exception:
                # This thread must outlive whatever one delivery met, or nothing would leave.
                log.exception("claiming deliveries failed for a reason of the sandbox's own")
                time.sleep(REST_AFTER_TROUBLE_S)

    def _claim_what_is_due(self) -> None:
        calls, resets = self._calls, self._resets
        with self._store.transaction() as db:
            claimed = outbox.claim(db, clock.now(), self._room)
            idle_s = outbox.idle_time(db, clock.now(), self._room)
        for event_id, endpoint_id in claimed.put_off:
            self._answered(event_id, endpoint_id)
        for sending in claimed.sendings:
            self._hand_over(resets, sending)
        if idle_s > 0:
            self._rest(idle_s, calls)

    def _rest(self, longest_s: float, calls: int) -> None:
        """Until something is due or :meth:`wake` is called, be it since ``calls`` was read."""
        with self._something_due:
            if self._calls == calls:
                self._something_due.wait(longest_s)

    def _room(self, endpoint_id: str) -> int:
        return AT_ONCE - self._under_way[endpoint_id]

    def _hand_over(self, resets: int, sending: Sending) -> None:
        """To a sender who has nothing to do, or to a new one."""
        with self._counting:
            self._under_way[sending.endpoint_id] += 1
        self._sendings.put((resets, sending))
        if not self._idle_senders.acquire(blocking=False):
            threading.Thread(target=self._send_forever, name="sender", daemon=True).start()

    def _send_forever(self) -> None:
        while True:
            resets, sending = self._sendings.get()
            try:
                if resets == self._resets:
                    self._sent.append(send(sending))
                    self._write_down()
            except Closed:
                return
            except Exception:
                # A sender must outlive whatever one delivery met, or the pool would dry up.
                log.exception("a delivery failed for a reason of the sandbox's own")
            finally:
                self._done(sending.endpoint_id)
            self._idle_senders.release()

    def _done(self, endpoint_id: str) -> None:
        with self._counting:
            self._under_way[endpoint_id] -= 1
            was_full = self._under_way[endpoint_id] == AT_ONCE - 1
        if was_full:
            self.wake()

    def _write_down(self) -> None:
        """Those who come while another writes leave theirs to that one, who looks again after."""
        while self._sent and self._writing.acquire(blocking=False):
            try:
                self._write_all()
            finally:
                self._writing.release()

    def _write_all(self) -> None:
        sent = list(self._sent)
        if not sent:
            return
        self._record(sent)
        for _ in sent:  # only now: if writing failed they are written the next time
            self._sent.popleft()
        for each in sent:
            self._answered(each.sending.event_id, each.sending.endpoint_id)
        if any(not each.answer.good for each in sent):
            self.wake()  # a retry may be due before the claiming thread looks again

    def _record(self, sent: list[Sent]) -> None:
        try:
            with self._store.transaction() as db:
                for each in sent:
                    outbox.record(db, each)
        except Exception:
            # Whatever it was, the others are to be written.
            with self._store.transaction() as db:
                for each in sent:
                    self._record_alone(db, each)

    def _record_alone(self, db: sqlite3.Connection, sent: Sent) -> None:
        """One that can't be written must not take the others along."""
        try:
            with part(db):
                outbox.record(db, sent)
        except Exception:
            # The rest of what was sent is still to be written.
            log.exception("the answer to %s could not be written down", sent.sending.event_id)
