"""Commands: `flask worker`. Those for the database (`flask db upgrade`) come with Flask-Migrate."""

from flask import Flask, current_app

from payflow import jobs


def init_app(app: Flask) -> None:
    @app.cli.command("worker")
    def worker() -> None:
        """Deliver letters and do what else is queued, until stopped."""
        jobs.run_worker(current_app.config["PAYFLOW"].database_url)
