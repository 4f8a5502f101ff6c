"""What there is under ``/v1``: each endpoint is a few lines that name the work.

``calls`` is what they share. The order is that of Stripe's reference.
"""

import logging
import sqlite3

from flask import Response

from sandbox.api.calls import READERS, caused_by, find, list_of, perform, read, retrieve, version
from sandbox.api.calls import api as api
from sandbox.objects import (
    account,
    balance,
    charges,
    dispute_shapes,
    disputes,
    line_items,
    lists,
    payment_intents,
    refunds,
    sessions,
)
from sandbox.protocol.checks import top_level, unplayed
from sandbox.protocol.errors import not_found
from sandbox.store import JsonDict
from sandbox.webhooks import event_types, events, webhook_endpoints
from sandbox.world import world

log = logging.getLogger(__name__)


@api.get("/account")
def retrieve_account() -> Response:
    return retrieve(account.retrieve)


@api.get("/balance")
def retrieve_balance() -> Response:
    return read(balance.balance)


@api.get("/balance_transactions")
def list_balance_transactions() -> Response:
    return read(balance.list_transactions)


@api.get("/balance_transactions/<transaction_id>")
def retrieve_balance_transaction(transaction_id: str) -> Response:
    return retrieve(lambda db: balance.load(db, transaction_id))


@api.get("/charges")
def list_charges() -> Response:
    return list_of("charge", "customer", "payment_intent", "transfer_group")


@api.get("/charges/<charge_id>")
def retrieve_charge(charge_id: str) -> Response:
    return retrieve(lambda db: find(db, "charge", charge_id))


@api.post("/charges/<charge_id>")
def update_charge(charge_id: str) -> Response:
    return perform(lambda db, params: charges.update(db, charge_id, params, caused_by()))


@api.get("/charges/<charge_id>/refunds")
def list_refunds_of_charge(charge_id: str) -> Response:
    return list_of(refunds.KIND, charge=charge_id)


@api.post("/charges/<charge_id>/refunds")
def create_refund_of_charge(charge_id: str) -> Response:
    return perform(
        lambda db, params: refunds.create(db, {**params, "charge": charge_id}, caused_by())
    )


@api.post("/checkout/sessions")
def create_session() -> Response:
    return perform(lambda db, params: sessions.create(db, params, world().origin, version()))


@api.get("/checkout/sessions")
def list_sessions() -> Response:
    return read(sessions.page)


@api.get("/checkout/sessions/<session_id>")
def retrieve_session(session_id: str) -> Response:
    return retrieve(lambda db: sessions.load(db, session_id))


@api.post("/checkout/sessions/<session_id>")
def update_session(session_id: str) -> Response:
    return perform(lambda db, params: sessions.update(db, session_id, params))


@api.post("/checkout/sessions/<session_id>/expire")
def expire_session(session_id: str) -> Response:
    def work(db: sqlite3.Connection, params: JsonDict) -> JsonDict:
        top_level(params, READERS)
        return sessions.expire_on_request(db, session_id, caused_by())

    return perform(work)


@api.get("/checkout/sessions/<session_id>/line_items")
def session_line_items(session_id: str) -> Response:
    def work(db: sqlite3.Connection, params: JsonDict) -> JsonDict:
        sessions.load(db, session_id)
        return line_items.page(db, session_id, params)

    return read(work)


@api.get("/disputes")
def list_disputes() -> Response:
    return list_of(disputes.KIND, "charge", "payment_intent")


@api.get("/disputes/<dispute_id>")
def retrieve_dispute(dispute_id: str) -> Response:
    return retrieve(lambda db: disputes.load(db, dispute_id))


@api.post("/disputes/<dispute_id>")
def update_dispute(dispute_id: str) -> Response:
    return perform(lambda db, params: disputes.update(db, dispute_id, params, caused_by()))


@api.post("/disputes/<dispute_id>/close")
def close_dispute(dispute_id: str) -> Response:
    def work(db: sqlite3.Connection, params: JsonDict) -> JsonDict:
        top_level(params, READERS)
        return disputes.accept(db, dispute_id, caused_by())

    return perform(work)


@api.get("/events")
def list_events() -> Response:
    return read(lists.list_events)


