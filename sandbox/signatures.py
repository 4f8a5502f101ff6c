"""Stripe's webhook signature: HMAC-SHA256 over ``timestamp.body``, hexadecimal.

https://docs.stripe.com/webhooks#verify-manually
"""

import hashlib
import hmac

# In test mode Stripe adds a v0 that is no receiver's to check; this one verifies under no secret
# that anybody is given.
V0_SECRET = b"not the endpoint's secret"


def header(body: bytes, secret: str, timestamp: int) -> str:
    """The value of ``Stripe-Signature`` for one sending at ``timestamp`` (epoch seconds)."""
    signed = f"{timestamp}.".encode() + body
    v1 = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    v0 = hmac.new(V0_SECRET, signed, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={v1},v0={v0}"
