"""Where Stripe delivers its events. Every answer but 2xx makes Stripe deliver again."""

from flask import Blueprint, current_app, request
from flask.typing import ResponseReturnValue

from payflow import events, gateway

bp = Blueprint("webhooks", __name__)

# Bytes. Stripe's events are far smaller; more is refused before it is read.
LARGEST_BODY = 512 * 1024


@bp.post("/webhooks/stripe", strict_slashes=False)
def receive() -> ResponseReturnValue:
    request.max_content_length = LARGEST_BODY
    body = request.get_data(cache=False)
    try:
        event = gateway.verify_event(body, request.headers.get("Stripe-Signature"))
        events.receive(event, body.decode())
    except (gateway.BadSignature, gateway.NotAnEvent, events.WrongMode) as refusal:
        current_app.logger.warning("webhook refused: %s", refusal)
        return {"error": str(refusal)}, 400
    except events.NotHandled:
        return {"error": "kept, but not handled yet"}, 500
    return {"received": True}
