"""Stripe's truth of one payment over all its attempts: a small model, pure and in whole seconds.

`possible()` lists what can happen at Stripe next: the customer pays, the bank refuses, a refund
fails. Each step changes Stripe's objects and appends the events that Stripe would send, twins
included, with the objects as they were at that moment. `retrieved()` tells an object as an answer
of Stripe's API does, at any moment. Shapes are Stripe's as far as payflow reads them.

What payflow should make of all this is no business of this module: see expected.py.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Object = dict[str, Any]

# As often as a history may begin something anew.
MOST_DECLINES, MOST_REFUNDS, MOST_DISPUTES = 2, 3, 2

DECLINES = ("lost_card", "insufficient_funds", "generic_decline")
REFUND_STEPS = {
    "pending": ("succeeded", "failed", "requires_action"),
    "requires_action": ("succeeded", "canceled", "failed", "pending"),
    "succeeded": ("failed",),
}
DISPUTE_STEPS = {
    "warning_needs_response": ("warning_under_review", "warning_closed", "needs_response"),
    "warning_under_review": ("warning_closed", "needs_response"),
    "needs_response": ("under_review", "lost", "won"),
    "under_review": ("lost", "won"),
    "lost": ("won",),
}


class Step(NamedTuple):
    """Something that can happen at Stripe now."""

    words: str
    happen: Callable[[], None]


@dataclass
class Stripe:
    """One payment at Stripe. `key` keeps its ids apart from those of other histories."""

    key: str
    payment_id: str
    amount: int
    currency: str
    now: int
    sessions: dict[str, Object] = field(default_factory=dict)
    intents: dict[str, Object] = field(default_factory=dict)
    charges: dict[str, Object] = field(default_factory=dict)
    refunds: dict[str, Object] = field(default_factory=dict)
    disputes: dict[str, Object] = field(default_factory=dict)
    events: list[Object] = field(default_factory=list)
    # Idempotency key → the refund that was made under it.
    kept: dict[str, Object] = field(default_factory=dict)
    _numbered: int = 0

    # --- what can happen ---------------------------------------------------------------------

    def possible(self) -> list[Step]:
        """All that can happen next, the plain first."""
        return [
            *(step for one in self.sessions.values() for step in self._of_session(one)),
            *(step for one in self.charges.values() for step in self._of_charge(one)),
            *(step for one in self.refunds.values() for step in self._of_refund(one)),
            *(step for one in self.disputes.values() for step in self._of_dispute(one)),
        ]

    def _of_session(self, session: Object) -> Iterator[Step]:
        of = session["id"]
        if session["status"] == "open":
            yield Step(f"{of} is paid by card", lambda: self.pay(session))
            yield Step(f"{of} is to be paid by a debit", lambda: self.debit(session))
            yield Step(f"{of} expires", lambda: self.expire(session))
            if self._may_be_declined(session):
                code = DECLINES[len(self.charges) % len(DECLINES)]
                yield Step(f"{of} is declined: {code}", lambda: self.decline(session, code))
            yield Step(f"{of} asks for 3-D Secure", lambda: self.authenticate(session))
        elif session["payment_status"] == "unpaid" and self._intent(session, "processing"):
            yield Step(f"{of}: the bank pays the debit", lambda: self.bank_pays(session))
            yield Step(f"{of}: the bank refuses the debit", lambda: self.bank_refuses(session))

    def _may_be_declined(self, session: Object) -> bool:
        failed = [
            c for c in self.charges.values() if c["payment_intent"] == session["payment_intent"]
        ]
        return len(failed) < MOST_DECLINES

    def _of_charge(self, charge: Object) -> Iterator[Step]:
        if charge["status"] != "succeeded":
            return
        left = self.left_of(charge)
        if left and len(self.refunds) < MOST_REFUNDS and self._is_refundable(charge):
            for status in ("succeeded", "pending", "requires_action"):
                for amount in dict.fromkeys((left, (left + 2) // 3)):
                    yield Step(
                        f"{charge['id']}: {amount} are refunded in the Dashboard: {status}",
                        lambda amount=amount, status=status: self._refund(
                            charge, amount, status, {}
                        ),
                    )
        if len(self.disputes) < MOST_DISPUTES and self._is_disputable(charge):
            for inquiry in (False, True):
                yield Step(
                    f"{charge['id']} is {'inquired about' if inquiry else 'disputed'}",
                    lambda inquiry=inquiry: self.dispute(charge, inquiry=inquiry),
                )

    def _of_refund(self, refund: Object) -> Iterator[Step]:
        for status in REFUND_STEPS.get(refund["status"], ()):
            yield Step(
                f"{refund['id']} becomes {status}",
                lambda status=status: self.refund_becomes(refund, status),
            )

    def _of_dispute(self, dispute: Object) -> Iterator[Step]:
        for status in DISPUTE_STEPS.get(dispute["status"], ()):
            yield Step(
                f"{dispute['id']} becomes {status}",
                lambda status=status: self.dispute_becomes(dispute, status),
            )

    # --- sessions ----------------------------------------------------------------------------

    def open_session(self, attempt_id: str) -> Object:
        """What payflow asks for; under the attempt's id as idempotency key, once."""
        for session in self.sessions.values():
            if self.attempt_of(session) == attempt_id:
                return session
        session_id = f"cs_test_{self.key}_{len(self.sessions) + 1}"
        session = self.sessions[session_id] = {
            "id": session_id,
            "object": "checkout.session",
            "amount_total": self.amount,
            "currency": self.currency,
            "livemode": False,
            "metadata": self._mark(attempt_id),
            "payment_intent": None,
            "payment_status": "unpaid",
            "status": "open",
            "url": f"https://checkout.example/c/pay/{session_id}",
        }
        return session

    def pay(self, session: Object) -> None:
        intent = self._confirm(session)
        charge = self._charge(intent, "succeeded")
        self._receive(intent, charge)
        session |= {"status": "complete", "payment_status": "paid", "url": None}
        self._tell("payment_intent.succeeded", intent)
        self._tell("checkout.session.completed", session)

    def decline(self, session: Object, code: str) -> None:
        intent = self._confirm(session)
        charge = self._charge(intent, "failed")
        self._refuse(intent, charge, code)
        self._tell("payment_intent.payment_failed", intent)

    def authenticate(self, session: Object) -> None:
        """The bank asks the customer, who may come back with another card or not at all."""
        intent = self._confirm(session)
        intent |= {"status": "requires_action", "last_payment_error": None, "latest_charge": None}

    def debit(self, session: Object) -> None:
        intent = self._confirm(session)
        self._charge(intent, "pending")
        intent["status"] = "processing"
        session |= {"status": "complete", "url": None}
        self._tell("checkout.session.completed", session)

    def bank_pays(self, session: Object) -> None:
        intent = self.intents[session["payment_intent"]]
        self._receive(intent, self.charges[intent["latest_charge"]])
        session["payment_status"] = "paid"
        self._tell("payment_intent.succeeded", intent)
        self._tell("checkout.session.async_payment_succeeded", session)

    def bank_refuses(self, session: Object) -> None:
        intent = self.intents[session["payment_intent"]]
        self._refuse(intent, self.charges[intent["latest_charge"]], "debit_not_authorized")
        self._tell("payment_intent.payment_failed", intent)
        self._tell("checkout.session.async_payment_failed", session)

    def expire(self, session: Object) -> None:
        session |= {"status": "expired", "url": None}
        if session["payment_intent"]:
            self.intents[session["payment_intent"]]["status"] = "canceled"
        self._tell("checkout.session.expired", session)

    def _confirm(self, session: Object) -> Object:
        """The session's PaymentIntent, which exists from the first try on."""
        if session["payment_intent"] is None:
            intent_id = session["id"].replace("cs_test", "pi")
            session["payment_intent"] = intent_id
            self.intents[intent_id] = {
                "id": intent_id,
                "object": "payment_intent",
                "amount_received": 0,
                "currency": self.currency,
                "last_payment_error": None,
                "latest_charge": None,
                "livemode": False,
                "metadata": session["metadata"],
                "status": "requires_payment_method",
            }
        return self.intents[session["payment_intent"]]

    def _charge(self, intent: Object, status: str) -> Object:
        charge_id = f"ch_{self.key}_{len(self.charges) + 1}"
        intent |= {"latest_charge": charge_id, "last_payment_error": None}
        charge = self.charges[charge_id] = {
            "id": charge_id,
            "object": "charge",
            "amount": self.amount,
            "amount_refunded": 0,
            "created": self.now,
            "currency": self.currency,
            "disputed": False,
            "metadata": intent["metadata"],
            "payment_intent": intent["id"],
            "refunded": False,
            "status": status,
        }
        return charge

    def _receive(self, intent: Object, charge: Object) -> None:
        charge["status"] = "succeeded"
        intent |= {"status": "succeeded", "amount_received": self.amount}

    def _refuse(self, intent: Object, charge: Object, code: str) -> None:
        charge["status"] = "failed"
        error = {"code": "card_declined", "decline_code": code, "charge": charge["id"]}
        intent |= {
            "status": "requires_payment_method",
            "last_payment_error": error | {"message": "Your card was declined."},
        }

    def _intent(self, session: Object, status: str) -> bool:
        intent = self.intents.get(session["payment_intent"])
        return intent is not None and intent["status"] == status

    # --- refunds -----------------------------------------------------------------------------

    def refund_for(
        self, request_id: str, intent_id: str, amount: int, status: str
    ) -> Object | None:
        """What payflow asks for: once under its key; None where Stripe refuses."""
        charge = self.charges[self.intents[intent_id]["latest_charge"]]
        if request_id not in self.kept:
            if amount > self.left_of(charge) or not self._is_refundable(charge):
                return None
            metadata = {"payflow_refund_id": request_id}
            self.kept[request_id] = self._refund(charge, amount, status, metadata)
        return self.kept[request_id]

    def _refund(self, charge: Object, amount: int, status: str, metadata: Object) -> Object:
        refund_id = f"re_{self.key}_{len(self.refunds) + 1}"
        refund = self.refunds[refund_id] = {
            "id": refund_id,
            "object": "refund",
            "amount": amount,
            "charge": charge["id"],
            "currency": self.currency,
            "metadata": metadata,
            "payment_intent": charge["payment_intent"],
            "status": status,
        }
        self._count_refunded(charge)
        self._tell("refund.created", refund)
        self._tell("charge.refunded", charge)
        return refund

    def refund_becomes(self, refund: Object, status: str) -> None:
        refund["status"] = status
        if status == "failed":
            refund["failure_reason"] = "expired_or_canceled_card"
        self._count_refunded(self.charges[refund["charge"]])
        self._tell("charge.refund.updated", refund)
        self._tell("refund.updated", refund)
        if status == "failed":
            self._tell("refund.failed", refund)

    def _count_refunded(self, charge: Object) -> None:
        counted = self.amount - self.left_of(charge)
        charge |= {"amount_refunded": counted, "refunded": counted == self.amount}

    def left_of(self, charge: Object) -> int:
        """What can still be refunded of it."""
        taken = (
            refund["amount"]
            for refund in self.refunds.values()
            if refund["charge"] == charge["id"] and refund["status"] not in ("failed", "canceled")
        )
        return charge["amount"] - sum(taken)

    def _is_refundable(self, charge: Object) -> bool:
        """Not what was charged back; an inquiry hinders no refund."""
        return all(
            dispute["status"].startswith("warning_") or dispute["status"] == "won"
            for dispute in self.disputes.values()
            if dispute["charge"] == charge["id"]
        )

    def _is_disputable(self, charge: Object) -> bool:
        """Once more only if the bank gave back what it took."""
        return all(
            dispute["status"] in ("won", "warning_closed")
            for dispute in self.disputes.values()
            if dispute["charge"] == charge["id"]
        )

    # --- disputes ----------------------------------------------------------------------------

    def dispute(self, charge: Object, *, inquiry: bool) -> None:
        dispute_id = f"du_{self.key}_{len(self.disputes) + 1}"
        dispute = self.disputes[dispute_id] = {
            "id": dispute_id,
            "object": "dispute",
            "amount": self.left_of(charge) or charge["amount"],
            "balance_transactions": [],
            "charge": charge["id"],
            "currency": self.currency,
            "evidence_details": {"due_by": self.now + 9 * 24 * 60 * 60},
            "payment_intent": charge["payment_intent"],
            "reason": "general" if inquiry else "fraudulent",
            "status": "warning_needs_response" if inquiry else "needs_response",
        }
        charge["disputed"] = True
        self._tell("charge.dispute.created", dispute)
        if not inquiry:
            self._withdraw(dispute)

    def dispute_becomes(self, dispute: Object, status: str) -> None:
        was, dispute["status"] = dispute["status"], status
        if status in ("warning_closed", "lost") or (status == "won" and was != "lost"):
            self._tell("charge.dispute.closed", dispute)
        else:
            self._tell("charge.dispute.updated", dispute)
        if was.startswith("warning_") and status == "needs_response":
            self._withdraw(dispute)
        if status == "won":
            self._move(dispute, dispute["amount"])
            self._tell("charge.dispute.funds_reinstated", dispute)

    def _withdraw(self, dispute: Object) -> None:
        self._move(dispute, -dispute["amount"])
        self._tell("charge.dispute.funds_withdrawn", dispute)

    def _move(self, dispute: Object, amount: int) -> None:
        listed = dispute["balance_transactions"]
        number = {"id": f"txn_{dispute['id']}_{len(listed) + 1}", "amount": amount}
        dispute["balance_transactions"] = [*listed, number | {"currency": self.currency}]

    # --- what is told ------------------------------------------------------------------------

    def _tell(self, kind: str, about: Object) -> None:
        self.events.append(self.event(kind, about))

    def event(self, kind: str, about: Object) -> Object:
        """An event about the object as it is now."""
        self._numbered += 1
        return {
            "id": f"evt_{self.key}_{self._numbered}",
            "object": "event",
            "created": self.now,
            "data": {"object": deepcopy(about)},
            "livemode": False,
            "type": kind,
        }

    def retrieved(self, stripes: Object) -> Object:
        """The object as Stripe answers now, expanded as payflow's gateway asks for it."""
        answer = deepcopy(stripes)
        if answer["object"] == "checkout.session" and answer["payment_intent"]:
            answer["payment_intent"] = self.retrieved(self.intents[answer["payment_intent"]])
        if answer["object"] == "payment_intent" and answer["latest_charge"]:
            answer["latest_charge"] = deepcopy(self.charges[answer["latest_charge"]])
        return answer

    def attempt_of(self, stripes: Object) -> str:
        """The attempt whose session or PaymentIntent it is."""
        return str(stripes["metadata"]["payflow_attempt_id"])

    def _mark(self, attempt_id: str) -> Object:
        return {"payflow_payment_id": self.payment_id, "payflow_attempt_id": attempt_id}
