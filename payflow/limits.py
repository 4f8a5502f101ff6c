"""How often a payment may be begun, by network and by payer: what keeps card testers slow.

Owns what is counted by whom; the views say when. Counts what could ask something of Stripe, not
looking at pages nor mistakes in the form. Counted in LIMIT_STORAGE; while that is away, by each
process for itself, for a customer must be able to pay all the same.
"""

import hmac
import logging
import re
import time
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from uuid import UUID

from flask import Flask, current_app, request
from limits import RateLimitItem, parse_many
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import MovingWindowRateLimiter

from payflow.config import Settings, current_settings

log = logging.getLogger(__name__)

# Seconds that a storage elsewhere has, to connect and to answer.
PATIENCE = {"socket_connect_timeout": 1, "socket_timeout": 1}
COUNTERS = "payflow_limits"
# As some proxies tell an address. The port is another one for each connection.
_WITH_PORT = re.compile(r"^(?:\[([^]]*)\]|([0-9.]+))(?::\d+)?$")


class TooMany(Exception):
    """A limit is reached; nothing was done. `retry_after`: seconds until it is not any more."""

    def __init__(self, retry_after: int):
        super().__init__(f"again in {retry_after} s")
        self.retry_after = retry_after


def network() -> str:
    """Where a request comes from: an IPv4 address, or the /64 that an IPv6 customer has whole."""
    told = request.remote_addr or "unknown"
    try:
        address = ip_address(_WITH_PORT.sub(r"\1\2", told))
    except ValueError:
        return told
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped or ip_network((int(address), 64), strict=False))


def init_app(app: Flask) -> None:
    """Windows move: fixed ones would let twice as many through around their ends."""
    settings: Settings = app.config["PAYFLOW"]
    elsewhere = PATIENCE if settings.limit_storage.startswith("redis") else {}
    storage = storage_from_string(settings.limit_storage, wrap_exceptions=True, **elsewhere)
    own = MovingWindowRateLimiter(MemoryStorage())
    app.extensions[COUNTERS] = MovingWindowRateLimiter(storage), own


def count_form(email: str) -> None:
    """A form without mistakes was sent. Raises TooMany."""
    # A storage elsewhere need not learn who our customers are.
    key = current_settings().secret_key.encode()
    _count_network()
    _count_payer(hmac.digest(key, folded(email).encode(), "sha256").hex())


def count_retry(payment_id: UUID) -> None:
    """A payment is tried again. Raises TooMany.

    Counted by payment and network: who else knows the payment's address uses up nothing of the
    customer's.
    """
    _count_network()
    _count_payer(f"{payment_id} {network()}")


def count_caught() -> None:
    """A program fell into the form's trap. Raises TooMany."""
    _count_network()


def folded(email: str) -> str:
    """One spelling of an address for all that reach the same mailbox: A+shop@x is a@x."""
    local, _, domain = email.lower().rpartition("@")
    local = local.partition("+")[0] or local
    # Google looks at no dots. Elsewhere they may tell two people apart.
    if domain in ("gmail.com", "googlemail.com"):
        return f"{local.replace('.', '')}@gmail.com"
    return f"{local}@{domain}"


def _count_network() -> None:
    _count(current_settings().limit_per_address, "network", network())


def _count_payer(payer: str) -> None:
    _count(current_settings().limit_per_email, "payer", payer)


def _count(limits: str, *who: str) -> None:
    storage, own = current_app.extensions[COUNTERS]
    for limit in parse_many(limits):
        try:
            _hit(storage, limit, *who)
        except StorageError as error:
            log.warning("LIMIT_STORAGE is away, each process counts for itself: %s", error)
            _hit(own, limit, *who)


def _hit(counter: MovingWindowRateLimiter, limit: RateLimitItem, *who: str) -> None:
    if counter.hit(limit, *who):
        return
    wait = max(1, ceil(counter.get_window_stats(limit, *who).reset_time - time.time()))
    log.warning("%s has reached %s: refused for %d s", network(), limit, wait)
    raise TooMany(wait)
