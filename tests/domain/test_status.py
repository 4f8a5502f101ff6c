"""The truth tables: what an attempt comes to, and what its attempts, refunds and disputes make of
a payment."""

from datetime import UTC, datetime, timedelta
from itertools import permutations, product

import pytest

from payflow.facts.attempts import SESSION_RANK, UNKNOWN, AttemptFacts
from payflow.facts.disputes import DISPUTE_RANK, GRAVITY, DisputeFacts
from payflow.facts.refunds import REFUND_RANK, RefundFacts
from payflow.models import STATUSES
from payflow.status import (
    CAPTURED,
    PAYABLE,
    PRECEDENCE,
    UNSETTLED,
    amount_paid,
    attempt_status,
    due_of,
    is_overpaid,
    standing_of,
)

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
NO, YES = False, True

# session status (None: nobody has told of one), disagrees, money received, the delayed method
# failed, given up by the operator, abandoned → what the attempt comes to
ATTEMPTS = {
    # What disagrees is never paid, nor anything else.
    **dict.fromkeys(product((None, *SESSION_RANK), [YES], *[(NO, YES)] * 4), "review"),
    # Money received is paid, whatever else was said.
    **dict.fromkeys(product((None, *SESSION_RANK), [NO], [YES], *[(NO, YES)] * 3), "paid"),
    # Nobody can pay twice on a complete session: only the bank's word is still to come.
    **dict.fromkeys(product(["complete"], [NO], [NO], [NO], *[(NO, YES)] * 2), "processing"),
    **dict.fromkeys(product(["complete"], [NO], [NO], [YES], [NO], (NO, YES)), "failed"),
    **dict.fromkeys(product(["complete"], [NO], [NO], [YES], [YES], (NO, YES)), "canceled"),
    # A page that is open can be paid, whoever has given it up.
    **dict.fromkeys(product(["open"], [NO], [NO], *[(NO, YES)] * 3), "open"),
    **dict.fromkeys(product(["expired"], [NO], [NO], (NO, YES), [NO], (NO, YES)), "expired"),
    **dict.fromkeys(product(["expired"], [NO], [NO], (NO, YES), [YES], (NO, YES)), "canceled"),
    **dict.fromkeys(product([None], [NO], [NO], (NO, YES), [NO], [NO]), "created"),
    **dict.fromkeys(product([None], [NO], [NO], (NO, YES), [NO], [YES]), "expired"),
    **dict.fromkeys(product([None], [NO], [NO], (NO, YES), [YES], (NO, YES)), "canceled"),
}

# One attempt's status against another's: the payment's.
PAYMENTS = """
            paid   review  processing open       created    canceled   failed     expired
paid        paid   paid    paid       paid       paid       paid       paid       paid
review      paid   review  review     review     review     review     review     review
processing  paid   review  processing processing processing processing processing processing
open        paid   review  processing open       open       open       open       open
created     paid   review  processing open       created    created    created    created
canceled    paid   review  processing open       created    canceled   canceled   canceled
failed      paid   review  processing open       created    canceled   failed     failed
expired     paid   review  processing open       created    canceled   failed     expired
"""


def facts(status=None, disagrees=NO, received=NO, failed=NO, canceled=NO, abandoned=NO):
    return AttemptFacts(
        session_id="cs_test_1" if status else None,
        status=status,
        payment_status="unpaid" if status else None,
        received=1250 if received else None,
        paid_at=NOON if received else None,
        delayed_failure=failed,
        claims={"0.01 EUR instead of 12.50 EUR": NOON} if disagrees else {},
        canceled_at=NOON if canceled else None,
        abandoned_at=NOON if abandoned else None,
    )


EXAMPLES = {
    "paid": facts("complete", received=YES),
    "review": facts("open", disagrees=YES),
    "processing": facts("complete"),
    "open": facts("open"),
    "created": UNKNOWN,
    "canceled": facts("expired", canceled=YES),
    "failed": facts("complete", failed=YES),
    "expired": facts("expired"),
}


def status_of(attempts, refunds=(), disputes=(), amount=1250):
    return standing_of(amount, attempts, refunds, disputes).status


