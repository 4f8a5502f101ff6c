"""Workers that are killed, stopped, or lose a connection at the worst moment, with the queue that
they share: no letter goes twice that SMTP could tell of, and no work stops."""

import asyncio
import signal
from typing import Any

import psycopg
import pytest

from tests.crashes.wire import Wire
from tests.mail_servers import Keeper, mail_server
from tests.stack import until

DOING = "SELECT task_name FROM procrastinate_jobs WHERE status = 'doing'"


@pytest.fixture
def administer(postgres, app):
    with psycopg.connect(postgres.url("payflow"), autocommit=True) as connection:
        yield connection.execute
        connection.execute("DROP FUNCTION IF EXISTS once() CASCADE")
        connection.execute("DROP SEQUENCE IF EXISTS times")


FAIL_ONCE = """
CREATE SEQUENCE times;
CREATE FUNCTION once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('times') = 1 THEN
        PERFORM pg_terminate_backend(pg_backend_pid());
    END IF;
    RETURN coalesce(NEW, OLD);
END $$;
"""


class Holding(Keeper):
    """Holds the first tries at the customer's letter until let go; counts who leave meanwhile."""

    def __init__(self, held: int) -> None:
        super().__init__()
        self.gates = [asyncio.Event() for _ in range(held)]
        self.begun, self.left = 0, 0

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, *rest: Any) -> str:
        envelope.rcpt_tos.append(rest[0])
        if rest[0] != "customer@example.com":
            return "250 OK"
        self.loop = asyncio.get_running_loop()
        self.begun += 1
        try:
            if self.begun <= len(self.gates):
                await self.gates[self.begun - 1].wait()
        except asyncio.CancelledError:
            self.left += 1
            raise
        return "250 OK"

    def let_go(self) -> None:
        for gate in self.gates:
            self.loop.call_soon_threadsafe(gate.set)

    def receipts(self) -> int:
        return sum(letter.rcpt_tos == ["customer@example.com"] for letter in self.letters)


@pytest.fixture
def sent(rows):
    return lambda: rows("SELECT DISTINCT state FROM emails") == [("sent",)]


def test_a_letter_that_outlasts_a_workers_grace_is_sent_by_the_next_alone(
    start, completed, deliver, rows, sent
):
    """A thread can't be stopped: it would send what the next worker has sent already."""
    taker = Holding(1)
    with mail_server(taker) as port:
        first = start(port)
        deliver(completed())
        until(lambda: taker.begun)
        first.process.terminate()
        start(port)
        until(sent, 90)
        taker.let_go()
        first.process.wait(60)
    assert taker.receipts() == 1
    until(lambda: rows(DOING) == [])


def test_a_worker_that_stood_still_leaves_alone_what_another_has_taken_over(
    start, completed, deliver, rows, sent
):
    taker = Holding(2)
    with mail_server(taker) as port:
        first = start(port)
        deliver(completed())
        until(lambda: taker.begun)
        first.process.send_signal(signal.SIGSTOP)
        start(port)
        until(lambda: taker.begun == 2, 90)
        first.process.send_signal(signal.SIGCONT)
        until(lambda: taker.left or "it stood still" in first.output(), 90)
        taker.let_go()
        until(sent, 90)
        until(lambda: rows("SELECT 1 FROM procrastinate_jobs WHERE task_name = 'deliver_email'"
                           " AND status IN ('todo', 'doing')") == [])  # fmt: skip
    assert taker.receipts() == 1
    assert first.process.poll() is None


SLEEP_ONCE = """
CREATE SEQUENCE times;
CREATE FUNCTION once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('times') = 1 THEN
        PERFORM pg_sleep(2);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER once BEFORE INSERT ON procrastinate_periodic_defers FOR EACH ROW
    EXECUTE FUNCTION once();
"""


