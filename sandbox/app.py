"""The Flask app: which part answers which path, and the headers every page carries."""

import json

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException, SecurityError

from sandbox.api import calls, endpoints, faulty_api
from sandbox.checkout.hosted_page import hosted_page
from sandbox.desk import actions
from sandbox.desk.control import control
from sandbox.desk.controls_page import controls_page
from sandbox.desk.dashboard_links import dashboard_links
from sandbox.desk.pages import pages
from sandbox.desk.payment_page import payment_page
from sandbox.mailbox.mailbox import mailbox
from sandbox.objects import bank_debits, cards
from sandbox.protocol import money
from sandbox.world import World

# No form-action: the hosted page's form ends, by redirect, wherever the merchant's success_url
# leads.
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; frame-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)

LARGEST_REQUEST = 1024 * 1024


def create_app(world: World) -> Flask:
    app = Flask(__name__)
    app.extensions["sandbox"] = world
    # Another site's script must not reach us by a name of its own that points here.
    app.config["TRUSTED_HOSTS"] = ["127.0.0.1", "localhost"]
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_REQUEST
    app.jinja_env.filters["amount"] = money.format_amount
    app.jinja_env.filters["grouped"] = cards.grouped
    app.jinja_env.filters["grouped_iban"] = bank_debits.grouped
    calls.install(app, endpoints.api)
    faulty_api.install(app)
    for blueprint in (
        actions.actions,
        hosted_page,
        mailbox,
        control,
        controls_page,
        dashboard_links,
        pages,
        payment_page,
    ):
        app.register_blueprint(blueprint)
    app.register_error_handler(HTTPException, _error_page)
    app.after_request(_protect)
    return app


def _error_page(error: HTTPException) -> Response:
    if isinstance(error, SecurityError):  # no page for a host that is not ours: links need one
        return Response("The sandbox answers on 127.0.0.1 and localhost only.\n", 400)
    if calls.is_api():
        return calls.envelope_for(error)
    if request.path.startswith("/_sandbox/"):
        return _error_for_programs(error)
    return Response(render_template("error.html", error=error), error.code or 500)


def _error_for_programs(error: HTTPException) -> Response:
    """With ``Allow`` and such, but not the page that Werkzeug would write."""
    headers = [(name, value) for name, value in error.get_headers() if name != "Content-Type"]
    body = json.dumps({"error": error.description}, indent=2) + "\n"
    return Response(body, error.code or 500, headers, content_type="application/json")


def _protect(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    if not request.path.startswith("/static/"):
        response.headers.setdefault("Cache-Control", "no-store")
    return response
