"""What every answer of ours tells browsers, and the hosts that we answer to."""

from flask import Flask, Response, request

from payflow.config import Settings


def init_app(app: Flask) -> None:
    settings: Settings = app.config["PAYFLOW"]
    app.config["TRUSTED_HOSTS"] = settings.trusted_hosts
    policy = "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            # Chromium holds a form's redirect against this too: Stripe's page must be named.
            f"form-action 'self' {' '.join(settings.checkout_origins)}",
        )
    )

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers.update(
            {
                "Content-Security-Policy": policy,
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
            }
        )
        if request.endpoint not in ("static", "pages.htmx"):
            response.headers.setdefault("Cache-Control", "no-store")
        return response
