"""The queue of jobs: they commit with the facts, and outlive the worker that took them."""

import time
from uuid import uuid4

import pytest
from sqlalchemy import text

from payflow import jobs, queue
from payflow.db import db

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


def test_a_worker_shows_signs_of_life_often_enough_not_to_be_taken_for_dead():
    assert jobs.STALLED_AFTER >= 3 * jobs.HEARTBEAT
