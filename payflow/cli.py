"""Commands: `flask worker`. Those for the database (`flask db upgrade`) come with Flask-Migrate."""

import logging

from flask import Flask, current_app

from payflow import jobs


def init_app(app: Flask) -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for chatty in ("procrastinate", "stripe", "alembic.runtime.plugins"):
        logging.getLogger(chatty).setLevel(logging.WARNING)

    @app.cli.command("worker")
    def worker() -> None:
        """Deliver letters and do what else is queued, until stopped."""
        jobs.run_worker(current_app.config["PAYFLOW"].database_url)
