"""When an event can't be handled: it is kept, and handled again by Stripe's retry or our own."""

import json
import time
from datetime import timedelta

import psycopg
import pytest

from payflow import clock, events, queue
from payflow.db import db
from tests.http.conftest import retold, sign

KEPT = "SELECT id, handled_at, outcome, tries, error FROM stripe_events"
LETTERS = "SELECT kind FROM emails ORDER BY kind"


@pytest.fixture
def refuse(app, postgres):
    """Let the database refuse what attempts are told (those of a session, or all), until mended."""

    def administer(statements):
        with psycopg.connect(postgres.url("payflow"), autocommit=True) as connection:
            connection.execute(statements)

    def mend():
        administer("DROP FUNCTION IF EXISTS refuse() CASCADE")

    def begin(session_id=None):
        whose = f"WHEN (NEW.session_id = '{session_id}')" if session_id else ""
        administer(
            f"""CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN RAISE 'the disk is full'; END $$;
            CREATE TRIGGER refuse BEFORE UPDATE ON attempts FOR EACH ROW {whose}
            EXECUTE FUNCTION refuse()"""
        )
        return mend

    yield begin
    mend()


@pytest.fixture
def fault(refuse):
    """A database that refuses all; answers how to mend it."""
    return refuse()


@pytest.fixture
def broken(request, completed):
    """An event that was paid for before the fault came."""
    event = completed()
    return event, request.getfixturevalue("fault")


def test_an_event_that_cannot_be_handled_is_kept_and_asked_for_again(broken, deliver, rows):
    event, _ = broken
    answer = deliver(event)
    assert answer.status_code == 500
    ((event_id, handled_at, outcome, tries, error),) = rows(KEPT)
    assert (event_id, handled_at, outcome, tries) == (event["id"], None, None, 1)
    assert "the disk is full" in error
    assert rows("SELECT payload FROM stripe_events") == [(event,)]
    assert rows("SELECT next_try_at - received_at FROM stripe_events")[0][0] >= timedelta(
        seconds=29
    )


def test_nothing_else_of_a_handling_that_failed_is_left(broken, deliver, rows):
    event, _ = broken
    deliver(event)
    assert rows("SELECT status, paid_at FROM payments") == [("open", None)]
    assert rows("SELECT count(*) FROM emails") == [(0,)]
    assert rows("SELECT count(*) FROM procrastinate_jobs") == [(0,)]
    assert rows("SELECT count(*) FROM timeline_entries WHERE source ~ '^event'") == [(0,)]


def test_the_error_is_not_told_to_whoever_delivered(broken, deliver):
    event, _ = broken
    assert "disk" not in deliver(event).text


def test_our_own_later_try_makes_the_payment_paid_with_one_receipt(
    broken, deliver, rows, pass_time
):
    event, mend = broken
    deliver(event)
    mend()
    assert events.handle_again() == 0  # its time has not come
    pass_time(timedelta(seconds=31))
    assert events.handle_again() == 1
    assert rows("SELECT status FROM payments") == [("paid",)]
    assert rows(LETTERS) == [("owner_paid",), ("receipt",)]
    ((_, handled_at, outcome, tries, error),) = rows(KEPT)
    assert handled_at is not None
    assert (outcome, tries, error) == ("recorded", 2, None)
    pass_time(timedelta(days=1))
    assert events.handle_again() == 0
    assert rows("SELECT count(*) FROM emails") == [(2,)]


def test_stripes_own_retry_makes_the_payment_paid_with_one_receipt(
    broken, deliver, rows, pass_time
):
    event, mend = broken
    deliver(event)
    mend()
    assert deliver(event).status_code == 200
    assert rows("SELECT status FROM payments") == [("paid",)]
    assert rows("SELECT outcome, error, tries FROM stripe_events") == [("recorded", None, 2)]
    assert deliver(event).status_code == 200
    pass_time(timedelta(days=1))
    assert events.handle_again() == 0
    assert rows(LETTERS) == [("owner_paid",), ("receipt",)]


def test_the_pause_doubles_from_half_a_minute_to_an_hour(broken, deliver, rows, pass_time):
    event, _ = broken
    deliver(event)
    pauses = []
    for _ in range(9):
        ((next_try, tries),) = rows("SELECT next_try_at, tries FROM stripe_events")
        pass_time(next_try - clock.now() + timedelta(seconds=1))
        before = clock.now()
        assert events.handle_again() == 0
        ((next_try, again),) = rows("SELECT next_try_at, tries FROM stripe_events")
        assert again == tries + 1
        pauses.append(round((next_try - before).total_seconds()))
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


def test_the_periodic_job_handles_what_was_kept(broken, deliver, rows, mailbox, work, pass_time):
    event, mend = broken
    deliver(event)
    mend()
    pass_time(timedelta(seconds=31))
    queue.defer(queue.Deferred("handle_events_again", {"timestamp": int(time.time())}))
    db.session.commit()
    work()
    assert rows("SELECT status FROM payments") == [("paid",)]


