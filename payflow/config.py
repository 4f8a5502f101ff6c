"""Settings: the only reader of the environment.

Bad configuration stops the start with one sentence per variable: which, what is wrong, how to mend
it. What each alone may be, setting_kinds.py says; here mixes are refused that could charge real
money by mistake.
"""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from email.utils import parseaddr
from functools import cached_property
from typing import Any, Self
from urllib.parse import urlsplit

from flask import current_app
from pydantic import ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from payflow import brand, money
from payflow.setting_kinds import (
    LOOPBACK,
    Color,
    CountStorage,
    Currencies,
    EmailAddress,
    Line,
    LocaleName,
    LongSecret,
    Origin,
    Origins,
    PictureUrl,
    PostgresUrl,
    ProxyCount,
    PublishableKey,
    Rates,
    SecretKey,
    StatementDescriptor,
    TimezoneName,
    WebAddress,
    WebhookSecrets,
    split,
)

STRIPE_CHECKOUT = "https://checkout.stripe.com"
STRIPE_DASHBOARD = "https://dashboard.stripe.com"
# Ports on which mail servers speak TLS from the first byte; elsewhere STARTTLS is demanded.
IMPLICIT_TLS_PORTS = frozenset({465, 2465})


class ConfigError(Exception):
    """The environment cannot be run with; the message says what to mend."""


@dataclass(frozen=True)
class Business:
    """Who is paid, as pages and letters say it."""

    name: str
    address: str
    url: str
    email: str
    livemode: bool
    tax_id: str
    statement_descriptor: str
    logo_url: str
    terms_url: str
    privacy_url: str


