"""In the owner's words: Stripe's codes of why a bank disputes a payment or sends a refund back, and
what puts a payment in review.

What is not here is shown as Stripe, or facts/attempts.py, writes it.
https://docs.stripe.com/disputes/categories and https://docs.stripe.com/refunds#failed-refunds
"""

import re
from collections.abc import Mapping
from decimal import Decimal

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from payflow import money
from payflow.formats import for_reader

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

CLAIMS: Mapping[str, LazyString] = {
    "livemode True instead of False": _l("A live payment instead of a test payment"),
    "livemode False instead of True": _l("A test payment instead of a live payment"),
    "no payment required": _l("No payment was required"),
}
OTHER_AMOUNT = re.compile(r"([\d.]+) ([A-Z]{3}) instead of ([\d.]+) ([A-Z]{3})")


def of_dispute(code: str) -> str:
    """Why the customer's bank disputes a payment, or inquires about it."""
    return str(DISPUTES.get(code, code.replace("_", " ")))


def of_failed_refund(code: str) -> str:
    """Why a refund did not arrive."""
    return str(REFUNDS.get(code, code.replace("_", " ")))


def of_review(claim: str) -> str:
    """What Stripe says of a payment that disagrees with what was asked for."""
    if amounts := OTHER_AMOUNT.fullmatch(claim):
        said, asked = _amount(*amounts.group(1, 2)), _amount(*amounts.group(3, 4))
        return str(_("%(said)s instead of %(asked)s", said=said, asked=asked))
    return str(CLAIMS.get(claim, claim))


def _amount(major: str, code: str) -> str:
    currency = code.lower()
    return for_reader(int(Decimal(major) * money.minor_per_major(currency)), currency)
