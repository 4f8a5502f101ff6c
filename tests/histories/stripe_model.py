"""A small model of Stripe: what is true of one payment's sessions, refunds and disputes, and the
events that Stripe makes of each step, each with its objects as they were then."""

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from payflow.facts.objects import metadata

AMOUNT, CURRENCY = 1000, "eur"
Object = dict[str, Any]


def new_id(prefix: str) -> str:
    return f"{prefix}_{uuid4().hex[:20]}"


@dataclass
class StripeModel:
    """`now` in Unix seconds; `events` in the order in which Stripe made them."""

    payment_id: Any
    now: int
    sessions: dict[Any, Object] = field(default_factory=dict)  # by attempt
    intents: dict[str, Object] = field(default_factory=dict)
    charges: dict[str, Object] = field(default_factory=dict)
    refunds: list[Object] = field(default_factory=list)
    disputes: list[Object] = field(default_factory=list)
    events: list[Object] = field(default_factory=list)

    def tell(self, kind: str, stripes: Object) -> None:
        self.events.append(
            {
                "id": new_id("evt"),
                "object": "event",
                "type": kind,
                "created": self.now,
                "livemode": False,
                "data": {"object": deepcopy(stripes)},
            }
        )

    # --- paying ------------------------------------------------------------------------------

    def open_session(self, attempt_id: Any) -> Object:
        self.sessions[attempt_id] = {
            "id": new_id("cs_test"),
            "object": "checkout.session",
            "status": "open",
            "payment_status": "unpaid",
            "amount_total": AMOUNT,
            "currency": CURRENCY,
            "livemode": False,
            "metadata": metadata(self.payment_id, attempt_id),
            "payment_intent": None,
            "url": "https://stripe.example/pay",
        }
        return self.sessions[attempt_id]

    def _intent_of(self, session: Object) -> Object:
        if session["payment_intent"] is None:
            intent = {
                "id": new_id("pi"),
                "object": "payment_intent",
                "status": "requires_payment_method",
                "amount_received": 0,
                "currency": CURRENCY,
                "livemode": False,
                "metadata": session["metadata"],
                "latest_charge": None,
                "last_payment_error": None,
            }
            self.intents[intent["id"]] = intent
            session["payment_intent"] = intent["id"]
        return self.intents[session["payment_intent"]]

    def _charge(self, intent: Object) -> Object:
        charge = {
            "id": new_id("ch"),
            "object": "charge",
            "created": self.now,
            "payment_intent": intent["id"],
            "metadata": intent["metadata"],
            "amount_refunded": 0,
            "disputed": False,
        }
        self.charges[charge["id"]] = charge
        intent["latest_charge"] = charge["id"]
        return charge

    def decline(self, session: Object) -> None:
        intent = self._intent_of(session)
        charge = self._charge(intent)
        intent["last_payment_error"] = {
            "code": "card_declined",
            "decline_code": "insufficient_funds",
            "message": "Your card has insufficient funds.",
            "charge": charge["id"],
        }
        self.tell("payment_intent.payment_failed", intent)

    def pay(self, session: Object) -> None:
        intent = self._intent_of(session)
        self._charge(intent)
        self._succeed(session, intent)
        self.tell("payment_intent.succeeded", intent)
        self.tell("checkout.session.completed", session)

    def _succeed(self, session: Object, intent: Object) -> None:
        intent |= {"status": "succeeded", "amount_received": AMOUNT, "last_payment_error": None}
        session |= {"status": "complete", "payment_status": "paid", "url": None}

    def order_debit(self, session: Object) -> None:
        intent = self._intent_of(session)
        self._charge(intent)
        intent["status"] = "processing"
        session |= {"status": "complete", "url": None}
        self.tell("checkout.session.completed", session)

    def settle_debit(self, session: Object, good: bool) -> None:
        intent = self.intents[session["payment_intent"]]
        if good:
            self._succeed(session, intent)
            self.tell("payment_intent.succeeded", intent)
            self.tell("checkout.session.async_payment_succeeded", session)
            return
        intent["status"] = "requires_payment_method"
        intent["last_payment_error"] = {"code": "debit_refused", "message": "No.", "charge": None}
        self.tell("payment_intent.payment_failed", intent)
        self.tell("checkout.session.async_payment_failed", session)

    def expire(self, session: Object) -> None:
        session |= {"status": "expired", "url": None}
        if session["payment_intent"]:
            self.intents[session["payment_intent"]]["status"] = "canceled"
        self.tell("checkout.session.expired", session)

    # --- afterwards --------------------------------------------------------------------------

    def paid_charges(self) -> list[Object]:
        return [
            self.charges[intent["latest_charge"]]
            for intent in self.intents.values()
            if intent["status"] == "succeeded"
        ]

    def left(self, charge: Object) -> int:
        return AMOUNT - int(charge["amount_refunded"])

    def refund(self, charge: Object, amount: int, status: str) -> None:
        refund = {
            "id": new_id("re"),
            "object": "refund",
            "amount": amount,
            "currency": CURRENCY,
            "status": status,
            "charge": charge["id"],
            "payment_intent": charge["payment_intent"],
            "metadata": {},
            "failure_reason": None,
        }
        self.refunds.append(refund)
        charge["amount_refunded"] += amount
        self.tell("refund.created", refund)
        self.tell("charge.refunded", charge)

    def move_refund(self, refund: Object, status: str) -> None:
        refund["status"] = status
        if status in ("failed", "canceled"):
            self.charges[refund["charge"]]["amount_refunded"] -= refund["amount"]
        if status == "failed":
            refund["failure_reason"] = "expired_or_canceled_card"
            self.tell("refund.failed", refund)
        self.tell("refund.updated", refund)
        self.tell("charge.refund.updated", refund)

    def dispute(self, charge: Object, inquiry: bool) -> None:
        dispute = {
            "id": new_id("du"),
            "object": "dispute",
            "amount": AMOUNT,
            "currency": CURRENCY,
            "reason": "fraudulent",
            "status": "warning_needs_response" if inquiry else "needs_response",
            "charge": charge["id"],
            "payment_intent": charge["payment_intent"],
            "evidence_details": {"due_by": self.now + 9 * 86400},
            "balance_transactions": [],
        }
        charge["disputed"] = True
        self.disputes.append(dispute)
        self.tell("charge.dispute.created", dispute)
        if not inquiry:
            self._withdraw(dispute, -AMOUNT)

    def _withdraw(self, dispute: Object, amount: int) -> None:
        dispute["balance_transactions"].append({"id": new_id("txn"), "amount": amount})
        gone = "funds_withdrawn" if amount < 0 else "funds_reinstated"
        self.tell(f"charge.dispute.{gone}", dispute)

    def move_dispute(self, dispute: Object, status: str) -> None:
        escalates = dispute["status"].startswith("warning") and status == "needs_response"
        dispute["status"] = status
        over = status in ("won", "lost", "warning_closed")
        self.tell(f"charge.dispute.{'closed' if over else 'updated'}", dispute)
        if escalates:
            self._withdraw(dispute, -AMOUNT)
        if status == "won":
            self._withdraw(dispute, AMOUNT)

    # --- asking ------------------------------------------------------------------------------

    def retrieved_session(self, session: Object) -> Object:
        """As payflow asks for it: with its PaymentIntent and that one's charge expanded."""
        found = deepcopy(session)
        if session["payment_intent"]:
            found["payment_intent"] = intent = deepcopy(self.intents[session["payment_intent"]])
            if intent["latest_charge"]:
                intent["latest_charge"] = deepcopy(self.charges[intent["latest_charge"]])
        return found
