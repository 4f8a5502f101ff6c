"""What letters say: one short function per kind, in customer.py and owner.py. Their look, as HTML
and as plain text, is made of the same words by the two templates in templates/emails/.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from payflow.letter_words import customer, owner
from payflow.letter_words.parts import Matter, Words


@dataclass(frozen=True)
class Letter:
    """A kind of letter: its subject line, where `{amount}` is the refund's that it is about, else
    what was paid. `passing`: it is about what may have passed by the time
    it leaves, and is skipped then."""

    subject: LazyString
    passing: bool = True


LETTERS: Mapping[str, Letter] = {
    "receipt": Letter(_l("Receipt from {business}: {amount} ({receipt_number})")),
    "processing": Letter(_l("Your payment to {business} is on its way ({receipt_number})")),
    "payment_failed": Letter(
        _l("Your payment to {business} did not go through ({receipt_number})")
    ),
    "refunded": Letter(_l("Refund of {amount} from {business} ({receipt_number})")),
    "refund_failed": Letter(
        _l("Your refund of {amount} from {business} did not arrive ({receipt_number})"),
        passing=False,
    ),
    "owner_paid": Letter(_l("You’ve been paid {amount} ({receipt_number})")),
    # What the owner is to know even if it is settled by then.
    "owner_overpaid": Letter(_l("Paid twice: {receipt_number}"), passing=False),
    "owner_review": Letter(_l("Please check a payment: {receipt_number}"), passing=False),
    "owner_refund_failed": Letter(
        _l("A refund of {amount} failed: {receipt_number}"), passing=False
    ),
    "owner_inquiry": Letter(_l("The bank asks about a payment: {receipt_number}")),
    "owner_dispute": Letter(_l("Payment disputed, please answer: {receipt_number}")),
    "owner_dispute_lost": Letter(_l("Dispute lost: {receipt_number}")),
    "owner_lost_payment": Letter(_l("A payment at Stripe is not in this database"), passing=False),
    "owner_webhooks": Letter(_l("Stripe’s events don’t arrive as they should"), passing=False),
}
# Of those that are about a payment.
WORDS: Mapping[str, Callable[[Matter], Words]] = {
    "receipt": customer.receipt,
    "processing": customer.processing,
    "payment_failed": customer.payment_failed,
    "refunded": customer.refunded,
    "refund_failed": customer.refund_failed,
    "owner_paid": owner.has_been_paid,
    "owner_overpaid": owner.overpaid,
    "owner_review": owner.review,
    "owner_refund_failed": owner.refund_failed,
    "owner_inquiry": owner.inquiry,
    "owner_dispute": owner.dispute,
    "owner_dispute_lost": owner.dispute_lost,
}
