"""What the payment's page says in each state: the one place for its words."""

from collections.abc import Mapping
from typing import NamedTuple

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString


class Shown(NamedTuple):
    """`icon` is one of templates/icons.html. `{email}` in the text is where we write to, masked."""

    tone: str
    icon: str
    heading: LazyString
    text: LazyString


NO_MONEY = Shown(
    "bad",
    "cross",
    _l("This payment did not go through"),
    _l("No money was taken. You can try again."),
)
REFUNDED = Shown(
    "plain",
    "undo",
    _l("Refunded"),
    _l("The money goes back to where it came from; banks take 5 to 10 days to show it."),
)

# By status; before Stripe has told us, by where the customer comes from; and by a dispute, which
# stands beside the status.
SHOWN: Mapping[str, Shown] = {
    "waiting": Shown(
        "busy",
        "dots",
        _l("Confirming your payment…"),
        _l("This takes a few seconds. Please don’t pay again."),
    ),
    "late": Shown(
        "attention",
        "clock",
        _l("Still waiting for the confirmation"),
        _l("We haven’t had the confirmation yet. Don’t pay again: we’ll e-mail you at {email}."),
    ),
    "back": Shown(
        "plain",
        "back",
        _l("Not paid yet"),
        _l("No money was taken. You can go on where you stopped."),
    ),
    "declined": Shown(
        "bad", "card-off", _l("Not paid: the card was declined"), _l("{why} No money was taken.")
    ),
    "unpaid": Shown(
        "plain",
        "card",
        _l("Not paid yet"),
        _l("No payment has reached us. If you have just paid, wait a minute and look again."),
    ),
    "replaced": Shown(
        "plain",
        "pencil",
        _l("You have changed this payment"),
        _l(
            "No money was taken by this one: you sent the form again with something changed, "
            "and another payment took its place."
        ),
    ),
    "processing": Shown(
        "busy",
        "bank",
        _l("Payment on its way"),
        _l(
            "Your bank takes a few days. When the money is here, we’ll e-mail you at {email}. "
            "Please don’t pay again."
        ),
    ),
    "paid": Shown("good", "check", _l("Payment received"), _l("The receipt goes to {email}.")),
    "disputed": Shown(
        "attention",
        "speech",
        _l("Payment received, being clarified"),
        _l(
            "Your bank has asked about this payment. Until that is clarified there is nothing for "
            "you to do here."
        ),
    ),
    "reversed": Shown(
        "plain",
        "swap",
        _l("Reversed by the bank"),
        _l("Your bank has taken this payment back. Please write to us if you did not expect that."),
    ),
    "partially_refunded": REFUNDED._replace(icon="part", heading=_l("Partly refunded")),
    "refunded": REFUNDED,
    "refund_failed": Shown(
        "attention",
        "alert",
        _l("Payment received, a refund did not arrive"),
        _l(
            "Your bank has sent it back, or it was stopped on its way. "
            "If you have not heard from us about it, please write to us."
        ),
    ),
    "refunding": REFUNDED._replace(icon="refresh", heading=_l("Refund on its way")),
    "review": Shown(
        "attention",
        "search",
        _l("Payment received, being checked"),
        _l(
            "Something about it needs a closer look. We’ll contact you at {email}. "
            "Please don’t pay again."
        ),
    ),
    "failed": Shown(
        "bad",
        "cross",
        _l("This payment did not go through"),
        _l("Your bank has refused it. No money was taken. You can try again."),
    ),
    "expired": NO_MONEY._replace(
        icon="hourglass",
        text=_l("It was not completed in time. No money was taken. You can try again."),
    ),
    "canceled": NO_MONEY._replace(
        tone="plain",
        icon="ban",
        heading=_l("This payment was canceled"),
        text=_l("No money was taken. If you want to pay all the same, you can."),
    ),
}

# Stripe's codes of declines, in words that tell the customer what to do about it. Of a card that is
# lost or stolen nothing is said that a thief could use.
# https://docs.stripe.com/declines/codes
DECLINES: Mapping[str, LazyString] = {
    "insufficient_funds": _l("The account behind the card has too little money."),
    "withdrawal_count_limit_exceeded": _l("The card’s limit has been reached."),
    "card_velocity_exceeded": _l("The card’s limit has been reached."),
    "expired_card": _l("The card has expired."),
    "incorrect_cvc": _l("The card’s security code was not right."),
    "invalid_cvc": _l("The card’s security code was not right."),
    "incorrect_number": _l("The card number was not right."),
    "invalid_number": _l("The card number was not right."),
    "incorrect_zip": _l("The postal code was not right."),
    "invalid_expiry_month": _l("The card’s expiry date was not right."),
    "invalid_expiry_year": _l("The card’s expiry date was not right."),
    "processing_error": _l("Something went wrong while the card was being charged."),
    "try_again_later": _l("The bank could not answer just then."),
    "issuer_not_available": _l("The bank could not answer just then."),
    "authentication_required": _l("The bank asked for a confirmation that was not completed."),
    "payment_intent_authentication_failure": _l("The bank’s confirmation was not completed."),
    "card_not_supported": _l("The card does not support this kind of payment."),
    "currency_not_supported": _l("The card does not support this currency."),
}
OTHER_DECLINE = _l("The bank did not say why; another card may work.")


def decline_words(code: str | None) -> LazyString:
    """Why a card was declined, as the customer is told it."""
    return DECLINES.get(code or "", OTHER_DECLINE)