def test_one_event_that_fails_keeps_no_other_from_being_handled(
    completed, deliver, rows, pass_time, refuse
):
    bad, good = completed(), completed()
    refuse()()
    refuse(bad["data"]["object"]["id"])
    assert deliver(bad).status_code == 500
    rows(
        """INSERT INTO stripe_events (id, type, payload, received_at, error, tries, next_try_at)
        SELECT %s, type, %s::json, received_at, error, 1, next_try_at + interval '1 s'
        FROM stripe_events RETURNING 1""",
        good["id"],
        json.dumps(good),
    )
    pass_time(timedelta(minutes=1))
    assert events.handle_again() == 1
    assert rows("SELECT id FROM stripe_events WHERE handled_at IS NULL") == [(bad["id"],)]
    assert rows("SELECT status FROM payments ORDER BY created_at") == [("open",), ("paid",)]


# --- what can't be read ----------------------------------------------------------------------

KEPT_UNREAD = "SELECT outcome, error, payload IS NULL FROM stripe_events"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"amount_total": None}, "checkout.session with amount_total None"),
        ({"status": "closed"}, "checkout.session with status 'closed'"),
        ({"payment_status": None}, "checkout.session with payment_status None"),
        ({"id": None}, "checkout.session with id None"),
        ({"object": None}, None),
    ],
)
def test_a_session_that_cannot_be_read_is_kept_marked_and_answered(
    completed, deliver, rows, changes, error
):
    event = retold(completed(), **changes)
    assert deliver(event).status_code == 200
    if error:
        assert rows(KEPT_UNREAD) == [("unreadable", error, False)]
        assert rows("SELECT status FROM payments") == [("open",)]
    else:
        assert rows("SELECT status FROM payments") == [("paid",)]


@pytest.mark.parametrize("version", ["2019-05-16", "2022-11-15", "2026-05-27.dahlia"])
def test_an_event_of_any_version_is_paid_once_stripe_was_asked(
    submit, deliver, world, rows, work, version
):
    """That of 2019-05-16 lacks status and payment_status: they are retrieved by a job."""
    world.set(api_version=version)
    world.pay(submit().location)
    event = world.events("checkout.session.completed", version)[0]
    assert ("payment_status" in event["data"]["object"]) is (version > "2020")
    assert deliver(event).status_code == 200
    work()
    assert rows("SELECT status, captured FROM payments") == [("paid", 1250)]
    assert rows("SELECT count(*) FROM emails WHERE kind = 'receipt'") == [(1,)]


def test_what_cannot_be_read_comes_again_and_changes_nothing(completed, deliver, rows):
    event = retold(completed(), amount_total=None)
    deliver(event)
    before = rows("SELECT * FROM stripe_events"), rows("SELECT count(*) FROM procrastinate_jobs")
    assert deliver(event).status_code == 200
    after = rows("SELECT * FROM stripe_events"), rows("SELECT count(*) FROM procrastinate_jobs")
    assert after == before


def test_an_event_without_its_time_is_asked_about(completed, deliver, rows, work):
    event = completed()
    del event["created"]
    assert deliver(event).status_code == 200
    assert rows(KEPT_UNREAD) == [("unreadable", "event with created None", False)]
    work()
    assert rows("SELECT status FROM payments") == [("paid",)]


def test_an_event_that_gives_one_attempts_session_to_another_changes_nothing(
    completed, deliver, rows
):
    first, second = completed(), completed()
    deliver(first)
    rows(
        """UPDATE attempts SET session_id = NULL, session_url = NULL, session_status = NULL,
        session_payment_status = NULL WHERE session_id = %s RETURNING 1""",
        second["data"]["object"]["id"],
    )
    taken = retold(second, id=first["data"]["object"]["id"])
    assert deliver(taken).status_code == 200
    assert rows("SELECT outcome FROM stripe_events WHERE id = %s", taken["id"]) == [("unreadable",)]
    assert rows("SELECT status FROM payments ORDER BY created_at") == [("paid",), ("open",)]


def test_a_test_event_kept_before_the_key_became_a_live_one_stops_no_other(
    completed, deliver, rows, pass_time, installed, refuse
):
    """Whoever goes live has the test mode's events behind; they must not block the live ones."""
    of_the_test_mode, good = completed(), completed()
    live_one = retold(good)
    mend = refuse()
    deliver(of_the_test_mode)
    deliver(live_one)
    mend()
    mended = json.dumps(good | {"id": live_one["id"], "livemode": True})
    rows("UPDATE stripe_events SET payload = %s WHERE id = %s RETURNING 1", mended, live_one["id"])
    live = installed(
        STRIPE_SECRET_KEY="sk_live_payflow_tests",
        STRIPE_API_BASE="",
        PUBLIC_URL="https://pay.northlight.example",
    )
    pass_time(timedelta(minutes=1))
    with live.app_context():
        assert events.handle_again() == 1
    assert rows("SELECT id FROM stripe_events WHERE handled_at IS NULL") == [
        (of_the_test_mode["id"],)
    ]


def test_an_event_with_a_number_that_python_cannot_hold_is_kept_as_it_came(
    completed, client, rows, pass_time, refuse
):
    """What Postgres has taken once it takes again: written anew it would be Infinity."""
    body = json.dumps(retold(completed(), customer=None)).replace("null", "1e999", 1)
    refuse()
    assert client.post("/webhooks/stripe", data=body, headers=sign(body)).status_code == 500
    pass_time(timedelta(minutes=1))
    assert events.handle_again() == 0
    assert rows("SELECT payload::text, tries FROM stripe_events") == [(body, 2)]
