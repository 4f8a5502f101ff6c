"""Facts of an attempt: what Stripe has said of its Checkout Session and of the PaymentIntent.

What disagrees with what was asked for is never believed: it is kept as a claim, with its time, and
stands until a retrieval that is no older agrees, or the operator accepts it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from payflow.facts.objects import CHARGE, Unreadable, id_of, is_word, moment, money, one_of, word
from payflow.money import plain

T = TypeVar("T", str, int, datetime)

SESSION_RANK = {"open": 0, "expired": 1, "complete": 2}
PAYMENT_RANK = {"unpaid": 0, "no_payment_required": 1, "paid": 2}

# Of a session that is complete and unpaid: the customer's bank has refused the delayed payment.
FAILED_INTENT = ("requires_payment_method", "canceled")


@dataclass(frozen=True)
class Decline:
    """A card that was refused: when Stripe said so, its code, its words, and the charge's id."""

    at: datetime
    code: str
    message: str
    subject: str


@dataclass(frozen=True)
class AttemptFacts:
    """What is known of one attempt. `claims`: what disagrees, in words, and when it was last told;
    `accepted`: those that the operator has accepted; `received` in minor units."""

    session_id: str | None = None
    other_sessions: frozenset[str] = frozenset()
    url: str | None = None
    status: str | None = None
    payment_status: str | None = None
    payment_intent_id: str | None = None
    # Told by a retrieval of the session: nobody else's word counts then.
    intent_confirmed: bool = False
    other_intents: frozenset[str] = frozenset()
    charge_id: str | None = None
    received: int | None = None
    paid_at: datetime | None = None
    delayed_failure: bool = False
    declined_at: datetime | None = None
    decline: str | None = None
    claims: Mapping[str, datetime] = field(default_factory=dict)
    confirmed_at: datetime | None = None
    accepted: frozenset[str] = frozenset()
    # Facts of our own: the operator gave it up; no session was ever stored, and none can come.
    canceled_at: datetime | None = None
    abandoned_at: datetime | None = None

    @property
    def disagreements(self) -> tuple[str, ...]:
        """The claims that stand, in words."""
        standing = {
            claim
            for claim, told_at in self.claims.items()
            if self.confirmed_at is None or told_at > self.confirmed_at
        }
        if self.other_sessions:
            standing.add(_several("Checkout Sessions", self.session_id, self.other_sessions))
        if self.other_intents and not self._is_known_which_counts:
            standing.add(self._several_intents)
        return tuple(sorted(standing - self.accepted))

    def is_anothers(self, intent_id: str | None) -> bool:
        """Whether Stripe has said of a PaymentIntent that is told of that it is not the session's,
        and the operator has not accepted it either."""
        known = self.intent_confirmed and self._several_intents not in self.accepted
        return known and intent_id in self.other_intents

    @property
    def _several_intents(self) -> str:
        return _several("PaymentIntents", self.payment_intent_id, self.other_intents)

    @property
    def _is_known_which_counts(self) -> bool:
        """Of several PaymentIntents. Where the session is not paid, money is another one's."""
        taken_elsewhere = self.received is not None and self.payment_status == "unpaid"
        return self.intent_confirmed and not taken_elsewhere


UNKNOWN = AttemptFacts()


@dataclass(frozen=True)
class Asked:
    """What Stripe was asked for; amount in minor units. `accepted`: claims to be believed."""

    amount: int
    currency: str
    livemode: bool
    accepted: frozenset[str] = frozenset()


