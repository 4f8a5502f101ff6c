"""Identifiers that look like Stripe's."""

import secrets
import string

ALPHABET = string.ascii_letters + string.digits

LENGTHS = {"cs_test_a1": 56, "req": 14}


def new_id(prefix: str) -> str:
    """``cs_test_a1…`` runs on without an underscore, as Stripe's does; all others have one."""
    length = LENGTHS.get(prefix, 24)
    random = "".join(ALPHABET[byte % 62] for byte in secrets.token_bytes(length))
    return prefix + random if prefix.startswith("cs_") else f"{prefix}_{random}"


def new_client_secret(object_id: str) -> str:
    return f"{object_id}_secret_{new_id('x')[2:]}"
