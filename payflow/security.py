"""What every answer of ours tells browsers, the hosts that we answer to, and how many proxies are
believed about who asks."""

import logging
from collections.abc import Mapping

from flask import Flask, Response, abort, request
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.sansio.utils import host_is_trusted

from payflow.config import Settings

log = logging.getLogger(__name__)

# Seconds that browsers remember to come by https alone.
TWO_YEARS = 2 * 365 * 24 * 3600
# What no page of ours asks a browser for.
UNUSED = ("camera", "display-capture", "geolocation", "microphone", "payment", "usb")


def init_app(app: Flask) -> None:
    settings: Settings = app.config["PAYFLOW"]
    headers = _headers(settings)
    _know_the_address(app, settings.trusted_proxies)

    @app.before_request
    def refuse_other_hosts() -> None:
        # Who checks our health may do so by any name, a new domain's for one.
        if request.endpoint != "health.alive" and not host_is_trusted(
            request.host, settings.trusted_hosts
        ):
            abort(400)

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers.update(headers)
        # What may be kept says so itself.
        response.headers.setdefault("Cache-Control", "no-store")
        if request.path.startswith("/payments/"):
            response.headers["X-Robots-Tag"] = "noindex, nofollow"
        return response


def _headers(settings: Settings) -> Mapping[str, str]:
    policy = (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        f"img-src 'self' {_logo(settings)}".strip(),
        "connect-src 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        # Chromium holds a form's redirect against this too: Stripe's page must be named.
        f"form-action 'self' {' '.join(settings.checkout_origins)}",
    )
    headers = {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        # A payment's address is all that its page asks for; no other site is to learn it.
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": ", ".join(f"{feature}=()" for feature in UNUSED),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if settings.is_https:
        # Not includeSubDomains: what else lives on the business's domain is not ours to decide.
        headers["Strict-Transport-Security"] = f"max-age={TWO_YEARS}"
    return headers


def _logo(settings: Settings) -> str:
    """The business's logo as a policy names it: that file alone, without the query."""
    return settings.logo_url.partition("?")[0]


def _know_the_address(app: Flask, proxies: int) -> None:
    """Have request.remote_addr be the customer's, as that many proxies of ours have told it.

    Each proxy adds to X-Forwarded-For whom it was called by; what stands before those words is
    whatever a customer likes to write there.
    """
    if proxies:
        fixed = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=0)
        # As Flask's documentation has middleware put on; to mypy it is a method.
        app.wsgi_app = fixed  # type: ignore[method-assign]
        return
    told = False

    @app.before_request
    def tell_of_a_proxy() -> None:
        nonlocal told
        if not told and "X-Forwarded-For" in request.headers:
            told = True
            log.warning(
                "requests come through a proxy (%s), so that all customers count as one: "
                "set TRUSTED_PROXIES to the number of proxies",
                request.remote_addr,
            )
