"""The tasks, as the worker runs them, and the worker itself.

Each runs in a thread, with an application context and hence a database session of its own.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any

from flask import Flask, current_app
from procrastinate import PsycopgConnector
from procrastinate.jobs import Job
from procrastinate.retry import BaseRetryStrategy, RetryDecision

from payflow import emails, events, queue
from payflow.db import db

log = logging.getLogger(__name__)

# Seconds between a worker's signs of life, and without one after which its jobs are taken over.
HEARTBEAT, STALLED_AFTER = 5, 15
CONCURRENCY = 4


class Backoff(BaseRetryStrategy):
    """Retries a letter after 5 s, doubling up to an hour; emails.py knows when to give up."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        return RetryDecision(retry_in={"seconds": min(5 * 2**job.attempts, 3600)})


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


@queue.app.task(name=emails.TASK, retry=Backoff())
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
        await jobs.retry_job(job)


def run_worker(database_url: str) -> None:
    """Work until SIGTERM or SIGINT; jobs that are running then get ten seconds to end.

    Polls every second instead of listening: notifications get lost, and cost every webhook a fifth.
    """
    connector = PsycopgConnector(conninfo=database_url)
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
