"""The switches of ``/_sandbox/settings``: their names, types, defaults and where they are kept."""

import ipaddress
import json
import re
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from sandbox import faults, store
from sandbox.protocol import versions
from sandbox.store import JsonDict


class BadSetting(ValueError):
    """The message is a sentence for the one who sent it."""


class Endpoint(NamedTuple):
    """Where events are delivered to, and the secret that signs them."""

    url: str
    secret: str


# Longer than anything here takes; what falls due after it would have no date.
LONGEST_S = 10 * 365 * 24 * 60 * 60

# What a URL can be sent to over the wire with, as it is.
PRINTABLE = re.compile(r"[!-~]+")


def _seconds(name: str, value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= LONGEST_S:
        raise BadSetting(f"{name} must be a number of seconds, from 0 to ten years.")
    return float(value)


def _switch(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadSetting(f"{name} must be true or false.")
    return value


def _schedule(name: str, value: Any) -> list[float]:
    if not isinstance(value, list):
        raise BadSetting(f"{name} must be a list of seconds, one for each retry.")
    return [_seconds(name, item) for item in value]


def loopback_url(name: str, value: Any) -> str | None:
    """Events never leave this machine, whatever a test forgot to set."""
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and _is_loopback(parts.hostname)
        good = good and PRINTABLE.fullmatch(value) is not None
        good = good and (parts.port is None or parts.port > 0)
    except (ValueError, TypeError, AttributeError):
        good = False
    if not good:
        raise BadSetting(f"{name} must be a URL on this machine, such as http://127.0.0.1:8000/….")
    return str(value)


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    return host is not None and ipaddress.ip_address(host).is_loopback


def _secret(name: str, value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and PRINTABLE.fullmatch(value)):
        raise BadSetting(f"{name} must be a text of ASCII characters without spaces.")
    return value


def _version(name: str, value: Any) -> str:
    if value not in versions.KNOWN:
        raise BadSetting(f"{name} must be one of Stripe's, such as {versions.API_VERSION}.")
    return str(value)


def _rules(name: str, value: Any) -> list[JsonDict]:
    try:
        return faults.check(name, value)
    except faults.BadRule as error:
        raise BadSetting(str(error)) from None


def _whole_number(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadSetting(f"{name} must be a whole number.")
    return value


def _name(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > 100:
        raise BadSetting(f"{name} must be a text of 1 to 100 characters.")
    return value


def _refund_outcome(name: str, value: Any) -> str | None:
    if value not in REFUND_OUTCOMES:
        listed = ", ".join(outcome for outcome in REFUND_OUTCOMES if outcome)
        raise BadSetting(f"{name} must be null (the test card decides) or one of {listed}.")
    return None if value is None else str(value)


REFUND_OUTCOMES = (None, "succeeded", "pending", "requires_action", "fails")

CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "business_name": _name,
    "api_version": _version,
    "webhook_delay_s": _seconds,
    "api_delay_s": _seconds,
    "debit_delay_s": _seconds,
    "refund_delay_s": _seconds,
    "refund_outcome": _refund_outcome,
    "dispute_delay_s": _seconds,
    "webhook_url": loopback_url,
    "webhook_secret": _secret,
    "deliver": _switch,
    "retry_schedule_s": _schedule,
    faults.API: _rules,
    faults.DELIVERY: _rules,
    "seed": _whole_number,
}

DEFAULTS: JsonDict = {
    "business_name": "Test business",
    "api_version": versions.API_VERSION,
    "webhook_delay_s": 0.0,
    "api_delay_s": 0.0,
    # Days at Stripe: long enough to see a payment under way, short enough to see it end.
    "debit_delay_s": 5.0,
    "refund_delay_s": 5.0,
    "refund_outcome": None,
    "dispute_delay_s": 2.0,
    "webhook_url": None,
    "webhook_secret": None,
    "deliver": True,
    # Stripe takes hours in a sandbox and days in live mode; a person at a laptop is less patient.
    "retry_schedule_s": [2.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0],
    faults.API: [],
    faults.DELIVERY: [],
    "seed": 1,
}

KEPT_BY_RESET = ("business_name", "webhook_url", "webhook_secret")

Follower = Callable[[sqlite3.Connection], None]
FOLLOWERS: list[Follower] = []


def follower(function: Follower) -> Follower:
    """Called after each change, in its transaction; for modules that this one can't import."""
    FOLLOWERS.append(function)
    return function


def current(db: sqlite3.Connection) -> JsonDict:
    return dict(store.remembered(db, store.SETTINGS, lambda: _read(db)))


def _read(db: sqlite3.Connection) -> JsonDict:
    rows = db.execute("SELECT name, value FROM settings").fetchall()
    return DEFAULTS | {row["name"]: json.loads(row["value"]) for row in rows}


def change(db: sqlite3.Connection, wanted: Any) -> None:
    """All of ``wanted`` or nothing. Raises :class:`BadSetting`."""
    if not isinstance(wanted, dict):
        raise BadSetting(
            "Send a JSON object of switches, with the header Content-Type: application/json."
        )
    for name in wanted:
        if name not in CHECKS:
            raise BadSetting(f"There is no switch {name!r}; there are {', '.join(CHECKS)}.")
    clean = {name: CHECKS[name](name, value) for name, value in wanted.items()}
    after = current(db) | clean
    if after["webhook_url"] and not after["webhook_secret"]:
        raise BadSetting("webhook_url needs a webhook_secret to sign the events with.")
    _keep(db, clean)
    if clean.keys() & {faults.API, faults.DELIVERY, "seed"}:
        faults.start_anew(db)


def _keep(db: sqlite3.Connection, values: Mapping[str, Any]) -> None:
    db.executemany(
        "INSERT INTO settings (name, value) VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [(name, json.dumps(value)) for name, value in values.items()],
    )
    store.forget(db)
    store.wake_deliveries(db)
    for follow in FOLLOWERS:
        follow(db)


def reset(db: sqlite3.Connection) -> None:
    """Default values; the endpoint stays, or a reset between two tests would cut the line."""
    _keep(db, {name: value for name, value in DEFAULTS.items() if name not in KEPT_BY_RESET})
    faults.start_anew(db)


def endpoint(db: sqlite3.Connection) -> Endpoint | None:
    values = current(db)
    if not values["webhook_url"]:
        return None
    return Endpoint(values["webhook_url"], values["webhook_secret"])
