"""Letters to the customer. What a stranger typed stands in none of them: anyone can type another
person's address into the form."""

from collections.abc import Iterator

from flask_babel import gettext as _

from payflow.config import current_settings
from payflow.formats import for_reader
from payflow.letter_words.parts import (
    Matter,
    Row,
    Words,
    asked_for,
    business,
    dated,
    number,
    page,
    paid,
)
from payflow.status import amount_paid


def receipt(matter: Matter) -> Words:
    return Words(
        tone="good",
        heading=_("Payment received"),
        amount=paid(matter),
        rows=(
            number(matter),
            *dated(matter.standing.paid_at),
            business(_("Paid to")),
            *_on_the_statement(),
        ),
        text=(_("Thank you. What it was for is shown on the receipt’s page, ready to print."),),
        links=(page(matter, _("See the receipt")),),
    )


def _on_the_statement() -> Iterator[Row]:
    """Else people take a payment whose name they don't know for a stranger's."""
    if descriptor := current_settings().statement_descriptor:
        yield Row(_("On your statement"), descriptor)


def processing(matter: Matter) -> Words:
    return Words(
        tone="under-way",
        heading=_("Your payment is on its way"),
        amount=asked_for(matter.payment),
        rows=(number(matter), business(_("To"))),
        text=(
            _(
                "Your bank has been asked for it. That takes some days; we write to you as soon "
                "as the money is here, or if it does not come."
            ),
            _("Please don’t pay again in the meantime."),
        ),
        links=(page(matter, _("See the payment")),),
    )


def payment_failed(matter: Matter) -> Words:
    attempts = {str(one): facts for one, facts in matter.known.attempts.items()}
    refused = matter.about in attempts and attempts[matter.about].delayed_failure
    why = _("Your bank has refused it.") if refused else _("It was not completed in time.")
    return Words(
        tone="bad",
        heading=_("Your payment did not go through"),
        amount=asked_for(matter.payment),
        rows=(number(matter), business(_("To"))),
        text=(
            f"{why} "
            + _(
                "No money was taken. If you still want to pay, you can try again on the "
                "payment’s page."
            ),
        ),
        links=(page(matter, _("Try again")),),
    )


def refunded(matter: Matter) -> Words:
    return Words(
        tone="plain",
        heading=_("Money on its way back to you"),
        amount=for_reader(matter.refund.amount, matter.refund.currency),
        rows=(
            number(matter),
            *dated(matter.refund.told_at),
            business(_("From")),
            *_of_how_much(matter),
        ),
        text=(_("It goes back to where it came from. Banks take 5 to 10 days to show it."),),
        links=(page(matter, _("See the payment")),),
    )


def _of_how_much(matter: Matter) -> Iterator[Row]:
    """What was paid, what has been refunded in all and what is left, where that is news."""
    payment, standing, refunded = matter.payment, matter.standing, matter.refund.amount
    if not matter.known.counts(matter.refund):
        return
    if refunded != amount_paid(matter.due, standing.captured):
        yield Row(_("Of a payment of"), paid(matter))
    if standing.refunded != refunded:
        yield Row(_("Refunded in all"), for_reader(standing.refunded, payment.currency))
    if standing.kept > 0:
        yield Row(_("Remaining"), for_reader(standing.kept, payment.currency))


def refund_failed(matter: Matter) -> Words:
    return Words(
        tone="attention",
        heading=_("Your refund did not arrive"),
        amount=for_reader(matter.refund.amount, matter.refund.currency),
        rows=(number(matter), business(_("From"))),
        text=(
            _(
                "Your bank has sent it back, or it was stopped on its way: the money is with us "
                "for the moment."
            ),
            _("We will find another way. If you want to tell us how, please answer this letter."),
        ),
        links=(page(matter, _("See the payment")),),
    )
