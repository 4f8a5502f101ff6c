"""Stripe's API under ``/v1``: who asks, what for, and the answer kept for the idempotency key."""

import base64
import binascii
import json
import sqlite3
import time
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from sandbox import events, expand, forms, idempotency, lists, request_log, sessions, settings
from sandbox.checks import top_level
from sandbox.errors import ApiError, not_found
from sandbox.idempotency import Reply
from sandbox.ids import new_id
from sandbox.store import JsonDict, find_object
from sandbox.world import world

api = Blueprint("api", __name__, url_prefix="/v1")

PREFIX = "/v1/"
READERS = {"expand": lambda value, name: value}

Work = Callable[[sqlite3.Connection, JsonDict], JsonDict]


def install(app: Flask) -> None:
    """The hooks are the app's, not the blueprint's: unknown paths need the envelope as well."""
    app.register_blueprint(api)
    app.before_request(_begin)
    app.after_request(_finish)
    app.teardown_request(_end)
    app.register_error_handler(ApiError, lambda error: _answer(error.status, error.envelope()))


def is_api() -> bool:
    return request.path.startswith(PREFIX)


def envelope_for(error: HTTPException) -> Response:
    """404 and 405 of Flask's router, as Stripe words them."""
    text = (
        f"Unrecognized request URL ({request.method}: {request.path}). Please see"
        " https://stripe.com/docs or we can help at https://support.stripe.com/."
    )
    return _answer(error.code or 500, ApiError(error.code or 500, text).envelope())


def _begin() -> None:
    if not is_api():
        return
    g.request_id = new_id("req")
    _authenticate()
    key = request.headers.get("Idempotency-Key")
    if key and request.method == "POST":
        idempotency.check_key(key)
        world().under_way.enter(key)
        g.key = key


def _authenticate() -> None:
    key = _presented_key()
    if not key:
        raise ApiError(
            401,
            "You did not provide an API key. You need to provide your API key in the Authorization"
            " header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
        )
    if key.startswith("pk_"):
        raise ApiError(
            401,
            "This API call cannot be made with a publishable API key. Please use a secret API key.",
            code="secret_key_required",
        )
    if not key.startswith(("sk_test_", "rk_test_")):
        raise ApiError(401, f"Invalid API Key provided: {key[:8]}***{key[-4:]}")


def _presented_key() -> str:
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(credentials).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def _answer(status: int, body: JsonDict) -> Response:
    text = json.dumps(body, ensure_ascii=False)
    return Response(text, status, content_type="application/json")


def _finish(response: Response) -> Response:
    """Headers, the log, and the held-back answer: its effect is stored by now."""
    if not is_api():
        return response
    response.headers["Request-Id"] = g.request_id
    response.headers["Stripe-Version"] = request.headers.get("Stripe-Version", events.API_VERSION)
    response.headers["Cache-Control"] = "no-cache, no-store"
    key = request.headers.get("Idempotency-Key")
    if key:
        response.headers["Idempotency-Key"] = key
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="Stripe"'
    with world().store.transaction() as db:
        request_log.add(db, _log_record(response))
        delay_s = settings.current(db)["api_delay_s"]
    time.sleep(delay_s)
    return response


def _log_record(response: Response) -> JsonDict:
    return {
        "method": request.method,
        "path": request.path,
        "parameters": g.get("params", {}),
        "idempotency_key": request.headers.get("Idempotency-Key"),
        "stripe_version": request.headers.get("Stripe-Version"),
        "request_id": g.request_id,
        "status": response.status_code,
        "replayed": "Idempotent-Replayed" in response.headers,
        "at": time.time(),
    }


def _end(error: BaseException | None) -> None:
    key = g.pop("key", None)
    if key:
        world().under_way.leave(key)


def _params() -> JsonDict:
    encoded = request.get_data() if request.method == "POST" else request.query_string
    try:
        g.params = forms.parse(encoded.decode())
    except UnicodeDecodeError:
        raise ApiError(400, "Invalid request: the parameters are not UTF-8.") from None
    return dict(g.params)


