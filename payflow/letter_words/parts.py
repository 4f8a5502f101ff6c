"""What letters are made of: their words in the order in which they are read, and the rows and links
that several kinds share."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from flask_babel import gettext as _

from payflow.config import current_settings
from payflow.facts.disputes import DisputeFacts
from payflow.facts.refunds import RefundFacts
from payflow.formats import date, for_reader, inert
from payflow.known import Known
from payflow.models import Payment
from payflow.status import CAPTURED, Standing, amount_paid


@dataclass(frozen=True)
class Matter:
    """What a letter is about: a payment, what is known of it, and the object where it can have
    several."""

    payment: Payment
    known: Known
    standing: Standing
    about: str

    @property
    def due(self) -> int:
        """What is to be kept, in minor units."""
        return self.known.due(self.payment.amount)

    @property
    def refund(self) -> RefundFacts:
        return next(one for one in self.known.told_refunds() if one.refund_id == self.about)

    @property
    def dispute(self) -> DisputeFacts:
        return self.known.disputes[self.about]


class Row(NamedTuple):
    """What is said of a payment, one thing a row; `url` is where to see it."""

    label: str
    value: str
    url: str = ""


class Link(NamedTuple):
    label: str
    url: str


@dataclass(frozen=True)
class Words:
    """A letter's words, in the order in which they are read. `tone` is how it feels: good, plain,
    under-way, attention or bad; `preview` is what a mailbox shows beside the subject, else the
    notice or the first sentence; `notice` must not be missed; `command` is for a terminal; the
    first of the links is the one to follow."""

    tone: str
    heading: str
    links: tuple[Link, ...]
    amount: str = ""
    notice: str = ""
    rows: tuple[Row, ...] = ()
    text: tuple[str, ...] = ()
    command: str = ""
    preview: str = ""


def paid(matter: Matter) -> str:
    return for_reader(amount_paid(matter.due, matter.standing.captured), matter.payment.currency)


def refunded_or_paid(matter: Matter) -> str:
    """The refund's amount, where the letter is about one; else what was paid."""
    for refund in matter.known.told_refunds():
        if refund.refund_id == matter.about:
            return for_reader(refund.amount, refund.currency)
    return paid(matter)


def asked_for(payment: Payment) -> str:
    return for_reader(payment.amount, payment.currency)


def number(matter: Matter) -> Row:
    """Until something was paid there is no receipt."""
    is_paid = matter.standing.status in CAPTURED
    label = _("Receipt number") if is_paid else _("Payment number")
    return Row(label, matter.payment.receipt_number)


def dated(moment: datetime | None) -> tuple[Row, ...]:
    return (Row(_("Date"), date(moment)),) if moment else ()


def business(label: str) -> Row:
    return Row(label, current_settings().business.name)


def page(matter: Matter, label: str) -> Link:
    return Link(label, f"{current_settings().public_url}/payments/{matter.payment.id}")


def who_and_what(matter: Matter) -> Iterator[Row]:
    payment = matter.payment
    yield number(matter)
    yield Row(_("For"), inert(payment.description))
    if payment.reference:
        yield Row(_("Reference"), inert(payment.reference))
    yield Row(_("From"), inert(payment.name))
    # www.evil.example/pay@here.example is an address, and mail programs make a web link of it.
    plain = re.fullmatch(r"[\w.+-]+@.*", payment.email)
    yield Row(_("E-mail"), payment.email if plain else inert(payment.email))


def at_stripe(matter: Matter, kind: str, stripe_id: str) -> Row:
    dashboard = current_settings().dashboard(matter.payment.livemode)
    return Row(_("At Stripe"), stripe_id, f"{dashboard}/{kind}/{stripe_id}")


def intents(matter: Matter) -> Iterator[Row]:
    """Where the money is at Stripe: what was paid twice is in two places."""
    named = {
        intent
        for attempt in matter.known.attempts.values()
        if attempt.received is not None or attempt.disagreements or attempt.claims
        for intent in (attempt.payment_intent_id, *attempt.other_intents)
        if intent
    }
    for intent in sorted(named):
        yield at_stripe(matter, "payments", intent)
