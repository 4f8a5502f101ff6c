"""The page that shows a payment, for ever after its receipt, and the fragment of it that is polled.

The fragment is one query on one row, outside of any transaction, and never asks Stripe; from the
third poll on it may have a job ask.
"""

from collections.abc import Sequence
from uuid import UUID

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import bindparam, select

from payflow import checkout, limits, reconcile
from payflow.db import AnyRow, db, without_transaction
from payflow.facts.refunds import COUNTING, UNDER_WAY
from payflow.known import facts_of
from payflow.models import PAYMENTS, Refund
from payflow.payment_words import SHOWN, decline_words
from payflow.payments import can_be_paid
from payflow.status import CAPTURED, PAYABLE, amount_paid

bp = Blueprint("payments", __name__, url_prefix="/payments/<uuid:payment_id>")

READ = select(
    PAYMENTS.c.id,
    PAYMENTS.c.receipt_number,
    PAYMENTS.c.status,
    PAYMENTS.c.amount,
    PAYMENTS.c.currency,
    PAYMENTS.c.description,
    PAYMENTS.c.reference,
    PAYMENTS.c.email,
    PAYMENTS.c.paid_at,
    PAYMENTS.c.replaced_at,
    PAYMENTS.c.captured,
    PAYMENTS.c.refunded,
    PAYMENTS.c.dispute,
    PAYMENTS.c.last_decline,
    PAYMENTS.c.livemode,
).where(PAYMENTS.c.id == bindparam("payment_id"))

# What a dispute makes of a payment's page, by Stripe's status of it.
DISPUTED = {"lost": "reversed", "needs_response": "disputed", "under_review": "disputed"}

REFUNDED = ("refunded", "partially_refunded")

# Polls after which Stripe is asked, by a job.
PATIENCE = 3
# Polls after which the customer is told that it takes longer, and asked for less often.
LATE = 15
# Polls beyond which nothing changes any more; the address may say any number.
FOREVER = 1_000_000
# Seconds between polls, before and after that.
POLL_EVERY, LATE_POLL_EVERY = 2, 10
# The same of a payment that is on its way for days: polls that are made quickly, and the seconds
# between those and the later ones.
QUICK = 30
QUICK_EVERY, SLOW_EVERY = 10, 300
# Polls that the whole page loaded anew, as it is without JavaScript, counts for.
A_LOOK = LATE_POLL_EVERY // POLL_EVERY


@bp.get("")
def show(payment_id: UUID) -> ResponseReturnValue:
    return _render("payment.html", _find(payment_id))


@bp.get("/status")
def status(payment_id: UUID) -> ResponseReturnValue:
    return _render("payment_status.html", _find(payment_id))


@bp.get("/on-its-way")
def on_its_way(payment_id: UUID) -> ResponseReturnValue:
    """The poll of a payment that takes days: how to poll on, and once there is news, what the page
    says then. So what a customer reads, marks or has the focus on stays where nothing is new."""
    payment = _find(payment_id)
    if _state(payment, "", 0) == "processing":
        return render_template("payment_on_its_way.html", **_slow_poll(payment.id, _polls()))
    return _render("payment_status.html", payment), {"HX-Retarget": "#status"}


@bp.post("/retry")
def retry(payment_id: UUID) -> ResponseReturnValue:
    """To Stripe's page again, where the payment can still be paid."""
    _find(payment_id)
    limits.count_retry(payment_id)
    destination = checkout.proceed(payment_id)
    return redirect(destination.url or url_for(".show", payment_id=payment_id), 303)


