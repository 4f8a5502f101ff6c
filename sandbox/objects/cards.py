"""The test cards: which pay, which are declined and how, which ask for 3-D Secure, and what comes
of a payment made with them later.

Numbers and answers: https://docs.stripe.com/testing
"""

from collections.abc import Mapping
from typing import NamedTuple


class Decline(NamedTuple):
    """Why an issuer (or Stripe itself) says no, in the words of Stripe's error object."""

    code: str
    decline_code: str | None
    message: str
    advice: str = "try_again_later"
    blocked: bool = False


class Card(NamedTuple):
    """``authentication``: "required" shows the 3-D Secure page first; a decline comes after it.

    ``dispute`` and ``refund`` name what happens to the payment later: to ``disputes`` a reason,
    "inquiry" or "warning"; to ``refunds`` "pending" (succeeds later) or "fails" (after success).
    """

    number: str
    brand: str
    title: str
    funding: str = "credit"
    country: str = "US"
    decline: Decline | None = None
    authentication: str = "optional"
    dispute: str | None = None
    refund: str | None = None

    @property
    def last4(self) -> str:
        return self.number[-4:]


DECLINED = "Your card was declined."

_DECLINES = {
    "4000000000000002": (
        "No reason given",
        Decline("card_declined", "generic_decline", DECLINED),
    ),
    "4000000000009995": (
        "Insufficient funds",
        Decline("card_declined", "insufficient_funds", "Your card has insufficient funds."),
    ),
    "4000000000009987": (
        "Lost card",
        Decline("card_declined", "lost_card", DECLINED, "do_not_try_again"),
    ),
    "4000000000009979": (
        "Stolen card",
        Decline("card_declined", "stolen_card", DECLINED, "do_not_try_again"),
    ),
    "4000000000000069": (
        "Expired card",
        Decline("expired_card", None, "Your card has expired.", "confirm_card_data"),
    ),
    "4000000000000127": (
        "Wrong CVC",
        Decline(
            "incorrect_cvc", None, "Your card's security code is incorrect.", "confirm_card_data"
        ),
    ),
    "4000000000000119": (
        "Processing error",
        Decline(
            "processing_error",
            None,
            "An error occurred while processing your card. Try again in a little bit.",
        ),
    ),
    "4000000000006975": (
        "Too many attempts",
        Decline(
            "card_declined",
            "card_velocity_exceeded",
            "Your card was declined for making repeated attempts too frequently or exceeding its"
            " amount limit.",
        ),
    ),
    "4000000000000341": (
        "Declined when charged",
        Decline("card_declined", "generic_decline", DECLINED),
    ),
    "4100000000000019": (
        "Blocked by Radar",
        Decline("card_declined", "fraudulent", DECLINED, "do_not_try_again", blocked=True),
    ),
}

_PAYING = (
    Card("4242424242424242", "visa", "Visa"),
    Card("4000056655665556", "visa", "Visa debit", funding="debit"),
    Card("5555555555554444", "mastercard", "Mastercard"),
    Card("5200828282828210", "mastercard", "Mastercard debit", funding="debit"),
    Card("5105105105105100", "mastercard", "Mastercard prepaid", funding="prepaid"),
    Card("378282246310005", "amex", "American Express"),
    Card("371449635398431", "amex", "American Express, another"),
    Card("6011111111111117", "discover", "Discover"),
    Card("6011000990139424", "discover", "Discover, another"),
    Card("3056930009020004", "diners", "Diners Club"),
    Card("3566002020360505", "jcb", "JCB", country="JP"),
    Card("6200000000000005", "unionpay", "UnionPay", country="CN"),
)

_DECLINED = tuple(
    Card(number, "visa", title, decline=decline) for number, (title, decline) in _DECLINES.items()
)

_AUTHENTICATED = (
    Card("4000000000003220", "visa", "Must be authenticated", authentication="required"),
    Card("4000002500003155", "visa", "Authenticated unless set up", authentication="required"),
    Card("4000002760003184", "visa", "Authenticated every time", authentication="required"),
    Card(
        "4000008400001629",
        "visa",
        "Authenticated, then declined",
        decline=Decline("card_declined", "generic_decline", DECLINED),
        authentication="required",
    ),
    Card("4000000000003055", "visa", "Supported, not asked for"),
)

_DISPUTED = (
    Card("4000000000000259", "visa", "Disputed as fraudulent", dispute="fraudulent"),
    Card("4000000000002685", "visa", "Disputed: not received", dispute="product_not_received"),
    Card("4000000000001976", "visa", "The bank inquires", dispute="inquiry"),
    Card("4000000000005423", "visa", "Early fraud warning", dispute="warning"),
)

_REFUNDED = (
    Card("4000000000007726", "visa", "Refunds pending, then succeed", refund="pending"),
    Card("4000000000005126", "visa", "Refunds succeed, then fail", refund="fails"),
)

# No number at all, by its check digit: the form refuses it before any card is tried.
MISTYPED = Card("4242424242424241", "visa", "Mistyped number")

BRANDS: Mapping[str, str] = {
    "amex": "American Express",
    "diners": "Diners Club",
    "discover": "Discover",
    "jcb": "JCB",
    "mastercard": "Mastercard",
    "unionpay": "UnionPay",
    "visa": "Visa",
}

# As the hosted page's panel shows them.
GROUPS: Mapping[str, tuple[Card, ...]] = {
    "Paid": _PAYING,
    "Declined": (*_DECLINED, MISTYPED),
    "3-D Secure": _AUTHENTICATED,
    "Paid, then disputed": _DISPUTED,
    "Paid, with refunds that take time": _REFUNDED,
}

CARDS: Mapping[str, Card] = {card.number: card for group in GROUPS.values() for card in group}


def passes_luhn(number: str) -> bool:
    digits = [int(digit) for digit in reversed(number)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def grouped(number: str) -> str:
    """As it stands on the card: Amex 4-6-5, the others in fours."""
    if len(number) == 15:
        return f"{number[:4]} {number[4:10]} {number[10:]}"
    return " ".join(number[start : start + 4] for start in range(0, len(number), 4))
