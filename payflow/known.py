"""What is known of a payment: its rows, read as facts and stored again.

Core statements instead of objects, and made once: this is the webhook's way, and the ORM's unit of
work, or building a statement anew, costs it half of its speed (`make bench`). Nothing here commits;
what is stored is for record.py to decide.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Text, bindparam, func, insert, or_, select, update

from payflow import clock, letters
from payflow.db import AnyRow, db
from payflow.facts.attempts import AttemptFacts
from payflow.facts.disputes import DisputeFacts
from payflow.facts.objects import INTENT, id_of
from payflow.facts.refunds import RefundFacts
from payflow.facts.tellings import OwnFact, Telling, kind_of
from payflow.models import ATTEMPTS, DISPUTES, EVENTS, PAYMENTS, REFUNDS
from payflow.status import Standing, attempt_status, due_of, standing_of


class UnknownPayment(LookupError):
    """Facts name a payment, an attempt, or a PaymentIntent that we don't have."""


@dataclass(frozen=True)
class Known:
    """All that is known of a payment. A refund that Stripe has said nothing of yet is None."""

    attempts: Mapping[UUID, AttemptFacts]
    refunds: Mapping[UUID, RefundFacts | None]
    disputes: Mapping[str, DisputeFacts]

    def told_refunds(self) -> list[RefundFacts]:
        return [refund for refund in self.refunds.values() if refund]

    def standing(self, amount: int) -> Standing:
        """What it comes to, for a payment of so much (minor units)."""
        refunds = [refund for refund in self.told_refunds() if self.counts(refund)]
        return standing_of(amount, self.attempts.values(), refunds, self.disputes.values())

    def counts(self, stripes: RefundFacts | DisputeFacts) -> bool:
        """Whether it is of money that counts: what went back of other money, as of a payment in
        review, is not gone of that."""
        return attempt_status(self.attempts[self.attempt_of(stripes)]) == "paid"

    def taken_back(self) -> int:
        """What the customer's bank has taken back for good, of money that counts (minor units)."""
        lost = [one for one in self.disputes.values() if one.status == "lost"]
        return sum(dispute.amount for dispute in lost if self.counts(dispute))

    def due(self, amount: int) -> int:
        """What is to be kept of a payment of so much (minor units)."""
        return due_of(amount, self.attempts.values())

    def owed(self, amount: int, standing: Standing) -> frozenset[letters.Owed]:
        """The letters that it calls for."""
        return letters.owed(
            self.due(amount),
            standing,
            self.attempts,
            self.told_refunds(),
            self.disputes.values(),
        )

    def attempt_of(self, stripes: RefundFacts | DisputeFacts) -> UUID:
        """The attempt whose money a refund or dispute is about. Raises UnknownPayment."""
        for attempt_id, attempt in self.attempts.items():
            intents = {attempt.payment_intent_id, *attempt.other_intents}
            if stripes.payment_intent_id in intents - {None} or (
                not stripes.payment_intent_id
                and stripes.charge_id
                and stripes.charge_id == attempt.charge_id
            ):
                return attempt_id
        raise UnknownPayment(f"PaymentIntent {stripes.payment_intent_id}, {stripes.charge_id}")


def facts_of(payment_id: UUID) -> Known:
    """What is known of a payment, without a lock: to look at. Raises UnknownPayment."""
    payment = db.session.execute(READ, {"payment_id": payment_id}).one_or_none()
    if payment is None:
        raise UnknownPayment(f"payment {payment_id}")
    return read_known(payment, [])[0]


# --- reading ---------------------------------------------------------------------------------

READ = select(
    PAYMENTS.c.id,
    PAYMENTS.c.receipt_number,
    PAYMENTS.c.created_at,
    PAYMENTS.c.amount,
    PAYMENTS.c.currency,
    PAYMENTS.c.livemode,
    PAYMENTS.c.email,
    PAYMENTS.c.status,
    PAYMENTS.c.captured,
    PAYMENTS.c.refunded,
    PAYMENTS.c.paid_at,
    PAYMENTS.c.dispute,
    PAYMENTS.c.last_decline,
    PAYMENTS.c.found_by_sweep_at,
    PAYMENTS.c.next_check_at,
).where(PAYMENTS.c.id == bindparam("payment_id"))
# NO KEY UPDATE: a plain FOR UPDATE deadlocks with the foreign key of another event's insert.
LOCK = READ.with_for_update(key_share=True)

