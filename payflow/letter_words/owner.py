"""Letters to the owner. What a stranger typed stands in them and makes no links; Stripe's ids do,
to the pages of its Dashboard."""

from collections.abc import Iterator
from datetime import datetime

from flask_babel import gettext as _

from payflow import money, reasons
from payflow.config import current_settings
from payflow.facts.disputes import DisputeFacts
from payflow.formats import date, for_reader, inert
from payflow.letter_words.parts import (
    Link,
    Matter,
    Row,
    Words,
    asked_for,
    at_stripe,
    dated,
    intents,
    page,
    paid,
    who_and_what,
)


def has_been_paid(matter: Matter) -> Words:
    payment = matter.payment
    return Words(
        tone="good",
        heading=_("You’ve been paid"),
        amount=paid(matter),
        preview=f"{inert(payment.description)} · {inert(payment.name)}",
        rows=(*who_and_what(matter), *dated(matter.standing.paid_at), *intents(matter)),
        links=(page(matter, _("See the payment")),),
    )


def overpaid(matter: Matter) -> Words:
    """It may have been refunded before this leaves, or by the time it is sent again."""
    payment, standing = matter.payment, matter.standing
    surplus = standing.kept - matter.due
    return Words(
        tone="attention",
        heading=_("A payment was paid twice"),
        amount=for_reader(standing.captured, payment.currency),
        rows=(
            *who_and_what(matter),
            Row(_("Asked for"), asked_for(payment)),
            *_surplus(matter, surplus),
            *intents(matter),
        ),
        text=(
            _(
                "Two pages of one payment were both paid. The customer is owed what is too much. "
                "To refund it:"
            )
            if surplus > 0
            else _("What was too much has gone back; there is nothing for you to do."),
        ),
        command=f"flask refund {payment.receipt_number} "
        f"--amount {money.plain(surplus, payment.currency)}"
        if surplus > 0
        else "",
        links=(page(matter, _("See the payment")),),
    )


def _surplus(matter: Matter, surplus: int) -> Iterator[Row]:
    currency = matter.payment.currency
    if matter.standing.refunded:
        yield Row(_("Refunded in all"), for_reader(matter.standing.refunded, currency))
    if surplus > 0:
        yield Row(_("Too much"), for_reader(surplus, currency))


def review(matter: Matter) -> Words:
    payment = matter.payment
    stands = any(matter.about in one.disagreements for one in matter.known.attempts.values())
    return Words(
        tone="attention" if stands else "plain",
        heading=_("Please check a payment"),
        amount=asked_for(payment),
        rows=(
            *who_and_what(matter),
            Row(_("Stripe said"), reasons.of_review(matter.about)),
            *intents(matter),
        ),
        text=(
            _(
                "That disagrees with what was asked for, so the payment does not count as paid; "
                "money may have been taken all the same. Look at it in Stripe’s Dashboard. If it "
                "is in order:"
            )
            if stands
            else _(
                "That disagreed with what was asked for. Stripe was asked again since, and it is "
                "settled: there is nothing for you to do."
            ),
        ),
        command=f"flask payments accept {payment.receipt_number}" if stands else "",
        links=(page(matter, _("See the payment")),),
    )


def refund_failed(matter: Matter) -> Words:
    refund = matter.refund
    why = reasons.of_failed_refund(refund.failure_reason) if refund.failure_reason else ""
    return Words(
        tone="bad",
        heading=_("A refund failed"),
        amount=for_reader(refund.amount, refund.currency),
        rows=(
            *who_and_what(matter),
            *([Row(_("Reason"), why)] if why else []),
            at_stripe(matter, "refunds", refund.refund_id),
        ),
        text=(
            _(
                "The money came back to your Stripe balance; the customer does not have it. "
                "Stripe can’t try again: pay it back another way, and agree with the customer how."
            ),
        ),
        links=(page(matter, _("See the payment")),),
    )


def inquiry(matter: Matter) -> Words:
    return _of_dispute(
        matter,
        tone="attention",
        heading=_("The customer’s bank asks about a payment"),
        notice=_deadline(matter.dispute),
        text=_(
            "No money has been withdrawn yet. A good answer can settle it; without one it may "
            "become a dispute."
        ),
        answer=_("Answer at Stripe"),
    )


