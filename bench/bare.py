"""The yardstick: the least that a Flask program with psycopg does for the same two answers."""

import json
import os

import stripe
from flask import Flask, abort, render_template, request
from psycopg_pool import ConnectionPool

SCHEMA = """
CREATE TABLE payments (id uuid PRIMARY KEY, status text NOT NULL, amount bigint NOT NULL,
    currency text NOT NULL, description text NOT NULL, paid_at timestamptz);
CREATE TABLE events (id text PRIMARY KEY, type text NOT NULL, payload json NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now());
"""
INSERT = "INSERT INTO events (id, type, payload) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
UPDATE = "UPDATE payments SET status = 'paid', paid_at = now() WHERE id = %s"
SELECT = "SELECT status, amount, currency, description FROM payments WHERE id = %s"

SECRET = os.environ.get("STRIPE_WEBHOOK_SECRET")

app = Flask(__name__, template_folder=os.path.dirname(os.path.abspath(__file__)))
app.config["BUSINESS_NAME"] = "Northlight Consulting"


@app.post("/webhooks/stripe")
def webhook():
    body, header = request.get_data(), request.headers.get("Stripe-Signature")
    try:
        stripe.WebhookSignature.verify_header(body, header, SECRET, tolerance=300)
    except stripe.SignatureVerificationError:
        abort(400)
    event = json.loads(body)
    with pool.connection() as connection, connection.transaction():
        arguments = event["id"], event["type"], body.decode()
        if connection.execute(INSERT, arguments).rowcount:
            connection.execute(UPDATE, [event["data"]["object"]["client_reference_id"]])
    return {"received": True}


@app.get("/payments/<uuid:payment_id>/status")
def status(payment_id):
    with pool.connection() as connection:
        payment = connection.execute(SELECT, [payment_id]).fetchone() or abort(404)
    polls = request.args.get("polls", 0, type=int)
    return render_template("bare_status.html", payment=payment, polls=polls)


def create_app():
    global pool
    pool = ConnectionPool(os.environ["DATABASE_URL"], min_size=8, kwargs={"autocommit": True})
    return app
