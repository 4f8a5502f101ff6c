"""Reading Stripe's objects: what all readers need. Whatever a field holds, reading raises
`Unreadable` or answers; payloads come in any version of Stripe's API."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

SESSION, INTENT, CHARGE = "checkout.session", "payment_intent", "charge"
REFUND, DISPUTE = "refund", "dispute"

# Under these keys our ids travel in the metadata of sessions and PaymentIntents, and of refunds.
PAYMENT_KEY = "payflow_payment_id"
ATTEMPT_KEY = "payflow_attempt_id"
REFUND_KEY = "payflow_refund_id"

# Postgres keeps 64 bits.
LARGEST = 2**63 - 1


class Unreadable(ValueError):
    """A dict of Stripe's lacks what a fact is made of; the message says what."""


@dataclass(frozen=True)
class Mark:
    """Whose an object is, by its metadata."""

    payment_id: UUID
    attempt_id: UUID


def metadata(payment_id: object, attempt_id: object) -> dict[str, str]:
    """Our mark: what sessions and PaymentIntents of ours carry."""
    return {PAYMENT_KEY: str(payment_id), ATTEMPT_KEY: str(attempt_id)}


def mark_of(stripes: Mapping[str, Any]) -> Mark | None:
    """Our ids in an object's metadata; None for an object of somebody else's."""
    payment_id, attempt_id = (uuid_in(stripes, key) for key in (PAYMENT_KEY, ATTEMPT_KEY))
    return Mark(payment_id, attempt_id) if payment_id and attempt_id else None


def uuid_in(stripes: Mapping[str, Any], key: str) -> UUID | None:
    """An id of ours in an object's metadata."""
    found = stripes.get("metadata")
    value = found.get(key) if isinstance(found, Mapping) else None
    try:
        return UUID(value)
    except (TypeError, ValueError, AttributeError):
        return None


def id_of(reference: Any) -> str | None:
    """Stripe gives an object's id, or the object itself where it was expanded."""
    if isinstance(reference, Mapping):
        reference = reference.get("id")
    return reference if is_word(reference) else None


def is_word(value: Any) -> bool:
    """Whether it can be an id or a type: printable ASCII without blanks, of a sensible length."""
    return isinstance(value, str) and 0 < len(value) <= 255 and all("!" <= c <= "~" for c in value)


def word(stripes: Mapping[str, Any], key: str) -> str:
    value = stripes.get(key)
    if not is_word(value):
        raise _unreadable(stripes, key)
    return str(value)


def one_of(stripes: Mapping[str, Any], key: str, values: Container[str]) -> str:
    value = stripes.get(key)
    if not isinstance(value, str) or value not in values:
        raise _unreadable(stripes, key)
    return value


def money(stripes: Mapping[str, Any], key: str) -> tuple[int, str]:
    """An amount in minor units, and its currency in lower case."""
    amount, currency = stripes.get(key), stripes.get("currency")
    # True is an int in Python.
    if type(amount) is not int or abs(amount) > LARGEST:
        raise _unreadable(stripes, key)
    if not is_word(currency):
        raise _unreadable(stripes, "currency")
    return amount, str(currency).lower()


def moment(stripes: Mapping[str, Any], key: str) -> datetime:
    value = stripes.get(key)
    try:
        # Stripe is younger than that; a year such as 1 can't be written in every time zone.
        if type(value) is int and value > 10**9:
            return datetime.fromtimestamp(value, UTC)
    except (OverflowError, ValueError, OSError):
        pass
    raise _unreadable(stripes, key)


def _unreadable(stripes: Mapping[str, Any], key: str) -> Unreadable:
    kind = stripes.get("object")
    named = kind if is_word(kind) else "object"
    return Unreadable(f"{named} with {key} {stripes.get(key)!r:.100}")
