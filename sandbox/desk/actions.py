"""``/_sandbox``, the desk: what happens outside of the API, by a person's hand or by time.

For programs, as JSON; what it made is the answer, a refusal is ``{"error": sentence}`` with 400 or
404. Pages put buttons on the same functions.

    GET  /_sandbox/clock                  {"now", "offset_s", "to_come": [{"at", "action", "of"}]}
    POST /_sandbox/clock                  {"advance_s": n} or {"to": unix}: forward only
    POST /_sandbox/refunds                {"charge" or "payment_intent", "amount"?, "reason"?,
                                          "metadata"?}: refund in the Dashboard
    POST /_sandbox/refunds/<id>           {"status": "succeeded" or "failed" or "canceled",
                                          "failure_reason"?}: what the bank or the customer did
    POST /_sandbox/disputes               {"charge" or "payment_intent", "reason"?, "inquiry"?,
                                          "amount"?}: the customer's bank opens a dispute
    POST /_sandbox/disputes/<id>          {"outcome": "won", "lost", "escalated" (an inquiry becomes
                                          a chargeback) or "reversed" (lost, and won after all)}
    POST /_sandbox/early_fraud_warnings   {"charge" or "payment_intent"}

    move_clock, refund, settle_refund, dispute, decide_dispute, warn: the same, as functions of a
    database and such a JSON object.
    statuses_after, outcomes_of: what settle_refund and decide_dispute would take.
"""

import json
import sqlite3
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request

from sandbox import clock, later
from sandbox.later import BadMove
from sandbox.objects import dispute_shapes, disputes, refunds
from sandbox.protocol.errors import ApiError
from sandbox.protocol.ids import new_id
from sandbox.store import JsonDict
from sandbox.world import world

actions = Blueprint("actions", __name__, url_prefix="/_sandbox")

Deed = Callable[[sqlite3.Connection, JsonDict], JsonDict]

REASONS = tuple(dispute_shapes.REASON_CODES)
# https://docs.stripe.com/api/refunds/object#refund_object-failure_reason
FAILURES = (
    "charge_for_pending_refund_disputed",
    "declined",
    "expired_or_canceled_card",
    "insufficient_funds",
    "lost_or_stolen_card",
    "merchant_request",
    "unknown",
)


def _refusal(sentence: str, status: int = 400, param: str | None = None) -> ApiError:
    return ApiError(status, sentence, param=param)


def _only(wanted: JsonDict, *fields: str) -> JsonDict:
    """What was sent without its nulls; a field that means nothing here is refused."""
    for field in wanted:
        if field not in fields:
            raise _refusal(
                f"There is no field {field!r}; there are {', '.join(fields)}.", param=field
            )
    return {field: value for field, value in wanted.items() if value is not None}


def move_clock(db: sqlite3.Connection, wanted: JsonDict) -> JsonDict:
    number = wanted.get("advance_s", wanted.get("to"))
    good = isinstance(number, int | float) and not isinstance(number, bool)
    if len(wanted) != 1 or not {"advance_s", "to"} & set(wanted) or not good:
        raise _refusal('Send {"advance_s": seconds} or {"to": seconds since 1970}.')
    assert isinstance(number, int | float)
    try:
        move = later.advance if "advance_s" in wanted else later.move_to
        done = move(db, number)
    except BadMove as error:
        raise _refusal(str(error)) from None
    return show_clock(db) | {"done": done}


def show_clock(db: sqlite3.Connection) -> JsonDict:
    return {
        "now": clock.now(),
        "offset_s": clock.offset(),
        "to_come": [
            {"at": row["due_at"], "action": row["action"], "of": row["object_id"]}
            for row in later.pending(db)
        ],
    }


def refund(db: sqlite3.Connection, wanted: JsonDict) -> JsonDict:
    clean = _only(wanted, "charge", "payment_intent", "amount", "reason", "metadata")
    return refunds.create(db, _as_sent(clean), _by_hand())


def _as_sent(wanted: JsonDict) -> JsonDict:
    """The API's checkers judge text, as forms carry it."""
    return {
        name: value if isinstance(value, dict) else str(value) for name, value in wanted.items()
    }


def _by_hand() -> dict[str, str | None]:
    """A click in the Dashboard is a request as well, without a key of ours."""
    return {"id": new_id("req"), "idempotency_key": None}


def settle_refund(db: sqlite3.Connection, refund_id: str, wanted: JsonDict) -> JsonDict:
    found = refunds.load(db, refund_id)
    clean = _only(wanted, "status", "failure_reason")
    status = _one_of(clean, "status", statuses_after(found), f"A refund that is {found['status']}")
    if status == "succeeded":
        refunds.succeed(db, found)
    elif status == "failed":
        reason = clean.get("failure_reason", "expired_or_canceled_card")
        if reason not in FAILURES:
            listed = ", ".join(FAILURES)
            raise _refusal(f"failure_reason must be one of {listed}.", param="failure_reason")
        refunds.fail(db, found, reason)
    else:
        return refunds.cancel(db, refund_id, _by_hand())
    return found