def test_a_worker_that_stands_still_in_a_transaction_holds_up_no_other(administer, start, rows):
    """It has queued what is periodic, and not yet committed: nobody else could."""
    administer(SLEEP_ONCE)
    with mail_server(Keeper()) as port:
        first = start(port)
        until(lambda: administer("SELECT 1 FROM times WHERE is_called").fetchall())
        first.process.send_signal(signal.SIGSTOP)
        start(port)
        assert until(lambda: rows("SELECT 1 FROM procrastinate_periodic_defers"))
        assert first.process.poll() is None


def test_a_job_whose_end_could_not_be_written_down_holds_up_nothing(
    start, completed, administer, rows
):
    """The connection breaks as a sweep ends; no other could begin while that was under way."""
    administer(FAIL_ONCE)
    administer("CREATE TRIGGER once BEFORE DELETE ON procrastinate_jobs FOR EACH ROW"
               " WHEN (OLD.task_name = 'sweep') EXECUTE FUNCTION once()")  # fmt: skip
    with mail_server(Keeper()) as port:
        worker = start(port)
        until(lambda: administer("SELECT 1 FROM times WHERE is_called").fetchall())
        completed()
        rows("UPDATE payments SET next_check_at = now() RETURNING 1")
        until(lambda: rows("SELECT status FROM payments") == [("paid",)], 90)
    assert worker.process.poll() is None


def test_a_letter_that_left_as_the_connection_broke_is_not_sent_again(
    start, completed, deliver, administer, sent
):
    administer(FAIL_ONCE)
    administer("CREATE TRIGGER once BEFORE UPDATE ON emails FOR EACH ROW"
               " WHEN (NEW.kind = 'receipt') EXECUTE FUNCTION once()")  # fmt: skip
    taker = Holding(0)
    with mail_server(taker) as port:
        start(port)
        deliver(completed())
        until(sent, 90)
    assert administer("SELECT is_called FROM times").fetchall() == [(True,)]
    assert taker.receipts() == 1


def test_a_worker_whose_sign_of_life_failed_once_goes_on(
    start, completed, deliver, administer, sent
):
    administer(FAIL_ONCE)
    administer("CREATE TRIGGER once BEFORE UPDATE ON procrastinate_workers FOR EACH ROW"
               " EXECUTE FUNCTION once()")  # fmt: skip
    with mail_server(Keeper()) as port:
        worker = start(port)
        until(lambda: administer("SELECT 1 FROM times WHERE is_called").fetchall())
        until(lambda: "begins anew" in worker.output() or worker.process.poll() is not None)
        deliver(completed())
        until(sent, 90)
        assert worker.process.poll() is None


def test_a_worker_that_was_taken_for_dead_while_it_had_nothing_to_do_is_of_use_again(
    start, completed, deliver, rows, sent
):
    with mail_server(Keeper()) as port:
        worker = start(port)
        until(lambda: rows("DELETE FROM procrastinate_workers RETURNING id"))
        deliver(completed())
        until(sent, 90)
    assert worker.process.poll() is None


def test_a_worker_whose_connections_are_silently_dead_makes_others(
    start, completed, deliver, rows, sent, postgres, variables
):
    with mail_server(Keeper()) as port, Wire(postgres.port) as wire:
        url = variables["DATABASE_URL"].replace(f":{postgres.port}/", f":{wire.port}/")
        worker = start(port, DATABASE_URL=url)
        until(lambda: rows("SELECT 1 FROM procrastinate_workers"))
        wire.cut()
        deliver(completed())
        until(sent, 90)
    assert "the database does not answer" in worker.output()
    assert worker.process.poll() is None


def test_a_worker_on_a_database_without_tables_says_how_to_make_them_and_waits(start, postgres):
    postgres.create_database("bare")
    worker = start(25, DATABASE_URL=postgres.url("bare"))
    until(lambda: worker.output().count("flask --app wsgi db upgrade makes them") == 2)
    assert worker.process.poll() is None
    worker.kill()
    postgres.drop_database("bare")
