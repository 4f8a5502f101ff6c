"""payflow takes payments through Stripe's hosted Checkout.

A payment's way, which is also the order to read in:

1. web/checkout.py   the form is checked, and the customer sent to Stripe's page
2. checkout.py       commit what will be asked, ask Stripe, store; payments.py opens a payment
3. gateway.py        the only door to Stripe
4. web/webhooks.py   Stripe tells us; events.py stores each event once, event_types.py says what
                     it tells
5. record.py         the one way what Stripe says reaches a payment: facts/ are read and merged,
                     status.py and letters.py say what they come to, known.py reads and stores
6. outbox.py         letters queued with the facts; emails.py delivers them by a job (queue.py,
                     jobs.py, worker.py), in the words of letter_words/
7. web/payments.py   the page that shows the payment, and its fragment that is polled

sweep.py asks Stripe what nobody told us, through reconcile.py; refunds.py, by_hand.py and cli/ are
the operator's. Imports point down only; `make lint` keeps it so.
"""

import logging
from pathlib import Path

from flask import Flask
from flask_migrate import Migrate

from payflow import cli, emails, errors, formats, gateway, i18n, limits, security, web
from payflow.config import Settings
from payflow.db import db, engine_options

ROOT = Path(__file__).resolve().parent.parent


def create_app(settings: Settings | None = None) -> Flask:
    """The application, from settings or the environment (ConfigError). Connects to nothing."""
    settings = settings or Settings.load()
    _log_to_stderr()
    app = Flask(__name__, template_folder=ROOT / "templates", static_folder=ROOT / "static")
    app.config.update(
        PAYFLOW=settings,
        SECRET_KEY=settings.secret_key,
        # Nothing beside us on the domain can set a cookie of such a name, which https demands.
        SESSION_COOKIE_NAME="__Host-payflow" if settings.is_https else "payflow",
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.is_https,
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(),
        # No form of ours is larger.
        MAX_CONTENT_LENGTH=64 * 1024,
        WTF_CSRF_TIME_LIMIT=None,
        # The token is bound to the signed cookie; a referrer is what our pages don't send.
        WTF_CSRF_SSL_STRICT=False,
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    db.init_app(app)
    Migrate(app, db, directory=str(ROOT / "migrations"))
    emails.mail.init_app(app)
    gateway.init_app(app)
    i18n.init_app(app)
    formats.init_app(app, settings)
    for module in (errors, security, limits, web, cli):
        module.init_app(app)
    return app


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for chatty in ("procrastinate", "stripe", "alembic.runtime.plugins"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