def dispute(matter: Matter) -> Words:
    return _of_dispute(
        matter,
        tone="bad",
        heading=_("A payment is disputed"),
        notice=_deadline(matter.dispute),
        text=_(
            "The customer’s bank has taken the money, and Stripe a fee, until it is decided. "
            "Without an answer in time it is lost."
        ),
        answer=_("Answer at Stripe"),
    )


def dispute_lost(matter: Matter) -> Words:
    return _of_dispute(
        matter,
        tone="bad",
        heading=_("A dispute was lost"),
        text=_(
            "The customer’s bank keeps the money. Banks seldom change that; payflow shows it if "
            "they do."
        ),
        answer=_("See it at Stripe"),
    )


def _of_dispute(
    matter: Matter, *, tone: str, heading: str, text: str, answer: str, notice: str = ""
) -> Words:
    """The amount is the bank's, in the currency that was paid in."""
    dispute = matter.dispute
    shown = at_stripe(matter, "disputes", dispute.dispute_id)
    return Words(
        tone=tone,
        heading=heading,
        amount=for_reader(dispute.amount, dispute.currency),
        notice=notice,
        rows=(
            *who_and_what(matter),
            Row(_("Reason"), reasons.of_dispute(dispute.reason)),
            shown,
        ),
        text=(text,),
        links=(Link(answer, shown.url), page(matter, _("See the payment"))),
    )


def _deadline(dispute: DisputeFacts) -> str:
    if dispute.status.endswith("under_review"):
        return str(_("It has been answered; now the bank decides."))
    if dispute.due_by is None:
        return str(_("Stripe’s Dashboard says by when to answer."))
    return str(_("Answer by %(date)s", date=date(dispute.due_by)))


def webhooks(about: str, noticed: datetime, found_by_sweep: int) -> Words:
    """Of "owner_webhooks", which is about no payment, but of the installation."""
    settings = current_settings()
    return Words(
        tone="attention",
        heading=_("Stripe’s events don’t arrive as they should"),
        rows=(
            Row(_("Address"), f"{settings.public_url}/webhooks/stripe"),
            Row(_("Noticed"), date(noticed)),
            Row(_("Payments found by asking, in all"), str(found_by_sweep)),
        ),
        text=_of_the_other_mode() if about.startswith("wrong mode") else _never_came(),
        links=(
            Link(_("See webhooks at Stripe"), f"{settings.dashboard(settings.livemode)}/webhooks"),
        ),
    )


def lost_payment(intent_id: str, noticed: datetime) -> Words:
    """About no payment that is here: one that was, before an older backup was brought back."""
    settings = current_settings()
    url = f"{settings.dashboard(settings.livemode)}/payments/{intent_id}"
    return Words(
        tone="attention",
        heading=_("A payment at Stripe is not in this database"),
        rows=(Row(_("At Stripe"), intent_id, url), Row(_("Noticed"), date(noticed))),
        text=(
            _(
                "Stripe tells of a payment that was made here and that this database does not "
                "know, as after an older backup was brought back. What was paid is at Stripe, "
                "and nobody here will be told of it."
            ),
            _(
                "The command flask events list shows what Stripe tells of it as unmatched. Look "
                "the payment up in Stripe’s Dashboard, and keep or refund it there. Until then, "
                "the customer may be asked to pay once more."
            ),
        ),
        links=(Link(_("See the payment at Stripe"), url),),
    )


def _of_the_other_mode() -> tuple[str, ...]:
    return (
        _(
            "Stripe delivers events here that are of the other mode: of test mode where real money "
            "is taken, or the other way round. Their signature is right, so this is a matter of "
            "settings. They were refused."
        ),
        _(
            "In Stripe’s Dashboard, under Developers, Webhooks, look at the endpoints of both "
            "modes. The secret and the key of one mode belong together: STRIPE_WEBHOOK_SECRET and "
            "STRIPE_SECRET_KEY."
        ),
    )


def _never_came() -> tuple[str, ...]:
    return (
        _(
            "Stripe’s own list tells of events that never came here. Payments are right all the "
            "same, since payflow has asked Stripe; but later than they should: after minutes "
            "instead of seconds."
        ),
        _(
            "In Stripe’s Dashboard, under Developers, Webhooks, look at the endpoint: whether it "
            "is enabled, what its deliveries were answered, whether its address is the one above, "
            "whether it sends the events that payflow’s README names, and whether its secret is in "
            "STRIPE_WEBHOOK_SECRET."
        ),
    )