def _perform(work: Work) -> Response:
    """Does the work once per idempotency key: effect, events and stored answer in one commit."""
    params = _params()
    with world().store.transaction() as db:
        reply = _stored_reply(db, params) or _new_reply(db, params, work)
    world().deliveries.wake()
    response = Response(reply.body, reply.status, content_type="application/json")
    if g.get("key"):
        response.headers["Original-Request"] = reply.original
    if reply.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def _stored_reply(db: sqlite3.Connection, params: JsonDict) -> Reply | None:
    key = g.get("key")
    return idempotency.find(db, key, request.path, params) if key else None


def _new_reply(db: sqlite3.Connection, params: JsonDict, work: Work) -> Reply:
    paths = params.get("expand", [])
    body = expand.expand(db, work(db, params), paths)
    reply = Reply(200, json.dumps(body, ensure_ascii=False), g.request_id, False)
    if g.get("key"):
        idempotency.keep(db, g.key, request.path, params, reply, time.time())
    return reply


def _read(work: Work) -> Response:
    params = _params()
    with world().store.reading() as db:
        body = work(db, params)
        return _answer(200, expand.expand(db, body, params.get("expand", [])))


def _caused_by() -> dict[str, str | None]:
    """What events of this request tell as their ``request``."""
    return {"id": g.request_id, "idempotency_key": g.get("key")}


@api.post("/checkout/sessions")
def create_session() -> Response:
    return _perform(lambda db, params: sessions.create(db, params, world().origin))


@api.get("/checkout/sessions")
def list_sessions() -> Response:
    return _list_of(sessions.KIND)


@api.get("/checkout/sessions/<session_id>")
def retrieve_session(session_id: str) -> Response:
    return _retrieve(lambda db: sessions.load(db, session_id))


@api.post("/checkout/sessions/<session_id>/expire")
def expire_session(session_id: str) -> Response:
    def work(db: sqlite3.Connection, params: JsonDict) -> JsonDict:
        top_level(params, READERS)
        return sessions.expire_on_request(db, session_id, _caused_by())

    return _perform(work)


@api.get("/checkout/sessions/<session_id>/line_items")
def session_line_items(session_id: str) -> Response:
    def work(db: sqlite3.Connection) -> JsonDict:
        sessions.load(db, session_id)
        return sessions.line_items(db, session_id)

    return _retrieve(work)


@api.get("/payment_intents")
def list_payment_intents() -> Response:
    return _list_of("payment_intent")


@api.get("/payment_intents/<intent_id>")
def retrieve_payment_intent(intent_id: str) -> Response:
    return _retrieve(lambda db: _find(db, "payment_intent", intent_id, param="intent"))


@api.get("/charges")
def list_charges() -> Response:
    return _list_of("charge")


@api.get("/charges/<charge_id>")
def retrieve_charge(charge_id: str) -> Response:
    return _retrieve(lambda db: _find(db, "charge", charge_id))


@api.get("/events")
def list_events() -> Response:
    return _read(lists.list_events)


@api.get("/events/<event_id>")
def retrieve_event(event_id: str) -> Response:
    def work(db: sqlite3.Connection) -> JsonDict:
        event = events.find(db, event_id)
        if event is None:
            raise not_found("event", event_id)
        return event

    return _retrieve(work)


def _retrieve(work: Callable[[sqlite3.Connection], JsonDict]) -> Response:
    def checked(db: sqlite3.Connection, params: JsonDict) -> JsonDict:
        top_level(params, READERS)
        return work(db)

    return _read(checked)


def _list_of(kind: str) -> Response:
    return _read(lambda db, params: lists.list_objects(db, kind, request.path, params))


def _find(db: sqlite3.Connection, kind: str, object_id: str, param: str = "id") -> Any:
    found = find_object(db, object_id, kind)
    if found is None:
        raise not_found(kind, object_id, param)
    return found
