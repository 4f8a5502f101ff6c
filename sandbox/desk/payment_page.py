"""A payment's page at the desk: all that Stripe knows of it, and what can be done to it by hand."""

import json
import re
import sqlite3
from collections.abc import Callable
from decimal import Decimal

from flask import Blueprint, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from sandbox.desk import actions, notes, pages
from sandbox.objects import balance, bank_debits, cards, disputes, sessions
from sandbox.protocol import money
from sandbox.protocol.errors import ApiError
from sandbox.store import JsonDict, find_object, objects_of, private_part
from sandbox.world import world

payment_page = Blueprint("payment_page", __name__, url_prefix="/payments/<session_id>")

Deed = Callable[[sqlite3.Connection, JsonDict], object]

AMOUNT = re.compile(r"[0-9]{1,12}([.,][0-9]{1,6})?")

# What decides a dispute in Stripe's test mode, https://docs.stripe.com/testing#evidence; any other
# text leaves it under review.
EVIDENCE = {
    "winning_evidence": "Winning evidence",
    "losing_evidence": "Losing evidence",
    "other": "Other evidence",
}
OF_AN_INQUIRY = {"escalate_inquiry_evidence": "Evidence that makes it a chargeback"}


@payment_page.get("")
def show(session_id: str) -> str:
    with world().store.transaction() as db:
        session = pages.with_payment(db, _session(db, session_id))
        intent_id = session["payment_intent"] or ""
        charges, refunds, opened = (
            objects_of(db, kind, "payment_intent", intent_id)
            for kind in ("charge", "refund", "dispute")
        )
        ids = [item["id"] for item in charges + refunds + opened]
        return render_template(
            "payment.html",
            session=session,
            charges=[item | _means(db, item) for item in charges],
            refunds=[item | {"next": actions.statuses_after(item)} for item in refunds],
            disputes=[_with_ways_on(item) for item in opened],
            transactions=_transactions(db, ids),
            events=pages.events_about(db, [session_id, intent_id, *ids]),
            reasons=actions.REASONS,
            note=notes.of_this_page(),
            **_possible(charges, opened),
        )


def _session(db: sqlite3.Connection, session_id: str) -> JsonDict:
    session = find_object(db, session_id, sessions.KIND)
    if session is None:
        abort(404)
    return session


def _means(db: sqlite3.Connection, charge: JsonDict) -> JsonDict:
    """What was paid with, and what the test card or account is there for if that is not to pay."""
    number = private_part(db, charge["id"]).get("number", "")
    known = cards.CARDS.get(number) or bank_debits.ACCOUNTS.get(number)
    details = charge["payment_method_details"]
    if details["type"] == "card":
        means = f"{cards.BRANDS[details['card']['brand']]} •••• {details['card']['last4']}"
    else:
        means = f"SEPA debit •••• {details['sepa_debit']['last4']}"
    plain = known is None or known in cards.GROUPS["Paid"]
    return {"means": means, "story": "" if plain or known is None else known.title}


def _with_ways_on(dispute: JsonDict) -> JsonDict:
    inquiry = dispute["status"].startswith("warning_")
    answerable = dispute["status"] in disputes.ANSWERABLE
    evidence = EVIDENCE | (OF_AN_INQUIRY if inquiry else {}) if answerable else {}
    return dispute | {
        "inquiry": inquiry,
        "evidence_choices": evidence,
        "next": actions.outcomes_of(dispute),
    }


def _possible(charges: list[JsonDict], opened: list[JsonDict]) -> JsonDict:
    """Which panels the page offers: a button that can only be refused is none."""
    paid = next((charge for charge in charges if charge["paid"]), None)
    if paid is None:
        return {"left": 0, "disputable": False, "asks_first": False}
    refundable = all(dispute["is_charge_refundable"] for dispute in opened)
    return {
        "left": paid["amount"] - paid["amount_refunded"] if refundable else 0,
        "disputable": all(dispute["status"] == "warning_closed" for dispute in opened),
        # The bank of a debit neither asks nor warns.
        "asks_first": paid["payment_method_details"]["type"] == "card",
    }


def _transactions(db: sqlite3.Connection, sources: list[str]) -> list[JsonDict]:
    """What moved on the balance, oldest first."""
    marks = ", ".join("?" * len(sources))
    rows = db.execute(
        "SELECT body FROM objects WHERE object = ?"
        f" AND json_extract(body, '$.source') IN ({marks}) ORDER BY seq",
        (balance.KIND, *sources),
    ).fetchall()
    return [json.loads(row["body"]) for row in rows]


@payment_page.post("/refund")
def refund(session_id: str) -> BaseResponse:
    def deed(db: sqlite3.Connection, session: JsonDict) -> None:
        typed = request.form.get("amount", "").strip()
        amount = _minor_units(typed, session["currency"]) if typed else None
        actions.refund(db, {"payment_intent": session["payment_intent"], "amount": amount})

    return _do(session_id, deed)


@payment_page.post("/dispute")
def dispute(session_id: str) -> BaseResponse:
    def deed(db: sqlite3.Connection, session: JsonDict) -> None:
        wanted = {"payment_intent": session["payment_intent"]}
        if request.form.get("as") == "warning":
            actions.warn(db, wanted)
            return
        inquiry = request.form.get("as") == "inquiry"
        reason = request.form.get("reason")
        actions.dispute(db, wanted | {"inquiry": inquiry, "reason": reason})

    return _do(session_id, deed)


@payment_page.post("/refunds/<refund_id>")
def settle_refund(session_id: str, refund_id: str) -> BaseResponse:
    wanted = {"status": request.form.get("status")}
    return _do(session_id, lambda db, _: actions.settle_refund(db, refund_id, wanted))


@payment_page.post("/disputes/<dispute_id>")
def decide_dispute(session_id: str, dispute_id: str) -> BaseResponse:
    wanted = {"outcome": request.form.get("outcome")}
    return _do(session_id, lambda db, _: actions.decide_dispute(db, dispute_id, wanted))


@payment_page.post("/disputes/<dispute_id>/evidence")
def answer_dispute(session_id: str, dispute_id: str) -> BaseResponse:
    text = request.form.get("evidence", "").strip()
    if text not in EVIDENCE | OF_AN_INQUIRY or text == "other":
        text = "Submitted at the stand-in's desk."
    return _do(session_id, lambda db, _: actions.answer_dispute(db, dispute_id, text))


def _minor_units(typed: str, currency: str) -> int:
    """Major units as a person types them; raises :class:`ApiError`."""
    if AMOUNT.fullmatch(typed):
        exact = Decimal(typed.replace(",", ".")).scaleb(money.decimals(currency))
        if exact == int(exact):
            return int(exact)
    raise ApiError(400, f"{typed[:40]} is no amount of {currency.upper()}.", param="amount")


def _do(session_id: str, deed: Deed) -> BaseResponse:
    """A refusal is told on the payment's page."""
    note = None
    try:
        with world().store.transaction() as db:
            deed(db, _session(db, session_id))
    except ApiError as error:
        note = notes.keep(notes.Note("payment", error.message, refused=True))
    return redirect(url_for("payment_page.show", session_id=session_id, note=note), 303)
