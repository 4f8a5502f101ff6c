"""Which answer decides over a delivery, when several sendings of it are under way."""

from pathlib import Path

import pytest

from sandbox import clock, settings
from sandbox.store import Store
from sandbox.webhooks import events, outbox, webhook_endpoints
from sandbox.webhooks.deliveries import Deliveries
from sandbox.webhooks.sendings import Sending, Sent
from sandbox.webhooks.webhook_client import Answer

HOUR = 60 * 60


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "sandbox.sqlite3")
    with store.transaction() as db:
        settings.change(db, {"webhook_url": "http://127.0.0.1:9/", "webhook_secret": "whsec_x"})
    return store


def tell(store: Store) -> str:
    with store.transaction() as db:
        return events.record(db, "charge.updated", {"id": "ch_1", "object": "charge"})


def claim(store: Store, later_s: float = 0) -> Sending:
    with store.transaction() as db:
        (sending,) = outbox.claim(db, clock.now() + later_s, lambda _: 1).sendings
        return sending


def answer(store: Store, sending: Sending, status: int | None, after_s: float = 0) -> None:
    with store.transaction() as db:
        sent = Sent(sending, clock.now() + after_s, Answer(status, "", {}, round(after_s * 1000)))
        outbox.record(db, sent)


def send_again(store: Store, event_id: str) -> None:
    with store.transaction() as db:
        events.queue(db, event_id, clock.now())


def state(store: Store) -> tuple[str, int]:
    with store.reading() as db:
        row = db.execute("SELECT state, tries FROM deliveries").fetchone()
        return row["state"], row["tries"]


@pytest.mark.parametrize("status", [500, None])
def test_a_late_failure_does_not_decide_over_what_was_sent_again(
    store: Store, status: int | None
) -> None:
    event = tell(store)
    first = claim(store)
    send_again(store, event)
    second = claim(store)
    answer(store, first, status)
    assert state(store) == ("sending", 0)
    answer(store, second, 200)
    assert state(store) == ("succeeded", 1)


def test_a_late_success_ends_the_retries_of_what_was_sent_again(store: Store) -> None:
    event = tell(store)
    first = claim(store)
    send_again(store, event)
    answer(store, claim(store), 500)
    answer(store, first, 200)
    assert state(store)[0] == "succeeded"


def test_what_was_queued_by_hand_is_sent_though_the_first_sending_succeeds(store: Store) -> None:
    event = tell(store)
    first = claim(store)
    send_again(store, event)
    answer(store, first, 200)
    answer(store, claim(store), 200)
    assert state(store)[0] == "succeeded"


def test_an_endpoint_switched_off_while_it_answered_has_the_event(store: Store) -> None:
    tell(store)
    sending = claim(store)
    with store.transaction() as db:
        webhook_endpoints.update(db, webhook_endpoints.COMMAND_LINE, {"disabled": "true"})
    assert state(store)[0] == "failed"
    answer(store, sending, 200)
    assert state(store)[0] == "succeeded"


def test_of_two_failures_of_a_duplicate_one_counts_and_a_success_ends_it(store: Store) -> None:
    with store.transaction() as db:
        settings.change(db, {"delivery_faults": [{"fault": "duplicate"}]})
    tell(store)
    with store.transaction() as db:
        first, second = outbox.claim(db, clock.now(), lambda _: 1).sendings
    answer(store, first, 500)
    answer(store, second, 500)
    assert state(store) == ("pending", 1)
    answer(store, second, 200)
    assert state(store)[0] == "succeeded"


@pytest.mark.parametrize(
    ("moved_s", "takes_s", "next_s"),
    [(0, 5, 7), (1, 5, 7), (3600, 5, 7)],
    ids=["never moved", "a second", "an hour"],
)
def test_a_retry_keeps_its_distance_whether_the_clock_was_moved_or_not(
    store: Store, moved_s: float, takes_s: float, next_s: float
) -> None:
    with store.transaction() as db:
        clock.move(db, moved_s)
    try:
        tell(store)
        began = clock.now()
        answer(store, claim(store), 500, after_s=takes_s)
        with store.reading() as db:
            due = db.execute("SELECT due_at FROM deliveries").fetchone()["due_at"]
        assert next_s <= due - began < next_s + 5
    finally:
        with store.transaction() as db:
            clock.move(db, 0)


def test_retries_skipped_over_by_a_move_follow_each_other(store: Store) -> None:
    with store.transaction() as db:
        settings.change(db, {"retry_schedule_s": [HOUR, HOUR, HOUR]})
    tell(store)
    answer(store, claim(store), 500)
    try:
        with store.transaction() as db:
            clock.move(db, 2.5 * HOUR)
        answer(store, claim(store), 500)
        answer(store, claim(store), 500)  # two were due by then, the third is not
        with store.transaction() as db:
            assert outbox.claim(db, clock.now(), lambda _: 1).sendings == []
            assert len(outbox.claim(db, clock.now() + HOUR, lambda _: 1).sendings) == 1
    finally:
        with store.transaction() as db:
            clock.move(db, 0)


def test_an_answer_that_cannot_be_written_down_takes_no_other_along(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(store)
    good = claim(store)
    record = outbox.record

    def broken(db: object, sent: Sent) -> None:
        if sent.sending.event_id == "evt_broken":
            raise ValueError
        record(db, sent)

    monkeypatch.setattr(outbox, "record", broken)
    deliveries = Deliveries(store)
    for sending in (good._replace(event_id="evt_broken"), good):
        deliveries._sent.append(Sent(sending, clock.now(), Answer(200, "", {}, 1)))
    deliveries._write_down()
    assert state(store) == ("succeeded", 1)


def test_old_events_are_forgotten_with_their_deliveries(store: Store) -> None:
    old = tell(store)
    answer(store, claim(store), 200)
    try:
        with store.transaction() as db:
            clock.move(db, 31 * 24 * HOUR)
        new = tell(store)
        with store.transaction() as db:
            events.forget_old(db)
            for table, column in (("events", "id"), ("deliveries", "event_id")):
                rows = db.execute(f"SELECT {column} FROM {table}").fetchall()
                assert [row[column] for row in rows] == [new], table
            assert db.execute("SELECT * FROM attempts").fetchall() == []
            assert events.find(db, old) is None
    finally:
        with store.transaction() as db:
            clock.move(db, 0)
