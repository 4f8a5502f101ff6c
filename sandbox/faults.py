"""What goes wrong on purpose: with the API's answers and with deliveries, as rules ask for.

A rule names what it strikes ("POST /v1/checkout/*", "payment_intent.*"), the fault, and how often:
with a probability, or the next so many times. Whether it strikes is drawn from the seed, the rule
and what it meets: the n-th call, or the n-th event of its type, to which endpoint, for
which time. None of that depends on how fast the machine is, so the same run meets the same faults.
``faulty_api`` plays those of the API, ``outbox`` and ``sendings`` those of the deliveries.
"""

import random
import sqlite3
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from sandbox.store import JsonDict

API = "api_faults"
DELIVERY = "delivery_faults"

# How many seconds a fault takes if its rule doesn't say; what they mean is in the README.
API_SECONDS: Mapping[str, float | None] = {
    "401": None,
    "402": None,
    "500": None,
    "500_after": None,
    "429": 1.0,
    "timeout_before": 100.0,
    "timeout_after": 100.0,
    "reset_before": None,
    "reset_after": None,
    "delay": 2.0,
}
DELIVERY_SECONDS: Mapping[str, float | None] = {
    "duplicate": None,
    "reorder": 3.0,
    "drop": None,
    "delay": 5.0,
    "corrupt_signature": None,
    "old_timestamp": 600.0,
    "wrong_livemode": None,
    "other_object": None,
    "thin": None,
    "twice_signed": None,
}
# Judged once for an event and an endpoint; the others anew at each sending.
ON_THE_WAY = frozenset({"reorder", "drop", "delay"})

FIELDS = ("on", "fault", "probability", "times", "seconds")


class Strike(NamedTuple):
    """A fault that is to happen now; ``seconds`` is the rule's, or what the fault has by itself."""

    fault: str
    seconds: float
    rule: str


class Occasion(NamedTuple):
    """What a rule of deliveries meets: the ``nth`` event of a type since the rules were set, on its
    way to the endpoint at ``place``, for the first time (0) or again."""

    event_type: str
    nth: int
    place: int
    sending: int


class BadRule(ValueError):
    """The message is a sentence for the one who sent the rule."""


def check(kind: str, value: Any) -> list[JsonDict]:
    """The rules, whole: defaults filled in. Raises :class:`BadRule`."""
    if not isinstance(value, list):
        raise BadRule(f"{kind} must be a list of rules.")
    return [_rule(f"{kind}[{index}]", kind, rule) for index, rule in enumerate(value)]


def _rule(name: str, kind: str, rule: Any) -> JsonDict:
    if not isinstance(rule, dict):
        raise BadRule(f"{name} must be an object with {', '.join(FIELDS)}.")
    for field in rule:
        if field not in FIELDS:
            raise BadRule(f"{name} has no field {field!r}; there are {', '.join(FIELDS)}.")
    known = API_SECONDS if kind == API else DELIVERY_SECONDS
    if not isinstance(rule.get("fault"), str) or rule["fault"] not in known:
        raise BadRule(f"{name}: fault must be one of {', '.join(known)}.")
    return {
        "on": _pattern(name, kind, rule.get("on", "* *" if kind == API else "*")),
        "fault": rule["fault"],
        "probability": _number(name, "probability", rule.get("probability", 1.0), most=1.0),
        "times": _times(name, rule.get("times")),
        "seconds": _seconds(name, rule.get("seconds"), known[rule["fault"]]),
    }


def _pattern(name: str, kind: str, value: Any) -> str:
    example = "POST /v1/checkout/sessions*" if kind == API else "payment_intent.*"
    if not isinstance(value, str) or (kind == API and value != "*" and value.count(" ") != 1):
        raise BadRule(f"{name}: on must be a pattern such as {example!r}.")
    return value


