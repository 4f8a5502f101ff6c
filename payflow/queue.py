"""The queue of jobs: Procrastinate, on the database that the facts are in.

`defer` writes a job with the session's own connection, so that it commits or rolls back with the
facts that asked for it. The tasks are in `jobs.py`; here they go by name, so that whoever defers
one need not import it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from procrastinate import App, PsycopgConnector, SyncPsycopgConnector
from procrastinate.jobs import DEFAULT_QUEUE, Job
from procrastinate.manager import JobManager

from payflow.db import db

# What goes first where more is due than the worker does at once: what is periodic and keeps the
# rest going, letters, questions that a page asks while it waits, what has failed before. So neither
# a mail server nor a Stripe that answers nobody holds up what does not need it.
UPKEEP, LETTER, QUESTION, AGAIN = 2, 1, 0, -1

# Opened by the worker alone, with its own connections.
app = App(connector=PsycopgConnector())

# Procrastinate picks its connector by whether an event loop runs, and refuses a synchronous one
# inside a worker's task; a manager of our own, never opened, uses the connection it is handed.
_manager = JobManager(SyncPsycopgConnector())


@dataclass(frozen=True)
class Deferred:
    """A job to be: the task's name, its arguments, a lock under which only one runs, and how soon
    its turn comes."""

    task: str
    arguments: Mapping[str, Any]
    lock: str | None = None
    priority: int = QUESTION


def defer(*jobs: Deferred) -> None:
    """Queue jobs in the session's transaction, in one statement."""
    if jobs:
        connection = db.session.connection().connection.driver_connection
        _manager.batch_defer_jobs([_job(job) for job in jobs], connection=connection)


def _job(job: Deferred) -> Job:
    return Job(
        id=None,
        queue=DEFAULT_QUEUE,
        priority=job.priority,
        task_name=job.task,
        task_kwargs=dict(job.arguments),
        lock=job.lock,
        queueing_lock=None,
    )