class Settings(BaseSettings):
    """payflow's settings, named as their environment variables; see README for each."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    database_url: PostgresUrl
    secret_key: LongSecret
    public_url: Origin
    render_external_url: Line = ""

    stripe_secret_key: SecretKey
    stripe_webhook_secret: WebhookSecrets
    stripe_publishable_key: PublishableKey = ""
    stripe_api_base: Origin = ""
    checkout_origins: Origins = (STRIPE_CHECKOUT,)

    mail_server: Line = "smtp.resend.com"
    mail_port: int = 2587
    mail_username: Line = "resend"
    mail_password: Line = ""
    mail_default_sender: EmailAddress
    alert_email: EmailAddress = ""

    business_name: Line
    business_address: Line = ""
    business_url: WebAddress = ""
    business_tax_id: Line = ""
    support_email: EmailAddress = ""
    statement_descriptor: StatementDescriptor = ""
    terms_url: WebAddress = ""
    privacy_url: WebAddress = ""
    brand_color: Color = brand.DEFAULT
    logo_url: PictureUrl = ""

    currencies: Currencies = ("usd",)
    amount_min: Line = ""
    amount_max: Line = ""
    timezone: TimezoneName = "UTC"
    locale: LocaleName = "en"

    limit_per_address: Rates = "60 per hour; 300 per day"
    limit_per_email: Rates = "20 per hour; 60 per day"
    limit_storage: CountStorage = "memory://"
    trusted_proxies: ProxyCount = 0

    @classmethod
    def load(cls) -> Self:
        """Read the environment; raises ConfigError with a sentence per variable."""
        try:
            return cls()
        except ValidationError as error:
            raise ConfigError("\n".join(_sentence(dict(e)) for e in error.errors())) from None

    @property
    def livemode(self) -> bool:
        """Whether the key in use moves real money."""
        return self.stripe_secret_key.split("_")[1] == "live"

    def dashboard(self, livemode: bool) -> str:
        """Where the owner sees at Stripe what is here; the stand-in answers the same paths."""
        return self.stripe_api_base or f"{STRIPE_DASHBOARD}{'' if livemode else '/test'}"

    @property
    def mail_implicit_tls(self) -> bool:
        return self.mail_port in IMPLICIT_TLS_PORTS

    @property
    def mail_starttls(self) -> bool:
        return not self.mail_implicit_tls and self.mail_server not in LOOPBACK

    @property
    def is_https(self) -> bool:
        """Whether browsers reach payflow by https alone."""
        return self.public_url.startswith("https://")

    @property
    def public_host(self) -> str:
        return urlsplit(self.public_url).hostname or ""

    @cached_property
    def trusted_hosts(self) -> list[str]:
        """The hosts we answer to; addresses are made from PUBLIC_URL alone."""
        return sorted(filter(None, {self.public_host, self._render_host, *LOOPBACK}))

    @property
    def _render_host(self) -> str | None:
        return urlsplit(self.render_external_url).hostname

    @property
    def libpq_url(self) -> str:
        """The database's address as psycopg itself takes it."""
        return self.database_url.replace("+psycopg", "", 1)

    @property
    def business(self) -> Business:
        return Business(
            name=self.business_name,
            address=self.business_address,
            url=self.business_url,
            email=parseaddr(self.support_email or self.mail_default_sender)[1],
            livemode=self.livemode,
            tax_id=self.business_tax_id,
            statement_descriptor=self.statement_descriptor,
            logo_url=self.logo_url,
            terms_url=self.terms_url,
            privacy_url=self.privacy_url,
        )

    @cached_property
    def brand(self) -> brand.Palette:
        """The colours of pages and letters, from BRAND_COLOR."""
        return brand.palette(self.brand_color)

    @cached_property
    def minimum(self) -> dict[str, int]:
        """The smallest amount taken, in minor units by currency; Stripe's own where none is set."""
        ours = _amounts("AMOUNT_MIN", self.amount_min, self.currencies)
        return {c: ours.get(c, money.least(c)) for c in self.currencies}

    @cached_property
    def maximum(self) -> dict[str, int]:
        """The largest amount taken, in minor units, for the currencies that have one."""
        return _amounts("AMOUNT_MAX", self.amount_max, self.currencies)

    @model_validator(mode="before")
    @classmethod
    def _public_url_is_else_renders(cls, values: dict[str, Any]) -> dict[str, Any]:
        renders = values.get("render_external_url")
        return {"public_url": renders, **values} if renders else values

    # Of the field, and so told together with what else is missing.
    @field_validator("mail_password")
    @classmethod
    def _servers_elsewhere_ask_for_one(cls, password: str, others: ValidationInfo) -> str:
        server = others.data.get("mail_server")
        if server and server not in LOOPBACK and not password:
            raise ValueError(f"is missing: {server} asks for one")
        return password

    @model_validator(mode="after")
    def _refuse_unsafe_mixes(self) -> Self:
        if self.stripe_publishable_key and self.livemode != (
            self.stripe_publishable_key.startswith("pk_live_")
        ):
            raise ValueError(
                "STRIPE_PUBLISHABLE_KEY and STRIPE_SECRET_KEY are of different modes: "
                "take both from Stripe's test mode, or both from live mode."
            )
        if self.stripe_api_base:
            self._refuse_stand_in_for_real_money()
        elif self.livemode and not self.is_https:
            raise ValueError(
                "PUBLIC_URL must begin with https:// when the Stripe key is a live one."
            )
        self._check_amounts()
        return self

    def _check_amounts(self) -> None:
        least = self.minimum
        for currency, smallest in least.items():
            if smallest < money.least(currency):
                stripes = money.plain(money.least(currency), currency)
                raise ValueError(
                    f"AMOUNT_MIN for {currency.upper()} is less than Stripe takes: {stripes}."
                )
        for currency, largest in self.maximum.items():
            if largest < least.get(currency, 0):
                raise ValueError(f"AMOUNT_MAX for {currency} is below the least amount taken.")

    def _refuse_stand_in_for_real_money(self) -> None:
        if self.livemode:
            raise ValueError(
                "STRIPE_API_BASE is set while STRIPE_SECRET_KEY is a live key: "
                "unset STRIPE_API_BASE, or use a test key."
            )
        if not {urlsplit(self.stripe_api_base).hostname, self.public_host} <= LOOPBACK:
            raise ValueError(
                "STRIPE_API_BASE points to a stand-in for Stripe, which is allowed only where it "
                "and PUBLIC_URL are both on this machine (127.0.0.1): unset STRIPE_API_BASE."
            )


def _amounts(name: str, text: str, currencies: tuple[str, ...]) -> dict[str, int]:
    """`eur:5,jpy:500` → minor units by currency; a bare number is the first currency's."""
    amounts = {}
    for part in split(text):
        code, colon, number = part.rpartition(":")
        currency = code.lower() if colon else currencies[0]
        if currency not in currencies:
            raise ValueError(f"{name} names {currency.upper()}, which is not one of CURRENCIES.")
        try:
            amounts[currency] = money.to_minor(Decimal(number), currency)
        except (InvalidOperation, money.AmountError):
            raise ValueError(f"{name} must be amounts by currency, like eur:5,jpy:500.") from None
    return amounts


def _sentence(error: dict[str, Any]) -> str:
    if not error["loc"]:
        return str(error["msg"]).removeprefix("Value error, ")
    name = str(error["loc"][0]).upper()
    if error["type"] == "int_parsing":
        return f"{name} must be a whole number, like 1."
    if error["type"] == "missing":
        return f"{name} is missing: set it in the environment (README, “Settings”, says to what)."
    return f"{name} {str(error['msg']).removeprefix('Value error, ')}."


def current_settings() -> Settings:
    """The settings of the application in whose context this runs."""
    settings: Settings = current_app.config["PAYFLOW"]
    return settings