def read_session(
    session: Mapping[str, Any],
    asked: Asked,
    told_at: datetime,
    *,
    by_retrieval: bool = False,
    delayed_failure: bool = False,
) -> AttemptFacts:
    """A Checkout Session of Stripe's → facts, held against what was asked for.

    `told_at` is Stripe's time: of the event that carries the session, or of the answer.
    `delayed_failure`: it comes with the word that its delayed method (a bank debit) has failed.
    Raises Unreadable where status, payment status, amount or currency cannot be read.
    """
    status = one_of(session, "status", SESSION_RANK)
    payment_status = one_of(session, "payment_status", PAYMENT_RANK)
    amount, currency = money(session, "amount_total")
    session_id, intent = word(session, "id"), session.get("payment_intent")
    # Of a session that nobody has paid, nothing has been taken that could be wrong.
    claims = _claims(session, asked, amount, currency)
    claims |= {"no payment required"} if payment_status == "no_payment_required" else set()
    claims -= asked.accepted
    if claims and (status == "complete" or payment_status != "unpaid"):
        return _disbelieved(session_id, claims, intent, asked, told_at)
    paid = payment_status != "unpaid"
    facts = AttemptFacts(
        session_id=session_id,
        status=status,
        payment_status=payment_status,
        url=_text_or_none(session.get("url")),
        payment_intent_id=id_of(intent),
        intent_confirmed=by_retrieval and id_of(intent) is not None,
        received=amount if paid else None,
        paid_at=told_at if paid else None,
        delayed_failure=delayed_failure,
        confirmed_at=_confirmed_at(status, told_at) if by_retrieval else None,
    )
    return _with_intent(facts, intent, asked, told_at) if isinstance(intent, Mapping) else facts


def _disbelieved(
    session_id: str, claims: set[str], intent: Any, asked: Asked, told_at: datetime
) -> AttemptFacts:
    """Of a session that disagrees, nothing is taken but what to ask Stripe about again."""
    if isinstance(intent, Mapping):
        claims |= set(read_intent(intent, asked, told_at).claims)
    return AttemptFacts(
        session_id=session_id,
        status="open",
        payment_status="unpaid",
        # By which its refunds and disputes are known to be this payment's.
        payment_intent_id=id_of(intent),
        claims=dict.fromkeys(claims, told_at),
    )


def _confirmed_at(status: str, told_at: datetime) -> datetime:
    """Up to when a retrieval that agrees outweighs what was told. A complete session stays as it
    is; one that is not may have been completed in the same second."""
    return told_at if status == "complete" else told_at - timedelta(seconds=1)


def _with_intent(
    facts: AttemptFacts, intent: Mapping[str, Any], asked: Asked, told_at: datetime
) -> AttemptFacts:
    """What a session's expanded PaymentIntent adds; where it disagrees, nothing is confirmed."""
    told = read_intent(intent, asked, told_at)
    if told.claims:
        facts = replace(facts, confirmed_at=None)
    failed = (facts.status, facts.payment_status) == ("complete", "unpaid") and (
        intent.get("status") in FAILED_INTENT
    )
    return merge(facts, replace(told, delayed_failure=failed))


def read_intent(intent: Mapping[str, Any], asked: Asked, told_at: datetime) -> AttemptFacts:
    """A PaymentIntent → facts: its end, if it says that it succeeded, and the last decline.

    Its other statuses come and go, and are no facts. Raises Unreadable.
    """
    facts = AttemptFacts(payment_intent_id=word(intent, "id"))
    decline = decline_of(intent, told_at)
    if decline:
        facts = replace(facts, declined_at=decline.at, decline=decline.code)
    if intent.get("status") != "succeeded":
        return facts
    amount, currency = money(intent, "amount_received")
    claims = _claims(intent, asked, amount, currency) - asked.accepted
    if claims:
        return replace(facts, claims=dict.fromkeys(claims, told_at))
    charge = _successful_charge(intent)
    return replace(
        facts,
        received=amount,
        charge_id=id_of(charge),
        paid_at=_charged_at(charge) or told_at,
    )


def decline_of(intent: Mapping[str, Any], told_at: datetime) -> Decline | None:
    """Why the last try to pay was refused, if the PaymentIntent says so; when, says the charge
    where that is told as well: who asks later must not make an old decline the latest."""
    error = intent.get("last_payment_error")
    if not isinstance(error, Mapping):
        return None
    code = error.get("decline_code") or error.get("code")
    message = error.get("message")
    refused, charge = id_of(error.get("charge")), intent.get("latest_charge")
    tried_at = _charged_at(charge) if id_of(charge) == refused else None
    return Decline(
        at=tried_at or told_at,
        code=str(code) if is_word(code) else "unknown",
        message=_one_line(message) if isinstance(message, str) else "",
        subject=refused or word(intent, "id"),
    )