def statuses_after(refund: JsonDict) -> list[str]:
    """What a person at the desk can make of a refund now."""
    if refund["status"] in ("pending", "requires_action"):
        return ["succeeded", "failed", "canceled"]
    return ["failed"] if refund["status"] == "succeeded" else []


def _one_of(wanted: JsonDict, field: str, possible: list[str], what: str) -> str:
    if wanted.get(field) in possible:
        return str(wanted[field])
    if possible:
        raise _refusal(
            f"{what} can become {', '.join(possible)}: send one as {field}.", param=field
        )
    raise _refusal(f"{what} stays so: there is no other {field} for it.", param=field)


def dispute(db: sqlite3.Connection, wanted: JsonDict) -> JsonDict:
    wanted = _only(wanted, "charge", "payment_intent", "reason", "inquiry", "amount")
    inquiry = wanted.get("inquiry", False)
    if not isinstance(inquiry, bool):
        raise _refusal("inquiry must be true or false.", param="inquiry")
    reason = wanted.get("reason", "general" if inquiry else "fraudulent")
    if reason not in REASONS:
        raise _refusal(f"reason must be one of {', '.join(REASONS)}.", param="reason")
    charge = _paid_charge(db, wanted)
    amount = wanted.get("amount", charge["amount"])
    if (
        isinstance(amount, bool)
        or not isinstance(amount, int)
        or not 0 < amount <= charge["amount"]
    ):
        raise _refusal("amount must be a whole number of minor units, at most the charge's.")
    if any(one["status"] in disputes.OPEN for one in disputes.of_charge(db, charge["id"])):
        raise _refusal(f"Charge {charge['id']} is being disputed already.")
    if any(one["status"] == "lost" for one in disputes.of_charge(db, charge["id"])):
        raise _refusal(f"The money of charge {charge['id']} was lost to a dispute already.")
    return disputes.open_dispute(db, charge, reason, inquiry=inquiry, amount=wanted.get("amount"))


def warn(db: sqlite3.Connection, wanted: JsonDict) -> JsonDict:
    return disputes.warn(db, _paid_charge(db, _only(wanted, "charge", "payment_intent")))


def _paid_charge(db: sqlite3.Connection, wanted: JsonDict) -> JsonDict:
    for name in ("charge", "payment_intent"):
        if not isinstance(wanted.get(name, ""), str):
            raise _refusal(f"{name} must be an id.", param=name)
    charge = refunds.charge_of(db, wanted)
    if not charge["paid"]:
        raise _refusal(f"Charge {charge['id']} was never paid.")
    return charge


def decide_dispute(db: sqlite3.Connection, dispute_id: str, wanted: JsonDict) -> JsonDict:
    found = disputes.load(db, dispute_id)
    what = f"A dispute that is {found['status']}"
    outcome = _one_of(_only(wanted, "outcome"), "outcome", outcomes_of(found), what)
    OUTCOMES[outcome](db, found)
    return found


OUTCOMES = {
    "won": disputes.win,
    "lost": disputes.lose,
    "escalated": disputes.escalate,
    "reversed": disputes.reverse,
}


def outcomes_of(dispute: JsonDict) -> list[str]:
    """How a person at the desk can let a dispute go on from here."""
    if dispute["status"] == "lost":
        return ["reversed"]
    if dispute["status"] not in disputes.OPEN:
        return []
    inquiry = dispute_shapes.is_inquiry(dispute)
    return ["won", "lost", "escalated"] if inquiry else ["won", "lost"]


def answer_dispute(db: sqlite3.Connection, dispute_id: str, text: str) -> JsonDict:
    """Evidence submitted in the Dashboard."""
    evidence = {"evidence": {"uncategorized_text": text}, "submit": "true"}
    return disputes.update(db, dispute_id, evidence, _by_hand())


def _do(deed: Deed) -> Response:
    wanted: Any = request.get_json(silent=True)  # None for another content type, no browser form's
    if not isinstance(wanted, dict):
        raise _refusal("Send a JSON object, with the header Content-Type: application/json.")
    with world().store.transaction() as db:
        made = deed(db, wanted)
    return _json(made)


def _json(body: Any, status: int = 200) -> Response:
    return Response(json.dumps(body, indent=2) + "\n", status, content_type="application/json")


@actions.errorhandler(ApiError)
def _refused(error: ApiError) -> Response:
    return _json({"error": error.message}, error.status)


@actions.get("/clock")
def get_clock() -> Response:
    with world().store.reading() as db:
        return _json(show_clock(db))


@actions.post("/clock")
def post_clock() -> Response:
    return _do(move_clock)


@actions.post("/refunds")
def post_refund() -> Response:
    return _do(refund)


@actions.post("/refunds/<refund_id>")
def post_refund_status(refund_id: str) -> Response:
    return _do(lambda db, wanted: settle_refund(db, refund_id, wanted))


@actions.post("/disputes")
def post_dispute() -> Response:
    return _do(dispute)


@actions.post("/disputes/<dispute_id>")
def post_dispute_outcome(dispute_id: str) -> Response:
    return _do(lambda db, wanted: decide_dispute(db, dispute_id, wanted))


@actions.post("/early_fraud_warnings")
def post_warning() -> Response:
    return _do(warn)
