"""Refunds and disputes name no payment of ours: found by their PaymentIntent, sooner or later."""

from datetime import timedelta

import pytest

from payflow import clock, events, reconcile, sweep
from tests.http.conftest import foreign_session, retold

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
STORED = "SELECT outcome, payment_id IS NOT NULL, payload IS NOT NULL FROM stripe_events"


@pytest.fixture
def unmatched(completed, deliver, world):
    """A refund's event that came before anybody knew its PaymentIntent, and the session's."""
    session = completed()
    world.at_desk("refunds", payment_intent=session["data"]["object"]["payment_intent"])
    (refund,) = world.events("refund.created")
    assert deliver(refund).status_code == 200
    return refund, session


@pytest.fixture
def match(app, pass_time):
    """Do what the periodic job does, a minute later."""

    def run(after=MINUTE + timedelta(seconds=1)):
        pass_time(after)
        reconcile.match_events()

    return run


def test_a_refund_before_its_session_waits_for_it(unmatched, deliver, rows):
    _, session = unmatched
    assert rows(STORED) == [("unmatched", False, True)]
    assert rows("SELECT status FROM payments") == [("open",)]
    deliver(session)
    assert rows("SELECT status, captured, refunded FROM payments") == [("refunded", 1250, 1250)]
    assert rows("SELECT DISTINCT outcome, payment_id IS NOT NULL FROM stripe_events") == [
        ("recorded", True)
    ]
    assert rows("SELECT kind FROM emails ORDER BY 1") == [
        ("owner_paid",), ("receipt",), ("refunded",)
    ]  # fmt: skip


def test_a_dispute_before_its_session_waits_for_it(completed, deliver, world, rows):
    session = completed()
    world.at_desk("disputes", payment_intent=session["data"]["object"]["payment_intent"])
    for told in reversed(world.events()):
        if told["type"].startswith("charge.dispute"):
            assert deliver(told).status_code == 200
    assert {row[0] for row in rows(STORED)} == {"unmatched"}
    deliver(session)
    assert rows("SELECT status, dispute FROM payments") == [("paid", "needs_response")]
    assert {row[0] for row in rows(STORED)} == {"recorded"}
    assert rows("SELECT withdrawn FROM disputes") == [(1250,)]


def test_where_the_session_never_comes_stripe_is_asked_whose_it_is(unmatched, match, rows, asked):
    match(MINUTE - timedelta(seconds=5))
    assert asked() == []
    match(timedelta(seconds=6))
    assert rows("SELECT status, captured, refunded FROM payments") == [("refunded", 1250, 1250)]
    assert rows(STORED) == [("recorded", True, True)]
    match(DAY)
    assert len(asked("/v1/refunds/")) == len(asked("/v1/payment_intents/")) == 1


def test_one_whose_payment_was_being_learned_as_it_came_is_matched_without_asking(
    unmatched, deliver, match, rows, asked
):
    """As if its row had been written a moment after the session's handling had looked for it."""
    refund, session = unmatched
    rows("UPDATE stripe_events SET outcome = 'ignored' RETURNING 1")
    deliver(session)
    rows("UPDATE stripe_events SET outcome = 'unmatched' WHERE id = %s RETURNING 1", refund["id"])
    match()
    assert rows("SELECT status FROM payments") == [("refunded",)]
    assert asked() == []


@pytest.mark.parametrize("kind", ["refunds", "disputes"])
def test_what_belongs_to_another_program_is_foreign_once_stripe_was_asked(
    world, at_stripe, deliver, match, rows, asked, kind
):
    foreign = foreign_session(at_stripe)
    world.pay(foreign["url"])
    intent = at_stripe(f"checkout/sessions/{foreign['id']}")["payment_intent"]
    world.at_desk(kind, payment_intent=intent)
    (told,) = world.events("refund.created" if kind == "refunds" else "charge.dispute.created")
    assert deliver(told).status_code == 200
    assert rows(STORED) == [("unmatched", False, True)]
    match()
    assert rows(STORED) == [("foreign", False, False)]
    questions = len(asked())
    match(30 * DAY)
    assert len(asked()) == questions


def test_what_stripe_does_not_know_stays_unmatched_and_is_asked_about_more_and_more_seldom(
    unmatched, deliver, match, rows, asked
):
    rows("DELETE FROM stripe_events RETURNING 1")
    refund, _ = unmatched
    deliver(retold(refund, id="re_gone", payment_intent="pi_gone", charge="ch_gone"))
    pauses = []
    for tries in range(1, 13):
        match()
        assert len(asked("/v1/refunds/re_gone")) == tries
        ((next_try,),) = rows("SELECT next_try_at FROM stripe_events")
        pauses.append(round((next_try - clock.now()) / MINUTE))
        match(next_try - clock.now() - MINUTE)
        assert len(asked("/v1/refunds/re_gone")) == tries
    assert pauses == [4, 8, 16, 32, 64, 128, 256, 512, 1024, 1440, 1440, 1440]
    assert rows(STORED) == [("unmatched", False, True)]
    assert rows("SELECT status FROM payments") == [("open",)]


