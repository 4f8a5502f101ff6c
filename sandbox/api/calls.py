"""Stripe's API under ``/v1``: who asks, in which version, and the answer kept for the key.

What all endpoints share; the endpoints themselves stand in ``endpoints``.
"""

import base64
import binascii
import json
import sqlite3
import time
from collections.abc import Callable

from flask import Blueprint, Flask, Response, g, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from sandbox import clock, settings
from sandbox.api import expand, request_log, unplayed
from sandbox.objects import lists
from sandbox.protocol import forms, idempotency, versions
from sandbox.protocol.checks import top_level
from sandbox.protocol.errors import ApiError, not_found
from sandbox.protocol.idempotency import Reply
from sandbox.protocol.ids import new_id
from sandbox.store import JsonDict, find_object
from sandbox.world import world

api = Blueprint("api", __name__, url_prefix="/v1")

PREFIX = "/v1/"
READERS = {"expand": lambda value, name: value}

Work = Callable[[sqlite3.Connection, JsonDict], JsonDict]


def install(app: Flask, endpoints: Blueprint) -> None:
    """The hooks are the app's, not the blueprint's: unknown paths need the envelope as well."""
    app.register_blueprint(endpoints)
    app.before_request(_begin)
    app.after_request(_finish)
    app.teardown_request(_end)
    app.register_error_handler(ApiError, refuse)


def refuse(error: ApiError) -> Response:
    response = _answer(error.status, error.envelope(g.request_id))
    if error.should_retry is not None:
        response.headers["Stripe-Should-Retry"] = "true" if error.should_retry else "false"
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def is_api() -> bool:
    return request.path.startswith(PREFIX)


def envelope_for(error: HTTPException) -> Response:
    """404 and 405 of Flask's router, as Stripe words them, and bodies that are too large."""
    if isinstance(error, RequestEntityTooLarge):
        return refuse(ApiError(413, "The request is too large: a mebibyte is the most."))
    text = (
        f"Unrecognized request URL ({request.method}: {request.path}). Please see"
        " https://stripe.com/docs or we can help at https://support.stripe.com/."
    )
    if (error.code or 500) >= 500:
        text = "An unknown error occurred: the sandbox's log says more."
        return refuse(ApiError(error.code or 500, text, kind="api_error"))
    return refuse(ApiError(error.code or 500, text))


def _begin() -> None:
    if not is_api():
        return
    g.request_id = new_id("req")
    with world().store.reading() as db:
        g.switches = settings.current(db)
    g.version = _version()
    _authenticate()
    _refuse_what_is_unplayed()
    key = request.headers.get("Idempotency-Key")
    if key and request.method == "POST":
        idempotency.check_key(key)
        world().under_way.enter(key)
        g.key = key


def _refuse_what_is_unplayed() -> None:
    """By name, before ``/charges/search`` is taken for a charge's id."""
    path = request.path.rstrip("/")
    if unplayed.is_unplayed(request.method, path):
        raise ApiError(
            404,
            f"The sandbox does not play {request.method} {path} (yet), though Stripe has it."
            " sandbox/README.md lists what there is.",
        )


def _version() -> str:
    """The version asked for, else the account's. A newer one than ours is answered in ours."""
    asked = request.headers.get("Stripe-Version")
    if asked is None:
        return str(g.switches["api_version"])
    if asked not in versions.KNOWN and not versions.NEWER.fullmatch(asked):
        g.version = versions.API_VERSION
        raise ApiError(400, f"Invalid Stripe API version: {asked}")
    return asked


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
    response.headers["Stripe-Version"] = g.version
    response.headers["Cache-Control"] = "no-cache, no-store"
    key = request.headers.get("Idempotency-Key")
    if key:
        response.headers["Idempotency-Key"] = key
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="Stripe"'
    with world().store.transaction() as db:
        request_log.add(db, _log_record(response))
    time.sleep(g.switches["api_delay_s"])
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
        "fault": g.strike.fault if g.get("strike") else None,
        "at": time.time(),
    }


def _end(error: BaseException | None) -> None:
    key = g.pop("key", None)
    if key:
        world().under_way.leave(key)


def params_sent() -> JsonDict:
    """Of the address and, for a POST, of the body."""
    if request.mimetype == "application/json":
        raise ApiError(
            400,
            "This API takes no JSON: send the parameters form-encoded, as"
            " application/x-www-form-urlencoded.",
        )
    sent = [request.query_string, request.get_data() if request.method == "POST" else b""]
    g.params = forms.parse(b"&".join(sent))
    return dict(g.params)


def caused_by() -> dict[str, str | None]:
    """What events of this request tell as their ``request``."""
    return {"id": g.request_id, "idempotency_key": g.get("key")}


def version() -> str:
    return str(g.version)


def perform(work: Work) -> Response:
    """Does the work once per idempotency key: effect, events and stored answer in one commit."""
    params = params_sent()
    try:
        with world().store.transaction() as db:
            reply = _stored_reply(db, params) or _new_reply(db, params, work)
    except ApiError as error:
        remember(error)
        raise
    return answer_of(reply)


def answer_of(reply: Reply) -> Response:
    response = Response(reply.body, reply.status, content_type="application/json")
    if g.get("key"):
        response.headers["Original-Request"] = reply.original
    if reply.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    if reply.status >= 400:
        response.headers["Stripe-Should-Retry"] = "false"
    return response


def remember(error: ApiError) -> None:
    """Keeps the refusal for the request's key if Stripe would: not what failed validation or met a
    conflict, but what went wrong once the work had begun."""
    if error.kept and g.get("key"):
        body = json.dumps(error.envelope(g.request_id), ensure_ascii=False)
        reply = Reply(error.status, body, g.request_id, False)
        with world().store.transaction() as db:
            idempotency.keep(db, g.key, request.path, g.params, reply, clock.now())


def _stored_reply(db: sqlite3.Connection, params: JsonDict) -> Reply | None:
    key = g.get("key")
    return idempotency.find(db, key, request.path, params, clock.now()) if key else None


def _new_reply(db: sqlite3.Connection, params: JsonDict, work: Work) -> Reply:
    body = _shown(db, work(db, params), params)
    reply = Reply(200, json.dumps(body, ensure_ascii=False), g.request_id, False)
    if g.get("key"):
        idempotency.keep(db, g.key, request.path, params, reply, clock.now())
    return reply


def _shown(db: sqlite3.Connection, body: JsonDict, params: JsonDict) -> JsonDict:
    """The object expanded, then in the shape of the request's version."""
    expanded = expand.expand(db, body, params.get("expand", []))
    if body.get("object") == "event" or request.path == "/v1/events":
        return expanded  # events keep the version they were made in
    return versions.render(db, expanded, g.version)


def read(work: Work) -> Response:
    params = params_sent()
    with world().store.transaction() as db:
        return _answer(200, _shown(db, work(db, params), params))


def retrieve(work: Callable[[sqlite3.Connection], JsonDict]) -> Response:
    """An object by its id: no parameters but ``expand``."""

    def checked(db: sqlite3.Connection, params: JsonDict) -> JsonDict:
        top_level(params, READERS)
        return work(db)

    return read(checked)


def list_of(kind: str, *fields: str, **always: str) -> Response:
    """Objects of a kind; ``fields`` are what the caller may filter by, ``always`` is given."""
    return read(
        lambda db, params: lists.list_objects(db, kind, request.path, params, fields, always)
    )


def find(db: sqlite3.Connection, kind: str, object_id: str, param: str = "id") -> JsonDict:
    found = find_object(db, object_id, kind)
    if found is None:
        raise not_found(kind, object_id, param)
    return found
