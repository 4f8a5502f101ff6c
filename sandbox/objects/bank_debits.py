"""SEPA Direct Debit: the test IBANs, and what each one's bank says days, here seconds, later.

Numbers and answers: https://docs.stripe.com/payments/sepa-debit/accept-a-payment
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

METHOD = "sepa_debit"
CURRENCY = "eur"

LONG_DELAY_S = 3 * 60

# How many digits of an IBAN name the bank, by its country.
BANK_CODE_DIGITS = {"AT": 5, "DE": 8}


class Refusal(NamedTuple):
    """Why the debit fails, as the charge's ``failure_code`` and ``failure_message`` say."""

    code: str
    message: str


class BankAccount(NamedTuple):
    """``slow`` ones are heard of after three minutes at least; ``dispute`` is ``Card``'s."""

    iban: str
    title: str
    refusal: Refusal | None = None
    slow: bool = False
    dispute: str | None = None

    @property
    def country(self) -> str:
        return self.iban[:2]

    @property
    def bank_code(self) -> str:
        return self.iban[4 : 4 + BANK_CODE_DIGITS[self.country]]

    @property
    def last4(self) -> str:
        return self.iban[-4:]


# Stripe documents no code for the plain failing account: this one is the sandbox's choice.
_FAILED = Refusal("generic_could_not_process", "The payment failed.")
_NO_FUNDS = Refusal("insufficient_funds", "The account has insufficient funds.")
_TOO_MUCH = Refusal(
    "charge_exceeds_source_limit",
    "The payment exceeds what may be debited from this account within a week.",
)
_TOO_OFTEN = Refusal(
    "charge_exceeds_weekly_limit", "The account has been debited too often within a week."
)

_KNOWN = (
    BankAccount("AT611904300234573201", "Succeeds"),
    BankAccount("DE89370400440532013000", "Succeeds, in Germany"),
    BankAccount("AT321904300235473204", "Succeeds after 3 minutes", slow=True),
    BankAccount("AT861904300235473202", "Fails", _FAILED),
    BankAccount("AT051904300235473205", "Fails after 3 minutes", _FAILED, slow=True),
    BankAccount("AT591904300235473203", "Succeeds, then disputed", dispute="fraudulent"),
    BankAccount("AT981904300002222227", "Insufficient funds", _NO_FUNDS),
    BankAccount("AT981904300000343434", "Over the weekly amount", _TOO_MUCH),
    BankAccount("AT601904300000121212", "Over the weekly count", _TOO_OFTEN),
)

ACCOUNTS: Mapping[str, BankAccount] = {account.iban: account for account in _KNOWN}


def is_valid(iban: str) -> bool:
    """Whether the check digits fit, by ISO 13616; ``iban`` in capitals, without spaces."""
    if not re.fullmatch(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", iban):
        return False
    turned = iban[4:] + iban[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def grouped(iban: str) -> str:
    """As it stands on paper: in fours."""
    return " ".join(iban[start : start + 4] for start in range(0, len(iban), 4))
