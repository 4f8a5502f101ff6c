"""What a merchant does and asks in many of these tests: a payment made, a session expired."""

from typing import Any

import stripe

from .conftest import pay, session_params


def paid(client: stripe.StripeClient, number: str = "4242424242424242", **params: Any) -> str:
    """The PaymentIntent of a payment of 12.50 EUR."""
    made = client.v1.checkout.sessions.create(session_params(**params))
    assert pay(made, number).status_code == 303
    intent = client.v1.checkout.sessions.retrieve(made.id).payment_intent
    assert isinstance(intent, str)
    return intent


def charge_of(client: stripe.StripeClient, intent: str) -> stripe.Charge:
    found = client.v1.payment_intents.retrieve(intent, {"expand": ["latest_charge"]})
    assert isinstance(found.latest_charge, stripe.Charge)
    return found.latest_charge


def types_about(client: stripe.StripeClient, start: str) -> list[str]:
    """The types of events that begin so, oldest first."""
    found = client.v1.events.list({"limit": 100}).data
    return [event.type for event in reversed(found) if event.type.startswith(start)]


def expire_one(client: stripe.StripeClient) -> None:
    """The shortest way to an event: ``checkout.session.expired``."""
    client.v1.checkout.sessions.expire(client.v1.checkout.sessions.create(session_params()).id)
