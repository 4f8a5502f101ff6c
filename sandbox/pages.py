"""The pages behind the scenes: payments, events and deliveries, and what a desk can do to them."""

import json
import re
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from sandbox import actions, bank_debits, cards, clock, events, money, sessions, webhook_endpoints
from sandbox.errors import ApiError
from sandbox.store import JsonDict, find_object, objects_of, private_part
from sandbox.world import world

pages = Blueprint("pages", __name__)

Deed = Callable[[sqlite3.Connection, JsonDict], object]

SHOWN = 50
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
def clock_time(epoch: float) -> str:
    """In UTC, which the page says."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%H:%M:%S")


@pages.app_template_filter()
def date_time(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


@pages.app_template_filter()
def moment(epoch: float) -> str:
    """The time, and the day if it is another one."""
    then, now = (datetime.fromtimestamp(each, UTC) for each in (epoch, clock.now()))
    return then.strftime("%H:%M:%S" if then.date() == now.date() else "%Y-%m-%d %H:%M")


@pages.get("/")
def index() -> str:
    with world().store.reading() as db:
        return render_template(
            "index.html",
            sessions=_sessions(db),
            events=_events(db, SHOWN_ON_FIRST_PAGE),
            total=_count(db, "objects WHERE object = 'checkout.session'"),
        )


def _count(db: sqlite3.Connection, what: str) -> int:
    return int(db.execute(f"SELECT count(*) FROM {what}").fetchone()[0])


def _sessions(db: sqlite3.Connection) -> list[JsonDict]:
    rows = db.execute(
        "SELECT id, body FROM objects WHERE object = ? ORDER BY seq DESC LIMIT ?",
        (sessions.KIND, SHOWN),
    ).fetchall()
    return [_with_payment(db, json.loads(row["body"])) for row in rows]


def _with_payment(db: sqlite3.Connection, session: JsonDict) -> JsonDict:
    """The session with its title, PaymentIntent and newest charge."""
    intent = find_object(db, session["payment_intent"] or "")
    charge = find_object(db, (intent or {}).get("latest_charge") or "")
    title = private_part(db, session["id"])["line_items"][0]["description"]
    return session | {"title": title, "intent": intent, "charge": charge}


def _events(db: sqlite3.Connection, most: int) -> list[JsonDict]:
    rows = db.execute("SELECT * FROM events ORDER BY seq DESC LIMIT ?", (most,)).fetchall()
    return [_with_deliveries(db, row) for row in rows]


def _with_deliveries(db: sqlite3.Connection, row: sqlite3.Row) -> JsonDict:
    deliveries = db.execute(
        "SELECT deliveries.*, json_extract(objects.body, '$.url') AS url FROM deliveries"
        " LEFT JOIN objects ON objects.id = endpoint_id WHERE event_id = ? ORDER BY deliveries.seq",
        (row["id"],),
    ).fetchall()
    return {key: row[key] for key in ("id", "type", "object_id", "created")} | {
        "deliveries": deliveries
    }


@pages.get("/events")
def event_list() -> str:
    with world().store.reading() as db:
        return render_template(
            "events.html", events=_events(db, SHOWN * 2), total=_count(db, "events")
        )


@pages.get("/deliveries")
def delivery_list() -> str:
    with world().store.transaction() as db:
        attempts = db.execute(
            "SELECT attempts.*, events.type FROM attempts JOIN events ON events.id = event_id"
            " ORDER BY attempts.seq DESC LIMIT ?",
            (SHOWN * 2,),
        ).fetchall()
        return render_template(
            "deliveries.html",
            attempts=attempts,
            total=_count(db, "attempts"),
            endpoints=webhook_endpoints.known(db),
        )


@pages.get("/events/<event_id>")
def event(event_id: str) -> str:
    with world().store.transaction() as db:
        row = db.execute("SELECT * FROM events WHERE id = ?", (event_id,)).fetchone()
        if row is None:
            abort(404)
        attempts = db.execute(
            "SELECT * FROM attempts WHERE event_id = ? ORDER BY seq DESC", (event_id,)
        ).fetchall()
        return render_template(
            "event.html",
            event=_with_deliveries(db, row),
            payload=row["body"].decode(),
            attempts=[
                dict(item) | {"headers": json.loads(item["request_headers"])} for item in attempts
            ],
            endpoints=webhook_endpoints.listening(db, row["type"]),
        )


@pages.post("/events/<event_id>/send")
def send_again(event_id: str) -> BaseResponse | Response:
    with world().store.transaction() as db:
        row = db.execute("SELECT type FROM events WHERE id = ?", (event_id,)).fetchone()
        if row is None:
            abort(404)
        if not webhook_endpoints.listening(db, row["type"]):
            return Response(render_template("no_endpoint.html"), 409)
        events.queue(db, event_id, clock.now())
    world().deliveries.wake()
    return redirect(url_for("pages.event", event_id=event_id), 303)


@pages.get("/payments/<session_id>")
def payment(session_id: str) -> str:
    return _payment(session_id, None)


def _payment(session_id: str, error: str | None) -> str:
    with world().store.transaction() as db:
        session = _session(db, session_id)
        intent_id = session["payment_intent"] or ""
        charges = objects_of(db, "charge", "payment_intent", intent_id)
        refunds = objects_of(db, "refund", "payment_intent", intent_id)
        disputes = objects_of(db, "dispute", "payment_intent", intent_id)
        told = [session_id, intent_id, *(item["id"] for item in charges + refunds + disputes)]
        return render_template(
            "payment.html",
            session=_with_payment(db, session),
            charges=[item | {"means": _means(db, item["id"])} for item in charges],
            refunds=refunds,
            disputes=disputes,
            events=_events_about(db, told),
            reasons=actions.REASONS,
            error=error,
        )


def _session(db: sqlite3.Connection, session_id: str) -> JsonDict:
    session = find_object(db, session_id, sessions.KIND)
    if session is None:
        abort(404)
    return session


def _means(db: sqlite3.Connection, charge_id: str) -> str:
    """What the test card or the test account is there for."""
    number = private_part(db, charge_id).get("number", "")
    known = cards.CARDS.get(number) or bank_debits.ACCOUNTS.get(number)
    return known.title if known else ""


def _events_about(db: sqlite3.Connection, object_ids: list[str]) -> list[JsonDict]:
    marks = ", ".join("?" * len(object_ids))
    rows = db.execute(
        f"SELECT * FROM events WHERE object_id IN ({marks}) ORDER BY seq DESC", object_ids
    ).fetchall()
    return [_with_deliveries(db, row) for row in rows]


@pages.post("/payments/<session_id>/refund")
def refund(session_id: str) -> BaseResponse | str:
    def deed(db: sqlite3.Connection, session: JsonDict) -> None:
        typed = request.form.get("amount", "").strip()
        amount = _minor_units(typed, session["currency"]) if typed else None
        actions.refund(db, {"payment_intent": session["payment_intent"], "amount": amount})

    return _do(session_id, deed)


@pages.post("/payments/<session_id>/dispute")
def dispute(session_id: str) -> BaseResponse | str:
    def deed(db: sqlite3.Connection, session: JsonDict) -> None:
        wanted = {"payment_intent": session["payment_intent"]}
        if request.form.get("as") == "warning":
            actions.warn(db, wanted)
            return
        inquiry = request.form.get("as") == "inquiry"
        reason = request.form.get("reason")
        actions.dispute(db, wanted | {"inquiry": inquiry, "reason": reason})

    return _do(session_id, deed)


@pages.post("/payments/<session_id>/refunds/<refund_id>")
def settle_refund(session_id: str, refund_id: str) -> BaseResponse | str:
    wanted = {"status": request.form.get("status")}
    return _do(session_id, lambda db, _: actions.settle_refund(db, refund_id, wanted))


@pages.post("/payments/<session_id>/disputes/<dispute_id>")
def decide_dispute(session_id: str, dispute_id: str) -> BaseResponse | str:
    wanted = {"outcome": request.form.get("outcome")}
    return _do(session_id, lambda db, _: actions.decide_dispute(db, dispute_id, wanted))


AMOUNT = re.compile(r"[0-9]{1,12}([.,][0-9]{1,6})?")


def _minor_units(typed: str, currency: str) -> int:
    """Major units as a person types them; raises :class:`ApiError`."""
    if AMOUNT.fullmatch(typed):
        exact = Decimal(typed.replace(",", ".")).scaleb(money.decimals(currency))
        if exact == int(exact):
            return int(exact)
    raise ApiError(400, f"{typed[:40]} is no amount of {currency.upper()}.", param="amount")


def _do(session_id: str, deed: Deed) -> BaseResponse | str:
    """A refusal is told on the payment's page."""
    try:
        with world().store.transaction() as db:
            deed(db, _session(db, session_id))
    except ApiError as error:
        return _payment(session_id, error.message)
    world().deliveries.wake()
    return redirect(url_for("pages.payment", session_id=session_id), 303)