ATTEMPT_COLUMNS = (
    ATTEMPTS.c.session_id,
    ATTEMPTS.c.other_sessions,
    ATTEMPTS.c.session_url,
    ATTEMPTS.c.session_status,
    ATTEMPTS.c.session_payment_status,
    ATTEMPTS.c.payment_intent_id,
    ATTEMPTS.c.intent_confirmed,
    ATTEMPTS.c.other_intents,
    ATTEMPTS.c.charge_id,
    ATTEMPTS.c.received,
    ATTEMPTS.c.paid_at,
    ATTEMPTS.c.delayed_failure,
    ATTEMPTS.c.declined_at,
    ATTEMPTS.c.decline,
    ATTEMPTS.c.claims,
    ATTEMPTS.c.confirmed_at,
    ATTEMPTS.c.accepted,
    ATTEMPTS.c.canceled_at,
    ATTEMPTS.c.abandoned_at,
)


def _any_of(table: Any) -> Any:
    return select(table.c.payment_id).where(table.c.payment_id == bindparam("payment_id")).exists()


# One statement for all that most payments have: their attempts; whether there is more to read; and
# events that wait for a PaymentIntent or charge named in the tellings.
KNOWN = (
    select(
        ATTEMPTS.c.id,
        *ATTEMPT_COLUMNS,
        _any_of(REFUNDS).label("has_refunds"),
        _any_of(DISPUTES).label("has_disputes"),
        func.array(
            select(EVENTS.c.id)
            .where(
                EVENTS.c.outcome == "unmatched",
                or_(
                    EVENTS.c.payment_intent_id == func.any(bindparam("named", type_=ARRAY(Text))),
                    EVENTS.c.charge_id == func.any(bindparam("named", type_=ARRAY(Text))),
                ),
            )
            .scalar_subquery(),
            type_=ARRAY(Text),
        ).label("unmatched"),
    )
    .where(ATTEMPTS.c.payment_id == bindparam("payment_id"))
    .order_by(ATTEMPTS.c.number)
)
REFUNDS_OF = (
    select(REFUNDS, ATTEMPTS.c.payment_intent_id)
    .join(ATTEMPTS, ATTEMPTS.c.id == REFUNDS.c.attempt_id)
    .where(REFUNDS.c.payment_id == bindparam("payment_id"), REFUNDS.c.refusal.is_(None))
)
DISPUTES_OF = (
    select(DISPUTES, ATTEMPTS.c.payment_intent_id)
    .join(ATTEMPTS, ATTEMPTS.c.id == DISPUTES.c.attempt_id)
    .where(DISPUTES.c.payment_id == bindparam("payment_id"))
)


def lock_row(payment_id: UUID) -> AnyRow:
    """The payment's row, locked to the end of the transaction. Raises UnknownPayment."""
    row = db.session.execute(LOCK, {"payment_id": payment_id}).one_or_none()
    if row is None:
        raise UnknownPayment(f"payment {payment_id}")
    return row


def read_known(
    payment: AnyRow, tellings: Iterable[Telling | OwnFact]
) -> tuple[Known, Sequence[str]]:
    """What is known, and the events that wait for what the tellings name."""
    identity = {"payment_id": payment.id}
    named = sorted(name for telling in tellings for name in _names(telling))
    rows = db.session.execute(KNOWN, identity | {"named": named}).all()
    first = rows[0] if rows else None
    known = Known(
        attempts={row.id: _attempt_of(row) for row in rows},
        refunds={row.id: _refund_of(row) for row in db.session.execute(REFUNDS_OF, identity)}
        if first and first.has_refunds
        else {},
        disputes={
            row.dispute_id: _dispute_of(row) for row in db.session.execute(DISPUTES_OF, identity)
        }
        if first and first.has_disputes
        else {},
    )
    return known, first.unmatched if first else ()


def _names(telling: Telling | OwnFact) -> Iterable[str]:
    """The PaymentIntent and charge that a session's or PaymentIntent's telling names."""
    if isinstance(telling, OwnFact) or telling.attempt_id is None:
        return ()
    intent = telling.object.get("payment_intent")
    if kind_of(telling.object) == INTENT:
        intent = telling.object
    charge = intent.get("latest_charge") if isinstance(intent, Mapping) else None
    return filter(None, (id_of(intent), id_of(charge)))


def _attempt_of(row: AnyRow) -> AttemptFacts:
    return AttemptFacts(
        session_id=row.session_id,
        other_sessions=frozenset(row.other_sessions),
        url=row.session_url,
        status=row.session_status,
        payment_status=row.session_payment_status,
        payment_intent_id=row.payment_intent_id,
        intent_confirmed=row.intent_confirmed,
        other_intents=frozenset(row.other_intents),
        charge_id=row.charge_id,
        received=row.received,
        paid_at=row.paid_at,
        delayed_failure=row.delayed_failure,
        declined_at=row.declined_at,
        decline=row.decline,
        claims={c: datetime.fromtimestamp(at, UTC) for c, at in row.claims.items()},
        confirmed_at=row.confirmed_at,
        accepted=frozenset(row.accepted),
        canceled_at=row.canceled_at,
        abandoned_at=row.abandoned_at,
    )


