"""What events make of a payment, in whatever order they come."""

from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

import psycopg
import pytest

from payflow import clock, sweep
from payflow.db import db
from payflow.facts.tellings import Telling
from payflow.record import SWEEP, record
from tests.http.conftest import retold
from tests.stack import until

COMPLETED = "checkout.session.completed"
EXPIRED = "checkout.session.expired"
SUCCEEDED = "checkout.session.async_payment_succeeded"
FAILED = "checkout.session.async_payment_failed"

# Of a delayed method (a bank debit): what a session says while the bank takes its time, and after.
UNPAID = {"status": "complete", "payment_status": "unpaid"}
PAID = {"status": "complete", "payment_status": "paid"}
OVER = {"status": "expired", "payment_status": "unpaid", "payment_intent": None}


@pytest.fixture
def status(rows):
    """The payment's status, as committed."""

    def read():
        ((found,),) = rows("SELECT status FROM payments")
        return found

    return read


# --- order -----------------------------------------------------------------------------------


def test_an_expiry_told_after_the_payment_leaves_it_paid(completed, deliver, status):
    event = completed()
    deliver(event)
    assert deliver(retold(event, EXPIRED, **OVER)).status_code == 200
    assert status() == "paid"


def test_a_payment_told_after_an_expiry_is_paid(completed, deliver, status, letters):
    event = completed()
    deliver(retold(event, EXPIRED, **OVER))
    assert status() == "expired"
    assert letters() == []
    deliver(event)
    assert status() == "paid"
    assert letters() == ["owner_paid", "receipt"]


def test_an_expiry_that_the_stand_in_tells_is_recorded(submit, deliver, world, at_stripe, rows):
    submit()
    ((session_id,),) = rows("SELECT session_id FROM attempts")
    at_stripe(f"checkout/sessions/{session_id}/expire", "POST")
    deliver(world.events(EXPIRED)[0])
    assert rows("SELECT status, paid_at FROM payments") == [("expired", None)]


def test_an_event_that_comes_before_stripes_answer_was_stored_is_recorded(
    completed, deliver, rows, status
):
    """The process died after Stripe's answer; the customer may have paid all the same."""
    event = completed()
    rows(
        """UPDATE attempts SET session_id = NULL, session_url = NULL, session_status = NULL,
           session_payment_status = NULL RETURNING 1"""
    )
    rows("UPDATE payments SET status = 'created' RETURNING 1")
    deliver(event)
    assert status() == "paid"
    assert rows("SELECT session_id FROM attempts") == [(event["data"]["object"]["id"],)]


@pytest.mark.parametrize("turned", [False, True])
def test_the_time_of_paying_is_stripes_and_the_earliest(completed, deliver, rows, turned):
    event = completed()
    later = retold(event, SUCCEEDED) | {"created": event["created"] + 3600}
    for one in (later, event) if turned else (event, later):
        deliver(one)
    ((stored,),) = rows("SELECT paid_at FROM payments")
    assert stored.timestamp() == event["created"]


