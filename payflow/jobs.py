"""The tasks, as the worker (worker.py) runs them.

Each runs in a thread, with an application context and hence a database session of its own.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Flask, current_app
from procrastinate.exceptions import UniqueViolation
from procrastinate.jobs import Job, Status
from procrastinate.retry import BaseRetryStrategy, RetryDecision

from payflow import emails, events, outbox, queue, reconcile, sweep
from payflow.db import db
from payflow.events import ASK_TASK
from payflow.gateway import GatewayError
from payflow.record import CHECK_TASK

log = logging.getLogger(__name__)

# Seconds between a worker's signs of life, and without one after which its jobs are taken over.
HEARTBEAT, STALLED_AFTER = 5, 15
# Days that the row of a job that failed is kept.
FAILED_KEPT = 30


# A question to Stripe that is not answered is asked again so often, in half an hour or so; what is
# left then, the sweep asks.
QUESTIONS = 8


class Backoff(BaseRetryStrategy):
    """Retries a letter after 5 s, doubling up to an hour; emails.py knows when to give up."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        seconds = min(5 * 2**job.attempts, 3600)
        return RetryDecision(retry_in={"seconds": seconds}, priority=queue.AGAIN)


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
        return RetryDecision(retry_in={"seconds": int(seconds)}, priority=queue.AGAIN)


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


def _periodic(
    name: str, cron: str, *, lock: str | None = None
) -> Callable[[Callable[..., Any]], object]:
    """A task that is queued when its time comes, unless it waits already: what no worker gets to
    does not pile up."""

    def register(task: Callable[..., Any]) -> object:
        known = queue.app.task(name=name, lock=lock, queueing_lock=name, priority=queue.UPKEEP)
        return queue.app.periodic(cron=cron)(known(task))

    return register


@_periodic("sweep", "* * * * *", lock="sweep")
@_in_context
def sweep_now(timestamp: int) -> None:
    sweep.run()


@_periodic("match_events", "* * * * *", lock="match_events")
@_in_context
def match_events(timestamp: int) -> None:
    reconcile.match_events()


@_periodic("forget_events", "17 3 * * *")
@_in_context
def forget_events(timestamp: int) -> None:
    events.forget()


@_periodic("forget_jobs", "27 3 * * *")
async def forget_jobs(timestamp: int) -> None:
    await queue.app.job_manager.delete_old_jobs(
        FAILED_KEPT * 24, include_failed=True, include_cancelled=True, include_aborted=True
    )


# One at a time, like the others that may take long: together they leave a place for letters.
@_periodic("handle_events_again", "* * * * * */30", lock="handle_events_again")
@_in_context
def handle_events_again(timestamp: int) -> None:
    events.handle_again()


# Not retry_job alone: that would also take a job from whoever has just taken it over.
TAKE_OVER = """
    WITH stalled AS (
        SELECT id FROM procrastinate_jobs WHERE id = %(job_id)s AND status = 'doing'
        AND worker_id IS NOT DISTINCT FROM %(worker_id)s FOR UPDATE
    )
    SELECT procrastinate_retry_job_v2(id, NULL, NULL, NULL, NULL) FROM stalled
"""


@_periodic("retry_stalled_jobs", "* * * * * */10")
async def retry_stalled_jobs(timestamp: int) -> None:
    """Take over the jobs of workers that died: they are found by the missing heartbeat."""
    jobs = queue.app.job_manager
    for job in await jobs.get_stalled_jobs(seconds_since_heartbeat=STALLED_AFTER):
        try:
            await queue.app.connector.execute_query_async(
                TAKE_OVER, job_id=job.id, worker_id=job.worker_id
            )
        except UniqueViolation:
            # Its successor waits under the same queueing lock, and for it: it does the same work.
            await jobs.finish_job(job, Status.FAILED, delete_job=True)
