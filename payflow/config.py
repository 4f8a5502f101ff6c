"""Settings: the only reader of the environment.

Bad configuration stops the start with one sentence per variable: which, what is wrong, how to mend
it. Mixes that could charge real money by mistake are refused.
"""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from email.utils import parseaddr
from functools import cached_property
from typing import Annotated, Any, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from flask import current_app
from limits import parse_many
from pydantic import BeforeValidator, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from payflow import brand, money

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
STRIPE_CHECKOUT = "https://checkout.stripe.com"
STRIPE_DASHBOARD = "https://dashboard.stripe.com"
# Ports on which mail servers speak TLS from the first byte; elsewhere STARTTLS is demanded.
IMPLICIT_TLS_PORTS = frozenset({465, 2465})


class ConfigError(Exception):
    """The environment cannot be run with; the message says what to mend."""


def _split(value: Any) -> Any:
    return tuple(filter(None, re.split(r"[,\s]+", value))) if isinstance(value, str) else value


Listed = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


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

    database_url: str
    secret_key: str
    public_url: str
    render_external_url: str = ""

    stripe_secret_key: str
    stripe_webhook_secret: Listed
    stripe_publishable_key: str = ""
    stripe_api_base: str = ""
    checkout_origins: Listed = (STRIPE_CHECKOUT,)

    mail_server: str = "smtp.resend.com"
    mail_port: int = 2587
    mail_username: str = "resend"
    mail_password: str = ""
    mail_default_sender: str
    alert_email: str = ""

    business_name: str
    business_address: str = ""
    business_url: str = ""
    business_tax_id: str = ""
    support_email: str = ""
    statement_descriptor: str = ""
    terms_url: str = ""
    privacy_url: str = ""
    brand_color: str = brand.DEFAULT
    logo_url: str = ""

    currencies: Listed = ("usd",)
    amount_min: str = ""
    amount_max: str = ""
    timezone: str = "UTC"
    locale: str = "en"

    limit_per_address: str = "60 per hour; 300 per day"
    limit_per_email: str = "20 per hour; 60 per day"
    limit_storage: str = "memory://"
    trusted_proxies: int = 0

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

    @field_validator("*")
    @classmethod
    def _one_line(cls, value: Any) -> Any:
        if isinstance(value, str) and re.search(r"[\x00-\x1f\x7f]", value):
            raise ValueError("must be one line, without control characters")
        return value

    @field_validator("database_url")
    @classmethod
    def _use_psycopg(cls, url: str) -> str:
        rewritten = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)
        if not rewritten.startswith("postgresql+psycopg://"):
            raise ValueError(
                "must be a Postgres address, like postgresql://user:password@host/name"
            )
        return rewritten

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, key: str) -> str:
        if len(key) < 32:
            raise ValueError(
                "is too short: use 32 random characters or more, such as the output of "
                "`python -c 'import secrets; print(secrets.token_urlsafe(48))'`"
            )
        return key

    @field_validator("public_url", "stripe_api_base")
    @classmethod
    def _origin(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("must be an address like https://pay.example.com")
        if url and (parts.path.strip("/") or parts.query or parts.fragment):
            raise ValueError("must be an address without a path, like https://pay.example.com")
        # A name and password would stand in letters; other letters than these have an ASCII form.
        if url and not re.fullmatch(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:\d+)?", parts.netloc):
            raise ValueError(
                "must be an address with nothing but a host and perhaps a port, in the letters "
                "a to z (müller.example is xn--mller-kva.example)"
            )
        return url.rstrip("/").lower()

    @field_validator("stripe_secret_key")
    @classmethod
    def _secret_key_kind(cls, key: str) -> str:
        if not re.fullmatch(r"(sk|rk)_(test|live)_\S+", key):
            raise ValueError(
                "must be a secret or restricted key: sk_test_…, rk_test_… or the live one"
            )
        return key

    @field_validator("stripe_publishable_key")
    @classmethod
    def _publishable_key_kind(cls, key: str) -> str:
        if key and not re.fullmatch(r"pk_(test|live)_\S+", key):
            raise ValueError("must be a publishable key: pk_test_… or the live one")
        return key

    @field_validator("checkout_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"https?://[A-Za-z0-9.-]+(:\d+)?", one) for one in origins):
            raise ValueError("must be addresses without a path, like https://checkout.stripe.com")
        return origins

    @field_validator("business_url", "terms_url", "privacy_url")
    @classmethod
    def _web_address(cls, url: str) -> str:
        if url and not re.fullmatch(r"https?://\S+", url):
            raise ValueError("must be an address like https://www.example.com")
        return url

    @field_validator("logo_url")
    @classmethod
    def _picture(cls, url: str) -> str:
        # In the policy that lets browsers load it, a semicolon or comma would end its name.
        if url and not re.fullmatch(r"https?://[A-Za-z0-9.:-]+/[^\s;,\"'<>\\#]*", url):
            raise ValueError(
                "must be the address of a picture, like https://www.example.com/logo.png, "
                "without spaces, quotes, commas or semicolons"
            )
        if url.startswith("http:") and urlsplit(url).hostname not in LOOPBACK:
            raise ValueError("must begin with https://, or browsers won't show it")
        return url

    @field_validator("brand_color")
    @classmethod
    def _color(cls, color: str) -> str:
        if not brand.COLOR.fullmatch(color.lower()):
            raise ValueError("must be a colour of six hexadecimal digits, like #4338ca")
        return color.lower()

    @field_validator("statement_descriptor")
    @classmethod
    def _as_statements_have_it(cls, text: str) -> str:
        """Stripe's rules: https://docs.stripe.com/get-started/account/statement-descriptors"""
        if text and not re.fullmatch(r"(?=.*[A-Za-z])[^<>\\'\"*\x80-\U0010ffff]{5,22}", text):
            raise ValueError(
                "must be 5 to 22 plain Latin characters, a letter among them, none of < > \\ ' \" *"
            )
        return text

    @field_validator("stripe_webhook_secret")
    @classmethod
    def _webhook_secret_kind(cls, secrets: tuple[str, ...]) -> tuple[str, ...]:
        if not secrets or not all(re.fullmatch(r"whsec_\S+", secret) for secret in secrets):
            raise ValueError("must be the signing secret of the webhook endpoint: whsec_…")
        return secrets

    @field_validator("mail_default_sender", "alert_email", "support_email")
    @classmethod
    def _address(cls, value: str) -> str:
        if value and "@" not in parseaddr(value)[1]:
            raise ValueError("must be one e-mail address, like Northlight <billing@example.com>")
        return value

    @field_validator("currencies")
    @classmethod
    def _codes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        codes = tuple(dict.fromkeys(code.lower() for code in value))
        if not codes or not all(money.is_currency(code) for code in codes):
            raise ValueError("must be currency codes separated by commas, like USD,EUR")
        return codes

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError("is no time zone; use a name like Europe/Dublin") from None
        return value

    @field_validator("locale")
    @classmethod
    def _known_locale(cls, value: str) -> str:
        try:
            return str(Locale.parse(value, sep="-" if "-" in value else "_"))
        except (UnknownLocaleError, ValueError):
            raise ValueError("is no locale; use one like en, en_GB or de") from None

    @field_validator("limit_per_address", "limit_per_email")
    @classmethod
    def _rates(cls, value: str) -> str:
        try:
            parse_many(value)
        except ValueError:
            raise ValueError("must be limits like 60 per hour; 300 per day") from None
        return value

    @field_validator("limit_storage")
    @classmethod
    def _counts_stand_in(cls, value: str) -> str:
        if not re.fullmatch(r"memory://|rediss?://\S+", value):
            raise ValueError("must be memory:// or the address of a Redis, like redis://host:6379")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _how_many(cls, value: int) -> int:
        if value < 0:
            raise ValueError("must be the number of proxies in front of payflow, 0 or more")
        return value

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
        if self.mail_server not in LOOPBACK and not self.mail_password:
            raise ValueError(f"MAIL_PASSWORD is missing: {self.mail_server} asks for one.")
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
    for part in _split(text):
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
