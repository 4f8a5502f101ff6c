"""Stripe's webhook signature: HMAC-SHA256 over ``timestamp.body``, hexadecimal.

https://docs.stripe.com/webhooks#verify-manually
"""

import hashlib
import hmac

# In test mode Stripe adds a v0 that is no receiver's to check; this one verifies under no secret
# that anybody is given.
V0_SECRET = "not the endpoint's secret"


def header(body: bytes, secrets: list[str], timestamp: int) -> str:
    """The value of ``Stripe-Signature`` for one sending at ``timestamp`` (epoch seconds).

    A ``v1`` for each of ``secrets``: there are two while one is being rolled.
    """
    signed = f"{timestamp}.".encode() + body
    schemes = [("v1", secret) for secret in secrets] + [("v0", V0_SECRET)]
    signatures = [
        f"{scheme}={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"
        for scheme, secret in schemes
    ]
    return ",".join([f"t={timestamp}", *signatures])
