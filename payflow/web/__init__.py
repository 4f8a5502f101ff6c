"""What is reached over HTTP, a blueprint per module; they never import each other."""

from flask import Flask
from flask_wtf import CSRFProtect

from payflow.web import checkout, health, pages, payments, webhooks


def init_app(app: Flask) -> None:
    # Stripe signs what it sends instead.
    CSRFProtect(app).exempt(webhooks.bp)
    pages.init_app(app)
    for blueprint in (checkout.bp, payments.bp, webhooks.bp, health.bp, pages.bp):
        app.register_blueprint(blueprint)