def _refund_of(row: AnyRow) -> RefundFacts | None:
    if row.refund_id is None:
        return None
    return RefundFacts(
        refund_id=row.refund_id,
        amount=row.amount,
        currency=row.currency,
        status=row.status,
        told_at=row.told_at,
        failure_reason=row.failure_reason,
        payment_intent_id=row.payment_intent_id,
    )


def _dispute_of(row: AnyRow) -> DisputeFacts:
    return DisputeFacts(
        dispute_id=row.dispute_id,
        amount=row.amount,
        currency=row.currency,
        reason=row.reason,
        status=row.status,
        told_at=row.told_at,
        due_by=row.due_by,
        balance_count=row.balance_count,
        withdrawn=row.withdrawn,
        payment_intent_id=row.payment_intent_id,
    )


def stored_standing(payment: AnyRow) -> Standing:
    """Where the payment stood when it was last recorded."""
    return Standing(
        status=payment.status,
        captured=payment.captured,
        refunded=payment.refunded,
        paid_at=payment.paid_at,
        dispute=payment.dispute,
        last_decline=payment.last_decline,
    )


# --- storing ---------------------------------------------------------------------------------

STORE_ATTEMPT = update(ATTEMPTS).where(ATTEMPTS.c.id == bindparam("attempt_id"))
STORE_PAYMENT = update(PAYMENTS).where(PAYMENTS.c.id == bindparam("payment_id"))


def store(payment: AnyRow, known: Known, told: Known) -> None:
    """Write down what is told now, where it is not what was known before."""
    for attempt_id, attempt in told.attempts.items():
        if attempt != known.attempts[attempt_id]:
            db.session.execute(STORE_ATTEMPT, _attempt_row(attempt_id, attempt))
    for row_id, refund in told.refunds.items():
        if refund and row_id not in known.refunds:
            new = {"id": row_id, "attempt_id": told.attempt_of(refund), "created_at": clock.now()}
            db.session.execute(insert(REFUNDS), _refund_row(payment, refund) | new)
        elif refund and refund != known.refunds[row_id]:
            same = REFUNDS.c.id == row_id
            db.session.execute(update(REFUNDS).where(same), _refund_row(payment, refund))
    for dispute_id, dispute in told.disputes.items():
        if dispute_id not in known.disputes:
            of = {"attempt_id": told.attempt_of(dispute)}
            db.session.execute(insert(DISPUTES), _dispute_row(payment, dispute) | of)
        elif dispute != known.disputes[dispute_id]:
            same = DISPUTES.c.dispute_id == dispute_id
            db.session.execute(update(DISPUTES).where(same), _dispute_row(payment, dispute))


def _attempt_row(attempt_id: UUID, facts: AttemptFacts) -> dict[str, Any]:
    return {
        "attempt_id": attempt_id,
        "session_id": facts.session_id,
        "other_sessions": sorted(facts.other_sessions),
        "session_url": facts.url,
        "session_status": facts.status,
        "session_payment_status": facts.payment_status,
        "payment_intent_id": facts.payment_intent_id,
        "intent_confirmed": facts.intent_confirmed,
        "other_intents": sorted(facts.other_intents),
        "charge_id": facts.charge_id,
        "received": facts.received,
        "paid_at": facts.paid_at,
        "delayed_failure": facts.delayed_failure,
        "declined_at": facts.declined_at,
        "decline": facts.decline,
        "claims": {claim: int(at.timestamp()) for claim, at in facts.claims.items()},
        "confirmed_at": facts.confirmed_at,
        "accepted": sorted(facts.accepted),
        "canceled_at": facts.canceled_at,
        "abandoned_at": facts.abandoned_at,
        "disagreements": list(facts.disagreements),
    }


def _refund_row(payment: AnyRow, facts: RefundFacts) -> dict[str, Any]:
    return {
        "payment_id": payment.id,
        "refund_id": facts.refund_id,
        "amount": facts.amount,
        "currency": facts.currency,
        "status": facts.status,
        "told_at": facts.told_at,
        "failure_reason": facts.failure_reason,
    }


def _dispute_row(payment: AnyRow, facts: DisputeFacts) -> dict[str, Any]:
    return {
        "payment_id": payment.id,
        "dispute_id": facts.dispute_id,
        "amount": facts.amount,
        "currency": facts.currency,
        "reason": facts.reason,
        "status": facts.status,
        "told_at": facts.told_at,
        "due_by": facts.due_by,
        "balance_count": facts.balance_count,
        "withdrawn": facts.withdrawn,
    }
