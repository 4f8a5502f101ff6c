"""Refunds and disputes: told in any order, before anybody knows whose they are, in any version."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import permutations

import pytest

from payflow import events, reconcile, refunds, sweep
from payflow.db import db
from payflow.payments import by_receipt
from tests.stack import until

STATUS = "SELECT status, captured, refunded, dispute FROM payments"


@pytest.fixture
def charge(at_stripe):
    return lambda: at_stripe("charges")["data"][0]["id"]


@pytest.fixture
def told(world, deliver):
    """Deliver all events of a kind, oldest first."""

    def tell(kind, version=None):
        for event in reversed(world.events(kind, version)):
            assert deliver(event).status_code == 200

    return tell


@pytest.fixture
def letters(rows):
    return lambda: [kind for (kind,) in rows("SELECT kind FROM emails ORDER BY kind")]


# --- refunds ---------------------------------------------------------------------------------


def test_a_refund_made_in_the_dashboard_is_told_by_webhook(
    completed, told, world, charge, rows, letters, work, mailbox
):
    completed()
    told("checkout.session.completed")
    world.at_desk("refunds", charge=charge(), amount=500)
    told("refund.created")
    assert rows(STATUS) == [("partially_refunded", 1250, 500, None)]
    assert rows("SELECT status, requested_by FROM refunds") == [("succeeded", None)]
    assert letters() == ["owner_paid", "receipt", "refunded"]
    work()
    (_, letter) = mailbox.letters(to="customer@example.com")
    assert "€5.00" in letter["text"]
    assert "Invoice 2026-118" not in letter["text"] + letter["html"]


def test_a_refund_that_succeeded_and_then_failed_is_told_in_every_order(
    completed, deliver, told, world, charge, rows, work, mailbox
):
    completed()
    told("checkout.session.completed")
    made = world.at_desk("refunds", charge=charge())
    world.at_desk(f"refunds/{made['id']}", status="failed")
    kinds = ("refund.created", "refund.failed", "charge.refund.updated")
    history = [event for kind in kinds for event in world.events(kind)]
    ends = set()
    for order in permutations(history):
        rows("DELETE FROM stripe_events WHERE type ~ 'refund' RETURNING 1")
        rows("DELETE FROM refunds RETURNING 1")
        rows("UPDATE payments SET status = 'paid', refunded = 0 RETURNING 1")
        for event in (*order, *order):
            assert deliver(event).status_code == 200
        ends.update(rows(STATUS))
    assert ends == {("paid", 1250, 0, None)}
    work()
    sent = rows("SELECT kind, state FROM emails WHERE kind ~ 'refund' ORDER BY 1")
    assert ("refund_failed", "sent") in sent
    assert ("owner_refund_failed", "sent") in sent
    assert ("refunded", "sent") not in sent


@pytest.mark.parametrize("version", ["2019-05-16", "2022-11-15", "2026-05-27.dahlia"])
def test_the_old_word_of_a_refund_makes_stripe_be_asked(
    completed, told, world, charge, rows, work, version
):
    """charge.refunded is a hint: what the refunds are, only their list says."""
    completed()
    told("checkout.session.completed")
    charged = charge()
    world.set(api_version=version)
    world.at_desk("refunds", charge=charged, amount=500)
    told("charge.refunded", version)
    assert rows(STATUS)[0][0] == "paid"
    work()
    assert rows(STATUS) == [("partially_refunded", 1250, 500, None)]


def test_refund_against_refund_never_gives_back_more_than_was_paid(
    app, completed, told, rows, at_stripe
):
    completed()
    told("checkout.session.completed")
    ((receipt,),) = rows("SELECT receipt_number FROM payments")

    def refund(_):
        with app.app_context():
            try:
                return len(refunds.refund(by_receipt(receipt).id, 300))
            except refunds.NotRefundable:
                return 0
            finally:
                db.session.remove()

    with ThreadPoolExecutor(8) as threads:
        made = sum(threads.map(refund, range(8)))
    assert made == 4
    assert rows(STATUS) == [("partially_refunded", 1250, 1200, None)]
    assert len(at_stripe("refunds")["data"]) == 4


# --- disputes --------------------------------------------------------------------------------


def test_a_dispute_is_told_with_its_deadline_then_lost_then_reversed(
    completed, told, world, charge, rows, letters, work, mailbox
):
    completed()
    told("checkout.session.completed")
    opened = world.at_desk("disputes", charge=charge())
    told("charge.dispute.*")
    assert rows(STATUS) == [("paid", 1250, 0, "needs_response")]
    assert rows("SELECT withdrawn FROM disputes") == [(1250,)]
    work()
    letter = mailbox.letters(to="owner@northlight.example")[-1]
    assert "Answer by" in letter["text"]
    world.at_desk(f"disputes/{opened['id']}", outcome="lost")
    told("charge.dispute.*")
    assert rows(STATUS) == [("paid", 1250, 0, "lost")]
    world.at_desk(f"disputes/{opened['id']}", outcome="reversed")
    told("charge.dispute.*")
    assert rows(STATUS) == [("paid", 1250, 0, "won")]
    assert rows("SELECT withdrawn FROM disputes") == [(0,)]
    assert letters() == ["owner_dispute", "owner_dispute_lost", "owner_paid", "receipt"]


def test_an_inquiry_that_escalates_in_every_order(completed, told, world, charge, rows, deliver):
    completed()
    told("checkout.session.completed")
    asked = world.at_desk("disputes", charge=charge(), inquiry=True)
    world.at_desk(f"disputes/{asked['id']}", outcome="escalated")
    history = world.events("charge.dispute.*")
    assert {event["data"]["object"]["status"] for event in history} == {
        "warning_needs_response", "needs_response"
    }  # fmt: skip
    ends = set()
    for order in permutations(history):
        for event in order:
            assert deliver(event).status_code == 200
        ends.update(rows("SELECT status, withdrawn FROM disputes"))
        rows("DELETE FROM stripe_events WHERE type ~ 'dispute' RETURNING 1")
        rows("DELETE FROM disputes RETURNING 1")
        rows("UPDATE payments SET dispute = NULL RETURNING 1")
    assert ends == {("needs_response", 1250)}


# --- unmatched -------------------------------------------------------------------------------


@pytest.fixture
def refunded_unseen(completed, world, charge):
    """A payment that was paid and refunded; nothing of it has been delivered yet."""
    completed()
    world.at_desk("refunds", charge=charge())
    (refund,) = world.events("refund.created")
    return refund


def test_a_refund_told_before_its_session_waits_and_is_merged_with_it(
    refunded_unseen, deliver, told, rows
):
    assert deliver(refunded_unseen).status_code == 200
    assert rows("SELECT outcome, payload IS NULL FROM stripe_events") == [("unmatched", False)]
    assert rows(STATUS)[0][0] == "open"
    told("checkout.session.completed")
    assert rows(STATUS) == [("refunded", 1250, 1250, None)]
    assert rows("SELECT DISTINCT outcome FROM stripe_events") == [("recorded",)]


def test_a_refund_whose_session_is_never_told_is_looked_up(
    refunded_unseen, deliver, rows, pass_time
):
    deliver(refunded_unseen)
    pass_time(timedelta(seconds=61))
    reconcile.match_events()
    assert rows(STATUS) == [("refunded", 1250, 1250, None)]
    assert rows("SELECT outcome FROM stripe_events") == [("recorded",)]


def test_a_refund_of_another_integration_is_looked_up_before_it_is_foreign(
    completed, world, at_stripe, charge, deliver, rows, pass_time
):
    at_stripe(
        "checkout/sessions", "POST",
        **{"mode": "payment", "success_url": "https://shop.example", "line_items[0][quantity]": 1,
           "line_items[0][price_data][currency]": "eur",
           "line_items[0][price_data][unit_amount]": 500,
           "line_items[0][price_data][product_data][name]": "x"},
    )  # fmt: skip
    world.pay(at_stripe("checkout/sessions")["data"][0]["url"])
    world.at_desk("refunds", charge=charge())
    deliver(world.events("refund.created")[0])
    assert rows("SELECT outcome FROM stripe_events") == [("unmatched",)]
    pass_time(timedelta(seconds=61))
    reconcile.match_events()
    assert rows("SELECT outcome, payload FROM stripe_events") == [("foreign", None)]


def test_what_stripe_does_not_know_stays_unmatched_and_is_forgotten_after_a_month(
    refunded_unseen, deliver, rows, pass_time
):
    refunded_unseen["data"]["object"] |= {"id": "re_gone", "payment_intent": "pi_gone",
                                          "charge": "ch_gone"}  # fmt: skip
    deliver(refunded_unseen)
    pass_time(timedelta(seconds=61))
    reconcile.match_events()
    assert rows("SELECT outcome, payload IS NULL FROM stripe_events") == [("unmatched", False)]
    pass_time(timedelta(days=32))
    events.forget()
    assert rows("SELECT outcome, payload IS NULL FROM stripe_events") == [("unmatched", True)]


# --- many at once ----------------------------------------------------------------------------


def test_all_events_of_a_payment_at_once_from_nothing_known(
    completed, world, charge, deliver, rows, pass_time, work
):
    completed()
    for amount in (100, 200, 300):
        world.at_desk("refunds", charge=charge(), amount=amount)
    world.at_desk("disputes", charge=charge(), amount=400)
    history = [
        event
        for kind in ("checkout.session.completed", "payment_intent.succeeded", "refund.*",
                     "charge.refund*", "charge.dispute.*")
        for event in world.events(kind)
    ]  # fmt: skip
    assert len(history) >= 8
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(deliver, history * 2))
    assert {answer.status_code for answer in answers} == {200}
    pass_time(timedelta(seconds=61))
    reconcile.match_events()
    assert rows(STATUS) == [("partially_refunded", 1250, 600, "needs_response")]
    assert rows("SELECT count(*) FROM refunds") == [(3,)]
    assert rows("SELECT count(*) FROM emails WHERE kind = 'receipt'") == [(1,)]
    assert rows("SELECT DISTINCT outcome FROM stripe_events") == [("recorded",)]


def test_sweep_against_webhook_records_once(app, completed, deliver, rows):
    event = completed()

    def swept(_):
        with app.app_context():
            try:
                return sweep.run(by_hand=True).stopped
            finally:
                db.session.remove()

    with ThreadPoolExecutor(8) as threads:
        deliveries = [threads.submit(deliver, event) for _ in range(4)]
        sweeps = list(threads.map(swept, range(4)))
    assert {one.result().status_code for one in deliveries} == {200}
    assert set(sweeps) == {""}
    assert rows(STATUS) == [("paid", 1250, 0, None)]
    assert rows("SELECT kind FROM emails ORDER BY 1") == [("owner_paid",), ("receipt",)]


# --- paid twice ------------------------------------------------------------------------------


def test_two_sessions_of_one_payment_that_were_both_paid_are_an_overpayment(
    app, submit, world, told, rows, letters, at_stripe
):
    """As could happen only where Stripe was not asked: the second attempt is made by hand here."""
    first = submit().location
    rows("UPDATE attempts SET superseded_at = now() RETURNING 1")
    from payflow import payments
    from payflow.checkout import proceed

    payment = payments.get(rows("SELECT id FROM payments")[0][0])
    payments.add_attempt(payment, 2)
    db.session.commit()
    second = proceed(payment.id).url
    assert first != second
    world.pay(first), world.pay(second)
    told("checkout.session.completed")
    assert rows(STATUS) == [("paid", 2500, 0, None)]
    assert letters() == ["owner_overpaid", "owner_paid", "receipt"]
    ((receipt,),) = rows("SELECT receipt_number FROM payments")
    answer = app.test_cli_runner().invoke(args=["refund", receipt, "--amount", "12.50"])
    assert answer.exit_code == 0
    assert rows(STATUS) == [("paid", 2500, 1250, None)]
    assert until(lambda: len(at_stripe("refunds")["data"]) == 1)
