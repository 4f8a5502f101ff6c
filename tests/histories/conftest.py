"""Whole histories of a payment, drawn by Hypothesis: read stripe_model.py, expected.py, history.py,
then the tests.

HISTORIES and HTTP_HISTORIES say how many are played, SEED which: `make soak` plays more.
"""

import gc
import logging
import os
from collections.abc import Callable, Iterator
from itertools import count

import psycopg
import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase, settings

from payflow import clock
from payflow.db import db
from sandbox.demo.postgres import Postgres

# Their assertions tell what differs.
pytest.register_assert_rewrite("tests.histories.history", "tests.histories.over_http")

from tests.histories.history import FAILURES, MovedClock  # noqa: E402

SEED = int(os.environ.get("SEED", "20260601"))
HISTORIES = int(os.environ.get("HISTORIES", "400"))
HTTP_HISTORIES = int(os.environ.get("HTTP_HISTORIES", "100"))

# Postgres refuses to write to the table that this transaction names, as a full disk would.
REFUSE = """
CREATE FUNCTION refuse_for_histories() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF current_setting('histories.refuse', true) = TG_TABLE_NAME THEN
        RAISE 'the disk is full';
    END IF;
    RETURN NEW;
END $$;
"""


def as_often_as(histories: int) -> settings:
    """Hypothesis's settings: so many, as the seed says, whatever earlier runs have found."""
    return settings(
        max_examples=histories,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )


@pytest.fixture(scope="session")
def counter() -> Iterator[int]:
    """Keeps the ids of one history apart from those of all others."""
    return count(1)


@pytest.fixture
def moved_clock(monkeypatch: pytest.MonkeyPatch) -> MovedClock:
    moved = MovedClock()
    monkeypatch.setattr(clock, "now", moved)
    return moved


@pytest.fixture
def silence() -> Iterator[None]:
    """What costs time and nobody reads: tracebacks of failures that were meant, and the collector's
    search through all that was imported."""
    logging.disable()
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
    logging.disable(logging.NOTSET)


@pytest.fixture
def refusing(app: Flask, postgres: Postgres) -> Iterator[None]:
    """A database that refuses what `set_config('histories.refuse', …)` says."""
    with psycopg.connect(postgres.url("payflow"), autocommit=True) as connection:
        connection.execute(REFUSE)
        for table in FAILURES[:-1]:
            connection.execute(
                f"CREATE TRIGGER refuse_for_histories BEFORE INSERT OR UPDATE ON {table}"
                " FOR EACH ROW EXECUTE FUNCTION refuse_for_histories()"
            )
    yield
    # A history that failed has left its transaction open, which would hold this up.
    db.session.remove()
    with psycopg.connect(postgres.url("payflow"), autocommit=True) as connection:
        connection.execute("DROP FUNCTION refuse_for_histories CASCADE")


def pytest_report_header() -> str:
    return f"histories: SEED={SEED}"


@pytest.fixture
def emptied(app: Flask, postgres: Postgres) -> Iterator[Callable[[], None]]:
    """Empty the database between two histories of one test."""
    with psycopg.connect(postgres.url("payflow"), autocommit=True) as connection:

        def empty() -> None:
            db.session.remove()
            connection.execute(
                "TRUNCATE payments, stripe_events, sweep_state, procrastinate_jobs CASCADE"
            )

        yield empty