def test_after_thirty_days_nobody_is_asked_and_the_payload_is_forgotten(
    unmatched, deliver, match, rows, asked
):
    refund, _ = unmatched
    rows("DELETE FROM stripe_events RETURNING 1")
    deliver(retold(refund, id="re_gone", payment_intent="pi_gone", charge="ch_gone"))
    match(30 * DAY - MINUTE)
    assert len(asked()) > 0
    questions = len(asked())
    events.forget()
    assert rows(STORED) == [("unmatched", False, True)]
    match(DAY + 2 * MINUTE)
    events.forget()
    assert rows(STORED) == [("unmatched", False, False)]
    match(DAY)
    assert len(asked()) == questions


def test_an_object_that_stripe_refuses_to_tell_keeps_no_other_from_being_matched(
    completed, deliver, world, match, rows
):
    refunds = []
    for _ in range(2):
        intent = completed()["data"]["object"]["payment_intent"]
        refunds.append(world.at_desk("refunds", payment_intent=intent))
        deliver(world.events("refund.created")[0])
    world.set(api_faults=[{"on": f"GET /v1/refunds/{refunds[0]['id']}", "fault": "402"}])
    match()
    assert rows("SELECT status FROM payments ORDER BY created_at") == [("open",), ("refunded",)]


# --- other versions --------------------------------------------------------------------------


def test_an_old_endpoints_charge_refunded_has_the_refunds_listed(
    paid, deliver, world, rows, work, mailbox
):
    """It tells how much, and not which refunds: a hint."""
    intent = paid["data"]["object"]["payment_intent"]
    for amount in (200, 300):
        world.at_desk("refunds", payment_intent=intent, amount=amount)
    assert deliver(world.events("charge.refunded")[0]).status_code == 200
    assert rows("SELECT refunded FROM payments") == [(0,)]
    work()
    assert rows("SELECT status, refunded FROM payments") == [("partially_refunded", 500)]
    assert rows("SELECT amount FROM refunds ORDER BY 1") == [(200,), (300,)]


@pytest.mark.parametrize("first", ["session", "money"])
@pytest.mark.parametrize("version", ["2019-05-16", "2022-11-15"])
def test_refunds_and_disputes_of_old_versions_are_recorded(
    completed, deliver, world, rows, work, match, mailbox, version, first
):
    world.set(api_version=version)
    session = completed()
    intent = session["data"]["object"]["payment_intent"]
    world.at_desk("refunds", payment_intent=intent, amount=400)
    world.at_desk("disputes", payment_intent=intent)
    money = [
        one for one in reversed(world.events())
        if one["type"].startswith(("refund.", "charge.refund", "charge.dispute"))
    ]  # fmt: skip
    assert {one["api_version"] for one in money} == {version}
    for event in [session, *money] if first == "session" else [*money, session]:
        assert deliver(event).status_code == 200
    work()
    match()
    assert rows("SELECT status, captured, refunded, dispute FROM payments") == [
        ("partially_refunded", 1250, 400, "needs_response")
    ]
    assert rows("SELECT outcome FROM stripe_events WHERE outcome = 'unmatched'") == []


@pytest.fixture
def restored(completed, rows):
    """Paid after the backup was made that is here now: what was made since is gone."""
    event = completed()
    for table in ("timeline_entries", "attempts", "payments"):
        rows(f"DELETE FROM {table} RETURNING 1")
    return event


LOST = "SELECT about FROM emails WHERE kind = 'owner_lost_payment'"


def test_the_operator_is_told_of_a_payment_of_ours_that_is_not_here(
    restored, deliver, rows, work, mailbox, world
):
    deliver(restored)
    deliver(world.events("payment_intent.succeeded")[0])
    intent_id = restored["data"]["object"]["payment_intent"]
    assert rows(LOST) == [(intent_id,)]
    work()
    (letter,) = mailbox.letters(to="owner@northlight.example")
    assert "this database does not know" in " ".join(letter["text"].split())
    assert f"/payments/{intent_id}" in letter["html"]


def test_another_installation_on_the_same_account_alerts_nobody(restored, deliver, rows):
    theirs = retold(restored, success_url="https://pay.other.example/payments/1")
    assert deliver(theirs).status_code == 200
    assert rows(LOST) == []


def test_the_operator_is_told_of_one_that_only_the_list_tells(restored, rows, submit):
    submit()
    sweep.run(by_hand=True)
    assert len(rows(LOST)) == 1


def test_a_refund_that_comes_before_its_session_alerts_nobody(unmatched, rows):
    assert rows(LOST) == []
