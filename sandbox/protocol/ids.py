"""Identifiers that look like Stripe's."""

import secrets
import string

ALPHABET = string.ascii_letters + string.digits

# What each random byte becomes: some letters are a little likelier, which hurts nobody here.
_LETTERS = bytes(ord(ALPHABET[byte % len(ALPHABET)]) for byte in range(256))

LENGTHS = {"cs_test_a1": 56, "req": 14}


def new_id(prefix: str) -> str:
    """``cs_test_a1…`` runs on without an underscore, as Stripe's does; all others have one."""
    length = LENGTHS.get(prefix, 24)
    random = secrets.token_bytes(length).translate(_LETTERS).decode()
    return prefix + random if prefix.startswith("cs_") else f"{prefix}_{random}"


def new_client_secret(object_id: str) -> str:
    return f"{object_id}_secret_{new_id('x')[2:]}"