def test_what_another_process_is_just_recording_is_not_overwritten(
    completed, deliver, rows, postgres
):
    """A delivery waits for the payment before it reads what is known of it."""
    event = completed()
    with (
        ThreadPoolExecutor() as threads,
        psycopg.connect(postgres.url("payflow")) as other,
    ):
        other.execute("SELECT id FROM payments FOR NO KEY UPDATE")
        other.execute("UPDATE attempts SET delayed_failure = true")
        delivery = threads.submit(deliver, event)
        until(lambda: rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
        assert not delivery.done()
        other.commit()
        assert delivery.result().status_code == 200
    assert rows("SELECT status FROM payments") == [("paid",)]
    assert rows("SELECT delayed_failure FROM attempts") == [(True,)]


# --- delayed methods -------------------------------------------------------------------------


def test_a_delayed_payment_is_processing_until_the_bank_has_spoken(
    completed, deliver, status, letters
):
    deliver(retold(completed(), **UNPAID))
    assert status() == "processing"
    assert letters() == ["processing"]


def test_a_delayed_payment_that_fails_has_failed(completed, deliver, status, letters):
    event = retold(completed(), **UNPAID)
    deliver(event)
    deliver(retold(event, FAILED))
    assert status() == "failed"
    assert letters() == ["payment_failed", "processing"]


def test_a_delayed_payment_that_succeeds_is_paid(completed, deliver, status, letters):
    event = retold(completed(), **UNPAID)
    deliver(event)
    deliver(retold(event, SUCCEEDED, **PAID))
    assert status() == "paid"
    assert letters() == ["owner_paid", "processing", "receipt"]


@pytest.mark.parametrize(
    "order", [*permutations([COMPLETED, FAILED, SUCCEEDED])], ids=lambda order: "-".join(
        kind.rpartition("_")[2].rpartition(".")[2] for kind in order
    )
)  # fmt: skip
def test_success_wins_over_failure_in_any_order(completed, deliver, rows, work, mailbox, order):
    event = completed()
    told = {COMPLETED: UNPAID, FAILED: UNPAID, SUCCEEDED: PAID}
    for kind in order:
        assert deliver(retold(event, kind, **told[kind])).status_code == 200
    assert rows("SELECT status FROM payments") == [("paid",)]
    # What was owed on the way there is judged again before it leaves.
    work()
    sent = {letter["subject"].split()[0] for letter in mailbox.letters()}
    assert sent == {"Receipt", "You’ve"}
    assert rows("SELECT DISTINCT state FROM emails WHERE kind !~ 'receipt|owner_paid'") in (
        [], [("skipped",)]
    )  # fmt: skip


@pytest.mark.parametrize("order", [[COMPLETED, FAILED], [FAILED, COMPLETED], [FAILED]])
def test_a_failure_is_known_whenever_it_is_told(completed, deliver, status, order):
    event = completed()
    for kind in order:
        deliver(retold(event, kind, **UNPAID))
    assert status() == "failed"


# --- review ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"amount_total": 1249}, "12.49 EUR instead of 12.50 EUR"),
        ({"amount_total": 125000}, "1250.00 EUR instead of 12.50 EUR"),
        ({"currency": "usd"}, "12.50 USD instead of 12.50 EUR"),
        ({"livemode": True}, "livemode True instead of False"),
        ({"payment_status": "no_payment_required"}, "no payment required"),
    ],
)
def test_what_disagrees_with_what_was_asked_for_is_never_paid(
    completed, deliver, rows, letters, changes, sentence
):
    event = retold(completed(), **changes)
    assert deliver(event).status_code == 200
    assert rows("SELECT status FROM payments") == [("review",)]
    assert rows("SELECT disagreements FROM attempts") == [([sentence],)]
    assert letters() == ["owner_review"]
    assert rows("SELECT task_name FROM procrastinate_jobs ORDER BY 1") == [
        ("check_payment",), ("deliver_email",)
    ]  # fmt: skip


def test_a_second_session_for_one_attempt_is_put_into_review(completed, deliver, rows, letters):
    event = completed()
    assert deliver(retold(event, id="cs_test_other")).status_code == 200
    assert rows("SELECT status FROM payments") == [("review",)]
    assert letters() == ["owner_review"]


def test_a_second_payment_intent_for_a_paid_session_is_put_into_review(completed, deliver, rows):
    event = completed()
    deliver(event)
    assert deliver(retold(event, payment_intent="pi_other")).status_code == 200
    assert rows("SELECT status FROM payments") == [("review",)]
    ((sentences,),) = rows("SELECT disagreements FROM attempts")
    assert "pi_other" in " ".join(sentences)


@pytest.fixture
def anothers(world):
    """That another PaymentIntent has succeeded, by another program's copy of our metadata."""

    def tell(event):
        return retold(
            event, "payment_intent.succeeded", id="pi_other", status="succeeded",
            amount_received=1250, latest_charge="ch_0other", last_payment_error=None,
        )  # fmt: skip

    return tell


def test_the_success_of_a_payment_intent_that_is_not_the_sessions_makes_nothing_paid(
    submit, deliver, world, rows, letters, work, anothers
):
    world.pay(submit().location, card="4000000000009995")
    (declined,) = world.events("payment_intent.payment_failed")
    deliver(declined)
    sweep.run(by_hand=True)
    assert rows("SELECT intent_confirmed FROM attempts") == [(True,)]
    deliver(anothers(declined))
    work()
    assert rows("SELECT status, captured FROM payments") == [("review", 0)]
    assert letters() == ["owner_review"]


def test_a_refund_of_a_payment_intent_that_the_operator_has_accepted_is_the_payments(
    submit, deliver, world, rows, flask, receipt, anothers
):
    world.pay(submit().location, card="4000000000009995")
    (declined,) = world.events("payment_intent.payment_failed")
    sweep.run(by_hand=True)
    deliver(anothers(declined))
    flask("payments", "accept", receipt())
    assert rows("SELECT status, captured FROM payments") == [("paid", 1250)]
    refunded = retold(declined, "refund.created")
    refunded["data"]["object"] = {
        "id": "re_other", "object": "refund", "amount": 1250, "currency": "eur",
        "status": "succeeded", "payment_intent": "pi_other", "charge": "ch_0other",
    }  # fmt: skip
    deliver(refunded)
    assert rows("SELECT status, refunded FROM payments") == [("refunded", 1250)]