def _render(template: str, payment: AnyRow) -> str:
    origin, polls = request.args.get("from", ""), _polls()
    refunds = _refunds_of(payment, whole=template == "payment.html" or "seen" in request.args)
    state, taken_back = _state(payment, origin, polls), 0
    if state == "reversed":
        state, taken_back = _reversed(payment)
    if state in REFUNDED and any(refund.status in UNDER_WAY for refund in refunds):
        state = "refunding"
    elif state in ("paid", "partially_refunded") and refunds and refunds[-1].status == "failed":
        # The last of them; another was made since, where it is not.
        state = "refund_failed"
    if state in ("waiting", "late") and polls >= PATIENCE:
        reconcile.check_for_page(payment.id)
    return render_template(
        template,
        payment=payment,
        amount=_amount_of(payment),
        state=state,
        shown=SHOWN[state],
        why=decline_words(payment.last_decline),
        refunds=refunds,
        taken_back=taken_back,
        can_be_paid=can_be_paid(payment),
        waits=state in ("waiting", "late"),
        origin=origin if origin in ("stripe", "back") else None,
        poll_every=LATE_POLL_EVERY if state == "late" else POLL_EVERY,
        next_poll=f"{url_for('.status', payment_id=payment.id)}?from=stripe&polls={polls + 1}",
        next_look=f"{url_for('.show', payment_id=payment.id)}?from=stripe&polls={polls + A_LOOK}",
        look_every=LATE_POLL_EVERY,
        **_slow_poll(payment.id),
    )


def _polls() -> int:
    """How often the page has asked so far."""
    return min(request.args.get("polls", 0, type=int), FOREVER)


def _slow_poll(payment_id: UUID, polls: int = 0) -> dict[str, object]:
    """When and where a payment that is on its way is asked for next."""
    return {
        "slow_poll": url_for(".on_its_way", payment_id=payment_id, polls=polls + 1),
        "slow_poll_every": QUICK_EVERY if polls < QUICK else SLOW_EVERY,
    }


def _state(payment: AnyRow, origin: str, polls: int) -> str:
    """What the page says, a key of SHOWN: the status, or a dispute beside it; and before Stripe
    has told us, where the customer comes from, which only the address tells."""
    if payment.status not in PAYABLE:
        return DISPUTED.get(payment.dispute, str(payment.status))
    if payment.status in ("created", "open") and origin == "stripe":
        return "late" if polls >= LATE else "waiting"
    if payment.replaced_at:
        return "replaced"
    if payment.last_decline and payment.status in ("open", "expired"):
        return "declined"
    if payment.status not in ("created", "open"):
        return str(payment.status)
    return "back" if origin == "back" else "unpaid"


def _amount_of(payment: AnyRow) -> int:
    """What was paid, else what was asked for."""
    if payment.status not in CAPTURED:
        return int(payment.amount)
    due = payment.amount
    if payment.captured > due:
        # Paid twice, or the operator has accepted more: which of the two, its attempts say.
        due = facts_of(payment.id).due(due)
    return amount_paid(due, payment.captured)


def _reversed(payment: AnyRow) -> tuple[str, int]:
    """Of a payment with a lost dispute: what the page says of it, and how much the bank has taken
    back (minor units), which may be a part of it, or one of two payments for the same thing."""
    known = facts_of(payment.id)
    taken_back = known.taken_back()
    if taken_back >= payment.captured - payment.refunded:
        return "reversed", taken_back
    others = {DISPUTED.get(dispute.status) for dispute in known.disputes.values()}
    return ("disputed" if "disputed" in others else str(payment.status)), taken_back


def _refunds_of(payment: AnyRow, *, whole: bool) -> Sequence[Refund]:
    """What was or is to be refunded, and what did not arrive. A poll, which is to be cheap, asks
    only where the payment's row says that there is some; it ends where nothing is new."""
    if not payment.refunded and not (whole and payment.captured):
        return ()
    return db.session.scalars(
        select(Refund)
        .where(Refund.payment_id == payment.id, Refund.status.in_({*COUNTING, "failed"}))
        .order_by(Refund.told_at)
    ).all()


def _find(payment_id: UUID) -> AnyRow:
    with without_transaction(db.engine).connect() as connection:
        payment = connection.execute(READ, {"payment_id": payment_id}).one_or_none()
    return payment or abort(404)
