"""Which letters a payment's facts call for. Pure, like its status.

A letter is owed for a state; it is queued when the state is first seen, once per payment, kind and
subject object. Letters about what may pass are judged again when they are about to leave.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from payflow.facts.attempts import AttemptFacts
from payflow.facts.disputes import INQUIRY, DisputeFacts
from payflow.facts.refunds import RefundFacts
from payflow.status import CAPTURED, Standing, attempt_status, is_overpaid

CUSTOMER, OWNER = "customer", "owner"


@dataclass(frozen=True, order=True)
class Owed:
    """A letter of a kind, about an object where a payment can have several, to one of the two."""

    kind: str
    to: str
    about: str = ""


def owed(
    due: int,
    standing: Standing,
    attempts: Mapping[UUID, AttemptFacts],
    refunds: Iterable[RefundFacts],
    disputes: Iterable[DisputeFacts],
) -> frozenset[Owed]:
    """The letters that these facts call for; `due` in minor units: what is to be kept."""
    return frozenset(
        [
            *_of_payment(due, standing),
            *(one for each in attempts.items() for one in _of_attempt(standing, *each)),
            *(one for refund in refunds for one in _of_refund(refund)),
            *(one for dispute in disputes for one in _of_dispute(dispute)),
        ]
    )


def _of_payment(due: int, standing: Standing) -> Iterator[Owed]:
    if standing.status in CAPTURED:
        yield Owed("receipt", CUSTOMER)
        yield Owed("owner_paid", OWNER)
    if is_overpaid(due, standing):
        yield Owed("owner_overpaid", OWNER)


def _of_attempt(standing: Standing, attempt_id: UUID, attempt: AttemptFacts) -> Iterator[Owed]:
    came_to = attempt_status(attempt)
    if came_to == "review":
        yield from (Owed("owner_review", OWNER, claim) for claim in attempt.disagreements)
    if came_to == standing.status == "processing":
        yield Owed("processing", CUSTOMER, str(attempt_id))
    # Who never tried to pay needs no letter about it.
    gave_up = came_to == "expired" and attempt.declined_at is not None
    if standing.status in ("failed", "expired") and (came_to == "failed" or gave_up):
        yield Owed("payment_failed", CUSTOMER, str(attempt_id))


def _of_refund(refund: RefundFacts) -> Iterator[Owed]:
    if refund.status == "succeeded":
        yield Owed("refunded", CUSTOMER, refund.refund_id)
    if refund.status in ("failed", "canceled"):
        yield Owed("refund_failed", CUSTOMER, refund.refund_id)
        yield Owed("owner_refund_failed", OWNER, refund.refund_id)


def _of_dispute(dispute: DisputeFacts) -> Iterator[Owed]:
    if dispute.status in INQUIRY - {"warning_closed"}:
        yield Owed("owner_inquiry", OWNER, dispute.dispute_id)
    if dispute.status in ("needs_response", "under_review"):
        yield Owed("owner_dispute", OWNER, dispute.dispute_id)
    if dispute.status == "lost":
        yield Owed("owner_dispute_lost", OWNER, dispute.dispute_id)
