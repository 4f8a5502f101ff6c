"""The queue of jobs: they commit with the facts, and outlive the worker that took them."""

import asyncio
import subprocess
import sys
import time
from types import SimpleNamespace
from uuid import uuid4

import pytest
from procrastinate import PsycopgConnector
from procrastinate.job_context import AbortReason
from procrastinate.periodic import PeriodicDeferrer
from sqlalchemy import text

from payflow import jobs, queue, worker
from payflow.db import db
from tests.mail_servers import Refusing, mail_server
from tests.stack import ROOT

JOBS = "SELECT task_name, args, lock, status::text FROM procrastinate_jobs ORDER BY id"


@pytest.fixture
def task():
    """A task of the test's own."""
    name = f"tests.{uuid4().hex}"
    calls = []

    def register(function):
        def run(**arguments):
            calls.append(arguments)
            function(**arguments)

        queue.app.task(name=name)(jobs._in_context(run))
        return name, calls

    yield register
    queue.app.tasks.pop(name, None)


def defer_stalled_check():
    queue.defer(queue.Deferred("retry_stalled_jobs", {"timestamp": int(time.time())}))
    db.session.commit()


def test_a_job_is_there_once_the_session_commits(app, rows):
    queue.defer(queue.Deferred("tests.any", {"number": 7}, lock="number:7"))
    assert rows(JOBS) == []
    db.session.commit()
    assert rows(JOBS) == [("tests.any", {"number": 7}, "number:7", "todo")]


def test_a_job_is_gone_when_the_session_rolls_back(app, rows):
    queue.defer(queue.Deferred("tests.any", {}))
    db.session.rollback()
    db.session.commit()
    assert rows(JOBS) == []


def test_several_jobs_are_queued_in_order(app, rows):
    queue.defer(*(queue.Deferred("tests.any", {"number": number}) for number in range(3)))
    db.session.commit()
    assert [args["number"] for _, args, _, _ in rows(JOBS)] == [0, 1, 2]


def test_no_job_opens_no_transaction(app, rows):
    queue.defer()
    assert not db.session().in_transaction()
    assert rows(JOBS) == []


def test_a_job_that_is_rolled_back_leaves_no_row_of_its_facts_either(app, rows):
    db.session.execute(
        text(
            "INSERT INTO stripe_events (id, type, received_at, outcome, handled_at, tries)"
            " VALUES ('evt_1', 'test', now(), 'ignored', now(), 1)"
        )
    )
    queue.defer(queue.Deferred("tests.any", {}))
    db.session.rollback()
    assert rows("SELECT count(*) FROM stripe_events") == [(0,)]
    assert rows(JOBS) == []


def test_a_job_is_done_with_its_arguments(app, rows, work, task):
    name, calls = task(lambda **_: None)
    queue.defer(queue.Deferred(name, {"number": 7}))
    db.session.commit()
    work()
    assert calls == [{"number": 7}]
    assert ("todo",) not in rows("SELECT status::text FROM procrastinate_jobs")


def test_a_job_that_is_running_can_queue_another(app, rows, work, task):
    def defer_another(number):
        if number:
            queue.defer(queue.Deferred(name, {"number": number - 1}))
            db.session.commit()

    name, calls = task(defer_another)
    queue.defer(queue.Deferred(name, {"number": 2}))
    db.session.commit()
    work()
    assert calls == [{"number": 2}, {"number": 1}, {"number": 0}]


def test_what_a_job_that_fails_has_queued_is_gone(app, rows, work, task):
    def defer_and_fail():
        queue.defer(queue.Deferred("tests.never", {}))
        raise RuntimeError("the job fails after having queued another")

    name, calls = task(defer_and_fail)
    queue.defer(queue.Deferred(name, {}))
    db.session.commit()
    work()
    assert len(calls) == 1
    assert rows("SELECT id FROM procrastinate_jobs WHERE task_name = 'tests.never'") == []


@pytest.mark.parametrize("name", ["handle_events_again", "retry_stalled_jobs"])
def test_what_is_to_be_done_again_and_again_is_registered(app, name):
    periodic = {
        one.task.name: one.cron for one in queue.app.periodic_registry.periodic_tasks.values()
    }
    assert name in periodic
    # Six fields: seconds are told too.
    assert len(periodic[name].split()) == 6


def test_the_task_that_delivers_letters_goes_by_the_name_it_is_queued_by(app):
    assert jobs.deliver_email.name == "deliver_email" == jobs.outbox.TASK


# --- more than can be done at once -----------------------------------------------------------

STARTED = """SELECT task_name FROM procrastinate_events AS event JOIN procrastinate_jobs AS job
    ON job.id = job_id WHERE type = 'started' ORDER BY event.id"""


