"""What a dispute and an early fraud warning look like, and what evidence the API takes."""

from collections.abc import Mapping
from typing import Any

from sandbox import clock
from sandbox.protocol.checks import (
    Checker,
    boolean,
    hash_of,
    list_of,
    metadata_change,
    or_empty,
    string,
)
from sandbox.protocol.errors import ApiError
from sandbox.protocol.ids import new_id
from sandbox.store import JsonDict

KIND = "dispute"
WARNING = "radar.early_fraud_warning"

ANSWER_WITHIN_S = 9 * 24 * 60 * 60

TEXTS = """
    access_activity_log billing_address cancellation_policy_disclosure cancellation_rebuttal
    customer_email_address customer_name customer_purchase_ip duplicate_charge_explanation
    duplicate_charge_id product_description refund_policy_disclosure refund_refusal_explanation
    service_date shipping_address shipping_carrier shipping_date shipping_tracking_number
    uncategorized_text
""".split()

FILES = """
    cancellation_policy customer_communication customer_signature duplicate_charge_documentation
    receipt refund_policy service_documentation shipping_documentation uncategorized_file
""".split()

# Visa's names for why; other networks have others.
REASON_CODES = {
    "credit_not_processed": "13.6",
    "duplicate": "12.6.1",
    "fraudulent": "10.4",
    "general": "10.4",
    "product_not_received": "13.1",
    "product_unacceptable": "13.3",
    "subscription_canceled": "13.2",
    "unrecognized": "10.4",
}


def _no_files(_: Any, name: str) -> Any:
    raise ApiError(400, f"The sandbox takes no files: {name}; Stripe does.", param=name)


EVIDENCE = hash_of(
    {
        **dict.fromkeys(TEXTS, or_empty(string(20000))),
        **dict.fromkeys((*FILES, "enhanced_evidence"), _no_files),
    }
)

UPDATE: Mapping[str, Checker] = {
    "evidence": EVIDENCE,
    "expand": list_of(string()),
    "metadata": metadata_change,
    "submit": boolean,
}


def dispute(charge: JsonDict, reason: str, amount: int, *, inquiry: bool) -> JsonDict:
    now = int(clock.now())
    return {
        "id": new_id("du"),
        "object": KIND,
        "amount": amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(sorted([*TEXTS, *FILES])), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": _end_of_day(now + ANSWER_WITHIN_S),
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": inquiry,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
    } | _method(charge, reason, inquiry)


def _method(charge: JsonDict, reason: str, inquiry: bool) -> JsonDict:
    """Bank debits have no details."""
    details = charge["payment_method_details"]
    if details["type"] != "card":
        return {}
    card = {
        "brand": details["card"]["brand"],
        "case_type": "inquiry" if inquiry else "chargeback",
        "network_reason_code": REASON_CODES.get(reason),
    }
    return {"payment_method_details": {"card": card, "type": "card"}}


def _end_of_day(moment: int) -> int:
    """23:59:59 UTC, as Stripe's deadlines are."""
    day = 24 * 60 * 60
    return moment // day * day + day - 1


def is_inquiry(shape: JsonDict) -> bool:
    return str(shape["status"]).startswith("warning_")


def become_chargeback(shape: JsonDict) -> None:
    shape["status"] = "needs_response"
    shape["is_charge_refundable"] = False
    shape["payment_method_details"]["card"]["case_type"] = "chargeback"
    shape["evidence_details"] |= {
        "due_by": _end_of_day(int(clock.now()) + ANSWER_WITHIN_S),
        "has_evidence": False,
        "submission_count": 0,
    }
    shape["evidence"] = {
        field: {} if field == "enhanced_evidence" else None for field in shape["evidence"]
    }


def early_fraud_warning(charge: JsonDict) -> JsonDict:
    return {
        "id": new_id("issfr"),
        "object": WARNING,
        "actionable": True,
        "charge": charge["id"],
        "created": int(clock.now()),
        "fraud_type": "made_with_stolen_card",
        "livemode": False,
        "payment_intent": charge["payment_intent"],
    }
