"""How amounts, times and addresses are written, in pages and letters alike: Jinja's filters."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from flask import Flask

from payflow import money
from payflow.config import Settings, current_settings


def init_app(app: Flask, settings: Settings) -> None:
    def date(moment: datetime) -> str:
        local = moment.astimezone(ZoneInfo(settings.timezone))
        return format_datetime(local, "d MMMM y, HH:mm zzz", locale=settings.locale)

    app.jinja_env.filters |= {
        "money": amount,
        "major": money.to_major,
        "date": date,
        "masked": masked,
        "inert": inert,
    }
    app.jinja_env.globals["business"] = settings.business


def amount(minor: int, currency: str) -> str:
    """An amount in minor units as the installation's locale writes it."""
    return money.format_money(minor, currency, current_settings().locale)


def masked(email: str) -> str:
    """An address as a page shows it that others may see: c••@example.com"""
    local, _, domain = email.rpartition("@")
    return f"{local[:1]}••@{domain}"


def inert(typed: str) -> str:
    """What a stranger typed, with invisible marks so that mail programs make no link of it."""
    return re.sub(r"(?<=\S)([.:/@])(?=\S)", "\\1\u2060", typed)
