"""Refunds where something is amiss: what can't be counted, what Stripe refuses, what is copied."""

from contextlib import nullcontext
from datetime import timedelta

import pytest
import stripe

from payflow import checkout, clock, gateway, payments, refunds, sweep
from payflow.db import db
from payflow.facts.objects import SESSION
from tests.http.conftest import retold, words_of

STATUS = "SELECT status, captured, refunded FROM payments"


@pytest.fixture
def paid_twice(submit, world, deliver, rows):
    """A payment of which two sessions were paid."""
    first = submit().location
    payment = payments.get(rows("SELECT id FROM payments")[0][0])
    payments.current_attempt(payment.id).superseded_at = payment.created_at
    db.session.flush()
    payments.add_attempt(payment, 2)
    db.session.commit()
    world.pay(first)
    world.pay(checkout.proceed(payment.id).url)
    for event in world.events("checkout.session.completed"):
        deliver(event)
    assert rows(STATUS) == [("paid", 2500, 0)]


@pytest.fixture
def dispute_each(world, at_stripe, deliver):
    """Dispute each charge, the newest first, and end it so; None: it is open."""

    def dispute(*outcomes):
        charges = [one["id"] for one in at_stripe("charges")["data"]]
        for charge, outcome in zip(charges, outcomes, strict=True):
            opened = world.at_desk("disputes", charge=charge)
            if outcome:
                world.at_desk(f"disputes/{opened['id']}", outcome=outcome)
        for event in reversed(world.events("charge.dispute.*")):
            deliver(event)

    return dispute


@pytest.mark.parametrize(
    ("outcomes", "heading", "taken_back"),
    [
        (("lost", "won"), "Payment received", True),
        (("lost", None), "Payment received, being clarified", True),
        (("lost", "lost"), "Reversed by the bank", False),
    ],
)
def test_of_two_payments_for_the_same_thing_the_page_says_what_the_bank_took_back(
    paid_twice, dispute_each, rows, client, page_of, outcomes, heading, taken_back
):
    dispute_each(*outcomes)
    assert rows("SELECT dispute FROM payments") == [("lost",)]
    page = client.get(page_of()).text
    assert f"<h1>{heading}</h1>" in page
    assert ("Taken back by your bank €12.50" in words_of(page)) is taken_back


def test_a_dispute_lost_about_money_that_does_not_count_takes_nothing_back_of_what_does(
    paid_twice, dispute_each, rows, client, page_of
):
    rows("UPDATE attempts SET claims = '{\"more\": 1}', disagreements = '{more}',"
         " confirmed_at = NULL WHERE number = 2 RETURNING 1")  # fmt: skip
    dispute_each("lost", "won")
    assert rows(STATUS) == [("paid", 1250, 0)]
    page = client.get(page_of()).text
    assert "<h1>Payment received</h1>" in page
    assert "Taken back" not in page


def test_of_two_refunds_one_that_stripe_refuses_is_told_and_the_other_made(
    paid_twice, flask, receipt, rows, at_stripe
):
    """The first charge was refunded in the Dashboard, and nobody has told us yet."""
    oldest = at_stripe("charges")["data"][-1]["id"]
    at_stripe("refunds", "POST", charge=oldest)
    told = flask("refund", receipt()).output
    assert "€12.50 succeeded at Stripe" in told
    assert "was not made:" in told
    assert rows("SELECT count(*) FROM refunds WHERE refund_id IS NULL AND refusal IS NULL") == [
        (0,)
    ]
    sweep.run(by_hand=True)
    assert len(at_stripe("refunds")["data"]) == 2


def test_a_key_that_is_refused_says_nothing_about_a_refund_whose_answer_was_lost(
    completed, deliver, flask, receipt, world, rows, installed
):
    deliver(completed())
    world.set(api_faults=[{"on": "POST /v1/refunds", "fault": "reset_after", "times": 3}])
    flask("refund", receipt(), "--amount", "5.00", ends=1)
    world.set(api_faults=[])
    revoked = installed()
    revoked.extensions["stripe"] = stripe.StripeClient(
        "sk_payflow_revoked", base_addresses={"api": world.url}, max_network_retries=0
    )
    with revoked.app_context():
        assert sweep.run(by_hand=True).stopped
    assert rows("SELECT refusal FROM refunds") == [(None,)]
    sweep.run(by_hand=True)
    assert rows(STATUS) == [("partially_refunded", 1250, 500)]


