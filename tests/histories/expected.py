"""What payflow must come to, by the specification (docs/architecture.md, "Facts, not transitions"),
worked out from Stripe's objects alone. Nothing of payflow is called here.
"""

from collections.abc import Iterable
from typing import NamedTuple

from tests.histories.stripe_model import Object, Stripe

# "With nothing captured the best attempt wins."
BEST_FIRST = ("processing", "open", "created", "failed", "expired")
# Shown beside the status: what hurts most.
GRAVEST_FIRST = (
    "lost", "needs_response", "under_review", "warning_needs_response", "warning_under_review",
    "won", "prevented", "warning_closed",
)  # fmt: skip


class Row(NamedTuple):
    """The payment's row, as far as Stripe decides it."""

    status: str
    captured: int
    refunded: int
    dispute: str | None


def row(stripe: Stripe, attempts: Iterable[str]) -> Row:
    """`attempts`: the ids of all attempts, those that Stripe has never been asked for included."""
    paid = [one for one in stripe.sessions.values() if one["payment_status"] == "paid"]
    captured = sum(one["amount_total"] for one in paid)
    refunded = sum(
        one["amount"]
        for one in stripe.refunds.values()
        if one["status"] in ("pending", "requires_action", "succeeded")
    )
    came_to = dict.fromkeys(attempts, "expired") | of_attempts(stripe)
    return Row(
        status=_of_money(stripe.amount, captured, refunded)
        if captured
        else min(came_to.values(), key=BEST_FIRST.index),
        captured=captured,
        refunded=refunded,
        dispute=min(
            (one["status"] for one in stripe.disputes.values()),
            key=GRAVEST_FIRST.index,
            default=None,
        ),
    )


def _of_money(amount: int, captured: int, refunded: int) -> str:
    kept = captured - refunded
    if kept == 0:
        return "refunded"
    return "partially_refunded" if kept < amount else "paid"


def of_attempts(stripe: Stripe) -> dict[str, str]:
    """Attempt → what its session came to."""
    return {
        stripe.attempt_of(session): _of_session(stripe, session)
        for session in stripe.sessions.values()
    }


def _of_session(stripe: Stripe, session: Object) -> str:
    if session["payment_status"] == "paid":
        return "paid"
    if session["status"] != "complete":
        return str(session["status"])
    processing = stripe.intents[session["payment_intent"]]["status"] == "processing"
    return "processing" if processing else "failed"


def last_declines(stripe: Stripe) -> set[str | None]:
    """What may be shown as the last decline: that of the last try, as long as Stripe tells of it.

    One that was cleared since may have been seen or not. What was tried before but refused after
    (a debit) may be taken for the last as well: which it is, only its event tells.
    """
    told = [
        (event["created"], event["data"]["object"])
        for event in stripe.events
        if event["type"] == "payment_intent.payment_failed"
    ]
    tried = max((_tried_at(stripe, intent) for _, intent in told), default=0)
    last = [intent for told_at, intent in told if told_at >= tried]
    is_told = [
        stripe.intents[one["id"]]["last_payment_error"] == one["last_payment_error"]
        for one in last
        if _tried_at(stripe, one) == tried
    ]
    if all(is_told) and is_told:
        return {_code(one) for one in last}
    return {None, *(_code(intent) for _, intent in told)}


def _tried_at(stripe: Stripe, intent: Object) -> int:
    return int(stripe.charges[intent["last_payment_error"]["charge"]]["created"])


def _code(intent: Object) -> str:
    error = intent["last_payment_error"]
    return str(error.get("decline_code") or error["code"])


def refunds(stripe: Stripe) -> dict[str, tuple[str, int]]:
    """Refund → its status and amount."""
    return {one["id"]: (one["status"], one["amount"]) for one in stripe.refunds.values()}


