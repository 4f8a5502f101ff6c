"""Many at once: whatever meets whatever, one row, one receipt, no deadlock and no failure."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest

from payflow import by_hand, gateway, reconcile, refunds, sweep
from tests.http.conftest import retold, sign

MANY = 16
MINUTE = timedelta(minutes=1)
RECEIPTS = "SELECT count(*) FROM emails WHERE kind = 'receipt'"


@pytest.fixture(autouse=True)
def _no_deadlock(postgres, app):
    """Postgres logs each; it ends one of the two, whose work may be done again unseen."""
    with postgres.log.open() as log:
        log.seek(0, 2)
        yield
        assert "deadlock detected" not in log.read()


@pytest.fixture
def at_once(app):
    """Do these things in threads of their own, all let go at the same moment; answers what each
    came to, an exception included."""

    def run(*deeds):
        gate = threading.Barrier(len(deeds))

        def do(deed):
            with app.app_context():
                gate.wait(30)
                try:
                    return deed()
                except Exception as error:  # judged by the test
                    return error

        with ThreadPoolExecutor(len(deeds)) as threads:
            return list(threads.map(do, deeds))

    return run


@pytest.fixture
def delivery(app):
    """The delivery of an event, to be done later, by a client of its own."""

    def prepare(event):
        body = json.dumps(event)
        headers = sign(body)
        return lambda: app.test_client().post("/webhooks/stripe", data=body, headers=headers)

    return prepare


@pytest.fixture
def checked(at_once):
    """Do these at once; nothing may have failed."""

    def run(*deeds):
        answers = at_once(*deeds)
        failed = [one for one in answers if isinstance(one, Exception)]
        assert failed == []
        statuses = {one.status_code for one in answers if hasattr(one, "status_code")}
        assert statuses <= {200, 303}
        return answers

    return run


@pytest.fixture
def payment_id(rows):
    def read():
        ((found,),) = rows("SELECT id FROM payments")
        return found

    return read


@pytest.fixture
def history(completed, world):
    """All that Stripe tells of one payment: paid, refunded three times, disputed and decided."""
    session = completed()
    intent = session["data"]["object"]["payment_intent"]
    for amount in (100, 200, 300):
        world.at_desk("refunds", payment_intent=intent, amount=amount)
    dispute = world.at_desk("disputes", payment_intent=intent)
    world.at_desk(f"disputes/{dispute['id']}", outcome="lost")
    told = [
        one for one in reversed(world.events())
        if one["type"].startswith(("checkout", "payment_intent.succ", "refund", "charge.refund",
                                   "charge.dispute"))
    ]  # fmt: skip
    assert len(told) > 8
    return [*told, *(retold(session) for _ in range(MANY - len(told)))][:MANY]


def end_of(rows):
    return rows("SELECT status, captured, refunded, dispute FROM payments")


TRUTH = [("partially_refunded", 1250, 600, "lost")]


# --- events ----------------------------------------------------------------------------------


def test_the_same_event_many_times_at_once_is_handled_once(completed, checked, delivery, rows):
    event = completed()
    checked(*[delivery(event)] * MANY)
    assert rows("SELECT status FROM payments") == [("paid",)]
    assert rows("SELECT outcome, tries FROM stripe_events") == [("recorded", 1)]
    assert rows("SELECT kind FROM emails ORDER BY 1") == [("owner_paid",), ("receipt",)]
    assert rows("SELECT count(*) FROM procrastinate_jobs") == [(2,)]


@pytest.mark.parametrize("session_first", [True, False])
def test_many_events_of_one_payment_at_once_come_to_the_truth(
    history, checked, delivery, deliver, rows, work, mailbox, pass_time, session_first
):
    """Also where nothing is known yet: refunds race the session by which they will be known."""
    if session_first:
        deliver(history[0] if history[0]["type"].startswith("checkout") else history[-1])
    checked(*map(delivery, history))
    work()
    pass_time(MINUTE + timedelta(seconds=1))
    reconcile.match_events()
    assert end_of(rows) == TRUTH
    assert rows("SELECT count(*) FROM stripe_events WHERE outcome <> 'recorded'") == [(0,)]
    assert rows(RECEIPTS) == [(1,)]
    work()
    kinds = ["owner_dispute_lost", "owner_paid", "receipt", "refunded", "refunded", "refunded"]
    assert {*kinds} <= {kind for (kind,) in rows("SELECT kind FROM emails")}
    assert rows("SELECT count(*) FROM emails WHERE state = 'sent'") == [(len(mailbox.letters()),)]
    assert rows("SELECT count(*) FROM refunds") == [(3,)]
    assert rows("SELECT count(*) FROM disputes") == [(1,)]


def test_events_of_many_payments_at_once_are_each_paid_once(completed, checked, delivery, rows):
    told = [completed() for _ in range(8)]
    checked(*map(delivery, told * 2))
    assert rows("SELECT status FROM payments") == [("paid",)] * 8
    assert rows(RECEIPTS) == [(8,)]


# --- the sweep -------------------------------------------------------------------------------


def test_a_sweep_meets_the_webhooks_of_one_payment(
    history, checked, delivery, rows, pass_time, work, mailbox
):
    checked(lambda: sweep.run(by_hand=True), *map(delivery, history[: MANY - 1]))
    work()
    pass_time(MINUTE + timedelta(seconds=1))
    reconcile.match_events()
    assert sweep.run(by_hand=True).stopped == ""
    assert end_of(rows) == TRUTH
    assert rows(RECEIPTS) == [(1,)]


def test_two_sweeps_at_once_find_each_payment_once(completed, checked, rows, world):
    for _ in range(4):
        completed()
    reports = checked(*[lambda: sweep.run(by_hand=True)] * 2)
    assert [one.stopped for one in reports] == ["", ""]
    assert rows("SELECT status FROM payments") == [("paid",)] * 4
    assert rows(RECEIPTS) == [(4,)]
    told = [change.receipt_number for report in reports for change in report.changes]
    assert len(told) == len(set(told)) == 4


def test_two_sweeps_of_the_worker_at_once_ask_about_each_payment_once(
    completed, checked, rows, asked, pass_time
):
    """The event list aside, which both may read."""
    for _ in range(4):
        completed()
    rows("INSERT INTO sweep_state (id, events_read_to) VALUES (1, now()) RETURNING 1")
    pass_time(6 * MINUTE)
    checked(*[sweep.run] * 2)
    assert len(asked("/v1/checkout/sessions/")) == 4
    assert rows("SELECT status FROM payments") == [("paid",)] * 4


# --- refunds ---------------------------------------------------------------------------------


def test_refunds_at_once_never_give_back_more_than_was_captured(
    paid, at_once, rows, payment_id, at_stripe, world
):
    """16 clerks refund 3.00 of 12.50 each: four can."""
    whose = payment_id()
    answers = at_once(*[lambda: refunds.refund(whose, 300)] * MANY)
    refused = [one for one in answers if isinstance(one, refunds.NotRefundable)]
    assert len(refused) == MANY - 4
    assert not [one for one in answers if isinstance(one, Exception) and one not in refused]
    assert rows("SELECT captured, refunded FROM payments") == [(1250, 1200)]
    made = at_stripe("refunds?limit=100")["data"]
    stored = rows("SELECT refund_id, id::text FROM refunds")
    assert {(one["id"], one["metadata"]["payflow_refund_id"]) for one in made} == set(stored)
    assert len(stored) == 4


def test_refunds_of_all_that_is_left_at_once_are_one(paid, at_once, rows, payment_id, at_stripe):
    whose = payment_id()
    answers = at_once(*[lambda: refunds.refund(whose)] * MANY)
    assert len([one for one in answers if isinstance(one, refunds.NotRefundable)]) == MANY - 1
    assert rows("SELECT status, refunded FROM payments") == [("refunded", 1250)]
    assert len(at_stripe("refunds?limit=100")["data"]) == 1


def test_a_refund_meets_the_sweep_that_settles_it(
    paid, at_once, rows, payment_id, at_stripe, world
):
    """Stripe is slow to answer, and the sweep asks again under the same key meanwhile."""
    whose = payment_id()
    world.set(api_faults=[{"on": "POST /v1/refunds", "fault": "delay", "seconds": 1}])
    answers = at_once(
        lambda: refunds.refund(whose, 500),
        *[lambda: sweep.run(by_hand=True)] * 2,
        *[lambda: reconcile.check_payment(whose, "asked again")] * 2,
    )
    assert not [
        one for one in answers if isinstance(one, Exception)
        and not isinstance(one, gateway.GatewayError)
    ]  # fmt: skip
    world.set(api_faults=[])
    assert sweep.run(by_hand=True).stopped == ""
    assert rows("SELECT status, refunded FROM payments") == [("partially_refunded", 500)]
    assert len(at_stripe("refunds?limit=100")["data"]) == 1


# --- by hand ---------------------------------------------------------------------------------


def test_a_cancel_meets_the_customers_payment(
    submit, world, at_once, rows, payment_id, at_stripe, delivery
):
    """Whoever is first, wins: canceled and never charged, or paid and never canceled."""
    for _ in range(4):
        page = submit().location
        ((whose, session_id),) = rows(
            "SELECT payment_id, session_id FROM attempts ORDER BY created_at DESC LIMIT 1"
        )
        at_once(lambda w=whose: by_hand.cancel(w), lambda p=page: world.pay(p))
        truth = at_stripe(f"checkout/sessions/{session_id}")
        reconcile.check_payment(whose, "sweep", thorough=True)
        ((status,),) = rows("SELECT status FROM payments WHERE id = %s", whose)
        assert (truth["status"], status) in (("complete", "paid"), ("expired", "canceled"))
    paid = rows("SELECT count(*) FROM payments WHERE status = 'paid'")
    assert rows(RECEIPTS) == paid


def test_an_accept_meets_the_webhooks(completed, deliver, checked, delivery, rows, payment_id):
    """Believed to have been asked for 9.00; Stripe has 12.50, and tells so again and again."""
    event = completed()
    rows("UPDATE payments SET amount = 900 RETURNING 1")
    deliver(event)
    assert rows("SELECT status FROM payments") == [("review",)]
    whose = payment_id()
    checked(lambda: by_hand.accept(whose), *[delivery(retold(event)) for _ in range(MANY - 1)])
    with suppress(by_hand.NotPossible):
        by_hand.accept(whose)
    assert rows("SELECT status, captured FROM payments") == [("paid", 1250)]
    assert rows(RECEIPTS) == [(1,)]


# --- the customer's page ---------------------------------------------------------------------

CHECKS = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'check_payment'"


def test_a_storm_of_polls_has_stripe_asked_every_ten_seconds_and_after_thirty_times_less(
    app, submit, checked, rows, payment_id, pass_time
):
    submit()
    page = f"/payments/{payment_id()}/status?from=stripe&polls=3"

    def storm(polls):
        checked(*[lambda: app.test_client().get(page)] * polls)

    storm(MANY)
    assert rows(CHECKS) == [(1,)]
    pass_time(timedelta(seconds=9))
    storm(4)
    assert rows(CHECKS) == [(1,)]
    for _ in range(32):
        pass_time(timedelta(seconds=11))
        storm(4)
    assert rows(CHECKS) == [(30,)]


def test_the_checks_that_a_storm_asks_for_meet_the_webhook(
    completed, checked, delivery, rows, payment_id
):
    event = completed()
    whose = payment_id()
    check = lambda: reconcile.check_payment(whose, "customer's page")  # noqa: E731
    checked(*[check] * 7, delivery(event), *[delivery(retold(event)) for _ in range(8)])
    assert rows("SELECT status FROM payments") == [("paid",)]
    assert rows(RECEIPTS) == [(1,)]
