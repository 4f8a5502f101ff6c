"""Two workers that are dealt blows at random moments, while payments are made, told of or not, and
Stripe and the mail server take their time: with one that is left in peace, all is right again.

CHAOS_ROUNDS says how many, SEED which: `make soak N=0 CHAOS=100` plays more.
"""

import asyncio
import os
import random
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.crashes.worker import GRACE
from tests.http.test_crashes import message_id
from tests.http.test_outages import STORED, truths
from tests.mail_servers import Keeper, mail_server
from tests.stack import Program, until

SEED = int(os.environ.get("SEED", "20260601"))
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "1"))
BLOWS = 5
# Seconds from a server's taking a letter to our having noted that; on a busy machine.
NOTED_WITHIN = 2

QUEUED = "SELECT 1 FROM emails WHERE state = 'queued'"
OF_THE_DEAD = """SELECT task_name FROM procrastinate_jobs AS job
    LEFT JOIN procrastinate_workers AS worker ON worker.id = worker_id
    WHERE status = 'doing' AND coalesce(last_heartbeat, '-infinity') < now() - interval '4 s'"""
LETTERS_LEFT = """SELECT 1 FROM procrastinate_jobs
    WHERE task_name = 'deliver_email' AND status IN ('todo', 'doing')"""
# The workers' own, by which they fetch jobs, note their ends and show signs of life.
BREAK_CONNECTIONS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = '' AND pid <> pg_backend_pid()
    ORDER BY random() LIMIT %s"""


class Slow(Keeper):
    """Takes each letter after a while, and notes when."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance, self.begun = chance, 0
        self.taken: dict[str, list[float]] = defaultdict(list)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.begun += 1
        await asyncio.sleep(self.chance.random() / 2)
        self.taken[message_id(envelope.content.decode())].append(time.monotonic())
        return "250 OK"


class Workers:
    """Two workers, and what is done to them."""

    def __init__(self, start: Any, rows: Any, chance: random.Random) -> None:
        self.start, self.rows, self.chance = start, rows, chance
        self.alive: list[Program] = [start(), start()]
        self.still: list[Program] = []
        # When a worker may have been cut off in what it did: by a blow, or once its grace is over.
        self.ended: list[float] = []

    def blow(self) -> str:
        kinds = [self.kill, self.ask_to_stop, self.halt, self.cut, self.cut]
        kind = self.chance.choice([*kinds, self.go_on] if self.still else kinds)
        self.deal(kind)
        return kind.__name__

    def deal(self, kind: Callable[[], None]) -> None:
        begun = time.monotonic()
        kind()
        now = time.monotonic()
        self.ended += [begun, now, now + GRACE]

    def kill(self) -> None:
        self._replaced().kill()

    def ask_to_stop(self) -> None:
        """As a deploy does: the next is there already."""
        self._replaced().process.terminate()

    def halt(self) -> None:
        worker = self.chance.choice(self.alive)
        worker.process.send_signal(signal.SIGSTOP)
        self.still.append(worker)

    def go_on(self) -> None:
        while self.still:
            self.still.pop().process.send_signal(signal.SIGCONT)

    def cut(self) -> None:
        """Off the database, again and again for a moment."""
        for _ in range(self.chance.randint(1, 20)):
            self.rows(BREAK_CONNECTIONS, self.chance.randint(1, 4))
            threading.Event().wait(self.chance.random() / 10)

    def end(self) -> None:
        """With one more killed in what it does; from here on, they are left in peace."""
        self.deal(self.go_on)
        self.deal(self.kill)

    def _replaced(self) -> Program:
        worker = self.alive.pop(self.chance.randrange(2))
        self.alive.append(self.start())
        return worker


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_whatever_becomes_of_workers_all_is_right_in_the_end(
    start, completed, deliver, rows, world, at_stripe, seed
):
    chance = random.Random(seed)
    # Its own chance: it runs in another thread, and the blows of a seed would be others each time.
    taker, done = Slow(random.Random(seed)), []
    with mail_server(taker) as port:
        workers = Workers(lambda: start(port), rows, chance)
        until(lambda: rows("SELECT 1 FROM procrastinate_workers"))
        world.set(api_delay_s=0.2)
        for _ in range(BLOWS):
            event = completed()
            if chance.random() < 0.5:
                assert deliver(event).status_code == 200
            make_due(rows)
            wait_for_a_moment(chance, taker, rows, world)
            done.append(workers.blow())
        workers.end()
        world.set(api_delay_s=0)
        # No webhook tells of this one: a sweep after the last blow has to.
        completed()
        until(lambda: make_due(rows) == [], 90)
        until(lambda: not rows(QUEUED) and not rows(LETTERS_LEFT), 90)
        until(lambda: not rows(OF_THE_DEAD), 90)

        copies = sum(len(times) - 1 for times in taker.taken.values())
        # What a soak is read for: pytest shows it with -s, and where the round fails.
        print(f"seed {seed}: {' '.join(done)}; {copies} letters twice")  # noqa: T201
        assert [worker.process.poll() for worker in workers.alive] == [None] * 2
    stripes = {truth["id"]: truth["captured"] for truth in truths(at_stripe)}
    stored = rows(STORED)
    assert {payment_id: captured for payment_id, _, captured, _, _ in stored} == stripes
    assert {status for _, status, *_ in stored} == {"paid"}
    letters = rows("SELECT kind, count(*) FROM emails WHERE payment_id IS NOT NULL GROUP BY 1")
    assert dict(letters) == {"receipt": BLOWS + 1, "owner_paid": BLOWS + 1}
    assert rows("SELECT count(*) FROM emails WHERE state = 'sent'") == [(len(taker.taken),)]
    for taken in taker.taken.values():
        # Taken by the server, and not yet noted: no sender can tell.
        for moment in taken[:-1]:
            assert any(abs(end - moment) < NOTED_WITHIN for end in workers.ended)


def make_due(rows):
    """Have the next sweep ask about what is not paid; answers that."""
    return rows("UPDATE payments SET next_check_at = now() WHERE status <> 'paid' RETURNING id")


def wait_for_a_moment(chance, taker, rows, world):
    """In the middle of something, or a little later."""
    begun, asked = taker.begun, len(world.api_calls())
    middle = chance.choice(
        [
            lambda: taker.begun > begun,
            lambda: len(world.api_calls()) > asked,
            lambda: rows("SELECT 1 FROM procrastinate_jobs WHERE status = 'doing'"),
        ]
    )
    with suppress(AssertionError):
        until(middle, 2)
    threading.Event().wait(chance.random() / 2)
