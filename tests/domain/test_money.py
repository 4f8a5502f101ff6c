"""Amounts: typed, counted in Stripe's minor units, and written for people."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payflow import money
from payflow.money import AmountError

FACTS = json.loads((Path(__file__).parent.parent / "data/currencies.json").read_text())
VECTORS = [(one["major"], one["currency"], one["minor"]) for one in FACTS["vectors"]]
TWO_DECIMAL = ("usd", "eur", "gbp", "huf", "twd", "idr")
CURRENCIES = (*FACTS["zero_decimal"], *FACTS["three_decimal"], "isk", "ugx", *TWO_DECIMAL)


@pytest.mark.parametrize(("major", "currency", "minor"), VECTORS)
def test_an_amount_is_counted_as_stripe_counts_it(major, currency, minor):
    assert money.parse(major, currency) == minor
    assert money.to_minor(Decimal(major), currency) == minor


@pytest.mark.parametrize(("major", "currency", "minor"), VECTORS)
def test_stripes_amount_becomes_what_was_typed_again(major, currency, minor):
    assert money.to_major(minor, currency) == Decimal(major)


@pytest.mark.parametrize("currency", FACTS["zero_decimal"])
def test_zero_decimal_currencies_are_counted_in_whole_units(currency):
    assert money.parse("500", currency) == 500
    with pytest.raises(AmountError, match=f"^{currency.upper()} amounts have no decimals$"):
        money.parse("500.50", currency)


@pytest.mark.parametrize("currency", FACTS["three_decimal"])
def test_three_decimal_currencies_are_counted_in_thousandths_that_end_in_zero(currency):
    assert money.parse("5.12", currency) == 5120
    with pytest.raises(AmountError, match="three decimals, the last of them 0"):
        money.parse("5.124", currency)


@pytest.mark.parametrize("currency", FACTS["whole_units_in_hundredths"])
def test_whole_units_counted_in_hundredths_take_no_decimals(currency):
    assert money.parse("5", currency) == 500
    with pytest.raises(AmountError, match="have no decimals"):
        money.parse("5.5", currency)


@pytest.mark.parametrize(("currency", "major"), FACTS["minimum_major"].items())
def test_the_smallest_amount_is_stripes(currency, major):
    assert money.STRIPE_MINIMUM[currency] == money.to_minor(Decimal(major), currency)


def test_no_other_currency_has_a_smallest_amount():
    assert set(money.STRIPE_MINIMUM) == set(FACTS["minimum_major"])


@pytest.mark.parametrize(
    ("typed", "currency", "locale", "minor"),
    [
        ("12.50", "eur", "en", 1250),
        (" 12.50 ", "eur", "en", 1250),
        ("12.5", "eur", "en", 1250),
        ("12", "eur", "en", 1200),
        ("007", "usd", "en", 700),
        ("1,250.00", "eur", "en", 125000),
        ("12,50", "eur", "de", 1250),
        ("1.250,00", "eur", "de", 125000),
        ("1.250", "eur", "de", 125000),
        ("1,250", "jpy", "ja", 1250),
        ("1\u202f250,00", "eur", "fr", 125000),
        ("1’250.00", "chf", "de_CH", 125000),
        ("1,25,000", "inr", "en_IN", 12500000),
        ("5.0", "jpy", "en", 5),
        ("999999999999", "jpy", "en", 999_999_999_999),
    ],
)
def test_an_amount_is_read_as_its_locale_writes_it(typed, currency, locale, minor):
    assert money.parse(typed, currency, locale) == minor


@pytest.mark.parametrize(
    ("typed", "locale"),
    [
        ("", "en"),
        ("   ", "en"),
        ("twelve", "en"),
        ("12 euros", "en"),
        ("€12", "en"),
        ("12.50x", "en"),
        ("1e3", "en"),
        ("1E3", "en"),
        ("0x10", "en"),
        ("1_000", "en"),
        ("NaN", "en"),
        ("inf", "en"),
        ("Infinity", "en"),
        ("-Infinity", "en"),
        (".", "en"),
        ("1..5", "en"),
        ("1.2.3", "en"),
        ("--5", "en"),
        ("12,50", "en"),  # would be 1250 to a reader who drops the comma
        ("1,2", "en"),
        ("1,250,00", "en"),
        ("1.250,00", "en"),
        ("1 250", "en"),
        ("12.50", "de"),  # would be 1250 to a reader who drops the point
        ("1,250.00", "de"),
        ("12,50", "ja"),
        ("١٢", "en"),  # Arabic-Indic digits
        ("१२", "en"),  # Devanagari digits
        ("１２", "en"),  # full-width digits
        ("１２", "ja"),
        ("²", "en"),
        ("½", "en"),
        ("12\n50", "en"),
        ("12\x0050", "en"),
        ("1," + "1" * 28, "en"),
        ("1." + "1" * 28, "de"),
    ],
)
def test_what_is_no_number_of_the_locale_is_refused(typed, locale):
    sample = "25,00" if locale == "de" else r"25\.00"
    with pytest.raises(AmountError, match=f"^Enter the amount as a number, like {sample}$"):
        money.parse(typed, "eur", locale)


@pytest.mark.parametrize("typed", ["0", "0.00", "-0", "-5", "-0.01"])
def test_an_amount_that_is_not_above_zero_is_refused(typed):
    with pytest.raises(AmountError, match=r"^Enter an amount greater than zero$"):
        money.parse(typed, "usd")


@pytest.mark.parametrize(
    ("typed", "currency", "locale"),
    [
        ("1.250", "usd", "en"),
        ("1,250", "eur", "de"),
        ("1,250", "eur", "fr"),
        ("50.000", "jpy", "en"),
        ("175.000", "huf", "en"),
        ("50.000", "isk", "en"),
        ("1.2500", "bhd", "en"),
    ],
)
def test_what_may_be_thousands_elsewhere_is_refused_and_not_taken_for_a_thousandth_of_it(
    typed, currency, locale
):
    with pytest.raises(AmountError, match=rf"^{currency.upper()} amounts have "):
        money.parse(typed, currency, locale)


@pytest.mark.parametrize(
    "typed", ["10.001", "10.009", "0.999", "0.001", "1.4999999999999999999999999999"]
)
def test_more_decimals_than_the_currency_has_are_refused_and_not_rounded(typed):
    with pytest.raises(AmountError, match=r"^USD amounts have at most two decimals$"):
        money.parse(typed, "usd")


@pytest.mark.parametrize(
    ("typed", "currency"),
    [
        ("1000000000000", "jpy"),
        ("10000000000.00", "usd"),  # thirteen digits, as Stripe counts
        ("1000000000.00", "kwd"),
        ("10000000000", "isk"),
        ("9" * 30, "usd"),
    ],
)
def test_an_amount_of_more_digits_than_any_method_takes_is_refused(typed, currency):
    with pytest.raises(AmountError, match=r"^This amount is too large$"):
        money.parse(typed, currency)


@pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_what_is_not_finite_is_no_amount(value):
    with pytest.raises(AmountError):
        money.to_minor(Decimal(value), "usd")


@pytest.mark.parametrize(
    ("amount", "currency", "locale", "written"),
    [
        (125000, "eur", "en", "€1,250.00"),
        (125000, "eur", "de", "1.250,00\xa0€"),
        (125000, "eur", "ja", "€1,250.00"),
        (1000, "usd", "en", "$10.00"),
        (1000, "usd", "de", "10,00\xa0$"),
        (500, "jpy", "en", "¥500"),
        (500, "jpy", "de", "500\xa0¥"),
        (500, "jpy", "ja", "￥500"),
        (500, "isk", "de", "5\xa0ISK"),
        (5120, "kwd", "de", "5,120\xa0KWD"),
        (5120, "kwd", "en", "KWD\xa05.120"),
        (1045, "huf", "de", "10,45\xa0HUF"),
        (99, "usd", "en", "$0.99"),
        (999_999_999_999, "idr", "de", "9.999.999.999,99\xa0IDR"),
    ],
)
def test_an_amount_is_written_by_locale_and_currency(amount, currency, locale, written):
    assert money.format_money(amount, currency, locale) == written


@st.composite
def amounts(draw):
    """A currency and an amount that can be charged in it."""
    currency = draw(st.sampled_from(CURRENCIES))
    step = money.smallest_step(currency)
    return draw(st.integers(1, 10**11 // step)) * step, currency


def written(amount, currency):
    return f"{money.to_major(amount, currency):.{money.decimals(currency)}f}"


@given(amounts())
def test_every_amount_that_can_be_charged_survives_being_written_and_read(charged):
    amount, currency = charged
    assert money.to_minor(money.to_major(amount, currency), currency) == amount
    assert money.parse(written(amount, currency), currency) == amount


@given(amounts(), st.sampled_from(("en", "de", "ja", "fr", "en_IN")))
def test_what_is_shown_holds_the_digits_of_the_amount(charged, locale):
    amount, currency = charged
    shown = money.format_money(amount, currency, locale)
    digits = "".join(filter(str.isdecimal, shown))
    assert digits.lstrip("0") == written(amount, currency).replace(".", "").lstrip("0")
