"""What the payment's page says in each state: the one place for its words."""

from collections.abc import Mapping
from typing import NamedTuple


class Shown(NamedTuple):
    """`{email}` in the text is where we write to, masked."""

    tone: str
    icon: str
    heading: str
    text: str


NO_MONEY = Shown(
    "bad", "✕", "This payment did not go through", "No money was taken. You can try again."
)
REFUNDED = Shown("plain", "↩", "Refunded", "The money goes back to where it came from.")

# By status, and before Stripe has told us by where the customer comes from.
SHOWN: Mapping[str, Shown] = {
    "waiting": Shown(
        "attention",
        "…",
        "Confirming your payment…",
        "This takes a few seconds. Please don’t pay again.",
    ),
    "late": Shown(
        "attention",
        "…",
        "Still waiting for the confirmation",
        "We haven’t had the confirmation yet. Don’t pay again: we’ll e-mail you at {email}.",
    ),
    "back": Shown(
        "plain", "↩", "Not paid yet", "No money was taken. You can go on where you stopped."
    ),
    "unpaid": Shown(
        "plain",
        "↩",
        "Not paid yet",
        "No payment has reached us. If you have just paid, wait a minute and look again.",
    ),
    "replaced": Shown(
        "plain",
        "↩",
        "You have changed this payment",
        "No money was taken by this one: you sent the form again with something changed, "
        "and another payment took its place.",
    ),
    "processing": Shown(
        "attention",
        "…",
        "Payment on its way",
        "Your bank takes a few days. When the money is here, we’ll e-mail you at {email}. "
        "Please don’t pay again.",
    ),
    "paid": Shown("good", "✓", "Payment received", "A receipt is on its way to {email}"),
    "partially_refunded": REFUNDED._replace(heading="Partly refunded"),
    "refunded": REFUNDED,
    "review": Shown(
        "attention",
        "!",
        "Payment received, being checked",
        "Something about it needs a closer look. We’ll contact you at {email}. "
        "Please don’t pay again.",
    ),
    "failed": NO_MONEY,
    "expired": NO_MONEY,
    "canceled": NO_MONEY,
}
