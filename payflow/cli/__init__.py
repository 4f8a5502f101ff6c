"""Commands: what an operator does by hand, and `flask worker`. Those for the database
(`flask db upgrade`) come with Flask-Migrate."""

from flask import Flask

from payflow.cli.emails import emails
from payflow.cli.events import events
from payflow.cli.payments import payments, refund
from payflow.cli.reconcile import reconcile
from payflow.config import current_settings
from payflow.worker import run


def init_app(app: Flask) -> None:
    for command in (payments, refund, events, emails, reconcile):
        app.cli.add_command(command)

    @app.cli.command("worker")
    def worker() -> None:
        """Deliver letters and do what else is queued, until stopped."""
        run(current_settings().libpq_url)