@api.get("/events/<event_id>")
def retrieve_event(event_id: str) -> Response:
    def work(db: sqlite3.Connection) -> JsonDict:
        event = events.find(db, event_id)
        if event is None:
            raise not_found("event", event_id)
        return event

    return retrieve(work)


@api.get("/payment_intents")
def list_payment_intents() -> Response:
    return list_of("payment_intent", "customer", "customer_account")


@api.get("/payment_intents/<intent_id>")
def retrieve_payment_intent(intent_id: str) -> Response:
    def work(db: sqlite3.Connection, params: JsonDict) -> JsonDict:
        top_level(params, {**READERS, "client_secret": unplayed})
        return payment_intents.load(db, intent_id)

    return read(work)


@api.post("/payment_intents/<intent_id>")
def update_payment_intent(intent_id: str) -> Response:
    return perform(lambda db, params: payment_intents.update(db, intent_id, params))


@api.post("/payment_intents/<intent_id>/cancel")
def cancel_payment_intent(intent_id: str) -> Response:
    return perform(lambda db, params: payment_intents.cancel(db, intent_id, params, caused_by()))


@api.get("/radar/early_fraud_warnings")
def list_early_fraud_warnings() -> Response:
    return list_of(dispute_shapes.WARNING, "charge", "payment_intent")


@api.get("/radar/early_fraud_warnings/<warning_id>")
def retrieve_early_fraud_warning(warning_id: str) -> Response:
    return retrieve(lambda db: find(db, dispute_shapes.WARNING, warning_id))


@api.get("/refunds")
def list_refunds() -> Response:
    return list_of(refunds.KIND, "charge", "payment_intent")


@api.post("/refunds")
def create_refund() -> Response:
    return perform(lambda db, params: refunds.create(db, params, caused_by()))


@api.get("/refunds/<refund_id>")
def retrieve_refund(refund_id: str) -> Response:
    return retrieve(lambda db: refunds.load(db, refund_id))


@api.post("/refunds/<refund_id>")
def update_refund(refund_id: str) -> Response:
    return perform(lambda db, params: refunds.update(db, refund_id, params, caused_by()))


@api.post("/refunds/<refund_id>/cancel")
def cancel_refund(refund_id: str) -> Response:
    def work(db: sqlite3.Connection, params: JsonDict) -> JsonDict:
        top_level(params, READERS)
        return refunds.cancel(db, refund_id, caused_by())

    return perform(work)


@api.post("/test_helpers/refunds/<refund_id>/expire")
def expire_refund(refund_id: str) -> Response:
    def work(db: sqlite3.Connection, params: JsonDict) -> JsonDict:
        top_level(params, READERS)
        return refunds.expire(db, refund_id, caused_by())

    return perform(work)


def _warned_of(endpoint: JsonDict) -> JsonDict:
    """Stripe takes any of its types; whoever waits for one that never comes should know."""
    if silent := event_types.never_sent(endpoint["enabled_events"]):
        log.warning("%s waits for what the sandbox never sends: %s", endpoint["id"], silent)
    return endpoint


@api.get("/webhook_endpoints")
def list_webhook_endpoints() -> Response:
    def work(db: sqlite3.Connection, params: JsonDict) -> JsonDict:
        return lists.list_objects(db, webhook_endpoints.KIND, "/v1/webhook_endpoints", params)

    return read(work)


@api.post("/webhook_endpoints")
def create_webhook_endpoint() -> Response:
    return perform(lambda db, params: _warned_of(webhook_endpoints.create(db, params)))


@api.get("/webhook_endpoints/<endpoint_id>")
def retrieve_webhook_endpoint(endpoint_id: str) -> Response:
    return retrieve(lambda db: webhook_endpoints.load(db, endpoint_id))


@api.post("/webhook_endpoints/<endpoint_id>")
def update_webhook_endpoint(endpoint_id: str) -> Response:
    return perform(lambda db, params: _warned_of(webhook_endpoints.update(db, endpoint_id, params)))


@api.delete("/webhook_endpoints/<endpoint_id>")
def delete_webhook_endpoint(endpoint_id: str) -> Response:
    return read(lambda db, params: webhook_endpoints.delete(db, endpoint_id))