def disputes(stripe: Stripe) -> dict[str, tuple[str, int]]:
    """Dispute → its status, and what the bank has taken and not given back."""
    return {
        one["id"]: (one["status"], -sum(each["amount"] for each in one["balance_transactions"]))
        for one in stripe.disputes.values()
    }


# --- letters ---------------------------------------------------------------------------------

Letter = tuple[str, str]


class Letters(NamedTuple):
    """Of a kind and about an object. `sent`: must have been. `queued`: must have been judged, and
    sent unless it was judged at a time when the payment could be paid. `allowed`: may have been
    sent, once each; what passed may or may not have been seen."""

    sent: frozenset[Letter]
    queued: frozenset[Letter]
    allowed: frozenset[Letter]


def letters(stripe: Stripe, attempts: Iterable[str]) -> Letters:
    """The letters that are owed once Stripe's truth is known, and those that may have been sent on
    the way there."""
    ends = row(stripe, attempts)
    sent = {
        *_of_payment(stripe, ends),
        *(one for each in of_attempts(stripe).items() for one in _of_attempt(ends, *each)),
        *(one for each in stripe.refunds.values() for one in _of_refund(each)),
        *(one for each in stripe.disputes.values() for one in _of_dispute(each)),
    }
    queued = sent | set(_given_up(stripe, ends))
    return Letters(frozenset(sent), frozenset(queued), frozenset(queued | set(_passed(stripe))))


def _of_payment(stripe: Stripe, ends: Row) -> Iterable[Letter]:
    if ends.captured:
        yield from (("receipt", ""), ("owner_paid", ""))
    if ends.captured - ends.refunded > stripe.amount:
        yield "owner_overpaid", ""


def _of_attempt(ends: Row, attempt: str, came_to: str) -> Iterable[Letter]:
    if came_to == ends.status == "processing":
        yield "processing", attempt


def _given_up(stripe: Stripe, ends: Row) -> Iterable[Letter]:
    """Whoever tried and did not succeed; a decline counts as long as Stripe tells of it."""
    for session in stripe.sessions.values() if ends.status in ("failed", "expired") else ():
        intent = stripe.intents.get(session["payment_intent"])
        if intent and intent["last_payment_error"]:
            yield "payment_failed", stripe.attempt_of(session)


def _of_refund(refund: Object) -> Iterable[Letter]:
    if refund["status"] == "succeeded":
        yield "refunded", refund["id"]
    if refund["status"] in ("failed", "canceled"):
        yield "refund_failed", refund["id"]
        yield "owner_refund_failed", refund["id"]


def _of_dispute(dispute: Object) -> Iterable[Letter]:
    if dispute["status"] in ("warning_needs_response", "warning_under_review"):
        yield "owner_inquiry", dispute["id"]
    if dispute["status"] in ("needs_response", "under_review"):
        yield "owner_dispute", dispute["id"]
    if dispute["status"] == "lost":
        yield "owner_dispute_lost", dispute["id"]


def _passed(stripe: Stripe) -> Iterable[Letter]:
    """What some telling of the history gave reason to."""
    # Two payments of which one was given back can look as an overpayment for a while.
    if sum(one["payment_status"] == "paid" for one in stripe.sessions.values()) > 1:
        yield "owner_overpaid", ""
    for event in stripe.events:
        told = event["data"]["object"]
        if told["object"] == "checkout.session":
            yield from _tried(stripe, told, event["type"])
        if told["object"] == "refund" and told["status"] == "succeeded":
            yield "refunded", told["id"]
        if told["object"] == "dispute":
            yield from _of_dispute(told)


def _tried(stripe: Stripe, session: Object, told_by: str) -> Iterable[Letter]:
    attempt = stripe.attempt_of(session)
    if (session["status"], session["payment_status"]) == ("complete", "unpaid"):
        yield "processing", attempt
    if told_by.endswith("async_payment_failed") or (
        session["status"] == "expired" and session["payment_intent"]
    ):
        yield "payment_failed", attempt
