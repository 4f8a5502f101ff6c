"""The truth tables: what an attempt comes to, and what its attempts make of a payment."""

from itertools import permutations, product

import pytest

from payflow.facts import PAYMENT_RANK, SESSION_RANK, SessionFacts
from payflow.models import STATUSES
from payflow.status import attempt_status, payment_status

NO, YES = False, True

# session status, payment status, disagrees, the delayed method failed → what the attempt comes to
ATTEMPTS = [
    ("open", "unpaid", NO, NO, "open"),
    ("open", "unpaid", NO, YES, "open"),
    ("open", "unpaid", YES, NO, "open"),  # nothing has been taken that could be wrong
    ("open", "unpaid", YES, YES, "open"),
    ("open", "paid", NO, NO, "paid"),
    ("open", "paid", NO, YES, "paid"),
    ("open", "paid", YES, NO, "review"),
    ("open", "paid", YES, YES, "review"),
    ("expired", "unpaid", NO, NO, "expired"),
    ("expired", "unpaid", NO, YES, "expired"),
    ("expired", "unpaid", YES, NO, "expired"),
    ("expired", "unpaid", YES, YES, "expired"),
    ("expired", "paid", NO, NO, "paid"),
    ("expired", "paid", NO, YES, "paid"),
    ("expired", "paid", YES, NO, "review"),
    ("expired", "paid", YES, YES, "review"),
    ("complete", "unpaid", NO, NO, "processing"),
    ("complete", "unpaid", NO, YES, "failed"),
    ("complete", "unpaid", YES, NO, "review"),
    ("complete", "unpaid", YES, YES, "review"),
    ("complete", "paid", NO, NO, "paid"),
    ("complete", "paid", NO, YES, "paid"),
    ("complete", "paid", YES, NO, "review"),
    ("complete", "paid", YES, YES, "review"),
    # "No payment required" is itself a disagreement (facts.read_session), so that it never stands
    # without one.
    ("open", "no_payment_required", YES, NO, "review"),
    ("open", "no_payment_required", YES, YES, "review"),
    ("expired", "no_payment_required", YES, NO, "review"),
    ("expired", "no_payment_required", YES, YES, "review"),
    ("complete", "no_payment_required", YES, NO, "review"),
    ("complete", "no_payment_required", YES, YES, "review"),
]

# One attempt's status against another's: the payment's.
PAYMENTS = """
            paid   review  processing open       created    failed     expired
paid        paid   paid    paid       paid       paid       paid       paid
review      paid   review  review     review     review     review     review
processing  paid   review  processing processing processing processing processing
open        paid   review  processing open       open       open       open
created     paid   review  processing open       created    created    created
failed      paid   review  processing open       created    failed     failed
expired     paid   review  processing open       created    failed     expired
"""


def facts(status, payment_status, disagrees=False, delayed_failure=False):
    return SessionFacts(
        session_id="cs_test_1",
        status=status,
        payment_status=payment_status,
        delayed_failure=delayed_failure,
        disagreements=frozenset({"amount 1 eur instead of 1250 eur"} if disagrees else ()),
    )


SESSIONS = {
    "paid": facts("complete", "paid"),
    "review": facts("complete", "paid", disagrees=True),
    "processing": facts("complete", "unpaid"),
    "open": facts("open", "unpaid"),
    "created": None,
    "failed": facts("complete", "unpaid", delayed_failure=True),
    "expired": facts("expired", "unpaid"),
}


def cells():
    header, *lines = (line.split() for line in PAYMENTS.strip().splitlines())
    return [
        (row, column, status)
        for row, *statuses in lines
        for column, status in zip(header, statuses, strict=True)
    ]


@pytest.mark.parametrize(("status", "payment", "disagrees", "failed", "comes_to"), ATTEMPTS)
def test_an_attempt_comes_to(status, payment, disagrees, failed, comes_to):
    assert attempt_status(facts(status, payment, disagrees, failed)) == comes_to


def test_the_table_of_attempts_is_complete():
    possible = set(product(SESSION_RANK, PAYMENT_RANK, (NO, YES), (NO, YES)))
    impossible = {one for one in possible if one[1] == "no_payment_required" and not one[2]}
    assert {row[:4] for row in ATTEMPTS} == possible - impossible


def test_an_attempt_without_a_session_is_created():
    assert attempt_status(None) == "created"


@pytest.mark.parametrize(("one", "other", "status"), cells())
def test_two_attempts_make_of_a_payment(one, other, status):
    assert payment_status([SESSIONS[one], SESSIONS[other]]) == status


def test_the_table_of_payments_is_complete():
    assert {row[:2] for row in cells()} == set(product(SESSIONS, SESSIONS))
    assert {row[-1] for row in ATTEMPTS} | {"created"} == set(SESSIONS)


@pytest.mark.parametrize("status", SESSIONS)
def test_a_payment_with_one_attempt_is_what_the_attempt_comes_to(status):
    assert payment_status([SESSIONS[status]]) == status
    assert attempt_status(SESSIONS[status]) == status


def test_a_payment_without_attempts_is_created():
    assert payment_status([]) == "created"


@pytest.mark.parametrize("three", [*permutations(SESSIONS, 3)], ids="+".join)
def test_of_three_attempts_the_same_wins_in_any_order(three):
    winner = {(one, other): status for one, other, status in cells()}
    expected = winner[winner[three[0], three[1]], three[2]]
    assert payment_status([SESSIONS[status] for status in three]) == expected


def test_every_status_has_its_place_in_the_table_of_payments():
    assert set(SESSIONS) <= set(STATUSES)