def _number(name: str, field: str, value: Any, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise BadRule(f"{name}: {field} must be a number from 0 to {most:g}.")
    return float(value)


def _times(name: str, value: Any) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise BadRule(f"{name}: times must be a whole number, or null for no end.")
    return value


def _seconds(name: str, value: Any, default: float | None) -> float | None:
    if value is None or default is None:
        return default
    return _number(name, "seconds", value, most=7 * 24 * 3600.0)


def on_call(db: sqlite3.Connection, switches: JsonDict, method: str, path: str) -> Strike | None:
    """The first fault that strikes this API call; a rule for GET is one for HEAD too."""
    call = f"{'GET' if method == 'HEAD' else method} {path}"
    for index, rule in enumerate(switches[API]):
        if fnmatchcase(call, rule["on"]):
            strike = _draw(db, switches["seed"], f"{API}[{index}]", rule)
            if strike is not None:
                return strike
    return None


def on_event(
    db: sqlite3.Connection, switches: JsonDict, occasion: Occasion, *, first: bool
) -> dict[str, Strike]:
    """The faults that strike now: ``first`` those of the way; if none of them does, or later,
    those of the sending, which so are drawn once for each."""
    on_the_way = _of_kind(db, switches, occasion, on_the_way=True) if first else {}
    return on_the_way or _of_kind(db, switches, occasion, on_the_way=False)


def _of_kind(
    db: sqlite3.Connection, switches: JsonDict, occasion: Occasion, *, on_the_way: bool
) -> dict[str, Strike]:
    found = {}
    for index, rule in enumerate(switches[DELIVERY]):
        wanted = (rule["fault"] in ON_THE_WAY) == on_the_way
        if wanted and fnmatchcase(occasion.event_type, rule["on"]):
            strike = _draw(db, switches["seed"], f"{DELIVERY}[{index}]", rule, occasion)
            if strike is not None:
                found[strike.fault] = strike
    return found


def _draw(
    db: sqlite3.Connection,
    seed: int,
    name: str,
    rule: JsonDict,
    occasion: Occasion | None = None,
) -> Strike | None:
    """Whether this rule strikes what it sees now; it counts both.

    ``reorder`` holds each event back for a time of its own, up to the rule's: so they overtake.
    """
    row = counts(db).get(name)
    seen, struck = (row["seen"], row["struck"]) if row else (0, 0)
    if rule["times"] is not None and struck >= rule["times"]:
        return None
    met = seen if occasion is None else " ".join(str(each) for each in occasion)
    chance = random.Random(f"{seed} {name} {met}")
    strikes = chance.random() < rule["probability"]
    db.execute(
        "INSERT OR REPLACE INTO fault_counts (rule, seen, struck) VALUES (?, ?, ?)",
        (name, seen + 1, struck + strikes),
    )
    share = chance.random() if rule["fault"] == "reorder" else 1.0
    return Strike(rule["fault"], share * (rule["seconds"] or 0.0), name) if strikes else None


def spare(db: sqlite3.Connection, strike: Strike) -> None:
    """It met what it can't strike: one of the rule's ``times`` more is left."""
    db.execute("UPDATE fault_counts SET struck = struck - 1 WHERE rule = ?", (strike.rule,))


def count_event(db: sqlite3.Connection, event_type: str) -> int:
    """Which event of its type it is since the rules were set, from 0."""
    row = db.execute(
        "INSERT INTO event_counts (type, seen) VALUES (?, 1)"
        " ON CONFLICT (type) DO UPDATE SET seen = seen + 1 RETURNING seen",
        (event_type,),
    ).fetchone()
    return int(row["seen"]) - 1


def counts(db: sqlite3.Connection) -> dict[str, sqlite3.Row]:
    """By the rule's name, ``api_faults[0]``: how many things it saw and how many it struck."""
    rows = db.execute("SELECT * FROM fault_counts").fetchall()
    return {row["rule"]: row for row in rows}


def start_anew(db: sqlite3.Connection) -> None:
    """The rules or the seed changed: what is drawn next is drawn from the beginning."""
    db.execute("DELETE FROM fault_counts")
    db.execute("DELETE FROM event_counts")
