"""PaymentIntents, payment methods and charges: the objects' shapes, as Stripe's API shows them.

Pure: nothing is stored here and no event recorded; that is ``payments``.
"""

import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

from sandbox import clock
from sandbox.objects.bank_debits import METHOD as SEPA
from sandbox.objects.bank_debits import BankAccount
from sandbox.objects.cards import Card, Decline
from sandbox.protocol.ids import new_client_secret, new_id
from sandbox.store import JsonDict

DESCRIPTOR = "TEST BUSINESS"


class Payer(NamedTuple):
    """What the customer typed into the hosted page; the expiry is a card's."""

    email: str
    name: str
    means: Card | BankAccount
    exp_month: int = 0
    exp_year: int = 0

    @property
    def country(self) -> str:
        return self.means.country


def address(country: str) -> JsonDict:
    """The page asks for no address; the country is the card's or the account's."""
    return {
        "city": None,
        "country": country,
        "line1": None,
        "line2": None,
        "postal_code": None,
        "state": None,
    }


def payment_intent(session: JsonDict, data: Mapping[str, Any]) -> JsonDict:
    """A new one; ``data`` is the session's ``payment_intent_data``."""
    intent_id = new_id("pi")
    types = session["payment_method_types"]
    return {
        "id": intent_id,
        "object": "payment_intent",
        "amount": session["amount_total"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": data.get("capture_method", "automatic_async"),
        "client_secret": new_client_secret(intent_id),
        "confirmation_method": "automatic",
        "created": int(clock.now()),
        "currency": session["currency"],
        "customer": session["customer"],
        "customer_account": None,
        "description": data.get("description"),
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "managed_payments": None,
        "metadata": data.get("metadata", {}),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {kind: dict(METHOD_OPTIONS[kind]) for kind in types},
        "payment_method_types": types,
        "processing": None,
        "receipt_email": data.get("receipt_email"),
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "statement_descriptor": data.get("statement_descriptor"),
        "statement_descriptor_suffix": data.get("statement_descriptor_suffix"),
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }


METHOD_OPTIONS: Mapping[str, JsonDict] = {
    "card": {
        "installments": None,
        "mandate_options": None,
        "network": None,
        "request_three_d_secure": "automatic",
    },
    SEPA: {},
}


def authentication(intent_id: str) -> JsonDict:
    """``next_action`` while the bank asks the customer: Stripe's page does the rest."""
    return {
        "type": "use_stripe_sdk",
        "use_stripe_sdk": {
            "source": new_id("src"),
            "stripe_js": f"https://js.stripe.com/3ds2/{intent_id}",
            "type": "three_d_secure_redirect",
        },
    }


def payment_method(payer: Payer, customer: str | None) -> JsonDict:
    kind, details = _method_of(payer)
    return {
        "id": new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "limited",
        "billing_details": {
            "address": address(payer.country),
            "email": payer.email,
            "name": payer.name,
            "phone": None,
            "tax_id": None,
        },
        kind: details,
        "created": int(clock.now()),
        "customer": customer,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": kind,
    }


def _method_of(payer: Payer) -> tuple[str, JsonDict]:
    if isinstance(payer.means, BankAccount):
        return SEPA, _sepa_method(payer.means)
    return "card", _card_method(payer.means, payer)


def _sepa_method(account: BankAccount) -> JsonDict:
    return {
        "bank_code": account.bank_code,
        "branch_code": "",
        "country": account.country,
        "fingerprint": f"test{account.last4}fingerprint",
        "generated_from": {"charge": None, "setup_attempt": None},
        "last4": account.last4,
    }


def _card_method(card: Card, payer: Payer) -> JsonDict:
    wrong_cvc = card.decline is not None and card.decline.code == "incorrect_cvc"
    return {
        "brand": card.brand,
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "fail" if wrong_cvc else "pass",
        },
        "country": card.country,
        "display_brand": card.brand,
        "exp_month": payer.exp_month,
        "exp_year": payer.exp_year,
        "fingerprint": f"test{card.last4}fingerprint",
        "funding": card.funding,
        "generated_from": None,
        "last4": card.last4,
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def charge(intent: JsonDict, method: JsonDict, payer: Payer) -> JsonDict:
    """Of a card: succeeded or failed; of a debit: pending. The balance transaction comes later."""
    debit = isinstance(payer.means, BankAccount)
    decline = None if isinstance(payer.means, BankAccount) else payer.means.decline
    paid = not debit and decline is None
    descriptor = intent["statement_descriptor"] or DESCRIPTOR
    return {
        "id": new_id("py" if debit else "ch"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0 if decline else intent["amount"],
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": None if debit else descriptor.upper(),
        "captured": decline is None,
        "created": int(clock.now()),
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": decline.code if decline else None,
        "failure_message": decline.message if decline else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": outcome(decline),
        "paid": paid,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": _method_details(intent, method, payer),
        "radar_options": {},
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "pending" if debit else "failed" if decline else "succeeded",
        "transfer_data": None,
        "transfer_group": None,
    }


def outcome(decline: Decline | None) -> JsonDict:
    if decline is None:
        kind, network, reason = "authorized", "approved_by_network", None
        words = "Payment complete."
    elif decline.blocked:
        kind, network, reason = "blocked", "not_sent_to_network", "highest_risk_level"
        words = "Stripe blocked this payment as too risky."
    else:
        kind, network = "issuer_declined", "declined_by_network"
        reason = decline.decline_code or decline.code
        words = "The bank did not return any further details with this decline."
    return {
        "advice_code": decline.advice if decline else None,
        "network_advice_code": None,
        "network_decline_code": None if decline is None or decline.blocked else "01",
        "network_status": network,
        "reason": reason,
        "risk_level": "highest" if decline and decline.blocked else "normal",
        "risk_score": 90 if decline and decline.blocked else 12,
        "seller_message": words,
        "type": kind,
    }


def _method_details(intent: JsonDict, method: JsonDict, payer: Payer) -> JsonDict:
    if isinstance(payer.means, BankAccount):
        return {SEPA: _debit_details(method), "type": SEPA}
    return {"card": _card_details(intent, method, payer.means), "type": "card"}


def _debit_details(method: JsonDict) -> JsonDict:
    shared = ("bank_code", "branch_code", "country", "fingerprint", "last4")
    return {key: method[SEPA][key] for key in shared} | {"mandate": new_id("mandate")}


def _card_details(intent: JsonDict, method: JsonDict, card: Card) -> JsonDict:
    shared = ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding",
              "last4", "regulated_status", "wallet")  # fmt: skip
    paid = card.decline is None
    return {key: method["card"][key] for key in shared} | {
        "amount_authorized": intent["amount"] if paid else None,
        "authorization_code": f"{secrets.randbelow(1_000_000):06}" if paid else None,
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": card.brand,
        "network_token": {"used": False},
        "network_transaction_id": str(secrets.randbelow(10**15)),
        "overcapture": {"maximum_amount_capturable": intent["amount"], "status": "unavailable"},
        "three_d_secure": _authenticated() if card.authentication == "required" else None,
    }


def _authenticated() -> JsonDict:
    """A charge is made only once the challenge was passed."""
    return {
        "authentication_flow": "challenge",
        "electronic_commerce_indicator": "05",
        "exemption_indicator": None,
        "result": "authenticated",
        "result_reason": None,
        "transaction_id": new_id("tdstxn"),
        "version": "2.2.0",
    }
