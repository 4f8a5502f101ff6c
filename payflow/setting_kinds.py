"""Kinds of settings: each read from what stands in the environment, or refused with words that say
how to mend it. Pure; config.py says which setting is of which kind, and how they go together.

A refusal is a ValueError whose message goes on from the setting's name: "must be …".
"""

import re
from email.utils import parseaddr
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from limits import parse_many
from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

from payflow import brand, money

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def split(text: str) -> tuple[str, ...]:
    """What commas or spaces separate."""
    return tuple(filter(None, re.split(r"[,\s]+", text)))


def _listed(value: Any) -> Any:
    return split(value) if isinstance(value, str) else value


Listed = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]


def _one_line(text: str) -> str:
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise ValueError("must be one line, without control characters")
    return text


Line = Annotated[str, AfterValidator(_one_line)]


def _postgres_url(url: str) -> str:
    rewritten = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)
    if not rewritten.startswith("postgresql+psycopg://"):
        raise ValueError("must be a Postgres address, like postgresql://user:password@host/name")
    return rewritten


PostgresUrl = Annotated[Line, AfterValidator(_postgres_url)]


def _long_secret(key: str) -> str:
    if len(key) < 32:
        raise ValueError(
            "is too short: use 32 random characters or more, such as the output of "
            "`python -c 'import secrets; print(secrets.token_urlsafe(48))'`"
        )
    return key


LongSecret = Annotated[Line, AfterValidator(_long_secret)]


def _origin(url: str) -> str:
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


Origin = Annotated[Line, AfterValidator(_origin)]


def _secret_key(key: str) -> str:
    if not re.fullmatch(r"(sk|rk)_(test|live)_\S+", key):
        raise ValueError("must be a secret or restricted key: sk_test_…, rk_test_… or the live one")
    return key


SecretKey = Annotated[Line, AfterValidator(_secret_key)]


def _publishable_key(key: str) -> str:
    if key and not re.fullmatch(r"pk_(test|live)_\S+", key):
        raise ValueError("must be a publishable key: pk_test_… or the live one")
    return key


PublishableKey = Annotated[Line, AfterValidator(_publishable_key)]


def _webhook_secrets(secrets: tuple[str, ...]) -> tuple[str, ...]:
    if not secrets or not all(re.fullmatch(r"whsec_\S+", secret) for secret in secrets):
        raise ValueError("must be the signing secret of the webhook endpoint: whsec_…")
    return secrets


WebhookSecrets = Annotated[Listed, AfterValidator(_webhook_secrets)]


def _origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"https?://[A-Za-z0-9.-]+(:\d+)?", one) for one in origins):
        raise ValueError("must be addresses without a path, like https://checkout.stripe.com")
    return origins


Origins = Annotated[Listed, AfterValidator(_origins)]


def _web_address(url: str) -> str:
    if url and not re.fullmatch(r"https?://\S+", url):
        raise ValueError("must be an address like https://www.example.com")
    return url


WebAddress = Annotated[Line, AfterValidator(_web_address)]


def _picture_url(url: str) -> str:
    # In the policy that lets browsers load it, a semicolon or comma would end its name.
    if url and not re.fullmatch(r"https?://[A-Za-z0-9.:-]+/[^\s;,\"'<>\\#]*", url):
        raise ValueError(
            "must be the address of a picture, like https://www.example.com/logo.png, "
            "without spaces, quotes, commas or semicolons"
        )
    if url.startswith("http:") and urlsplit(url).hostname not in LOOPBACK:
        raise ValueError("must begin with https://, or browsers won't show it")
    return url


PictureUrl = Annotated[Line, AfterValidator(_picture_url)]


def _color(color: str) -> str:
    if not brand.COLOR.fullmatch(color.lower()):
        raise ValueError("must be a colour of six hexadecimal digits, like #4338ca")
    return color.lower()


Color = Annotated[Line, AfterValidator(_color)]


def _statement_descriptor(text: str) -> str:
    """Stripe's rules: https://docs.stripe.com/get-started/account/statement-descriptors"""
    if text and not re.fullmatch(r"(?=.*[A-Za-z])[^<>\\'\"*\x80-\U0010ffff]{5,22}", text):
        raise ValueError(
            "must be 5 to 22 plain Latin characters, a letter among them, none of < > \\ ' \" *"
        )
    return text


StatementDescriptor = Annotated[Line, AfterValidator(_statement_descriptor)]


def _email_address(value: str) -> str:
    if value and "@" not in parseaddr(value)[1]:
        raise ValueError("must be one e-mail address, like Northlight <billing@example.com>")
    return value


EmailAddress = Annotated[Line, AfterValidator(_email_address)]


def _currencies(value: tuple[str, ...]) -> tuple[str, ...]:
    codes = tuple(dict.fromkeys(code.lower() for code in value))
    if not codes or not all(money.is_currency(code) for code in codes):
        raise ValueError("must be currency codes separated by commas, like USD,EUR")
    return codes


Currencies = Annotated[Listed, AfterValidator(_currencies)]


def _timezone_name(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError("is no time zone; use a name like Europe/Dublin") from None
    return value


TimezoneName = Annotated[Line, AfterValidator(_timezone_name)]


def _locale_name(value: str) -> str:
    try:
        return str(Locale.parse(value, sep="-" if "-" in value else "_"))
    except (UnknownLocaleError, ValueError):
        raise ValueError("is no locale; use one like en, en_GB or de") from None


LocaleName = Annotated[Line, AfterValidator(_locale_name)]


def _rates(value: str) -> str:
    try:
        parse_many(value)
    except ValueError:
        raise ValueError("must be limits like 60 per hour; 300 per day") from None
    return value


Rates = Annotated[Line, AfterValidator(_rates)]


def _count_storage(value: str) -> str:
    if not re.fullmatch(r"memory://|rediss?://\S+", value):
        raise ValueError("must be memory:// or the address of a Redis, like redis://host:6379")
    return value


CountStorage = Annotated[Line, AfterValidator(_count_storage)]


def _proxy_count(value: int) -> int:
    if value < 0:
        raise ValueError("must be the number of proxies in front of payflow, 0 or more")
    return value


ProxyCount = Annotated[int, AfterValidator(_proxy_count)]
