"""What is asked of both programs: payments that wait for their confirmation, and Stripe's events
that bring it, in Stripe's shape and size and signed as Stripe signs."""

import json
import secrets
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import stripe

from bench import bare, load
from payflow import clock
from payflow.db import db
from payflow.facts.objects import metadata
from payflow.facts.tellings import Telling
from payflow.payments import Details, current_attempt, open_payment
from payflow.record import record

SESSION_COMPLETED = json.loads(Path(__file__).with_name("session_completed.json").read_text())


@dataclass(frozen=True)
class Sale:
    """A payment whose customer is at Stripe. Amount in minor units."""

    payment_id: UUID
    attempt_id: UUID
    session_id: str
    amount: int = 12500
    currency: str = "eur"
    description: str = "Invoice 2026-118"

    def session(self) -> dict[str, Any]:
        """Its Checkout Session as Stripe tells it once it is paid."""
        return deepcopy(SESSION_COMPLETED["data"]["object"]) | {
            "id": self.session_id,
            "amount_subtotal": self.amount,
            "amount_total": self.amount,
            "client_reference_id": str(self.payment_id),
            "created": int(time.time()) - 60,
            "currency": self.currency,
            "expires_at": int(time.time()) + 86000,
            "metadata": metadata(self.payment_id, self.attempt_id),
            "payment_intent": f"pi_{secrets.token_hex(12)}",
        }


def open_sales(count: int) -> list[Sale]:
    """New sales in payflow's database, by payflow's own functions, within its application."""
    sales = [_open_sale() for _ in range(count)]
    db.session.commit()
    db.session.connection().exec_driver_sql("ANALYZE")
    db.session.commit()
    return sales


def _open_sale() -> Sale:
    details = Details(
        Sale.amount, Sale.currency, Sale.description, "", "A. Customer", "customer@example.com"
    )
    payment = open_payment(details, form_key=secrets.token_bytes(32))
    attempt = current_attempt(payment.id)
    sale = Sale(payment.id, attempt.id, f"cs_test_{secrets.token_hex(29)}")
    opened = sale.session() | {
        "status": "open",
        "payment_status": "unpaid",
        "payment_intent": None,
        "url": f"https://checkout.stripe.com/c/pay/{sale.session_id}",
    }
    told = Telling(opened, clock.now(), attempt_id=sale.attempt_id, by_retrieval=True)
    record(sale.payment_id, [told], "checkout")
    db.session.expunge_all()
    return sale


def copy_to_bare(sales: Sequence[Sale], database_url: str) -> None:
    """The same sales in the bare program's database."""
    with psycopg.connect(database_url) as connection:
        connection.execute(bare.SCHEMA)
        connection.cursor().executemany(
            "INSERT INTO payments VALUES (%s, 'open', %s, %s, %s)",
            [(sale.payment_id, sale.amount, sale.currency, sale.description) for sale in sales],
        )
        connection.execute("ANALYZE")


def sign_all(url: str, sales: Sequence[Sale], secret: str) -> list[bytes]:
    """The requests by which Stripe says that these sales are paid, each a new event."""
    return [_delivery(url, sale, secret) for sale in sales]


def _delivery(url: str, sale: Sale, secret: str) -> bytes:
    event = SESSION_COMPLETED | {
        "id": f"evt_{secrets.token_hex(12)}",
        "created": int(time.time()),
        "data": {"object": sale.session()},
    }
    body = json.dumps(event, indent=2)
    headers = {
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        "Accept": "*/*; q=0.5, application/xml",
        "Cache-Control": "no-cache",
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": stripe.WebhookSignature.generate_signature_header(body, secret),
    }
    return load.request("POST", f"{url}/webhooks/stripe", headers, body.encode())


def poll(url: str, sale: Sale) -> bytes:
    """The request by which the page of a sale that waits asks for news."""
    headers = {
        "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "Accept": "*/*",
        "Accept-Language": "en",
        "HX-Request": "true",
        "HX-Current-URL": f"{url}/payments/{sale.payment_id}?from=stripe",
        "HX-Target": "status",
    }
    page = f"{url}/payments/{sale.payment_id}/status?from=stripe&polls=2"
    return load.request("GET", page, headers)
