"""Commands: `flask worker`. Those for the database (`flask db upgrade`) come with Flask-Migrate."""

from flask import Flask

from payflow import jobs
from payflow.config import current_settings


def init_app(app: Flask) -> None:
    @app.cli.command("worker")
    def worker() -> None:
        """Deliver letters and do what else is queued, until stopped."""
        jobs.run_worker(current_settings().libpq_url)
