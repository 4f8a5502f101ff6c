"""What every answer of ours tells browsers, and the hosts that we answer to."""

from flask import Flask, Response, abort, request
from werkzeug.sansio.utils import host_is_trusted

from payflow.config import Settings

# What is the same for everybody; all else is for nobody but who asked.
KEPT_BY_BROWSERS = ("static", "pages.htmx", "pages.brand_asset")


def init_app(app: Flask) -> None:
    settings: Settings = app.config["PAYFLOW"]
    policy = "; ".join(
        (
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
    )

    @app.before_request
    def refuse_other_hosts() -> None:
        # Who checks our health may do so by any name, a new domain's for one.
        if request.endpoint != "health.alive" and not host_is_trusted(
            request.host, settings.trusted_hosts
        ):
            abort(400)

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers.update(
            {
                "Content-Security-Policy": policy,
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
            }
        )
        if request.endpoint not in KEPT_BY_BROWSERS:
            response.headers.setdefault("Cache-Control", "no-store")
        return response


def _logo(settings: Settings) -> str:
    """The business's logo as a policy names it: that file alone, without the query."""
    return settings.logo_url.partition("?")[0]