def test_a_refund_of_a_payment_intent_that_is_not_the_sessions_is_none_of_the_payments(
    paid, deliver, world, rows, flask, receipt, anothers
):
    flask("payments", "sync", receipt())
    (succeeded,) = world.events("payment_intent.succeeded")
    deliver(anothers(succeeded))
    assert rows("SELECT status, captured FROM payments") == [("paid", 1250)]
    world.at_desk("refunds", payment_intent=paid["data"]["object"]["payment_intent"])
    (told,) = world.events("refund.created")
    deliver(retold(told, id="re_other", payment_intent="pi_other", charge="ch_0other"))
    assert rows("SELECT status, refunded FROM payments") == [("paid", 0)]
    assert rows("SELECT outcome FROM stripe_events WHERE type ~ 'refund'") == [("unmatched",)]
    deliver(told)
    assert rows("SELECT status, refunded FROM payments") == [("refunded", 1250)]


def test_what_was_refunded_before_it_was_known_whose_it_is_stops_no_question_to_stripe(
    completed, deliver, world, rows, flask, receipt
):
    event = completed()
    deliver(retold(event, payment_intent="pi_0other"))
    deliver(event)
    world.at_desk("refunds", payment_intent=event["data"]["object"]["payment_intent"], amount=500)
    (told,) = world.events("refund.created")
    other = retold(told, id="re_other", payment_intent="pi_0other", amount=1, status="pending")
    deliver(other)
    assert rows("SELECT status FROM payments") == [("review",)]
    assert "review →" in flask("payments", "sync", receipt()).output
    assert rows("SELECT status, captured FROM payments") == [("partially_refunded", 1250)]
    ((payment_id,),) = rows("SELECT id FROM payments")
    asked = Telling(other["data"]["object"] | {"status": "failed"}, clock.now(), by_retrieval=True)
    record(payment_id, [asked], SWEEP)
    db.session.commit()
    assert rows("SELECT status FROM refunds WHERE refund_id = 're_other'") == [("failed",)]


def test_a_payment_in_review_stays_there_when_an_event_agrees(completed, deliver, status, letters):
    """Only a retrieval that agrees, or the operator, clears it."""
    event = completed()
    deliver(retold(event, amount_total=1))
    deliver(event)
    assert status() == "review"
    assert letters() == ["owner_review"]


@pytest.mark.parametrize("turned", [False, True])
def test_once_stripe_was_asked_the_truth_is_paid_whichever_came_first(
    completed, deliver, rows, work, mailbox, turned
):
    event = completed()
    told = [retold(event, amount_total=1), event]
    for one in reversed(told) if turned else told:
        deliver(one)
    assert rows("SELECT status FROM payments") == [("review",)]
    work()
    assert rows("SELECT status, captured FROM payments") == [("paid", 1250)]
    work()
    kinds = rows("SELECT kind, state FROM emails ORDER BY 1")
    assert kinds == [("owner_paid", "sent"), ("owner_review", "sent"), ("receipt", "sent")]


def test_an_open_session_that_disagrees_has_taken_nothing_that_needs_a_review(
    completed, deliver, status
):
    open_yet = {"status": "open", "payment_status": "unpaid"}
    deliver(retold(completed(), amount_total=1, **open_yet))
    assert status() == "open"


# --- every history ---------------------------------------------------------------------------


def test_every_order_of_a_history_ends_in_the_same_row(completed, deliver, rows):
    """With each event told twice. What was noted when, and by whom, may differ."""
    event = completed()
    told = [
        retold(event, COMPLETED, **UNPAID),
        retold(event, FAILED, **UNPAID),
        retold(event, SUCCEEDED, **PAID) | {"created": event["created"] + 60},
        retold(event, EXPIRED, **OVER),
    ]
    ends = set()
    for order in permutations(told):
        for one in (*order, *order):
            assert deliver(one).status_code == 200
        ends.update(
            rows(
                """SELECT status, p.paid_at, session_status, session_payment_status, a.paid_at,
                payment_intent_id, delayed_failure, captured,
                (SELECT string_agg(kind, ' ' ORDER BY kind) FROM emails
                WHERE kind ~ 'receipt|owner')
                FROM payments p
                JOIN attempts a ON a.payment_id = p.id"""
            )
        )
        forget(rows)
    assert len(ends) == 1
    assert next(iter(ends))[0] == "paid"


def forget(rows):
    """As if nothing had been told of the payment yet."""
    rows("DELETE FROM stripe_events RETURNING 1")
    rows("DELETE FROM emails RETURNING 1")
    rows("UPDATE payments SET status = 'open', paid_at = NULL, captured = 0 RETURNING 1")
    rows(
        """UPDATE attempts SET session_status = 'open', session_payment_status = 'unpaid',
        payment_intent_id = NULL, paid_at = NULL, received = NULL, delayed_failure = false
        RETURNING 1"""
    )
