"""The page where the customer pays: ``/c/pay/cs_test_…``, with fields Checkout's users know.

The form is parsed and judged here; what a payment does is for ``sessions`` and ``payments``.
"""

import re
import sqlite3
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from flask import Blueprint, Response, redirect, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from sandbox import cards, checks, events, money, payments, sessions, settings
from sandbox.errors import ApiError
from sandbox.payments import Payer
from sandbox.store import JsonDict, private_part
from sandbox.world import world

hosted_page = Blueprint("hosted_page", __name__)

# As long as Stripe holds the customer for the answer to checkout.session.completed.
HELD_AT_MOST_S = 10.0

FIELDS = ("email", "number", "expiration", "cvc", "name")
EXPIRATION = re.compile(r"(\d{1,2}) ?/ ?(\d{2}|\d{4})|(\d{2})(\d{2})")


class Outcome(NamedTuple):
    """After a confirmation: the session, the event that completed it, or why the card said no."""

    session: JsonDict
    completed_event: str | None = None
    refusal: str | None = None


@hosted_page.get("/c/pay/<session_id>")
def show(session_id: str) -> Response | str:
    with world().store.transaction() as db:
        session = _load(db, session_id)
        if session is None:
            return _not_found()
        sessions.expire_if_due(db, session)
        items = private_part(db, session_id)["line_items"]
    world().deliveries.wake()
    typed = dict.fromkeys(FIELDS, "") | {"email": session["customer_email"] or ""}
    return _page(session, items, typed, {})


@hosted_page.post("/c/pay/<session_id>")
def pay(session_id: str) -> Response | str | BaseResponse:
    typed = {field: request.form.get(field, "").strip()[:200] for field in FIELDS}
    payer, errors = read_form(typed, datetime.now(UTC))
    with world().store.transaction() as db:
        session = _load(db, session_id)
        if session is None:
            return _not_found()
        private = private_part(db, session_id)
        outcome = _confirm(db, session, private["payment_intent_data"], payer)
    world().deliveries.wake()
    if outcome.completed_event:
        world().deliveries.wait_for_answer(outcome.completed_event, HELD_AT_MOST_S)
        return redirect(merchant_url(session["success_url"], session_id), 303)
    if outcome.refusal:
        errors = {"card": outcome.refusal}
    return _page(outcome.session, private["line_items"], typed, errors)


def _load(db: sqlite3.Connection, session_id: str) -> JsonDict | None:
    try:
        return sessions.load(db, session_id)
    except ApiError:
        return None


def _confirm(
    db: sqlite3.Connection, session: JsonDict, data: Mapping[str, str], payer: Payer | None
) -> Outcome:
    """Under the store's lock: of two clicks the second finds the session complete."""
    sessions.expire_if_due(db, session)
    if session["status"] == "complete":
        return Outcome(session, events.latest_of(db, session["id"], "checkout.session.completed"))
    if session["status"] != "open" or payer is None:
        return Outcome(session)
    intent = payments.confirm(db, session, data, payer)
    if intent["status"] != "succeeded":
        sessions.keep_payment_intent(db, session, intent["id"])
        return Outcome(session, refusal=intent["last_payment_error"]["message"])
    completed = sessions.complete(db, session, intent["id"], payer)
    if _told_at_once(db):
        world().deliveries.expect(completed)
    return Outcome(session, completed)


def _told_at_once(db: sqlite3.Connection) -> bool:
    """Whether an answer can come soon: the customer is held for it, and only then."""
    switches = settings.current(db)
    return bool(switches["webhook_url"] and switches["deliver"] and not switches["webhook_delay_s"])


def merchant_url(template: str, session_id: str) -> str:
    return template.replace("{CHECKOUT_SESSION_ID}", session_id)


def read_form(typed: Mapping[str, str], now: datetime) -> tuple[Payer | None, dict[str, str]]:
    """The payer, or what is wrong with which field, in Stripe's words where it has some."""
    number = re.sub(r"[\s-]", "", typed["number"])
    expiry = _expiry(typed["expiration"])
    found = {
        "email": _email_error(typed["email"]),
        "number": _number_error(number),
        "expiration": _expiry_error(typed["expiration"], expiry, now),
        "cvc": _cvc_error(typed["cvc"]),
        "name": None if typed["name"] else "Enter the name on the card.",
    }
    errors = {field: error for field, error in found.items() if error}
    if errors or expiry is None:
        return None, errors
    year, month = expiry
    return Payer(typed["email"], typed["name"], cards.CARDS[number], month, year), {}


def _email_error(email: str) -> str | None:
    if not email:
        return "Enter your email."
    return None if checks.EMAIL.match(email) else "Your email is invalid."


def _number_error(number: str) -> str | None:
    if len(number) < 12 and re.fullmatch(r"\d*", number):
        return "Your card number is incomplete."
    if not re.fullmatch(r"[0-9]{12,19}", number) or not cards.passes_luhn(number):
        return "Your card number is invalid."
    if number in cards.NOT_YET:
        return "This test card is not supported yet by this stand-in for Stripe."
    if number not in cards.CARDS:
        return (
            "Your card was declined. Only Stripe's test cards work here;"
            " never type a real card's number into this page."
        )
    return None


def _expiry(typed: str) -> tuple[int, int] | None:
    """(year, month); a year of two digits is this century's."""
    match = EXPIRATION.fullmatch(typed)
    if match is None:
        return None
    month, year = int(match[1] or match[3]), int(match[2] or match[4])
    return (year + 2000 if year < 100 else year), month


def _expiry_error(typed: str, expiry: tuple[int, int] | None, now: datetime) -> str | None:
    if expiry is None:
        return (
            "Your card's expiration date is incomplete." if typed else "Enter the expiration date."
        )
    year, month = expiry
    if not 1 <= month <= 12 or year > now.year + 50:
        return "Your card's expiration date is invalid."
    if year < now.year:
        return "Your card's expiration year is in the past."
    return "Your card's expiration date is in the past." if expiry < (now.year, now.month) else None


def _cvc_error(cvc: str) -> str | None:
    return None if re.fullmatch(r"[0-9]{3,4}", cvc) else "Your card's security code is incomplete."


def _page(
    session: JsonDict, items: list[JsonDict], typed: Mapping[str, str], errors: Mapping[str, str]
) -> str:
    amount = money.format_amount(session["amount_total"], session["currency"])
    back = session["success_url" if session["status"] == "complete" else "cancel_url"]
    return render_template(
        "pay.html" if session["status"] == "open" else "closed.html",
        session=session,
        items=items,
        amount=amount,
        typed=typed,
        errors=errors,
        offered=cards.OFFERED,
        back=merchant_url(back, session["id"]) if back else None,
        next_year=f"{time.gmtime().tm_year % 100 + 8:02}",
    )


def _not_found() -> Response:
    return Response(render_template("no_session.html"), 404)
