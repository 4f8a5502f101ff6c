"""Errors → what people see: what happened, what it means for the money, what to do next."""

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
    app.register_error_handler(CSRFError, _csrf_error)
    app.register_error_handler(StillOpening, _still_opening)
    app.register_error_handler(GatewayError, _gateway_error)
    app.register_error_handler(TooMany, _too_many)
    app.register_error_handler(Exception, _unexpected)


def _http_error(error: HTTPException) -> ResponseReturnValue:
    code = error.code or 500
    page = "errors/404.html" if code == 404 else "errors/other.html"
    return render_template(page, code=code, name=error.name), code


def _csrf_error(error: CSRFError) -> ResponseReturnValue:
    log.info("form refused: %s", error.description)
    return render_template("errors/csrf.html"), 400


def _still_opening(error: StillOpening) -> ResponseReturnValue:
    return render_template(
        "errors/still_opening.html", payment_id=next(iter(error.args), None)
    ), 503


def _gateway_error(error: GatewayError) -> ResponseReturnValue:
    log.error("Stripe: %s", error)
    return render_template("errors/gateway.html"), 502


def _too_many(error: TooMany) -> ResponseReturnValue:
    page = render_template("errors/too_many.html", retry_after=error.retry_after)
    return page, 429, {"Retry-After": str(error.retry_after)}


def _unexpected(error: Exception) -> ResponseReturnValue:
    log.exception("a request failed")
    db.session.rollback()
    return render_template("errors/unexpected.html"), 500
