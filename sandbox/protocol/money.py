"""Stripe's rules for amounts: decimals, smallest charges, and how the pages write them.

Amounts are integers in Stripe's minor units of the currency, as the API carries them.
Figures: https://docs.stripe.com/currencies
"""

from decimal import Decimal

ZERO_DECIMAL = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split())
THREE_DECIMAL = frozenset("bhd jod kwd omr tnd".split())
# Sent with two decimals for old times' sake, though they have none.
WHOLE_UNITS_TIMES_100 = frozenset({"isk", "ugx"})

# In major units. Stripe judges the minimum in the settlement currency; the sandbox settles in the
# currency charged, so the table is exact here.
MINIMUM_MAJOR = {
    **dict.fromkeys(
        "usd ars aud brl cad chf cop eur idr ils inr nzd php rub sgd zar".split(), Decimal("0.50")
    ),
    **dict.fromkeys("aed myr pln ron".split(), Decimal(2)),
    **dict.fromkeys("nok sek".split(), Decimal(3)),
    **dict.fromkeys("mxn thb".split(), Decimal(10)),
    **dict.fromkeys("jpy krw".split(), Decimal(50)),
    "gbp": Decimal("0.30"),
    "dkk": Decimal("2.50"),
    "hkd": Decimal(4),
    "czk": Decimal(15),
    "huf": Decimal(175),
}

MAXIMUM_MINOR = 99_999_999

CURRENCIES = (
    frozenset(
        """
        aed afn all amd ang aoa ars aud awg azn bam bbd bdt bmd bnd bob brl bsd bwp byn bzd cad cdf
        chf cny cop crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg
        huf idr ils inr isk jmd kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur
        mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln qar ron rsd rub sar sbd
        scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah ugx usd uyu uzs wst xcd
        yer zar zmw
        """.split()
    )
    | ZERO_DECIMAL
    | THREE_DECIMAL
)

SYMBOLS = {
    "usd": "$", "eur": "€", "gbp": "£", "jpy": "¥", "inr": "₹", "krw": "₩", "cad": "CA$",
    "aud": "A$", "nzd": "NZ$", "brl": "R$", "mxn": "MX$", "hkd": "HK$", "ils": "₪", "vnd": "₫",
}  # fmt: skip


def decimals(currency: str) -> int:
    """How many decimals the API's integer carries (two for ISK, which people write with none)."""
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def minimum(currency: str) -> int:
    """The smallest charge in minor units; at least 1, where Stripe tells no figure."""
    major = MINIMUM_MAJOR.get(currency)
    return 1 if major is None else int(major.scaleb(decimals(currency)))


def granularity(currency: str) -> int:
    """The amount must be a multiple of this many minor units."""
    if currency in WHOLE_UNITS_TIMES_100:
        return 100
    return 10 if currency in THREE_DECIMAL else 1


def format_amount(amount: int, currency: str) -> str:
    """As the pages write it: ``€12.50``, ``−€12.50``, ``¥500``, ``KWD 5.120``."""
    shown = 0 if currency in WHOLE_UNITS_TIMES_100 else decimals(currency)
    sign = "\N{MINUS SIGN}" if amount < 0 else ""
    number = f"{Decimal(abs(amount)).scaleb(-decimals(currency)):,.{shown}f}"
    symbol = SYMBOLS.get(currency, f"{currency.upper()}\N{NO-BREAK SPACE}")
    return f"{sign}{symbol}{number}"
