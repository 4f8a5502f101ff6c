"""What each type of Stripe's events tells us. Pure.

Never trust the type alone: recorded deliveries exist whose type and object disagree. Then, and
where the payload lacks what is read from it, the object is retrieved in the version we were built
for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from payflow.facts.objects import (
    CHARGE,
    DISPUTE,
    INTENT,
    REFUND,
    REFUND_KEY,
    SESSION,
    Unreadable,
    id_of,
    mark_of,
    uuid_in,
)
from payflow.facts.tellings import Telling, kind_of, object_in, told_by

# Type → the kind of object that it carries. A charge's events are hints: that its refunds or its
# PaymentIntent are to be asked for.
TELLS: Mapping[str, str] = {
    "checkout.session.completed": SESSION,
    "checkout.session.expired": SESSION,
    "checkout.session.async_payment_succeeded": SESSION,
    "checkout.session.async_payment_failed": SESSION,
    "payment_intent.succeeded": INTENT,
    "payment_intent.payment_failed": INTENT,
    "charge.refunded": CHARGE,
    "charge.refund.updated": REFUND,
    "refund.created": REFUND,
    "refund.updated": REFUND,
    "refund.failed": REFUND,
    "charge.dispute.created": DISPUTE,
    "charge.dispute.updated": DISPUTE,
    "charge.dispute.closed": DISPUTE,
    "charge.dispute.funds_withdrawn": DISPUTE,
    "charge.dispute.funds_reinstated": DISPUTE,
}


@dataclass(frozen=True)
class Named:
    """By what an event's object is known to be a payment's: our ids in its metadata, or the
    PaymentIntent, the charge, or the refund row that it belongs to."""

    payment_id: UUID | None = None
    attempt_id: UUID | None = None
    intent_id: str | None = None
    charge_id: str | None = None
    request_id: UUID | None = None


@dataclass(frozen=True)
class News:
    """An event that tells something: the kind of object that its type promises, the kind that it
    carries, and whose that is by its own word."""

    event: Mapping[str, Any]
    kind: str
    carried: str | None
    named: Named

    @property
    def object_id(self) -> str | None:
        return id_of(object_in(self.event))

    @property
    def is_foreign(self) -> bool:
        """Of another integration for certain: no mark where ours would be, or another account's.

        Refunds and disputes carry no mark: whose they are, only their PaymentIntent tells.
        """
        if self.event.get("account"):
            return True
        return self.carried not in (REFUND, DISPUTE) and self.named.attempt_id is None

    def telling(self) -> Telling:
        """What it tells. Raises Unreadable, also where it carries what its type doesn't promise."""
        told = told_by(self.event, self.named.attempt_id)
        if self.carried != self.kind:
            raise Unreadable(f"{self.event.get('type')} with {self.carried!r:.100}")
        return told


def read(event: Mapping[str, Any]) -> News | None:
    """What an event tells; None where its type tells nothing that we keep, thin events included."""
    event_type = event.get("type")
    kind = TELLS.get(event_type) if isinstance(event_type, str) else None
    if kind is None or str(event.get("object")).startswith("v2."):
        return None
    stripes = object_in(event)
    carried = kind_of(stripes)
    return News(event, kind, carried, named_in(stripes, carried))


def named_in(stripes: Mapping[str, Any], kind: str | None) -> Named:
    """Whose an object is, by its own word."""
    mark = mark_of(stripes) if kind in (SESSION, INTENT, CHARGE) else None
    if kind not in (REFUND, DISPUTE):
        return Named(*(mark.payment_id, mark.attempt_id) if mark else ())
    return Named(
        intent_id=id_of(stripes.get("payment_intent")),
        charge_id=id_of(stripes.get("charge")),
        request_id=uuid_in(stripes, REFUND_KEY),
    )
