"""`flask payments …` and `flask refund`: look at payments, and decide about them."""

from decimal import Decimal
from typing import Any

import click
from sqlalchemy import select

from payflow import by_hand, formats, money, refunds
from payflow import payments as domain
from payflow import reconcile as asking
from payflow.cli.output import Command, Group, details, listed, quiet, refusals, table, tell
from payflow.db import db
from payflow.models import (
    STATUSES,
    Attempt,
    Dispute,
    Email,
    Payment,
    Refund,
    StripeEvent,
    TimelineEntry,
)
from payflow.record import OPERATOR

payments = Group("payments", callback=quiet, help="Look at payments, and decide about them.")
receipt = click.argument("receipt")

# What `show` shows of each: names of columns, in its order.
PAYMENT = (
    "id livemode reference name email created_at paid_at captured refunded dispute last_decline "
    "replaced_at next_check_at found_by_sweep_at"
).split()
ATTEMPT = (
    "session_id session_status session_payment_status payment_intent_id charge_id received paid_at "
    "delayed_failure decline declined_at disagreements accepted other_sessions other_intents "
    "canceled_at abandoned_at superseded_at expires_at"
).split()
REFUND = "id refund_id status failure_reason refusal requested_by created_at told_at".split()
DISPUTE = "dispute_id status reason due_by withdrawn told_at".split()
TIMELINE = {"AT": "at", "WHAT": "happened", "OF": "subject", "TOLD BY": "source"}
EVENTS = {
    "RECEIVED (UTC)": "received_at",
    "ID": "id",
    "TYPE": "type",
    "OUTCOME": "state",
    "ERROR": "error",
}
LETTERS = {
    "ID": "id",
    "KIND": "kind",
    "TO": "recipient",
    "STATE": "state",
    "ABOUT": "about",
    "LAST ERROR": "last_error",
}


@payments.command("list")
@click.option("--status", type=click.Choice(STATUSES), help="Only those of one status.")
@click.option("--limit", default=50, show_default=True, help="At most so many, newest first.")
def list_payments(status: str | None, limit: int) -> None:
    """The newest payments, a line each."""
    query = select(Payment).order_by(Payment.created_at.desc()).limit(limit)
    if status:
        query = query.where(Payment.status == status)
    table(
        ("RECEIPT", "CREATED (UTC)", "STATUS", "AMOUNT", "REFUNDED", "DISPUTE", "FOR"),
        (
            (
                one.receipt_number,
                one.created_at,
                _status_in_words(one),
                formats.amount(one.amount, one.currency),
                formats.amount(one.refunded, one.currency) if one.refunded else "",
                one.dispute,
                one.description,
            )
            for one in db.session.scalars(query)
        ),
    )


def _status_in_words(payment: Payment) -> str:
    # Who tried in vain may need help; who has paid since, or gone, does not.
    declined = payment.status == "open" and payment.last_decline
    return "open, declined" if declined else payment.status


@payments.command("show")
@receipt
def show(receipt: str) -> None:
    """All that is known of a payment: facts, timeline, events, letters."""
    with refusals():
        payment = domain.by_receipt(receipt)
    click.echo(
        f"{payment.receipt_number}  {payment.status}  "
        f"{formats.amount(payment.amount, payment.currency)}  {payment.description}"
    )
    details(payment, PAYMENT, payment.currency)
    for attempt in _of(Attempt, payment, Attempt.number):
        click.echo(f"\nAttempt {attempt.number}")
        details(attempt, ATTEMPT, payment.currency)
    for refund in _of(Refund, payment, Refund.created_at):
        click.echo(f"\nRefund of {formats.amount(refund.amount, refund.currency)}")
        details(refund, REFUND, refund.currency)
    for dispute in _of(Dispute, payment, Dispute.told_at):
        click.echo(f"\nDispute of {formats.amount(dispute.amount, dispute.currency)}")
        details(dispute, DISPUTE, dispute.currency)
    listed("Timeline (UTC)", TIMELINE, _of(TimelineEntry, payment, TimelineEntry.id))
    listed("Events", EVENTS, _of(StripeEvent, payment, StripeEvent.received_at))
    listed("Letters", LETTERS, _of(Email, payment, Email.id))


def _of(model: Any, payment: Payment, order: Any) -> Any:
    """The rows of a payment in any of its tables."""
    return db.session.scalars(select(model).where(model.payment_id == payment.id).order_by(order))


@payments.command("sync")
@receipt
def sync(receipt: str) -> None:
    """Ask Stripe about a payment now, and record what it says."""
    with refusals():
        payment = domain.by_receipt(receipt)
        change = asking.check_payment(payment.id, OPERATOR, thorough=True)
    tell(change, f"{payment.receipt_number}: Stripe says nothing new of it.")


@payments.command("cancel")
@receipt
def cancel(receipt: str) -> None:
    """Give up a payment that is not paid; its page at Stripe is closed."""
    with refusals():
        payment = domain.by_receipt(receipt)
        change = by_hand.cancel(payment.id)
    tell(change, f"{payment.receipt_number} was canceled already.")


@payments.command("accept")
@receipt
def accept(receipt: str) -> None:
    """Accept what Stripe says of a payment in review."""
    with refusals():
        payment = domain.by_receipt(receipt)
        change = by_hand.accept(payment.id)
    tell(change, f"{payment.receipt_number}: nothing was to accept.")


@click.command("refund", cls=Command)
@receipt
@click.option("--amount", help="In major units, such as 12.50; without it, all that is left.")
def refund(receipt: str, amount: str | None) -> None:
    """Refund a payment, or a part of it."""
    quiet()
    with refusals():
        payment = domain.by_receipt(receipt)
        minor = money.to_minor(_decimal(amount), payment.currency) if amount is not None else None
        made = refunds.refund(payment.id, minor)
    for one in made:
        outcome = f"{one.status} at Stripe ({one.refund_id})"
        if one.refusal:
            outcome = f"was not made: {one.refusal}"
        amount_shown = formats.amount(one.amount, one.currency)
        click.echo(f"{payment.receipt_number}: refund of {amount_shown} {outcome}")


def _decimal(amount: str) -> Decimal:
    """As the command prints amounts itself, and so in no locale's way: a point, no separators."""
    if not amount.replace(".", "", 1).isascii() or not amount.replace(".", "", 1).isdigit():
        raise money.AmountError(f"“{amount}” is no amount: write it like 12.50")
    return Decimal(amount)