def merge(known: AttemptFacts, told: AttemptFacts) -> AttemptFacts:
    """The join of what is known and what is told: the higher rank, the earlier time of paying, the
    later decline; a PaymentIntent that a retrieval of the session has told outweighs others."""
    session_id = _least(known.session_id, told.session_id)
    intent_id = _intent_of(known, told)
    declined = max(
        (one for one in (known, told) if one.declined_at),
        key=lambda one: (one.declined_at, one.decline),
        default=UNKNOWN,
    )
    return AttemptFacts(
        session_id=session_id,
        other_sessions=_others(
            session_id,
            {known.session_id, told.session_id} | known.other_sessions | told.other_sessions,
        ),
        url=_least(known.url, told.url),
        status=_higher(known.status, told.status, SESSION_RANK),
        payment_status=_higher(known.payment_status, told.payment_status, PAYMENT_RANK),
        payment_intent_id=intent_id,
        intent_confirmed=known.intent_confirmed or told.intent_confirmed,
        other_intents=_others(
            intent_id,
            {known.payment_intent_id, told.payment_intent_id}
            | known.other_intents
            | told.other_intents,
        ),
        charge_id=_least(known.charge_id, told.charge_id),
        received=_greatest(known.received, told.received),
        paid_at=_least(known.paid_at, told.paid_at),
        delayed_failure=known.delayed_failure or told.delayed_failure,
        declined_at=declined.declined_at,
        decline=declined.decline,
        claims={
            claim: max(one.claims[claim] for one in (known, told) if claim in one.claims)
            for claim in {**known.claims, **told.claims}
        },
        confirmed_at=_greatest(known.confirmed_at, told.confirmed_at),
        accepted=known.accepted | told.accepted,
        canceled_at=_least(known.canceled_at, told.canceled_at),
        abandoned_at=_least(known.abandoned_at, told.abandoned_at),
    )


def _claims(stripes: Mapping[str, Any], asked: Asked, amount: int, currency: str) -> set[str]:
    """In words, what an object says that disagrees with what was asked for: the same words of a
    session and of its PaymentIntent, for it is one cause."""
    claims = set()
    if (amount, currency) != (asked.amount, asked.currency):
        claims.add(
            f"{_written(amount, currency)} instead of {_written(asked.amount, asked.currency)}"
        )
    if stripes.get("livemode", asked.livemode) is not asked.livemode:
        claims.add(f"livemode {not asked.livemode} instead of {asked.livemode}")
    return claims


def _written(amount: int, currency: str) -> str:
    return f"{plain(amount, currency)} {currency.upper()}"


def _one_line(message: str) -> str:
    return "".join(filter(str.isprintable, message))[:200]


def _successful_charge(intent: Mapping[str, Any]) -> Any:
    """The charge by which it succeeded; versions before 2022-11-15 list all, newest first."""
    if "latest_charge" in intent:
        return intent["latest_charge"]
    charges = intent.get("charges")
    listed = charges.get("data") if isinstance(charges, Mapping) else None
    return listed[0] if isinstance(listed, list) and listed else None


def _charged_at(charge: Any) -> datetime | None:
    if not isinstance(charge, Mapping) or charge.get("object") != CHARGE:
        return None
    try:
        return moment(charge, "created")
    except Unreadable:
        return None


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value.isprintable() else None


def _intent_of(known: AttemptFacts, told: AttemptFacts) -> str | None:
    if known.intent_confirmed != told.intent_confirmed:
        return (known if known.intent_confirmed else told).payment_intent_id
    return _least(known.payment_intent_id, told.payment_intent_id)


def _others(chosen: str | None, told: set[str | None] | frozenset[str | None]) -> frozenset[str]:
    return frozenset(one for one in told if one is not None and one != chosen)


def _several(what: str, chosen: str | None, others: frozenset[str]) -> str:
    return f"several {what}: {', '.join(sorted({str(chosen), *others}))}"


def _higher(one: str | None, other: str | None, rank: Mapping[str, int]) -> str | None:
    if one is None or other is None:
        return one if other is None else other
    return max(one, other, key=rank.__getitem__)


def _least(one: T | None, other: T | None) -> T | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)


def _greatest(one: T | None, other: T | None) -> T | None:
    if one is None or other is None:
        return one if other is None else other
    return max(one, other)
