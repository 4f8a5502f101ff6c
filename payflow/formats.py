"""How amounts, times and addresses are written, in pages and letters alike: Jinja's filters."""

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from babel.dates import format_datetime, format_timedelta
from flask import Flask
from flask_babel import gettext

from payflow import i18n, money
from payflow.config import Settings, current_settings


def init_app(app: Flask, settings: Settings) -> None:
    app.jinja_env.filters |= {
        "money": for_reader,
        "major": money.plain,
        "date": date,
        "masked": masked,
        "in_time": in_time,
        "inert": inert,
    }
    app.jinja_env.globals |= {"business": settings.business, "brand": settings.brand}


def amount(minor: int, currency: str) -> str:
    """An amount in minor units as the owner reads it: LOCALE's way."""
    return money.format_money(minor, currency, current_settings().locale)


def for_reader(minor: int, currency: str) -> str:
    """An amount in minor units as who reads this page or letter writes it."""
    return money.format_money(minor, currency, i18n.locale())


def date(moment: datetime) -> str:
    """A time in TIMEZONE, as who reads this page or letter writes it."""
    local = moment.astimezone(ZoneInfo(current_settings().timezone))
    # A pattern of Babel's: day, month, year, time, time zone, in the order of the language.
    return format_datetime(local, gettext("d MMMM y, HH:mm zzz"), locale=i18n.locale())


def in_time(seconds: int) -> str:
    """How long to wait, rounded up, as who reads this page says it: in 12 minutes."""
    unit = next((size for size in (86400, 3600) if seconds >= 2 * size), 60)
    wait = timedelta(seconds=-(-seconds // unit) * unit)
    # The threshold keeps Babel from making 90 minutes 2 hours.
    return format_timedelta(wait, add_direction=True, threshold=2, locale=i18n.locale())


def masked(email: str) -> str:
    """An address as a page shows it that others may see: c••@example.com"""
    local, _, domain = email.rpartition("@")
    return f"{local[:1]}••@{domain}"


def inert(typed: str) -> str:
    """What a stranger typed, with invisible marks so that mail programs make no link of it."""
    return re.sub(r"(?<=\S)([.:/@])(?=\S)", "\\1\u2060", typed)