def cells():
    header, *lines = (line.split() for line in PAYMENTS.strip().splitlines())
    return [
        (row, column, status)
        for row, *statuses in lines
        for column, status in zip(header, statuses, strict=True)
    ]


@pytest.mark.parametrize(("known", "comes_to"), ATTEMPTS.items())
def test_an_attempt_comes_to(known, comes_to):
    assert attempt_status(facts(*known)) == comes_to


def test_the_table_of_attempts_is_complete():
    assert set(ATTEMPTS) == set(product((None, *SESSION_RANK), *[(NO, YES)] * 5))


@pytest.mark.parametrize(("one", "other", "status"), cells())
def test_two_attempts_make_of_a_payment(one, other, status):
    assert status_of([EXAMPLES[one], EXAMPLES[other]]) == status


def test_the_table_of_payments_is_complete():
    assert {row[:2] for row in cells()} == set(product(EXAMPLES, EXAMPLES))
    assert set(ATTEMPTS.values()) == set(EXAMPLES)


@pytest.mark.parametrize("status", EXAMPLES)
def test_a_payment_with_one_attempt_is_what_the_attempt_comes_to(status):
    assert status_of([EXAMPLES[status]]) == status
    assert attempt_status(EXAMPLES[status]) == status


def test_a_payment_without_attempts_is_created():
    assert status_of([]) == "created"


@pytest.mark.parametrize("three", [*permutations(EXAMPLES, 3)], ids="+".join)
def test_of_three_attempts_the_same_wins_in_any_order(three):
    winner = {(one, other): status for one, other, status in cells()}
    expected = winner[winner[three[0], three[1]], three[2]]
    assert status_of([EXAMPLES[status] for status in three]) == expected


def test_every_status_has_its_place_in_a_table():
    assert set(EXAMPLES) | CAPTURED == set(STATUSES)
    assert set(PRECEDENCE) | {"paid"} == set(EXAMPLES)
    assert set(PRECEDENCE) >= PAYABLE
    assert set(PRECEDENCE) >= UNSETTLED


# --- refunds ---------------------------------------------------------------------------------


def refund(amount, status, number=1):
    return RefundFacts(f"re_{number}", amount, "eur", status, NOON)


COUNTS = {"pending": YES, "requires_action": YES, "succeeded": YES, "canceled": NO, "failed": NO}


def test_the_table_of_refunds_is_complete():
    assert set(COUNTS) == set(REFUND_RANK)


@pytest.mark.parametrize(("status", "counts"), COUNTS.items())
@pytest.mark.parametrize(
    ("amount", "comes_to"),
    [(1, "partially_refunded"), (1249, "partially_refunded"), (1250, "refunded")],
)
def test_a_refund_makes_of_a_paid_payment(status, counts, amount, comes_to):
    standing = standing_of(1250, [EXAMPLES["paid"]], [refund(amount, status)], [])
    assert standing.status == (comes_to if counts else "paid")
    assert (standing.captured, standing.refunded) == (1250, amount if counts else 0)


def test_several_partial_refunds_add_up():
    parts = [refund(500, "succeeded", 1), refund(750, "pending", 2), refund(900, "failed", 3)]
    assert status_of([EXAMPLES["paid"]], parts[:1]) == "partially_refunded"
    assert status_of([EXAMPLES["paid"]], parts) == "refunded"


# captured by two sessions of a payment over 1250, refunded → status, overpaid
OVERPAYMENTS = [
    (2500, 0, "paid", YES),
    (2500, 1, "paid", YES),
    (2500, 1249, "paid", YES),
    (2500, 1250, "paid", NO),
    (2500, 1251, "partially_refunded", NO),
    (2500, 2499, "partially_refunded", NO),
    (2500, 2500, "refunded", NO),
]


@pytest.mark.parametrize(("captured", "refunded", "status", "overpaid"), OVERPAYMENTS)
def test_a_payment_that_was_paid_twice(captured, refunded, status, overpaid):
    twice = [EXAMPLES["paid"], EXAMPLES["paid"]]
    refunds = [refund(refunded, "succeeded")] if refunded else []
    standing = standing_of(1250, twice, refunds, [])
    assert (standing.captured, standing.status) == (captured, status)
    assert is_overpaid(1250, standing) is overpaid


