"""The worker as it is deployed, only quicker: it is taken for dead sooner, looks more often for
what the dead have left, and sweeps all the time. python -m tests.crashes.worker
"""

import attr

from payflow import create_app, jobs, queue, worker
from payflow.config import current_settings

HEARTBEAT, STALLED_AFTER, GRACE = 0.5, 4, 1
EVERY_SECOND = "* * * * * *"


def main() -> None:
    jobs.HEARTBEAT, jobs.STALLED_AFTER, worker.GRACE = HEARTBEAT, STALLED_AFTER, GRACE
    periodic = queue.app.periodic_registry.periodic_tasks
    for key, task in periodic.items():
        if task.task.name in ("sweep", "retry_stalled_jobs"):
            periodic[key] = attr.evolve(task, cron=EVERY_SECOND)
    with create_app().app_context():
        worker.run(current_settings().libpq_url)


if __name__ == "__main__":
    main()
