"""The worker: runs the tasks of jobs.py, and goes on whatever happens to it or to the database.

It holds its jobs for as long as it shows signs of life; then another takes them over. So it ends
the process, or begins anew in a new one, where its threads could outlive that. It never decides
what becomes of a job. Why so: docs/decisions/0008-who-ends-the-worker.md
"""

import asyncio
import functools
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NoReturn

from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.job_context import AbortReason, JobContext
from procrastinate.worker import Worker
from psycopg import OperationalError
from psycopg.errors import RaiseException

from payflow import jobs, queue

log = logging.getLogger(__name__)

CONCURRENCY = 4
# Seconds that running jobs get to end. Signs of life end as it begins: it is over before another
# worker takes them over.
GRACE = 8
# Seconds to wait for the database before the worker begins anew.
DATABASE_TIMEOUT = 5


def run(database_url: str) -> None:
    """Work until SIGTERM or SIGINT; jobs that are running then get some seconds to end. Whatever
    else ends the worker, such as a database that is away, it begins anew."""
    while not asyncio.run(_work(database_url)):
        # Nothing tells when the database is back.
        time.sleep(jobs.HEARTBEAT)


async def _work(database_url: str) -> bool:
    """Work until a signal asks to stop, or something else ends it; answers whether one has asked.

    Polls every second instead of listening: notifications get lost, and cost every webhook a fifth.
    """
    # What a worker that stands still, or has lost its connections, has begun and not committed
    # would hold up all others: for them it is over as its jobs become theirs.
    idle = f"-c idle_in_transaction_session_timeout={jobs.STALLED_AFTER - jobs.HEARTBEAT}s"
    connector = PsycopgConnector(
        conninfo=database_url, timeout=DATABASE_TIMEOUT, kwargs={"options": idle}
    )
    asked = asyncio.Event()
    try:
        with queue.app.replace_connector(connector) as app:
            async with app.open_async():
                if not await app.check_connection_async():
                    log.error("the database has no tables: flask --app wsgi db upgrade makes them")
                    return False
                await _until(
                    asked,
                    app,
                    app.run_worker_async(
                        concurrency=CONCURRENCY,
                        fetch_job_polling_interval=1.0,
                        listen_notify=False,
                        delete_jobs="successful",
                        update_heartbeat_interval=jobs.HEARTBEAT,
                        stalled_worker_timeout=jobs.STALLED_AFTER,
                        shutdown_graceful_timeout=GRACE,
                        install_signal_handlers=False,
                        worker_middleware=[functools.partial(_watched, asked)],
                    ),
                )
        reason = "it could not go on"
    except (ConnectorException, OperationalError) as error:
        # Procrastinate's own errors say no more than "Database error".
        reason = f"it has lost the database: {error.__cause__ or error}"
    if not asked.is_set():
        log.error("the worker begins anew: %s", reason)
    return asked.is_set()


async def _until(asked: asyncio.Event, app: App, work: Awaitable[None]) -> None:
    """Work until a signal asks to stop. Procrastinate's own handlers would not tell that from a
    sign of life that failed, after which it stops as well."""
    loop = asyncio.get_running_loop()
    working = asyncio.ensure_future(work)
    asking, looking = asyncio.ensure_future(asked.wait()), asyncio.ensure_future(_look(asked, app))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    try:
        await asyncio.wait({working, asking}, return_when=asyncio.FIRST_COMPLETED)
        if asked.is_set():
            working.cancel()
        with suppress(asyncio.CancelledError):
            await working
    finally:
        asking.cancel()
        looking.cancel()


async def _look(asked: asyncio.Event, app: App) -> None:
    """Look whether the database answers: connections that are silently dead, as after another
    server has taken over, would be waited for in vain for a quarter of an hour."""
    failures = 0
    while failures < 2:
        await asyncio.sleep(jobs.HEARTBEAT)
        answer = asyncio.ensure_future(app.check_connection_async())
        done, _ = await asyncio.wait({answer}, timeout=jobs.STALLED_AFTER - jobs.HEARTBEAT)
        if not done:
            break
        # A failure is the worker's to meet, and ends it; but not where dead connections are all
        # that there are: then who waits for one of them fails, and who has one waits.
        failures = failures + 1 if answer.exception() else 0
    _end_at_once(asked, "the database does not answer")


async def _watched(
    asked: asyncio.Event,
    call_next: Callable[[], Awaitable[Any]],
    context: JobContext,
    worker: Worker,
) -> Any:
    """Do a job, and end the process where the job may become another worker's: a thread can't be
    stopped, and two would do the same."""
    if this := asyncio.current_task():
        this.add_done_callback(functools.partial(_stop_if_unwritten, worker))
    job, seen = asyncio.ensure_future(call_next()), time.time()
    while True:
        await asyncio.wait({job}, timeout=jobs.HEARTBEAT / 5)
        now = time.time()
        # As by SIGSTOP, or as a machine that was suspended, whose monotonic clock stood still too.
        if now - seen > jobs.STALLED_AFTER - jobs.HEARTBEAT:
            _end_at_once(asked, f"it stood still for {now - seen:.0f} s")
        if job.done():
            return job.result()
        if context.abort_reason() == AbortReason.SHUTDOWN:
            _end_at_once(asked, f"{context.job.call_string} does not end in time")
        seen = now


def _stop_if_unwritten(worker: Worker, job: asyncio.Task[Any]) -> None:
    """Where the end of a job could not be written down, it would be under way for as long as its
    worker lives, and hold up what waits for its lock."""
    error = None if job.cancelled() else job.exception()
    # Raised by the queue's functions: the job is done, by whoever has taken it over.
    if error and not isinstance(error.__cause__, RaiseException):
        log.error("the end of a job could not be written down", exc_info=error)
        worker.stop()  # type: ignore[no-untyped-call]  # Procrastinate gives it no types


def _end_at_once(asked: asyncio.Event, reason: str) -> NoReturn:
    """With all threads, and without a word to the queue: as if killed. Its jobs are taken over."""
    if asked.is_set():
        log.error("the worker ends at once: %s", reason)
        os._exit(0)
    log.error("the worker begins anew: %s", reason)
    with suppress(OSError):
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # what it was started as
    # That is gone, as after a deploy in its place: whoever supervises it starts the next.
    os._exit(1)