def test_a_key_of_the_other_mode_leaves_no_refund_to_be_made_once_it_is_changed_again(
    paid, flask, receipt, world, rows
):
    rows("UPDATE payments SET livemode = true RETURNING 1")
    refused = flask("refund", receipt(), "--amount", "5.00", ends=1).output
    assert "It is a live payment, and the Stripe key is of the other mode." in refused
    assert rows("SELECT 1 FROM refunds") == []
    assert world.api_calls("/v1/refunds") == []


@pytest.mark.parametrize("later", [timedelta(), timedelta(days=1)])
def test_a_key_of_another_account_says_nothing_about_a_refund_whose_answer_was_lost(
    paid, flask, receipt, world, rows, pass_time, later
):
    world.set(api_faults=[{"on": "POST /v1/refunds", "fault": "reset_after", "times": 3}])
    flask("refund", receipt(), "--amount", "5.00", ends=1)
    world.reset()  # an account that knows nothing of all this
    pass_time(later)
    assert sweep.run(by_hand=True).stopped == ""
    assert rows("SELECT refund_id, refusal FROM refunds") == [(None, None)]
    assert "At most €7.50" in flask("refund", receipt(), "--amount", "8.00", ends=1).output


def test_what_stripe_says_again_under_a_key_is_as_old_as_when_it_was_said_first(
    paid, flask, receipt, world, rows, move_clocks, deliver, at_stripe
):
    """The answer was lost, the refund failed meanwhile; the old answer comes before the news."""
    world.set(api_faults=[{"on": "POST /v1/refunds", "fault": "reset_after", "times": 3}])
    flask("refund", receipt(), ends=1)
    (refund,) = at_stripe("refunds")["data"]
    move_clocks(timedelta(hours=1))
    world.at_desk(f"refunds/{refund['id']}", status="failed")
    (failed,) = world.events("refund.failed")
    move_clocks(timedelta(hours=1))
    rows("INSERT INTO sweep_state (id, events_read_to) VALUES (1, %s) RETURNING 1", clock.now())
    assert sweep.run().stopped == ""
    assert [call["replayed"] for call in world.api_calls("/v1/refunds") if call["status"]][-1]
    assert rows(STATUS) == [("refunded", 1250, 1250)]
    deliver(failed)
    assert rows(STATUS) == [("paid", 1250, 0)]


def test_an_answer_that_takes_long_is_as_old_as_the_question(paid, world, rows):
    """A refund that fails while the answer is on its way has failed after it."""
    ((session,),) = rows("SELECT session_id FROM attempts")
    world.set(api_delay_s=2)
    asked_at = clock.now()
    answer = gateway.retrieve(SESSION, session)
    assert asked_at - timedelta(seconds=1) < answer.at <= asked_at + timedelta(seconds=1)


@pytest.mark.parametrize("reached", [True, False])
def test_a_request_that_sleeps_for_two_days_is_no_second_refund(
    paid, flask, receipt, rows, move_clocks, at_stripe, monkeypatch, reached
):
    """Stopped between commit and question: a sweep settles it meanwhile, within a day or after."""
    asleep = []
    with monkeypatch.context() as patch:
        patch.setattr(refunds, "ask", asleep.append)
        flask("refund", receipt(), "--amount", "5.00")
    if reached:
        flask("reconcile")
    move_clocks(timedelta(days=2))
    flask("reconcile")
    if not reached:
        flask("refund", receipt(), "--amount", "5.00")
    with nullcontext() if reached else pytest.raises(refunds.Refused, match="never reached"):
        refunds.ask(*asleep)
    assert len(at_stripe("refunds")["data"]) == 1
    assert rows(STATUS) == [("partially_refunded", 1250, 500)]


def test_a_refund_of_a_payment_in_review_stops_no_sweep_and_no_decision(
    submit, world, rows, flask, receipt, charge, at_stripe
):
    world.pay(submit().location)
    rows("UPDATE payments SET amount = 900 RETURNING 1")
    at_stripe("refunds", "POST", charge=charge(), amount=500)
    assert sweep.run(by_hand=True).stopped == ""
    assert rows("SELECT status FROM payments") == [("review",)]
    flask("payments", "accept", receipt())
    assert rows(STATUS) == [("partially_refunded", 1250, 500)]


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        ("amount = 900", ("refunded", 1250, 1250)),
        ("amount = 900, currency = 'usd'", ("review", 0, 0)),
    ],
)
@pytest.mark.parametrize("by_webhook", [True, False])
def test_what_was_taken_wrongly_and_refunded_whole_stops_no_sweep_and_no_decision(
    submit, world, rows, flask, receipt, charge, deliver, change, ends, by_webhook
):
    """As the owner is told to do where another currency was taken."""
    world.pay(submit().location)
    rows(f"UPDATE payments SET {change} RETURNING 1")
    if by_webhook:
        deliver(world.events("checkout.session.completed")[0])
    world.at_desk("refunds", charge=charge())
    if by_webhook:
        deliver(world.events("refund.created")[0])
        assert rows("SELECT outcome FROM stripe_events WHERE type ~ 'refund'") == [("recorded",)]
    assert sweep.run(by_hand=True).stopped == ""
    assert rows("SELECT status FROM payments") == [("review",)]
    assert rows("SELECT amount, currency, status FROM refunds") == [(1250, "eur", "succeeded")]
    flask("payments", "accept", receipt(), ends=int(ends[0] == "review"))
    assert rows(STATUS) == [ends]


