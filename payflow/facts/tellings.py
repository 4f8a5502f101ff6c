"""What was told: an object of Stripe's, when, and whether we had asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from payflow.facts.attempts import AttemptFacts
from payflow.facts.objects import CHARGE, INTENT, SESSION, Unreadable, id_of, moment

# Kinds of objects by how their ids begin.
PREFIXES = {
    "cs_": SESSION, "pi_": INTENT, "ch_": CHARGE, "py_": CHARGE, "re_": "refund", "pyr_": "refund",
    "dp_": "dispute", "du_": "dispute",
}  # fmt: skip


@dataclass(frozen=True)
class Telling:
    """An object of Stripe's as it was told. `at` is Stripe's time: the event's, or the answer's.

    `by_retrieval`: it answers our asking, in the version we were built for. `attempt_id`: whose a
    session or PaymentIntent is.
    """

    object: Mapping[str, Any]
    at: datetime
    attempt_id: UUID | None = None
    by_retrieval: bool = False
    delayed_failure: bool = False


@dataclass(frozen=True)
class OwnFact:
    """What we or the operator know of an attempt that Stripe does not tell."""

    attempt_id: UUID
    facts: AttemptFacts


def kind_of(stripes: Mapping[str, Any]) -> str | None:
    """What an object is: by what it says, else by its id."""
    said = stripes.get("object")
    if isinstance(said, str):
        return said
    object_id = id_of(stripes)
    return PREFIXES.get(object_id[: object_id.find("_") + 1]) if object_id else None


def object_in(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object that an event carries; empty where it carries none."""
    data = event.get("data")
    carried = data.get("object") if isinstance(data, Mapping) else None
    return carried if isinstance(carried, Mapping) else {}


def told_by(event: Mapping[str, Any], attempt_id: UUID | None = None) -> Telling:
    """What an event tells. Raises Unreadable where it has no time or no object."""
    carried = object_in(event)
    if not carried:
        raise Unreadable("the event carries no object")
    return Telling(
        carried,
        at=moment(event, "created"),
        attempt_id=attempt_id,
        delayed_failure=event.get("type") == "checkout.session.async_payment_failed",
    )
