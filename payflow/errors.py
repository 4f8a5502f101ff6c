"""Errors → what people see: what happened, what it means for the money, what to do next.

The one place for an error's status, headers and line in the log. The form answers some of them with
itself and what was typed: that is the `page` of theirs.
"""

import logging

from flask import Flask, render_template
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from payflow.checkout import StillOpening
from payflow.db import db
from payflow.gateway import GatewayError
from payflow.limits import TooMany

log = logging.getLogger(__name__)


def init_app(app: Flask) -> None:
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(CSRFError, csrf_error)
    app.register_error_handler(StillOpening, _still_opening)
    app.register_error_handler(GatewayError, gateway_error)
    app.register_error_handler(TooMany, too_many)
    app.register_error_handler(Exception, _unexpected)


def _http_error(error: HTTPException) -> ResponseReturnValue:
    code = error.code or 500
    page = "errors/404.html" if code == 404 else "errors/other.html"
    return render_template(page, code=code, name=error.name), code


def csrf_error(error: CSRFError, page: str = "") -> ResponseReturnValue:
    log.info("form refused: %s", error.description)
    return page or render_template("errors/csrf.html"), 400


def _still_opening(error: StillOpening) -> ResponseReturnValue:
    return render_template("errors/still_opening.html", payment_id=error.payment_id), 503


def gateway_error(error: GatewayError, page: str = "") -> ResponseReturnValue:
    log.error("Stripe: %s", error)
    return page or render_template("errors/gateway.html"), 502


def too_many(error: TooMany, page: str = "") -> ResponseReturnValue:
    page = page or render_template("errors/too_many.html", retry_after=error.retry_after)
    return page, 429, {"Retry-After": str(error.retry_after)}


def _unexpected(error: Exception) -> ResponseReturnValue:
    log.exception("a request failed")
    db.session.rollback()
    return render_template("errors/unexpected.html"), 500