def test_the_letter_about_a_refund_in_review_says_nothing_of_what_counts(
    submit, world, rows, charge, deliver, work, mailbox
):
    """None of it counts as paid yet: nothing would be refunded in all, and nothing paid."""
    world.pay(submit().location)
    rows("UPDATE payments SET amount = 900 RETURNING 1")
    deliver(world.events("checkout.session.completed")[0])
    world.at_desk("refunds", charge=charge(), amount=500)
    deliver(world.events("refund.created")[0])
    work()
    (letter,) = mailbox.letters(to="customer@example.com")
    assert "€5.00" in letter["text"]
    for told in ("€0.00", "€9.00", "Refunded in all", "Of a payment of"):
        assert told not in letter["text"]


def test_a_copy_of_our_mark_on_another_refund_is_another_refund(
    completed, deliver, flask, receipt, at_stripe, rows, charge
):
    deliver(completed())
    flask("refund", receipt(), "--amount", "5.00")
    ((row,),) = rows("SELECT id::text FROM refunds")
    at_stripe(
        "refunds", "POST", charge=charge(), amount=300, **{"metadata[payflow_refund_id]": row}
    )
    flask("payments", "sync", receipt())
    assert rows(STATUS) == [("partially_refunded", 1250, 800)]
    assert rows("SELECT count(*) FROM refunds") == [(2,)]


@pytest.mark.parametrize("amount", [0, -500, 1251, 2**63 - 1])
def test_a_refund_of_what_cannot_be_is_kept_and_asked_about(
    completed, deliver, world, charge, rows, work, amount
):
    event = completed()
    deliver(event)
    world.at_desk("refunds", charge=charge(), amount=500)
    (told,) = world.events("refund.created")
    assert deliver(retold(told, amount=amount)).status_code == 200
    assert rows(STATUS) == [("paid", 1250, 0)]
    work()
    assert rows(STATUS) == [("partially_refunded", 1250, 500)]


def test_what_was_told_too_early_and_cannot_be_keeps_no_payment_from_being_paid(
    completed, deliver, world, charge, rows
):
    event = completed()
    world.at_desk("refunds", charge=charge(), amount=500)
    (told,) = world.events("refund.created")
    deliver(retold(told, amount=-1))
    deliver(event)
    assert rows("SELECT status FROM payments") == [("paid",)]


def test_what_is_forgotten_keeps_no_payment_from_being_paid(
    completed, deliver, world, charge, rows
):
    event = completed()
    world.at_desk("refunds", charge=charge(), amount=500)
    deliver(world.events("refund.created")[0])
    rows("UPDATE stripe_events SET payload = NULL RETURNING 1")
    assert deliver(event).status_code == 200
    assert rows("SELECT status FROM payments") == [("paid",)]


@pytest.mark.parametrize("message", ["a\u0000b", "\ud800", "x" * 5000, None, 7])
def test_whatever_words_a_decline_has_it_is_recorded(submit, world, deliver, rows, message):
    world.pay(submit().location, card="4000000000009995")
    event = world.events("payment_intent.payment_failed")[0]
    event["data"]["object"]["last_payment_error"]["message"] = message
    assert deliver(event).status_code == 200
    assert rows("SELECT last_decline FROM payments") == [("insufficient_funds",)]


def test_one_payment_that_stripe_fails_to_tell_of_starves_no_other(completed, world, rows):
    for _ in range(3):
        completed()
    bad = rows("SELECT session_id FROM attempts ORDER BY session_id LIMIT 1")[0][0]
    world.set(api_faults=[{"on": f"GET /v1/checkout/sessions/{bad}", "fault": "500"}])
    report = sweep.run(by_hand=True)
    assert "failed to answer" in report.stopped
    # The event list tells of that one as well: by its PaymentIntent.
    assert rows("SELECT DISTINCT status FROM payments") == [("paid",)]
    world.set(api_faults=[])
    assert sweep.run(by_hand=True).stopped == ""
    assert rows("SELECT DISTINCT status FROM payments") == [("paid",)]
