"""One sending of an event: its bytes and its signature, as they are or as a fault makes them."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sandbox import clock
from sandbox.faults import Strike
from sandbox.settings import Endpoint
from sandbox.store import JsonDict
from sandbox.webhooks import indented, signatures, webhook_client
from sandbox.webhooks.webhook_client import Answer

NO_ONES_SECRET = "whsec_of_no_one"


class Sending(NamedTuple):
    """An event's bytes as this endpoint gets them, and where they go.

    ``claim`` numbers the sendings of a delivery: an answer counts for the one it was given to.
    """

    delivery: int
    claim: int
    event_id: str
    body: bytes
    endpoint: Endpoint
    endpoint_id: str
    strikes: Mapping[str, Strike]


class Sent(NamedTuple):
    """``at`` is the stand-in's time."""

    sending: Sending
    at: float
    answer: Answer


def send(sending: Sending) -> Sent:
    """Signed by the machine's time, however far the stand-in's was moved: so the receiver's is."""
    body = _altered(sending.body, sending.strikes)
    old = sending.strikes.get("old_timestamp")
    at = int(time.time() - (old.seconds if old else 0.0))
    signature = signatures.header(body, _secrets(sending), at)
    answer = webhook_client.post(sending.endpoint.url, body, signature)
    return Sent(sending, clock.now(), answer)


def _secrets(sending: Sending) -> list[str]:
    if "corrupt_signature" in sending.strikes:
        return [NO_ONES_SECRET]
    if "twice_signed" in sending.strikes:  # a receiver must look further than the first
        return [NO_ONES_SECRET, sending.endpoint.secret]
    return [sending.endpoint.secret]


def _altered(body: bytes, strikes: Mapping[str, Strike]) -> bytes:
    changes = [change for fault, change in ALTERATIONS.items() if fault in strikes]
    if not changes:
        return body
    event = json.loads(body)
    for change in changes:
        event = change(event)
    return indented.dumps(event).encode()


def _with_wrong_livemode(event: JsonDict) -> JsonDict:
    return event | {"livemode": not event["livemode"]}


def _about_another_object(event: JsonDict) -> JsonDict:
    """The type says one thing, the object is another: a customer, whom no type here is about."""
    customer = {
        "id": "cus_000000OtherObject",
        "object": "customer",
        "created": event["created"],
        "livemode": event["livemode"],
        "metadata": {},
    }
    return event | {"data": {"object": customer}}


def _thin(event: JsonDict) -> JsonDict:
    """As the second version of Stripe's API tells of things: which object, and no more."""
    about: Any = event["data"]["object"]
    return {
        "id": event["id"],
        "object": "v2.core.event",
        "context": None,
        "created": datetime.fromtimestamp(event["created"], UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "livemode": event["livemode"],
        "reason": None,
        "related_object": {"id": about["id"], "type": about["object"], "url": _url(about)},
        "type": f"v1.{event['type']}",
    }


def _url(about: JsonDict) -> str:
    return f"/v1/{about['object'].replace('.', '/')}s/{about['id']}"


# In this order if several strike.
ALTERATIONS = {
    "wrong_livemode": _with_wrong_livemode,
    "other_object": _about_another_object,
    "thin": _thin,
}
