"""The pages behind the scenes: lists of payments, events and deliveries, and an event's own."""

import json
import sqlite3
from datetime import UTC, datetime

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from markupsafe import Markup, escape
from werkzeug.wrappers import Response as BaseResponse

from sandbox import clock
from sandbox.desk.paging import page_of
from sandbox.objects import sessions
from sandbox.store import JsonDict, find_object, objects_of, private_part
from sandbox.webhooks import event_types, events, webhook_endpoints
from sandbox.world import world

pages = Blueprint("pages", __name__)

SHOWN_ON_FIRST_PAGE = 12


SAFE = ("GET", "HEAD", "OPTIONS")


@pages.before_app_request
def refuse_other_sites() -> None:
    """A form on somebody's web page must not turn the switches of a laptop that visits it, and no
    more may one of another server on this machine."""
    if request.method not in SAFE and _comes_from_elsewhere():
        abort(
            403, "Another site's page asked for this. The sandbox changes for its own pages only."
        )


def _comes_from_elsewhere() -> bool:
    """By what browsers tell; a program tells neither. Our own forms have the Origin ``null``, as
    our pages tell nobody where one comes from."""
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return True
    own = request.host_url.rstrip("/")
    return request.headers.get("Origin", own) not in (own, "null")


@pages.app_template_filter()
def date_time(epoch: float) -> str:
    """In UTC, which the page says beside it or above it."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S")


UNITS = {"day": 86400, "hour": 3600, "minute": 60, "second": 1}


@pages.app_template_filter()
def in_words(seconds: float) -> str:
    """ "10 days", "1 day 3 hours": the two largest units."""
    left, words = round(seconds), []
    for unit, size in UNITS.items():
        count, left = divmod(left, size)
        if count:
            words.append(f"{count} {unit}{'' if count == 1 else 's'}")
    return " ".join(words[:2]) or "less than a second"


@pages.app_template_filter()
def breakable(name: str) -> Markup:
    """A name of many parts may go on in the next line, between two of them."""
    parts = str(escape(name)).replace(".", ".<wbr>").replace("_", "_<wbr>").replace("/", "/<wbr>")
    return Markup(parts)


# What the list of payments can be narrowed to.
OF_INTENT = (
    "EXISTS (SELECT 1 FROM objects AS charge WHERE charge.object = 'charge'"
    " AND json_extract(charge.body, '$.payment_intent')"
    " = json_extract(objects.body, '$.payment_intent') AND json_extract(charge.body, '$.{}'))"
)
STATUSES = {
    "open": "json_extract(body, '$.status') = 'open'",
    "paid": "json_extract(body, '$.payment_status') = 'paid'",
    "unpaid": "json_extract(body, '$.status') = 'complete'"
    " AND json_extract(body, '$.payment_status') = 'unpaid'",
    "expired": "json_extract(body, '$.status') = 'expired'",
    "refunded": OF_INTENT.format("amount_refunded"),
    "disputed": OF_INTENT.format("disputed"),
}
STATUS_WORDS = {"unpaid": "ordered, not paid"}


@pages.get("/")
def index() -> str:
    status = request.args.get("status", "")
    narrowed = [STATUSES[status]] if status in STATUSES else []
    with world().store.reading() as db:
        page = page_of(
            db,
            "SELECT seq, body FROM objects",
            "seq",
            ["object = ?", *narrowed],
            sessions.KIND,
        )
        return render_template(
            "index.html",
            page=page,
            sessions=[with_payment(db, json.loads(row["body"])) for row in page.rows],
            events=_newest_events(db),
            chosen=status,
            choices={name: STATUS_WORDS.get(name, name) for name in STATUSES},
        )


def with_payment(db: sqlite3.Connection, session: JsonDict) -> JsonDict:
    """The session with its title, PaymentIntent, newest charge and newest dispute."""
    intent = find_object(db, session["payment_intent"] or "")
    charge = find_object(db, (intent or {}).get("latest_charge") or "")
    opened = objects_of(db, "dispute", "charge", charge["id"]) if charge else []
    title = private_part(db, session["id"])["line_items"][0]["description"]
    return session | {
        "title": title,
        "intent": intent,
        "charge": charge,
        "dispute": opened[0] if opened else None,
    }


def _newest_events(db: sqlite3.Connection) -> list[JsonDict]:
    rows = db.execute(
        "SELECT * FROM events ORDER BY seq DESC LIMIT ?", (SHOWN_ON_FIRST_PAGE,)
    ).fetchall()
    return [_with_deliveries(db, row) for row in rows]


def _with_deliveries(db: sqlite3.Connection, row: sqlite3.Row) -> JsonDict:
    deliveries = db.execute(
        "SELECT * FROM deliveries WHERE event_id = ? ORDER BY seq", (row["id"],)
    ).fetchall()
    return {key: row[key] for key in ("id", "type", "object_id", "created")} | {
        "deliveries": deliveries
    }


def events_about(db: sqlite3.Connection, object_ids: list[str]) -> list[JsonDict]:
    """Newest first."""
    marks = ", ".join("?" * len(object_ids))
    rows = db.execute(
        f"SELECT * FROM events WHERE object_id IN ({marks}) ORDER BY seq DESC", object_ids
    ).fetchall()
    return [_with_deliveries(db, row) for row in rows]


@pages.get("/events")
def event_list() -> str:
    kind = request.args.get("type", "")
    with world().store.reading() as db:
        page = page_of(
            db,
            "SELECT * FROM events",
            "seq",
            ["type = ?"] if kind else [],
            *([kind] if kind else []),
        )
        return render_template(
            "events.html",
            page=page,
            events=[_with_deliveries(db, row) for row in page.rows],
            chosen=kind,
            types=_types(db),
        )


def _types(db: sqlite3.Connection) -> list[tuple[str, str]]:
    """Those that have happened, as choices: the value and its words."""
    rows = db.execute("SELECT DISTINCT type FROM events ORDER BY type").fetchall()
    return [(row["type"], row["type"]) for row in rows]


ANSWERS = {"good": "status BETWEEN 200 AND 299", "bad": "status IS NULL OR status >= 300"}


@pages.get("/deliveries")
def delivery_list() -> str:
    kind, answer = request.args.get("type", ""), request.args.get("answer", "")
    conditions = ["type = ?"] if kind else []
    if answer in ANSWERS:
        conditions.append(f"({ANSWERS[answer]})")
    with world().store.transaction() as db:
        page = page_of(
            db,
            "SELECT attempts.*, events.type FROM attempts JOIN events ON events.id = event_id",
            "attempts.seq",
            conditions,
            *([kind] if kind else []),
        )
        endpoints = webhook_endpoints.known(db)
        return render_template(
            "deliveries.html",
            page=page,
            chosen=kind,
            types=_types(db),
            answer=answer,
            endpoints=[
                endpoint | {"silent": event_types.never_sent(endpoint["enabled_events"])}
                for endpoint in endpoints
            ],
        )


@pages.get("/events/<event_id>")
def event(event_id: str) -> str:
    with world().store.transaction() as db:
        row = _event_row(db, event_id)
        endpoints = _told_or_listening(db, row)
        return render_template(
            "event.html",
            event=_with_deliveries(db, row),
            endpoints=endpoints,
            listening=[one["id"] for one in endpoints if one["listens"]],
            payloads=_payloads(db, row, endpoints),
        )


def _event_row(db: sqlite3.Connection, event_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM events WHERE id = ?", (event_id,)
    ).fetchone()
    if row is None:
        abort(404)
    return row


def _told_or_listening(db: sqlite3.Connection, row: sqlite3.Row) -> list[JsonDict]:
    """Each endpoint that was told of the event or could be, with how that went."""
    deliveries = {
        delivery["endpoint_id"]: delivery
        for delivery in db.execute(
            "SELECT * FROM deliveries WHERE event_id = ? ORDER BY seq", (row["id"],)
        )
    }
    known = {endpoint["id"]: endpoint for endpoint in webhook_endpoints.known(db)}
    listening = {endpoint["id"] for endpoint in webhook_endpoints.listening(db, row["type"])}
    return [
        {
            "id": endpoint_id,
            "url": known[endpoint_id]["url"] if endpoint_id in known else None,
            "version": known.get(endpoint_id, {}).get("api_version"),
            "listens": endpoint_id in listening,
            "delivery": deliveries.get(endpoint_id),
            "attempts": _attempts(db, row["id"], endpoint_id),
        }
        for endpoint_id in dict.fromkeys([*deliveries, *sorted(listening)])
    ]


def _attempts(db: sqlite3.Connection, event_id: str, endpoint_id: str) -> list[JsonDict]:
    rows = db.execute(
        "SELECT * FROM attempts WHERE event_id = ? AND endpoint_id = ? ORDER BY seq DESC",
        (event_id, endpoint_id),
    ).fetchall()
    return [dict(item) | {"headers": json.loads(item["request_headers"])} for item in rows]


def _payloads(
    db: sqlite3.Connection, row: sqlite3.Row, endpoints: list[JsonDict]
) -> list[tuple[str, str]]:
    """Version and bytes: the account's, then each other one that an endpoint gets."""
    found: dict[str, str] = {}
    for version in [None, *(endpoint["version"] for endpoint in endpoints)]:
        text = events.payload(db, row["id"], version).decode()
        found.setdefault(json.loads(text)["api_version"], text)
    return list(found.items())


@pages.post("/events/<event_id>/send")
def send_again(event_id: str) -> BaseResponse | Response:
    """To the endpoint that the button names, else to all that listen."""
    with world().store.transaction() as db:
        row = _event_row(db, event_id)
        listening = [one["id"] for one in webhook_endpoints.listening(db, row["type"])]
        wanted = request.form.get("endpoint") or None
        if not listening or (wanted and wanted not in listening):
            return Response(render_template("no_endpoint.html"), 409)
        events.queue(db, event_id, clock.now(), wanted)
    return redirect(url_for("pages.event", event_id=event_id), 303)