def test_a_backlog_of_letters_holds_up_neither_the_sweep_nor_what_dead_workers_have_left(
    app, rows, work
):
    """Nor do letters wait for pages' questions, nor anything for what has failed before."""
    failed = [queue.Deferred("deliver_email", {"email_id": 0}, priority=queue.AGAIN)] * 3
    queue.defer(
        *failed,
        queue.Deferred("check_payment", {"payment_id": str(uuid4())}),
        *[jobs.outbox.job_of(number) for number in range(50)],
    )
    with_timestamp = {"timestamp": int(time.time())}
    for name in ("sweep", "retry_stalled_jobs"):
        queue.defer(queue.Deferred(name, with_timestamp, priority=queue.app.tasks[name].priority))
    db.session.commit()
    work()
    started = [name for (name,) in rows(STARTED)]
    assert sorted(started[:2]) == ["retry_stalled_jobs", "sweep"]
    assert started[2:52] == ["deliver_email"] * 50
    assert started[52:] == ["check_payment", *["deliver_email"] * 3]


def test_a_letter_that_failed_lets_others_go_first(
    completed, deliver, installed, work, rows, mailbox
):
    deliver(completed())
    with (
        mail_server(Refusing("451 Try again later")) as port,
        installed(MAIL_PORT=str(port)).app_context(),
    ):
        work()
    assert {priority for (priority,) in rows(
        "SELECT priority FROM procrastinate_jobs WHERE status = 'todo'"
    )} == {queue.AGAIN}  # fmt: skip


def test_what_is_periodic_does_not_pile_up_while_no_worker_gets_to_it(app, postgres, rows):
    """An hour, as after a machine was suspended: each waits once."""

    async def defer_an_hour():
        async with opened.open_async():
            deferrer, now = PeriodicDeferrer(opened.periodic_registry), time.time()
            deferrer.last_defers = dict.fromkeys(
                opened.periodic_registry.periodic_tasks, now - 3600
            )
            await deferrer.defer_jobs(deferrer.get_previous_tasks(now))

    connector = PsycopgConnector(conninfo=postgres.url("payflow"))
    with queue.app.replace_connector(connector) as opened:
        asyncio.run(defer_an_hour())
    waiting = [name for name, *_ in rows(JOBS)]
    assert {"sweep", "retry_stalled_jobs", "handle_events_again"} <= set(waiting)
    assert len(waiting) == len(set(waiting))


def test_what_is_periodic_and_takes_long_leaves_a_place_for_letters():
    """A sweep that Stripe keeps waiting, events that wait for a lock: one of each at a time."""
    slow = [queue.app.tasks[name] for name in ("sweep", "match_events", "handle_events_again")]
    assert len({task.lock for task in slow} - {None}) == len(slow) < worker.CONCURRENCY


@pytest.mark.parametrize("status", ["failed", "aborted", "cancelled"])
def test_jobs_that_failed_are_forgotten_after_a_month(app, rows, work, status):
    queue.defer(queue.Deferred("tests.old", {}), queue.Deferred("tests.young", {}))
    db.session.commit()
    rows("UPDATE procrastinate_jobs SET status = %s::procrastinate_job_status RETURNING 1", status)
    rows("UPDATE procrastinate_events SET at = at - CASE task_name WHEN 'tests.old'"
         " THEN interval '31 days' ELSE interval '29 days' END"
         " FROM procrastinate_jobs AS job WHERE job.id = job_id RETURNING 1")  # fmt: skip
    queue.defer(queue.Deferred("forget_jobs", {"timestamp": int(time.time())}))
    db.session.commit()
    work()
    kept = rows("SELECT task_name FROM procrastinate_jobs WHERE task_name LIKE 'tests.%%'")
    assert kept == [("tests.young",)]


# --- workers that die ------------------------------------------------------------------------


@pytest.fixture
def taken(app, rows, task):
    """A job that a worker took, whose last sign of life is so many seconds old (None: unknown)."""

    def take(age):
        name, calls = task(lambda **_: None)
        queue.defer(queue.Deferred(name, {}))
        db.session.commit()
        worker = None
        if age is not None:
            ((worker,),) = rows(
                "INSERT INTO procrastinate_workers (last_heartbeat)"
                " VALUES (now() - make_interval(secs => %s)) RETURNING id",
                age,
            )
        rows(
            "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s RETURNING 1",
            worker,
        )
        return calls

    yield take
    rows("DELETE FROM procrastinate_workers RETURNING 1")


@pytest.mark.parametrize("age", [jobs.STALLED_AFTER + 1, 3600, None])
def test_the_job_of_a_worker_that_died_is_taken_over(taken, work, age):
    calls = taken(age)
    defer_stalled_check()
    work()
    work()
    assert calls == [{}]


