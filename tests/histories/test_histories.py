"""Whole histories of a payment, told in any order, twice, in part, with failures in between: after
one sweep the row is Stripe's truth, and the letters are those that are owed.

`make soak N=20000` tells more of them.
"""

import json
import os
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from payflow import clock, events, payments
from payflow.db import db
from payflow.emails import LETTERS, _is_still_owed
from payflow.facts.tellings import Telling
from payflow.models import Email
from payflow.payments import Details
from payflow.record import record
from tests.histories.stripe_model import AMOUNT, CURRENCY, StripeModel

HISTORIES = int(os.environ.get("HISTORIES", "400"))

NEXT_OF_REFUND = {
    "pending": ["requires_action", "succeeded", "failed", "canceled"],
    "requires_action": ["pending", "succeeded", "failed", "canceled"],
    "succeeded": ["failed"],
}
NEXT_OF_DISPUTE = {
    "warning_needs_response": ["warning_under_review", "needs_response", "warning_closed"],
    "warning_under_review": ["needs_response", "warning_closed"],
    "needs_response": ["under_review", "won", "lost"],
    "under_review": ["won", "lost"],
    "lost": ["won"],
}


def live_through(model: StripeModel, draw: st.DataObject) -> None:
    """A history in legal steps; several can fall within one second."""
    attempt = payments.current_attempt(model.payment_id)
    session = model.open_session(attempt.id)
    told_open(model, session)
    for _ in range(draw.draw(st.integers(0, 9))):
        model.now += draw.draw(st.sampled_from([0, 0, 1, 60, 90000]))
        possible = [*steps_of(model, session)]
        if not possible:
            break
        step = draw.draw(st.sampled_from(possible), label="step")
        session = take(model, session, step, draw)


def told_open(model, session):
    answer = Telling(
        model.retrieved_session(session),
        datetime.fromtimestamp(model.now, UTC),
        attempt_id=UUID(session["metadata"]["payflow_attempt_id"]),
        by_retrieval=True,
    )
    record(model.payment_id, [answer], "checkout")
    db.session.commit()


def steps_of(model, session):
    paid = model.paid_charges()
    if session["status"] == "open":
        yield from ("decline", "pay", "pay", "order debit", "expire")
    debits = [s for s in model.sessions.values() if is_under_way(s)]
    if debits:
        yield from ("debit succeeds", "debit fails")
    if session["status"] == "expired" or (is_under_way(session) is False and not paid):
        yield "retry"
    if session["status"] == "complete" and len(model.sessions) == 1:
        yield "second session"
    if any(model.left(charge) for charge in paid):
        yield from ("refund", "refund")
    if any(refund["status"] in NEXT_OF_REFUND for refund in model.refunds):
        yield from ("refund moves", "refund moves")
    if any(not charge["disputed"] for charge in paid):
        yield "dispute"
    if any(dispute["status"] in NEXT_OF_DISPUTE for dispute in model.disputes):
        yield from ("dispute moves", "dispute moves")


def is_under_way(session):
    """A complete session whose bank has not answered; None where it is not that far."""
    if session["status"] != "complete":
        return None
    return session["payment_status"] == "unpaid" and not session.get("failed")


