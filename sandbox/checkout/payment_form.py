"""The hosted page's form: what the customer typed, judged in Stripe's words where it has some."""

import re
from collections.abc import Mapping
from datetime import datetime

from sandbox.objects import bank_debits, cards
from sandbox.objects.payment_shapes import Payer
from sandbox.protocol import checks

FIELDS = ("method", "email", "number", "expiration", "cvc", "name", "iban", "account_name")
LONGEST = 200
SHORTEST_NUMBER = 12

EXPIRATION = re.compile(r"(\d{1,2}) ?/ ?(\d{2}|\d{4})|(\d{2})(\d{2})")


def blank(email: str | None) -> dict[str, str]:
    return dict.fromkeys(FIELDS, "") | {"method": "card", "email": email or ""}


def typed_in(form: Mapping[str, str], methods: list[str]) -> dict[str, str]:
    """All fields, trimmed; ``method`` is one of those the session takes."""
    typed = {field: form.get(field, "").strip()[:LONGEST] for field in FIELDS}
    if typed["method"] not in methods:
        typed["method"] = methods[0]
    return typed


def read(typed: Mapping[str, str], now: datetime) -> tuple[Payer | None, dict[str, str]]:
    """The payer, or what is wrong with which field."""
    if typed["method"] == bank_debits.METHOD:
        return _read_debit(typed)
    return _read_card(typed, now)


def without_real_numbers(typed: Mapping[str, str]) -> dict[str, str]:
    """What may be kept: neither a number that a bank may have given out nor the code beside it."""
    kept = dict(typed)
    number = _digits(typed["number"])
    may_be_real = (
        number.isdecimal() and len(number) >= SHORTEST_NUMBER and cards.passes_luhn(number)
    )
    if may_be_real and number not in cards.CARDS:
        kept |= {"number": "", "cvc": ""}
    iban = _digits(typed["iban"])
    if bank_debits.is_valid(iban) and iban not in bank_debits.ACCOUNTS:
        kept["iban"] = ""
    return kept


def _digits(typed: str) -> str:
    """A number as it is, without what people write between its parts."""
    return re.sub(r"[\s-]", "", typed).upper()


def _read_card(typed: Mapping[str, str], now: datetime) -> tuple[Payer | None, dict[str, str]]:
    number = _digits(typed["number"])
    expiry = _expiry(typed["expiration"])
    errors = _only_errors(
        email=_email_error(typed["email"]),
        number=_number_error(number),
        expiration=_expiry_error(typed["expiration"], expiry, now),
        cvc=_cvc_error(typed["cvc"]),
        name=None if typed["name"] else "Enter the name on the card.",
    )
    if errors or expiry is None:
        return None, errors
    year, month = expiry
    return Payer(typed["email"], typed["name"], cards.CARDS[number], month, year), {}


def _read_debit(typed: Mapping[str, str]) -> tuple[Payer | None, dict[str, str]]:
    iban = _digits(typed["iban"])
    errors = _only_errors(
        email=_email_error(typed["email"]),
        iban=_iban_error(iban),
        account_name=None if typed["account_name"] else "Enter the name on the account.",
    )
    if errors:
        return None, errors
    return Payer(typed["email"], typed["account_name"], bank_debits.ACCOUNTS[iban]), {}


def _only_errors(**found: str | None) -> dict[str, str]:
    return {field: error for field, error in found.items() if error}


def _email_error(email: str) -> str | None:
    if not email:
        return "Enter your email."
    return None if checks.EMAIL.match(email) else "Your email is invalid."


def _number_error(number: str) -> str | None:
    if len(number) < SHORTEST_NUMBER and re.fullmatch(r"\d*", number):
        return "Your card number is incomplete."
    if not re.fullmatch(r"[0-9]{12,19}", number) or not cards.passes_luhn(number):
        return "Your card number is invalid."
    if number not in cards.CARDS:
        return (
            "The sandbox plays only the test cards that its README lists, and keeps no other"
            " number. Never type a real card's number into this page."
        )
    return None


def _expiry(typed: str) -> tuple[int, int] | None:
    """(year, month); a year of two digits is this century's."""
    match = EXPIRATION.fullmatch(typed)
    if match is None:
        return None
    month, year = int(match[1] or match[3]), int(match[2] or match[4])
    return (year + 2000 if year < 100 else year), month


def _expiry_error(typed: str, expiry: tuple[int, int] | None, now: datetime) -> str | None:
    if expiry is None:
        return (
            "Your card's expiration date is incomplete." if typed else "Enter the expiration date."
        )
    year, month = expiry
    if not 1 <= month <= 12 or year > now.year + 50:
        return "Your card's expiration date is invalid."
    if year < now.year:
        return "Your card's expiration year is in the past."
    return "Your card's expiration date is in the past." if expiry < (now.year, now.month) else None


def _cvc_error(cvc: str) -> str | None:
    return None if re.fullmatch(r"[0-9]{3,4}", cvc) else "Your card's security code is incomplete."


def _iban_error(iban: str) -> str | None:
    if len(iban) < 15:
        return "Your IBAN is incomplete."
    if not bank_debits.is_valid(iban):
        return "Your IBAN is invalid."
    if iban not in bank_debits.ACCOUNTS:
        return (
            "The sandbox plays only the test accounts that its README lists, and keeps no other"
            " number. Never type a real account's number into this page."
        )
    return None
