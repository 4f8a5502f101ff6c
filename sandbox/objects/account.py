"""``GET /v1/account``: whose account the key opens. There is one, and every test key opens it."""

import sqlite3

from sandbox import settings
from sandbox.store import JsonDict

ACCOUNT_ID = "acct_000000SandboxTest"
CREATED = 1735689600  # 2025-01-01: long before whatever happens here


def retrieve(db: sqlite3.Connection) -> JsonDict:
    name = settings.current(db)["business_name"]
    return {
        "id": ACCOUNT_ID,
        "object": "account",
        "business_profile": {
            "annual_revenue": None,
            "estimated_worker_count": None,
            "mcc": None,
            "minority_owned_business_designation": None,
            "name": name,
            "product_description": None,
            "support_address": None,
            "support_email": None,
            "support_phone": None,
            "support_url": None,
            "url": None,
        },
        "business_type": None,
        "capabilities": {"card_payments": "active", "sepa_debit_payments": "active"},
        "charges_enabled": True,
        "controller": {"type": "account"},
        "country": "AT",
        "created": CREATED,
        "default_currency": "eur",
        "details_submitted": True,
        "email": "owner@example.com",
        "external_accounts": {
            "object": "list",
            "data": [],
            "has_more": False,
            "url": f"/v1/accounts/{ACCOUNT_ID}/external_accounts",
        },
        "metadata": {},
        "payouts_enabled": True,
        "settings": _settings(name),
        "type": "standard",
    }


def _settings(name: str) -> JsonDict:
    return {
        "branding": dict.fromkeys(("icon", "logo", "primary_color", "secondary_color")),
        "card_payments": {
            "statement_descriptor_prefix": None,
            "statement_descriptor_prefix_kana": None,
            "statement_descriptor_prefix_kanji": None,
        },
        "dashboard": {"display_name": name, "timezone": "Etc/UTC"},
        "payments": {
            "statement_descriptor": "TEST BUSINESS",
            "statement_descriptor_kana": None,
            "statement_descriptor_kanji": None,
        },
        "sepa_debit_payments": {},
    }