def take(model, session, step, draw):
    pick = lambda options: draw.draw(st.sampled_from(options))  # noqa: E731
    paid = model.paid_charges()
    if step == "decline":
        model.decline(session)
    elif step == "pay":
        model.pay(session)
    elif step == "order debit":
        model.order_debit(session)
    elif step == "expire":
        model.expire(session)
    elif step.startswith("debit"):
        debit = pick([s for s in model.sessions.values() if is_under_way(s)])
        model.settle_debit(debit, good=step == "debit succeeds")
        debit["failed"] = step == "debit fails"
    elif step in ("retry", "second session"):
        return another(model)
    elif step == "refund":
        charge = pick([charge for charge in paid if model.left(charge)])
        amount = pick(sorted({1, model.left(charge) // 2 or 1, model.left(charge)}))
        model.refund(charge, amount, pick(["succeeded", "pending", "requires_action"]))
    elif step == "refund moves":
        refund = pick([one for one in model.refunds if one["status"] in NEXT_OF_REFUND])
        model.move_refund(refund, pick(NEXT_OF_REFUND[refund["status"]]))
    elif step == "dispute":
        model.dispute(pick([c for c in paid if not c["disputed"]]), pick([False, True]))
    elif step == "dispute moves":
        dispute = pick([one for one in model.disputes if one["status"] in NEXT_OF_DISPUTE])
        model.move_dispute(dispute, pick(NEXT_OF_DISPUTE[dispute["status"]]))
    return session


def another(model):
    """The next attempt; a second session beside a paid one is what payflow itself never makes."""
    payment = payments.lock(model.payment_id)
    current = payments.current_attempt(payment.id)
    current.superseded_at = clock.now()
    db.session.flush()
    attempt = payments.add_attempt(payment, current.number + 1)
    db.session.commit()
    session = model.open_session(attempt.id)
    told_open(model, session)
    return session


# --- telling it ------------------------------------------------------------------------------


def tell_somehow(model, draw):
    """Events in any order, some twice, some never, some at a moment when nothing can be stored; and
    answers to questions in between."""
    plan = draw.draw(st.permutations(range(len(model.events)))) if model.events else []
    for index in plan:
        for how in draw.draw(
            st.sampled_from([["tell"], ["tell"], ["tell", "tell"], [], ["fail"], ["fail", "tell"]])
        ):
            event = model.events[index]
            if how == "fail":
                fail_to_store(event)
            else:
                events.receive(event, json.dumps(event))
        if draw.draw(st.integers(0, 9)) == 0:
            ask_about_all(model)


def fail_to_store(event):
    """The handling fails once all is done but the commit."""
    db.session.execute(text("SET LOCAL transaction_read_only = on"))
    with suppress(events.NotHandled):
        events.receive(event, json.dumps(event))


def ask_about_all(model):
    """As a sweep does: all sessions, refunds and disputes, by Stripe's answers of now."""
    model.now += 1
    at = datetime.fromtimestamp(model.now, UTC)
    told = [
        Telling(model.retrieved_session(session), at, attempt_id=attempt_id, by_retrieval=True)
        for attempt_id, session in model.sessions.items()
    ]
    told += [Telling(one, at, by_retrieval=True) for one in (*model.refunds, *model.disputes)]
    record(model.payment_id, json_copies(told), "sweep")
    db.session.commit()


def json_copies(told):
    return [
        Telling(json.loads(json.dumps(t.object)), t.at, t.attempt_id, t.by_retrieval) for t in told
    ]


# --- what must come of it --------------------------------------------------------------------


def expected_status(model):
    sessions = model.sessions.values()
    captured = AMOUNT * sum(s["payment_status"] == "paid" for s in sessions)
    counting = ("pending", "requires_action", "succeeded")
    refunded = sum(r["amount"] for r in model.refunds if r["status"] in counting)
    if captured:
        kept = captured - refunded
        if refunded and kept == 0:
            return "refunded", captured, refunded
        short = refunded and kept < AMOUNT
        return "partially_refunded" if short else "paid", captured, refunded
    for status, found in (
        ("processing", any(is_under_way(s) for s in sessions)),
        ("open", any(s["status"] == "open" for s in sessions)),
        ("failed", any(s.get("failed") for s in sessions)),
    ):
        if found:
            return status, 0, refunded
    return "expired", 0, refunded


def check(model):
    status, captured, refunded = expected_status(model)
    row = db.session.execute(
        text("SELECT status, captured, refunded FROM payments WHERE id = :id"),
        {"id": model.payment_id},
    ).one()
    assert tuple(row) == (status, captured, refunded)
    assert stored(model, "refunds", "refund_id") == {r["id"]: r["status"] for r in model.refunds}
    assert stored(model, "disputes", "dispute_id") == {d["id"]: d["status"] for d in model.disputes}
    check_letters(model, status, captured, refunded)


def stored(model, table, key):
    found = db.session.execute(
        text(f"SELECT {key}, status FROM {table} WHERE payment_id = :id"), {"id": model.payment_id}
    )
    return {row[0]: row[1] for row in found}


def check_letters(model, status, captured, refunded):
    """Of what is: exactly. Of what has passed: once at most, and judged again before it leaves."""
    owed = db.session.query(Email).filter_by(payment_id=model.payment_id).all()
    leaving = Counter(
        (one.kind, one.about)
        for one in owed
        if not LETTERS[one.kind].passing or _is_still_owed(one)
    )
    assert set(leaving.values()) <= {1}
    kinds = Counter(kind for kind, _ in leaving)
    assert kinds["receipt"] == kinds["owner_paid"] == (1 if captured else 0)
    ended = Counter(refund["status"] for refund in model.refunds)
    assert kinds["refunded"] == ended["succeeded"]
    lost = ended["failed"] + ended["canceled"]
    assert kinds["refund_failed"] == kinds["owner_refund_failed"] == lost
    assert kinds["owner_dispute_lost"] >= sum(d["status"] == "lost" for d in model.disputes)
    if captured - refunded > AMOUNT:
        assert kinds["owner_overpaid"] == 1
    if status not in ("failed", "expired"):
        assert kinds["payment_failed"] == 0
    elif status == "failed":
        assert kinds["payment_failed"] >= 1
    assert kinds["owner_review"] == 0


@pytest.fixture
def quiet_jobs(app):
    """Nobody works the jobs off here: they are in nobody's way."""
    yield
    db.session.execute(text("TRUNCATE procrastinate_jobs CASCADE"))
    db.session.commit()


@settings(
    max_examples=HISTORIES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(draw=st.data())
def test_whatever_is_told_and_however_one_sweep_ends_in_stripes_truth(quiet_jobs, draw):
    details = Details(AMOUNT, CURRENCY, "Invoice 7", "", "A. Customer", "customer@example.com")
    payment = payments.open_payment(details, form_key=os.urandom(32))
    db.session.commit()
    model = StripeModel(payment.id, now=int((clock.now() - timedelta(days=90)).timestamp()))
    live_through(model, draw)
    tell_somehow(model, draw)
    ask_about_all(model)
    check(model)
    # Told once more, all of it: nothing changes.
    for event in model.events:
        events.receive(event, json.dumps(event))
    check(model)
    db.session.remove()
