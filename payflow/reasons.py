"""Stripe's codes of why a bank disputes a payment or sends a refund back, in the owner's words.

A code that is not here is shown as Stripe writes it.
https://docs.stripe.com/disputes/categories and https://docs.stripe.com/refunds#failed-refunds
"""

from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

DISPUTES: Mapping[str, LazyString] = {
    "bank_cannot_process": _l("The bank could not process it"),
    "check_returned": _l("The check was returned"),
    "credit_not_processed": _l("A promised refund did not come"),
    "customer_initiated": _l("The customer has had it reversed"),
    "debit_not_authorized": _l("The debit was not authorized"),
    "duplicate": _l("Charged twice"),
    "fraudulent": _l("The cardholder says it was not them"),
    "general": _l("No particular reason"),
    "incorrect_account_details": _l("Wrong account details"),
    "insufficient_funds": _l("Too little money in the account"),
    "noncompliant": _l("Against the card network’s rules"),
    "product_not_received": _l("What was paid for did not come"),
    "product_unacceptable": _l("What was paid for was not as described"),
    "subscription_canceled": _l("Charged after it was canceled"),
    "unrecognized": _l("The cardholder does not recognize it"),
}

REFUNDS: Mapping[str, LazyString] = {
    "charge_for_pending_refund_disputed": _l("The payment was disputed meanwhile"),
    "declined": _l("The bank declined it"),
    "expired_or_canceled_card": _l("The card has expired or was canceled"),
    "insufficient_funds": _l("Too little money in your Stripe balance"),
    "lost_or_stolen_card": _l("The card was reported lost or stolen"),
    "merchant_request": _l("It was stopped at your request"),
}


def of_dispute(code: str) -> str:
    """Why the customer's bank disputes a payment, or inquires about it."""
    return str(DISPUTES.get(code, code.replace("_", " ")))


def of_failed_refund(code: str) -> str:
    """Why a refund did not arrive."""
    return str(REFUNDS.get(code, code.replace("_", " ")))
