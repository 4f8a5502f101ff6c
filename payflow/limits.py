"""How often a payment may be begun, by network and by payer: what keeps card testers slow.

Owns what is counted by whom; the views say when. Counts what could ask something of Stripe, not
looking at pages nor mistakes in the form. Counted in LIMIT_STORAGE; while that is away, by each
process for itself, for a customer must be able to pay all the same.
"""

import hmac
import logging
import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from uuid import UUID

from flask import Flask, g, request
from flask_limiter import Limiter, RateLimitExceeded

from payflow.config import Settings, current_settings

log = logging.getLogger(__name__)

# Seconds that a storage elsewhere has, to connect and to answer.
STORAGE_PATIENCE = 1


class TooMany(Exception):
    """A limit is reached; nothing was done. `retry_after`: seconds until it is not any more."""

    def __init__(self, retry_after: int):
        super().__init__(f"again in {retry_after} s")
        self.retry_after = retry_after


def network() -> str:
    """Where a request comes from: an IPv4 address, or the /64 that an IPv6 customer has whole."""
    try:
        address = ip_address(request.remote_addr or "")
    except ValueError:
        return request.remote_addr or "unknown"
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped or ip_network((int(address), 64), strict=False))


limiter = Limiter(
    network,
    # A fixed window would let twice as many through around its end.
    strategy="moving-window",
    storage_options={
        "socket_connect_timeout": STORAGE_PATIENCE,
        "socket_timeout": STORAGE_PATIENCE,
    },
    in_memory_fallback_enabled=True,
)


def init_app(app: Flask) -> None:
    settings: Settings = app.config["PAYFLOW"]
    app.config["RATELIMIT_STORAGE_URI"] = settings.limit_storage
    limiter.init_app(app)


def count_form(email: str) -> None:
    """A form without mistakes was sent. Raises TooMany."""
    # A storage elsewhere need not learn who our customers are.
    key = current_settings().secret_key.encode()
    g.payer = hmac.digest(key, folded(email).encode(), "sha256").hex()
    _count(_network_and_payer)


def count_retry(payment_id: UUID) -> None:
    """A payment is tried again. Raises TooMany.

    Counted by payment and network: who else knows the payment's address uses up nothing of the
    customer's.
    """
    g.payer = f"{payment_id} {network()}"
    _count(_network_and_payer)


def count_caught() -> None:
    """A program fell into the form's trap. Raises TooMany."""
    _count(_network)


def folded(email: str) -> str:
    """One spelling of an address for all that reach the same mailbox: A+shop@x is a@x."""
    local, _, domain = email.lower().rpartition("@")
    return f"{local.partition('+')[0] or local}@{domain}"


_by_network = limiter.shared_limit(
    lambda: current_settings().limit_per_address, scope="network", key_func=network
)
_by_payer = limiter.shared_limit(
    lambda: current_settings().limit_per_email, scope="payer", key_func=lambda: str(g.payer)
)


@_by_network
def _network() -> None:
    """Counted by its decorator."""


@_by_network
@_by_payer
def _network_and_payer() -> None:
    """Counted by its decorators."""


def _count(counted: Callable[[], None]) -> None:
    try:
        counted()
    except RateLimitExceeded as reached:
        limit = limiter.current_limit
        over_at = limit.window.reset_time if limit else 0.0
        wait = max(1, ceil(over_at - time.time()))
        log.warning("%s has reached %s: refused for %d s", network(), reached.limit.limit, wait)
        raise TooMany(wait) from None