def test_less_than_the_amount_that_the_operator_accepted_is_paid_until_something_is_refunded():
    accepted = AttemptFacts(received=900, paid_at=NOON)
    assert status_of([accepted]) == "paid"
    assert status_of([accepted], [refund(1, "succeeded")]) == "partially_refunded"
    assert status_of([accepted], [refund(900, "succeeded")]) == "refunded"


# received by each attempt at a payment over 1250 → what is due, what a receipt says was paid
RECEIVED = [
    ((1250,), 1250, 1250),
    ((1250, 1250), 1250, 1250),
    ((1250, 1250, 1250), 1250, 1250),
    # The operator has accepted another amount.
    ((2499,), 2499, 2499),
    ((2500,), 2500, 2500),
    ((12500,), 12500, 12500),
    ((900,), 1250, 900),
    ((0,), 1250, 0),
    ((900, 350), 1250, 1250),
    ((900, 1250), 1250, 1250),
    ((3750, 1250), 1250, 1250),
    ((3750, 2500), 3750, 3750),
]


@pytest.mark.parametrize(("received", "due", "paid"), RECEIVED)
def test_what_is_due_and_what_was_paid_is_told_by_what_each_attempt_has_brought(
    received, due, paid
):
    for order in permutations(AttemptFacts(received=one, paid_at=NOON) for one in received):
        standing = standing_of(1250, order, [], [])
        assert due_of(1250, order) == due
        assert amount_paid(due, standing.captured) == paid
        assert is_overpaid(due, standing) is (sum(received) > due)


def test_of_more_than_the_amount_that_the_operator_accepted_all_is_to_be_kept():
    accepted = AttemptFacts(received=3750, paid_at=NOON)
    assert status_of([accepted]) == "paid"
    assert status_of([accepted], [refund(1, "succeeded")]) == "partially_refunded"
    assert status_of([accepted], [refund(2500, "succeeded")]) == "partially_refunded"
    assert status_of([accepted], [refund(3750, "succeeded")]) == "refunded"


def test_what_disagrees_makes_nothing_due():
    disputed = AttemptFacts(received=3750, paid_at=NOON, claims={"another amount": NOON})
    assert due_of(1250, [disputed, EXAMPLES["paid"]]) == 1250


@pytest.mark.parametrize("status", [one for one in EXAMPLES if one != "paid"])
def test_a_refund_of_what_was_not_captured_changes_no_status(status):
    assert status_of([EXAMPLES[status]], [refund(1250, "succeeded")]) == status


# --- disputes, declines, time ----------------------------------------------------------------


def dispute(status, number=1):
    return DisputeFacts(f"du_{number}", 1250, "eur", "fraudulent", status, NOON)


@pytest.mark.parametrize("status", DISPUTE_RANK)
def test_a_dispute_stands_beside_the_status(status):
    standing = standing_of(1250, [EXAMPLES["paid"]], [], [dispute(status)])
    assert (standing.status, standing.dispute) == ("paid", status)


@pytest.mark.parametrize("pair", [*permutations(GRAVITY, 2)], ids="+".join)
def test_of_two_disputes_the_gravest_is_shown(pair):
    both = [dispute(status, number) for number, status in enumerate(pair)]
    shown = standing_of(1250, [EXAMPLES["paid"]], [], both).dispute
    assert shown == min(pair, key=GRAVITY.index)
    assert set(GRAVITY) == set(DISPUTE_RANK)


def test_the_latest_decline_of_all_attempts_is_shown():
    early = AttemptFacts(declined_at=NOON, decline="insufficient_funds")
    late = AttemptFacts(declined_at=NOON + timedelta(hours=1), decline="lost_card")
    for attempts in permutations([early, late, UNKNOWN]):
        assert standing_of(1250, attempts, [], []).last_decline == "lost_card"


def test_the_time_of_paying_is_the_earliest_of_all_attempts():
    early = AttemptFacts(received=1250, paid_at=NOON)
    late = AttemptFacts(received=1250, paid_at=NOON + timedelta(hours=1))
    for attempts in permutations([early, late, UNKNOWN]):
        assert standing_of(1250, attempts, [], []).paid_at == NOON
