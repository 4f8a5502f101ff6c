"""What all pages share: how amounts and times are written, the business's name, our assets."""

import re
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from flask import Blueprint, Flask, Response, current_app, send_from_directory, url_for

from payflow import money
from payflow.config import Settings

bp = Blueprint("pages", __name__)

A_YEAR = 365 * 24 * 3600


def init_app(app: Flask) -> None:
    settings: Settings = app.config["PAYFLOW"]

    def amount(minor: int, currency: str) -> str:
        return money.format_money(minor, currency, settings.locale)

    def date(moment: datetime) -> str:
        local = moment.astimezone(ZoneInfo(settings.timezone))
        return format_datetime(local, "d MMMM y, HH:mm zzz", locale=settings.locale)

    app.jinja_env.filters |= {"money": amount, "date": date, "masked": masked, "inert": inert}
    app.jinja_env.globals |= {"business": settings, "asset": asset_url}


def masked(email: str) -> str:
    """An address as a page shows it that others may see: c••@example.com"""
    local, _, domain = email.rpartition("@")
    return f"{local[:1]}••@{domain}"


def inert(typed: str) -> str:
    """What a stranger typed, with invisible marks so that mail programs make no link of it."""
    return re.sub(r"(?<=\S)([.:/@])(?=\S)", "\\1\u2060", typed)


def asset_url(filename: str) -> str:
    """The address of a file in static/, which changes with its content."""
    return url_for("static", filename=filename, v=_content_hash(filename))


@cache
def _content_hash(filename: str) -> str:
    folder = Path(str(current_app.static_folder))
    return sha256((folder / filename).read_bytes()).hexdigest()[:12]


@bp.get("/assets/htmx.js")
def htmx() -> Response:
    """htmx, out of the package that carries it, which is found without being imported."""
    return send_from_directory(_htmx_folder(), "htmx.min.js", max_age=A_YEAR)


@cache
def _htmx_folder() -> Path:
    spec = find_spec("js_lib_htmx")
    assert spec is not None
    assert spec.submodule_search_locations
    return next(Path(spec.submodule_search_locations[0]).rglob("htmx.min.js")).parent
