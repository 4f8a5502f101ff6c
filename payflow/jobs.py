"""The tasks, as the worker runs them, and the worker itself.

Each runs in a thread, with an application context and hence a database session of its own.
"""

import functools
import logging
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Flask, current_app
from procrastinate import PsycopgConnector
from procrastinate.exceptions import ConnectorException, UniqueViolation
from procrastinate.jobs import Job, Status
from procrastinate.retry import BaseRetryStrategy, RetryDecision
from psycopg import OperationalError

from payflow import emails, events, outbox, queue, reconcile, sweep
from payflow.db import db
from payflow.events import ASK_TASK
from payflow.gateway import GatewayError
from payflow.record import CHECK_TASK

log = logging.getLogger(__name__)

# Seconds between a worker's signs of life, and without one after which its jobs are taken over.
HEARTBEAT, STALLED_AFTER = 5, 15
CONCURRENCY = 4
# Seconds to wait for the database before the worker begins anew.
DATABASE_TIMEOUT = 5


# A question to Stripe that is not answered is asked again so often, in half an hour or so; what is
# left then, the sweep asks.
QUESTIONS = 8


class Backoff(BaseRetryStrategy):
    """Retries a letter after 5 s, doubling up to an hour; emails.py knows when to give up."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        return RetryDecision(retry_in={"seconds": min(5 * 2**job.attempts, 3600)})


class AskAgain(BaseRetryStrategy):
    """Asks Stripe again after 5 s, doubling, or when Stripe says; a refusal is an answer."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        if (
            not isinstance(exception, GatewayError)
            or exception.about_object
            or job.attempts >= QUESTIONS
        ):
            return None
        seconds = max(5 * 2**job.attempts, exception.retry_after or 0)
        return RetryDecision(retry_in={"seconds": int(seconds)})


def _in_context(task: Callable[..., Any]) -> Callable[..., Any]:
    """Give a task an application context of its own: contexts share their database session."""

    @functools.wraps(task)
    def run(*args: Any, **kwargs: Any) -> Any:
        with _flask_app().app_context():
            return task(*args, **kwargs)

    return run


def _flask_app() -> Flask:
    # The proxy's type hides what Flask documents for handing the application to another thread.
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    return app


@queue.app.task(name=outbox.TASK, retry=Backoff())
@_in_context
def deliver_email(email_id: int) -> None:
    try:
        emails.deliver(email_id)
    except emails.Undelivered:
        raise
    # A fault of ours, such as in a template: noted where people look for the letter, and logged.
    except Exception as error:
        log.exception("email %s could not be sent", email_id)
        db.session.rollback()
        emails.note_failure(email_id, f"{type(error).__name__}: {error}")


@queue.app.task(name=CHECK_TASK, retry=AskAgain())
@_in_context
def check_payment(payment_id: str, source: str = "asked again") -> None:
    reconcile.check_payment(UUID(payment_id), source)


@queue.app.task(name=ASK_TASK)
@_in_context
def ask_about_event(event_id: str) -> None:
    """Where Stripe does not answer, `match_events` asks again."""
    reconcile.match(event_id)


@queue.app.periodic(cron="* * * * *")
@queue.app.task(name="sweep", lock="sweep", queueing_lock="sweep")
@_in_context
def sweep_now(timestamp: int) -> None:
    sweep.run()


@queue.app.periodic(cron="* * * * *")
@queue.app.task(name="match_events", lock="match_events", queueing_lock="match_events")
@_in_context
def match_events(timestamp: int) -> None:
    reconcile.match_events()


@queue.app.periodic(cron="17 3 * * *")
@queue.app.task(name="forget_events")
@_in_context
def forget_events(timestamp: int) -> None:
    events.forget()


@queue.app.periodic(cron="* * * * * */30")
@queue.app.task(name="handle_events_again")
@_in_context
def handle_events_again(timestamp: int) -> None:
    events.handle_again()


@queue.app.periodic(cron="* * * * * */10")
@queue.app.task(name="retry_stalled_jobs")
async def retry_stalled_jobs(timestamp: int) -> None:
    """Take over the jobs of workers that died: they are found by the missing heartbeat."""
    jobs = queue.app.job_manager
    for job in await jobs.get_stalled_jobs(seconds_since_heartbeat=STALLED_AFTER):
        try:
            await jobs.retry_job(job)
        except UniqueViolation:
            # Its successor waits under the same queueing lock, and for it: it does the same work.
            await jobs.finish_job(job, Status.FAILED, delete_job=True)


def run_worker(database_url: str) -> None:
    """Work until SIGTERM or SIGINT; jobs that are running then get ten seconds to end. While the
    database is away, begin anew until it is back.

    Polls every second instead of listening: notifications get lost, and cost every webhook a fifth.
    """
    while True:
        connector = PsycopgConnector(conninfo=database_url, timeout=DATABASE_TIMEOUT)
        try:
            with queue.app.replace_connector(connector) as app:
                app.run_worker(
                    concurrency=CONCURRENCY,
                    fetch_job_polling_interval=1.0,
                    listen_notify=False,
                    delete_jobs="successful",
                    update_heartbeat_interval=HEARTBEAT,
                    stalled_worker_timeout=STALLED_AFTER,
                    shutdown_graceful_timeout=10,
                )
        except (ConnectorException, OperationalError) as error:
            log.error("the worker has lost the database, and begins anew: %s", error)
            time.sleep(HEARTBEAT)
        else:
            return
