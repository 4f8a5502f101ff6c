"""Plays the faults of API calls: before the view, after it, or by the server on the wire.

What the wire does to an answer is asked of ``server`` through two keys of the WSGI environment. A
fault before the effect leaves nothing behind, but that a 402 or 500 is kept for its key, as Stripe
keeps it; after the effect, everything.
"""

import json
import time

from flask import Flask, Response, g, request

from sandbox import clock, faults
from sandbox.api import calls
from sandbox.faults import Strike
from sandbox.objects.cards import DECLINED
from sandbox.protocol import idempotency
from sandbox.protocol.errors import ApiError
from sandbox.protocol.idempotency import Reply
from sandbox.server import RESET, SILENCE
from sandbox.world import world

BROKEN = (
    "An unknown error occurred. Please contact us via https://support.stripe.com/contact if the"
    " error persists. (A fault of the sandbox.)"
)
REVOKED = "Invalid API Key provided: it was rolled or revoked. (A fault of the sandbox.)"
TOO_MANY = (
    "Request rate limit exceeded. Learn more about rate limits here"
    " https://stripe.com/docs/rate-limits. (A fault of the sandbox.)"
)


def install(app: Flask) -> None:
    """Call after the API's own ``install``: who may not ask at all meets no fault."""
    app.before_request(_before)
    app.after_request(_after)


def _before() -> Response | None:
    if not calls.is_api():
        return None
    strike = g.strike = _strike()
    if strike is None:
        return None
    if strike.fault == "401":
        return calls.refuse(ApiError(401, REVOKED))
    if strike.fault in ("402", "500"):
        return _fail(strike.fault)
    if strike.fault == "429":
        return _turn_away(strike.seconds)
    if strike.fault in ("timeout_before", "reset_before"):
        _cut_off(strike)
        return Response(status=500)
    if strike.fault == "delay":
        time.sleep(strike.seconds)
    return None


def _strike() -> Strike | None:
    if not g.switches[faults.API]:
        return None
    with world().store.transaction() as db:
        return faults.on_call(db, g.switches, request.method, request.path)


def _fail(status: str) -> Response | None:
    """The answer kept for the key goes before: a failure is not made of what has succeeded."""
    params = calls.params_sent()
    key = g.get("key")
    if key:
        with world().store.reading() as db:
            if idempotency.find(db, key, request.path, params, clock.now()):
                return None
    error = _declined() if status == "402" else ApiError(500, BROKEN, kind="api_error")
    calls.remember(error)
    raise error


def _declined() -> ApiError:
    """No call here charges a card by itself; clients meet this where theirs do."""
    return ApiError(
        402, DECLINED, code="card_declined", kind="card_error", decline_code="generic_decline"
    )


def _turn_away(seconds: float) -> Response:
    after_s = max(1, round(seconds))
    response = calls.refuse(ApiError(429, TOO_MANY, code="rate_limit", retry_after_s=after_s))
    response.headers["Stripe-Rate-Limited-Reason"] = "global-rate"
    return response


def _cut_off(strike: Strike) -> None:
    if strike.fault.startswith("reset"):
        request.environ[RESET] = True
    else:
        request.environ[SILENCE] = strike.seconds


def _after(response: Response) -> Response:
    strike: Strike | None = g.get("strike")
    if strike is None or not strike.fault.endswith("_after"):
        return response
    if strike.fault != "500_after":
        _cut_off(strike)
        return response
    if response.status_code >= 400 or "Idempotent-Replayed" in response.headers:
        return _spared(strike, response)
    return _broken_after()


def _spared(strike: Strike, response: Response) -> Response:
    """This request did nothing that an error could hide: the rule waits for one that does."""
    with world().store.transaction() as db:
        faults.spare(db, strike)
    g.strike = None
    return response


def _broken_after() -> Response:
    error = ApiError(500, BROKEN, kind="api_error")
    key = g.get("key")
    if key:
        text = json.dumps(error.envelope(g.request_id), ensure_ascii=False)
        with world().store.transaction() as db:
            idempotency.replace(db, key, Reply(error.status, text, g.request_id, replayed=False))
    return calls.refuse(error)
