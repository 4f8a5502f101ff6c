"""Whole histories of a payment, drawn by Hypothesis: read stripe_model.py, expected.py, history.py,
then the tests.

HISTORIES and HTTP_HISTORIES say how many are played, SEED which: `make soak` plays more.
"""

import logging
import os
from collections.abc import Iterator

import psycopg
import pytest
from flask import Flask

from payflow import clock
from sandbox.postgres import Postgres
from tests.histories.history import MovedClock

SEED = int(os.environ.get("SEED", "20260601"))

# Postgres refuses to write to the table that this transaction names, as a full disk would.
REFUSE = """
CREATE FUNCTION refuse_for_histories() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF current_setting('histories.refuse', true) = TG_TABLE_NAME THEN
        RAISE 'the disk is full';
    END IF;
    RETURN NEW;
END $$;
"""


@pytest.fixture
def moved_clock(monkeypatch: pytest.MonkeyPatch) -> MovedClock:
    moved = MovedClock()
    monkeypatch.setattr(clock, "now", moved)
    return moved


@pytest.fixture
def silence() -> Iterator[None]:
    """Thousands of failures that were meant are logged with their tracebacks otherwise."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def refusing(app: Flask, postgres: Postgres) -> Iterator[None]:
    """A database that refuses what `set_config('histories.refuse', …)` says."""
    from tests.histories.history import FAILURES

    with psycopg.connect(postgres.url("payflow"), autocommit=True) as connection:
        connection.execute(REFUSE)
        for table in FAILURES[:-1]:
            connection.execute(
                f"CREATE TRIGGER refuse_for_histories BEFORE INSERT OR UPDATE ON {table}"
                " FOR EACH ROW EXECUTE FUNCTION refuse_for_histories()"
            )
    yield
    with psycopg.connect(postgres.url("payflow"), autocommit=True) as connection:
        connection.execute("DROP FUNCTION refuse_for_histories CASCADE")


def pytest_report_header() -> str:
    return f"histories: SEED={SEED}"
