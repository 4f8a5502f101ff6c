"""The store: what a rolled-back transaction leaves behind, and what a closed one says."""

import contextlib
from pathlib import Path

import pytest

from sandbox import clock, later, settings
from sandbox.api import request_log
from sandbox.store import Closed, Store, keep_newest, part
from sandbox.webhooks import events, webhook_endpoints


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "sandbox.sqlite3")


class Broken(Exception):
    """What a test breaks a transaction off with."""


def test_a_transaction_that_is_rolled_back_moves_no_clock_and_tells_no_event(store: Store) -> None:
    told: list[bytes] = []
    store.on_event(told.append)
    with contextlib.suppress(Broken), store.transaction() as db:
        clock.move(db, 3600)
        settings.change(db, {"seed": 7})
        events.record(db, "charge.updated", {"id": "ch_1", "object": "charge"})
        assert settings.current(db)["seed"] == 7
        raise Broken
    assert clock.offset() == 0
    assert told == []
    with store.reading() as db:
        assert settings.current(db)["seed"] == 1


def test_a_part_that_fails_is_forgotten_and_the_rest_is_kept(store: Store) -> None:
    told: list[bytes] = []
    store.on_event(told.append)
    with store.transaction() as db:
        events.record(db, "charge.updated", {"id": "ch_1", "object": "charge"})
        with contextlib.suppress(Broken), part(db):
            events.record(db, "charge.updated", {"id": "ch_2", "object": "charge"})
            settings.change(db, {"seed": 7})
            raise Broken
        assert settings.current(db)["seed"] == 1
    (only,) = told
    assert b'"ch_1"' in only


def test_an_action_that_fails_leaves_no_trace_in_memory(store: Store) -> None:
    @later.action("test.break")
    def _break(db: object, _: str) -> None:
        settings.change(db, {"webhook_url": "http://127.0.0.1:9/", "webhook_secret": "whsec_x"})
        assert webhook_endpoints.known(db)
        raise Broken

    with store.transaction() as db:
        later.at(db, clock.now(), "test.break", "ch_1")
        assert later.run_due(db) == 1
        assert webhook_endpoints.known(db) == []
    later.ACTIONS.pop("test.break")


def test_a_closed_store_says_so_and_nothing_else_does(store: Store) -> None:
    store.close()
    with pytest.raises(Closed), store.reading():
        pass
    with pytest.raises(Closed), store.transaction():
        pass


@pytest.mark.parametrize(
    ("most", "size", "kept"),
    [(2, 100, ["c", "d"]), (10, 5, ["d"]), (10, 1, ["d"]), (4, 100, "abcd")],
)
def test_the_oldest_rows_go_when_there_are_too_many_or_too_much(
    store: Store, most: int, size: int, kept: list[str]
) -> None:
    with store.transaction() as db:
        for letter in "abcd":
            db.execute("INSERT INTO requests (record) VALUES (?)", (letter * 3,))
        keep_newest(db, "requests", "record", most, size)
        rows = db.execute("SELECT record FROM requests ORDER BY seq").fetchall()
    assert [row["record"][0] for row in rows] == list(kept)


def test_a_few_large_requests_push_the_older_ones_out(store: Store) -> None:
    with store.transaction() as db:
        for number in range(30):
            request_log.add(db, {"parameters": "x" * 1_000_000, "number": number})
        numbers = [entry["number"] for entry in request_log.newest_last(db)]
    assert numbers[-1] == 29
    assert len(numbers) == 16
