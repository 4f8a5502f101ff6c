"""Money: amounts in minor units, and Stripe's rules for each currency.

An amount is an integer of the minor units Stripe counts in (1000 is 10.00 USD, 500 is 500 JPY),
always beside its currency in lower case. Rules: https://docs.stripe.com/currencies
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from babel import Locale
from babel.numbers import (
    NumberFormatError,
    NumberPattern,
    format_decimal,
    list_currencies,
    parse_decimal,
    parse_pattern,
)
from flask_babel import gettext

ZERO_DECIMAL = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split())
THREE_DECIMAL = frozenset("bhd jod kwd omr tnd".split())
# Codes that begin with X are otherwise metals, funds and the like.
X_CURRENCIES = frozenset("xaf xcd xcg xof xpf".split())
# Counted in hundredths for historical reasons, yet only whole units can be charged.
WHOLE_UNITS_IN_HUNDREDTHS = frozenset({"isk", "ugx"})

# In minor units. Stripe judges the minimum in the settlement currency, so that this is exact only
# where both are the same; elsewhere Stripe's own refusal is shown.
STRIPE_MINIMUM: Mapping[str, int] = {
    **dict.fromkeys("ars aud brl cad chf cop eur idr ils inr nzd php rub sgd usd zar".split(), 50),
    **{"gbp": 30, "aed": 200, "myr": 200, "pln": 200, "ron": 200, "dkk": 250, "nok": 300},
    **{"sek": 300, "hkd": 400, "mxn": 1000, "thb": 1000, "czk": 1500, "jpy": 50, "krw": 50},
    **{"huf": 17500},
}
# Minor units, twelve digits: the most that any payment method takes.
LARGEST = 999_999_999_999

# Digits and what locales group them with; no exponents, no words, no other scripts' digits.
_WRITTEN_NUMBER = re.compile(r"[-+]?[0-9][0-9.,'’\u00a0\u202f ]*")


class AmountError(ValueError):
    """What was typed is no amount that can be charged; the message tells the customer why."""


def is_currency(code: str) -> bool:
    """Whether a code, in lower case, is money's: XXX is none, XAU is gold."""
    return code.upper() in list_currencies() and not (code[0] == "x" and code not in X_CURRENCIES)


def decimals(currency: str) -> int:
    """How many decimals people write in this currency."""
    if currency in ZERO_DECIMAL or currency in WHOLE_UNITS_IN_HUNDREDTHS:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def minor_per_major(currency: str) -> int:
    """How many of Stripe's minor units make one major unit."""
    return 100 if currency in WHOLE_UNITS_IN_HUNDREDTHS else 10 ** decimals(currency)


def smallest_step(currency: str) -> int:
    """Minor units: every amount in this currency is a multiple of it."""
    if currency in WHOLE_UNITS_IN_HUNDREDTHS:
        return 100
    return 10 if currency in THREE_DECIMAL else 1


def least(currency: str) -> int:
    """Minor units: the smallest amount that Stripe takes, as far as that is known."""
    return STRIPE_MINIMUM.get(currency, smallest_step(currency))


def parse(text: str, currency: str, locale: str = "en") -> int:
    """Read an amount as a person types it, in major units; answer minor units.

    Raises AmountError with a sentence for the customer.
    """
    sample = _sample(currency, locale)
    refusal = AmountError(gettext("Enter the amount as a number, like %(sample)s", sample=sample))
    if not _WRITTEN_NUMBER.fullmatch(text.strip()):
        raise refusal
    try:
        major = parse_decimal(text.strip(), locale=locale, strict=True)
    # Babel can't count more than 28 digits.
    except (NumberFormatError, InvalidOperation):
        raise refusal from None
    # 1.250 is a thousand and more to half of the world: nobody means 1.25 by it.
    if _written_decimals(major) > max(decimals(currency), 2):
        raise AmountError(_too_fine(currency))
    return to_minor(major, currency)


def rewrite(plain_number: str, locale: str) -> str:
    """An amount as addresses carry it, 1250.50, as a person of that locale types it; empty where it
    is written otherwise, for who knows what 1,250 was meant to be."""
    if not re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,3})?", plain_number.strip()):
        return ""
    digits = len(plain_number.strip().partition(".")[2])
    pattern = "0." + "0" * digits if digits else "0"
    return str(format_decimal(Decimal(plain_number.strip()), format=pattern, locale=locale))


def to_minor(major: Decimal, currency: str) -> int:
    """Major units to minor units, exactly; raises AmountError where the currency can't say it."""
    if not major.is_finite() or major <= 0:
        raise AmountError(gettext("Enter an amount greater than zero"))
    minor = major * minor_per_major(currency)
    if minor > LARGEST:
        raise AmountError(gettext("This amount is too large"))
    if minor % smallest_step(currency):
        raise AmountError(_too_fine(currency))
    return int(minor)


def to_major(amount: int, currency: str) -> Decimal:
    """Minor units to major units, exactly."""
    return Decimal(amount) / minor_per_major(currency)


def plain(amount: int, currency: str) -> str:
    """An amount in minor units as programs and commands take it, in major units: 12.50"""
    return f"{to_major(amount, currency):.{decimals(currency)}f}"


@lru_cache(maxsize=1024)
def format_money(amount: int, currency: str, locale: str = "en") -> str:
    """An amount in minor units as people of that locale read it, like €1,250.00."""
    # Babel would round to the decimals of CLDR, which differ from Stripe's for a few currencies.
    pattern = _currency_pattern(locale, decimals(currency))
    major, code = to_major(amount, currency), currency.upper()
    text = pattern.apply(major, locale, currency=code, currency_digits=False)
    # Locales put a space where a code is not a sign, which Babel leaves out: KWD 1.250
    return re.sub(rf"{code}(?=[0-9])", f"{code}\u00a0", str(text))


@lru_cache(maxsize=64)
def _currency_pattern(locale: str, digits: int) -> NumberPattern:
    pattern = parse_pattern(Locale.parse(locale).currency_formats["standard"].pattern)
    pattern.frac_prec = (digits, digits)
    return pattern


def _written_decimals(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def _sample(currency: str, locale: str) -> str:
    digits = decimals(currency)
    return format_decimal(25, format="0." + "0" * digits if digits else "0", locale=locale)


def _too_fine(currency: str) -> str:
    name = currency.upper()
    if currency in THREE_DECIMAL:
        return str(gettext("%(name)s amounts have three decimals, the last of them 0", name=name))
    if decimals(currency) == 0:
        return str(gettext("%(name)s amounts have no decimals", name=name))
    return str(gettext("%(name)s amounts have at most two decimals", name=name))