def test_a_stalled_job_whose_successor_waits_gives_way_and_holds_up_no_other(work, task, rows):
    """Else the one could not be queued again for the other, nor the other begin for the one: a
    worker killed in the middle of a sweep would have been the end of all sweeps."""
    name, calls = task(lambda **_: None)
    queue.defer(*(queue.Deferred(name, {"number": number}) for number in range(3)))
    db.session.commit()
    rows("UPDATE procrastinate_jobs SET status = 'doing' WHERE args->>'number' IN ('0', '2')"
         " RETURNING 1")  # fmt: skip
    rows("UPDATE procrastinate_jobs SET lock = 'sweep', queueing_lock = 'sweep'"
         " WHERE args->>'number' IN ('0', '1') RETURNING 1")  # fmt: skip
    defer_stalled_check()
    work()
    work()
    assert sorted(call["number"] for call in calls) == [1, 2]
    assert rows("SELECT args FROM procrastinate_jobs WHERE status IN ('todo', 'doing')") == []


def test_the_job_of_a_worker_that_lives_is_left_to_it(taken, work, rows):
    calls = taken(jobs.HEARTBEAT)
    defer_stalled_check()
    work()
    work()
    assert calls == []
    assert rows("SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing'") == [(1,)]


def test_a_job_that_another_worker_has_just_taken_over_is_left_to_it(
    taken, work, rows, monkeypatch
):
    """Two look for the jobs of the dead at once: one has begun the job as the other comes to it."""
    calls, jobs_of = taken(jobs.STALLED_AFTER + 1), queue.app.job_manager.get_stalled_jobs

    async def slowly(**options):
        found = await jobs_of(**options)
        rows("WITH other AS (INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id)"
             " UPDATE procrastinate_jobs SET worker_id = other.id FROM other"
             " WHERE task_name LIKE 'tests.%%' RETURNING 1")  # fmt: skip
        return found

    monkeypatch.setattr(queue.app.job_manager, "get_stalled_jobs", slowly)
    defer_stalled_check()
    work()
    work()
    assert calls == []
    assert ("doing",) in rows("SELECT status::text FROM procrastinate_jobs")


def test_a_worker_shows_signs_of_life_often_enough_not_to_be_taken_for_dead():
    assert jobs.STALLED_AFTER >= 3 * jobs.HEARTBEAT


def test_a_worker_that_is_asked_to_stop_has_ended_before_its_jobs_are_taken_over():
    until_it_looks = jobs.HEARTBEAT / 5
    assert worker.GRACE + until_it_looks < jobs.STALLED_AFTER - jobs.HEARTBEAT


@pytest.fixture
def ends_at_once(monkeypatch):
    """Where a worker would end its process, it raises EOFError with the reason."""

    def end(_asked, reason):
        raise EOFError(reason)

    monkeypatch.setattr(worker, "_end_at_once", end)


def test_a_worker_whose_connections_are_all_waited_for_in_vain_does_not_wait_for_ever(
    app, postgres, monkeypatch, ends_at_once
):
    """Silently dead, each in use: to ask for one more fails, and tells those in use nothing."""

    async def look():
        url = postgres.url("payflow")
        connector = PsycopgConnector(conninfo=url, timeout=0.5, min_size=1, max_size=1)
        with queue.app.replace_connector(connector) as opened:
            async with opened.open_async(), connector.pool.connection():
                await asyncio.wait_for(worker._look(asyncio.Event(), opened), 20)

    monkeypatch.setattr(jobs, "HEARTBEAT", 0.1)
    with pytest.raises(EOFError, match="the database does not answer"):
        asyncio.run(look())


async def watched(job, abort_reason=None):
    """What a worker makes of a job that it watches."""
    context = SimpleNamespace(
        abort_reason=lambda: abort_reason, job=SimpleNamespace(call_string="job")
    )
    return await worker._watched(asyncio.Event(), job, context, None)


def test_a_worker_on_a_machine_that_was_suspended_leaves_its_jobs_to_others(
    monkeypatch, ends_at_once
):
    """The clock on the wall alone tells of it: the monotonic one was suspended as well."""
    on_the_wall = [time.time()]

    async def sleeps():
        on_the_wall[0] += jobs.STALLED_AFTER
        await asyncio.sleep(60)

    monkeypatch.setattr(time, "time", lambda: on_the_wall[0])
    with pytest.raises(EOFError, match="it stood still for 15 s"):
        asyncio.run(asyncio.wait_for(watched(sleeps), 20))


def test_a_job_that_ends_with_the_grace_of_its_worker_is_noted_as_done(ends_at_once):
    async def ends():
        return "done"

    async def goes_on():
        await asyncio.sleep(60)

    assert asyncio.run(watched(ends, AbortReason.SHUTDOWN)) == "done"
    with pytest.raises(EOFError, match="does not end in time"):
        asyncio.run(watched(goes_on, AbortReason.SHUTDOWN))


def test_a_worker_that_cannot_begin_anew_leaves_that_to_its_supervisor():
    """Raised in a job, the error would be taken for the job's, and the worker go on."""
    program = """if True:
        import asyncio, contextlib, sys
        from payflow import worker
        sys.executable = "/nowhere"
        with contextlib.suppress(OSError):
            worker._end_at_once(asyncio.Event(), "the test says so")
    """
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 1
