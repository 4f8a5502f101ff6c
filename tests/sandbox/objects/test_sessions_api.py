"""Checkout Sessions through the API, asked by stripe-python as payflow asks."""

import time
from typing import Any

import pytest
import requests
import stripe

from tests.sandbox.conftest import Endpoint, Sandbox, pay, price, session_params
from tests.stack import until


def test_a_created_session_can_be_retrieved(client: stripe.StripeClient) -> None:
    made = client.v1.checkout.sessions.create(
        session_params(client_reference_id="pay_1", metadata={"payment": "pay_1"})
    )
    found = client.v1.checkout.sessions.retrieve(made.id)
    assert found.to_dict() == made.to_dict()
    assert made.id.startswith("cs_test_")
    assert (made.status, made.payment_status, made.livemode) == ("open", "unpaid", False)
    assert (made.amount_total, made.currency) == (1250, "eur")
    assert made.payment_intent is None
    assert made.to_dict()["metadata"] == {"payment": "pay_1"}
    assert made.expires_at - made.created == 24 * 60 * 60
    assert made.success_url.endswith("{CHECKOUT_SESSION_ID}")


def test_expanding_shows_what_a_session_holds(client: stripe.StripeClient) -> None:
    params = session_params(
        metadata={"on": "session"},
        payment_intent_data={"metadata": {"on": "intent"}, "description": "Invoice 118"},
    )
    made = client.v1.checkout.sessions.create(params)
    pay(made)
    expand = ["payment_intent.latest_charge", "line_items"]
    found = client.v1.checkout.sessions.retrieve(made.id, {"expand": expand})
    intent = found.payment_intent
    assert isinstance(intent, stripe.PaymentIntent)
    assert (intent.status, intent.amount_received) == ("succeeded", 1250)
    charge = intent.latest_charge
    assert isinstance(charge, stripe.Charge)
    assert charge.payment_intent == intent.id
    assert intent.to_dict()["metadata"] == charge.to_dict()["metadata"] == {"on": "intent"}
    assert intent.description == charge.description == "Invoice 118"
    assert found.to_dict()["metadata"] == {"on": "session"}
    assert found.line_items is not None
    assert found.line_items.data[0].description == "Invoice 2026-118"
    assert client.v1.payment_intents.retrieve(intent.id).latest_charge == charge.id
    assert client.v1.charges.retrieve(charge.id).paid


def test_what_is_unknown_is_not_expanded(client: stripe.StripeClient) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.checkout.sessions.retrieve(made.id, {"expand": ["nonsense"]})
    assert refused.value.param == "expand"


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"colour": "red"}, "parameter_unknown", "colour"),
        ({"payment_intent_data": {"colour": "red"}}, "parameter_unknown",
         "payment_intent_data[colour]"),
        ({"customer": "cus_1"}, None, "customer"),
        ({"payment_method_types": ["klarna"]}, None, "payment_method_types[0]"),
        ({"ui_mode": "hosted"}, None, "ui_mode"),
        ({"success_url": "nowhere"}, "url_invalid", "success_url"),
        ({"success_url": ""}, "parameter_invalid_empty", "success_url"),
        ({"success_url": "http://127.0.0.1:99999/x"}, "url_invalid", "success_url"),
        ({"success_url": "http://127.0.0.1:0/x"}, "url_invalid", "success_url"),
        ({"success_url": "http://127.0.0.1:abc/x"}, "url_invalid", "success_url"),
        ({"success_url": "http://example..com/x"}, "url_invalid", "success_url"),
        ({"success_url": "http://{CHECKOUT_SESSION_ID}.example.com/"}, "url_invalid",
         "success_url"),
        ({"success_url": "http://[::1/x"}, "url_invalid", "success_url"),
        ({"success_url": "http://example.com/\r\nSet-Cookie: a=b"}, "url_invalid", "success_url"),
        ({"cancel_url": f"http://{'a' * 64}.example.com/"}, "url_invalid", "cancel_url"),
        ({"cancel_url": "javascript:alert(1)"}, "url_invalid", "cancel_url"),
        ({"locale": "de"}, None, "locale"),
        ({"adaptive_pricing": {"enabled": True}}, None, "adaptive_pricing[enabled]"),
        ({"invoice_creation": {"enabled": True}}, None, "invoice_creation[enabled]"),
        ({"origin_context": "mobile_app"}, None, "origin_context"),
        ({"branding_settings": {"button_color": "#112233"}}, None,
         "branding_settings[button_color]"),
        ({"line_items": [{"price": "price_1", "quantity": 1}]}, None, "line_items[0][price]"),
        ({"customer_email": "nobody"}, "email_invalid", "customer_email"),
        ({"line_items": price(49, "eur")}, "amount_too_small", None),
        ({"line_items": price(29, "gbp")}, "amount_too_small", None),
        ({"line_items": price(49, "jpy")}, "amount_too_small", None),
        ({"line_items": price(17499, "huf")}, "amount_too_small", None),
        ({"line_items": price(100_000_000, "eur")}, "amount_too_large", None),
        ({"line_items": price(-1, "eur")}, "parameter_invalid_integer",
         "line_items[0][price_data][unit_amount]"),
        ({"line_items": price(5121, "kwd")}, None, "line_items[0][price_data][unit_amount]"),
        ({"line_items": price(550, "isk")}, None, "line_items[0][price_data][unit_amount]"),
        ({"line_items": price(1000, "xxx")}, None, "line_items[0][price_data][currency]"),
        ({"line_items": [*price(500, "eur"), *price(500, "usd")]}, None, "line_items"),
        ({"metadata": {str(n): "x" for n in range(51)}}, None, "metadata"),
        ({"metadata": {"k" * 41: "x"}}, None, "metadata"),
        ({"metadata": {"k": "x" * 501}}, None, "metadata[k]"),
        ({"metadata": {"a[b]": "x"}}, None, "metadata[a[b]]"),
        ({"submit_type": "give"}, None, "submit_type"),
        ({"locale": "xx"}, None, "locale"),
        ({"mode": "later"}, None, "mode"),
        ({"payment_intent_data": {"statement_descriptor": "x" * 23}}, None,
         "payment_intent_data[statement_descriptor]"),
        ({"expires_at": int(time.time()) + 29 * 60}, None, "expires_at"),
        ({"expires_at": int(time.time()) + 25 * 3600}, None, "expires_at"),
    ],
)  # fmt: skip
def test_what_stripe_refuses_is_refused(
    client: stripe.StripeClient, changes: dict[str, Any], code: str | None, param: str | None
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.checkout.sessions.create(session_params(**changes))
    assert refused.value.http_status == 400
    assert (refused.value.code, refused.value.param) == (code, param)
    assert refused.value.user_message


@pytest.mark.parametrize(
    ("amount", "currency"),
    [(500, "jpy"), (5120, "kwd"), (500, "isk"), (30, "gbp"), (17500, "huf"), (99_999_999, "usd")],
)
def test_amounts_within_the_rules_are_taken(
    client: stripe.StripeClient, amount: int, currency: str
) -> None:
    made = client.v1.checkout.sessions.create(session_params(line_items=price(amount, currency)))
    assert (made.amount_total, made.currency) == (amount, currency)


def test_quantities_are_multiplied(client: stripe.StripeClient) -> None:
    items = price(1000, "usd")
    items[0]["quantity"] = 3
    assert client.v1.checkout.sessions.create(session_params(line_items=items)).amount_total == 3000


@pytest.mark.parametrize("missing", ["success_url", "mode", "line_items"])
def test_a_missing_parameter_is_named(client: stripe.StripeClient, missing: str) -> None:
    params = session_params()
    del params[missing]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.checkout.sessions.create(params)
    assert (refused.value.code, refused.value.param) == ("parameter_missing", missing)


def test_all_that_payflow_sends_is_taken(client: stripe.StripeClient) -> None:
    expires_at = int(time.time()) + 3600
    made = client.v1.checkout.sessions.create(
        session_params(
            customer_email="customer@example.com",
            client_reference_id="pay_1",
            expires_at=expires_at,
            adaptive_pricing={"enabled": False},
            submit_type="pay",
            locale="auto",
            ui_mode="hosted_page",
            payment_method_types=["card"],
            invoice_creation={"enabled": False},
            metadata={"0": "a key that looks like a list's"},
            payment_intent_data={
                "metadata": {"payment": "pay_1"},
                "description": "Invoice",
                "statement_descriptor_suffix": "PAYFLOW",
            },
        )
    )
    assert made.expires_at == expires_at
    assert made.adaptive_pricing is not None
    assert made.adaptive_pricing.enabled is False
    assert made.customer_email == "customer@example.com"
    assert made.to_dict()["metadata"] == {"0": "a key that looks like a list's"}


def test_unknown_parameters_are_named_together(client: stripe.StripeClient) -> None:
    colours: Any = {"colour": "red", "shade": "dark"}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.checkout.sessions.create(session_params(**colours))
    assert "Received unknown parameters: colour, shade" in str(refused.value)
    items = [price(500, "eur")[0] | colours]
    with pytest.raises(stripe.InvalidRequestError, match=r"line_items\[0\]\[colour\], line_items"):
        client.v1.checkout.sessions.create(session_params(line_items=items))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:65535/paid",
        "http://localhost/paid?next=a%20b#c",
        "http://[::1]:8000/paid",
        "https://bücher.example/bezahlt/ü",
        "http://a_service.internal./paid",
        "http://user:word@example.com/paid",
    ],
)
def test_paying_leads_to_any_url_that_was_taken(client: stripe.StripeClient, url: str) -> None:
    made = client.v1.checkout.sessions.create(session_params(success_url=url, cancel_url=url))
    assert requests.get(made.url or "", timeout=5).status_code == 200
    answer = pay(made)
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("http")


def test_what_each_thing_is_stands_on_the_page_and_its_metadata_in_the_line_item(
    client: stripe.StripeClient,
) -> None:
    items = price(500, "eur")
    items[0]["metadata"] = {"sku": "A-7"}
    items[0]["price_data"]["product_data"]["description"] = "Cut, sewn & washed"
    params = session_params(line_items=items, expand=["line_items"])
    made = client.v1.checkout.sessions.create(params)
    assert made.line_items is not None
    assert made.line_items.data[0].to_dict()["metadata"] == {"sku": "A-7"}
    assert "Cut, sewn &amp; washed" in requests.get(made.url or "", timeout=5).text


def test_sessions_are_found_by_their_customer_and_by_what_none_has(
    client: stripe.StripeClient,
) -> None:
    sessions = client.v1.checkout.sessions
    made = sessions.create(session_params(customer_email="ada@example.com"))
    sessions.create(session_params())
    found = sessions.list({"customer_details": {"email": "ada@example.com"}})
    assert [session.id for session in found.data] == [made.id]
    assert sessions.list({"subscription": "sub_1"}).data == []
    assert len(sessions.list({"status": "open"}).data) == 2
    with pytest.raises(stripe.InvalidRequestError, match="complete, expired, or open"):
        sessions.list({"status": "paid"})  # type: ignore[typeddict-item]


def test_expiring_ends_an_open_session_and_tells_so(
    client: stripe.StripeClient, endpoint: Endpoint
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    expired = client.v1.checkout.sessions.expire(made.id)
    assert (expired.status, expired.payment_status, expired.url) == ("expired", "unpaid", None)
    told = until(lambda: endpoint.of_type("checkout.session.expired"))
    assert told[0].event["data"]["object"]["id"] == made.id
    assert told[0].event["request"]["id"].startswith("req_")
    with pytest.raises(stripe.InvalidRequestError, match="status of `expired`"):
        client.v1.checkout.sessions.expire(made.id)


def test_a_paid_session_cannot_be_expired(client: stripe.StripeClient) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    pay(made)
    with pytest.raises(stripe.InvalidRequestError, match="status of `complete`"):
        client.v1.checkout.sessions.expire(made.id)


def test_what_does_not_exist_is_a_404(client: stripe.StripeClient) -> None:
    for retrieve in (
        lambda: client.v1.checkout.sessions.retrieve("cs_test_nothing"),
        lambda: client.v1.payment_intents.retrieve("pi_nothing"),
        lambda: client.v1.charges.retrieve("ch_nothing"),
        lambda: client.v1.events.retrieve("evt_nothing"),
    ):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            retrieve()
        assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")


def test_only_a_secret_test_key_opens_the_api(sandbox: Sandbox) -> None:
    url = f"{sandbox.url}/v1/events"
    for headers in ({}, {"Authorization": "Bearer sk_live_payflow"}, {"Authorization": "Bearer x"}):
        response = requests.get(url, headers=headers, timeout=5)
        assert response.status_code == 401
        assert response.json()["error"]["type"] == "invalid_request_error"
        assert response.headers["Request-Id"].startswith("req_")
    assert requests.get(url, auth=("rk_test_payflow", ""), timeout=5).status_code == 200


def test_paths_and_methods_that_do_not_exist_get_the_envelope(sandbox: Sandbox) -> None:
    key = {"Authorization": "Bearer sk_test_payflow"}
    unknown = requests.get(f"{sandbox.url}/v1/unicorns", headers=key, timeout=5)
    wrong = requests.delete(f"{sandbox.url}/v1/events", headers=key, timeout=5)
    assert (unknown.status_code, wrong.status_code) == (404, 405)
    for response in (unknown, wrong):
        assert "Unrecognized request URL" in response.json()["error"]["message"]


def test_the_version_asked_for_is_echoed(client: stripe.StripeClient) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    assert made.last_response.headers["Stripe-Version"] == "2026-05-27.dahlia"
    assert made.last_response.headers["Request-Id"].startswith("req_")


def test_events_are_listed_newest_first_and_paged(client: stripe.StripeClient) -> None:
    before = int(time.time())
    pay(client.v1.checkout.sessions.create(session_params()))
    until(lambda: client.v1.events.list({"type": "charge.updated"}).data)
    everything = client.v1.events.list({"created": {"gte": before}})
    assert [event.type for event in everything.data] == [
        "charge.updated",
        "checkout.session.completed",
        "payment_intent.succeeded",
        "charge.succeeded",
        "payment_intent.created",
    ]
    first = client.v1.events.list({"limit": 3})
    assert first.has_more
    rest = client.v1.events.list({"limit": 2, "starting_after": first.data[-1].id})
    assert [event.id for event in first.data + rest.data] == [e.id for e in everything.data]
    assert not rest.has_more
    back = client.v1.events.list({"ending_before": rest.data[0].id})
    assert [event.id for event in back.data] == [event.id for event in first.data]
    some = client.v1.events.list({"types": ["charge.succeeded", "payment_intent.succeeded"]})
    assert len(some.data) == 2
    assert client.v1.events.list({"created": {"lt": before}}).data == []


def test_a_form_of_endless_depth_is_refused(sandbox: Sandbox) -> None:
    answer = requests.post(
        f"{sandbox.url}/v1/checkout/sessions",
        data="a" + "[a]" * 3000 + "=1",
        headers={
            "Authorization": "Bearer sk_test_payflow_x",
            "Content-Type": "application/x-www-form-urlencoded",
        },
        timeout=5,
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("mode", "lacking"), [("subscription", "subscriptions"), ("setup", "setup intents")]
)
def test_another_mode_is_refused_for_what_is_not_there(
    client: stripe.StripeClient, mode: Any, lacking: str
) -> None:
    """Whatever else was sent that only such a session has."""
    params = {"success_url": "http://127.0.0.1:9/paid", "subscription_data": {"description": "A"}}
    with pytest.raises(stripe.InvalidRequestError, match=f"no {lacking} ") as refusal:
        client.v1.checkout.sessions.create({"mode": mode, **params})
    assert refusal.value.param == "mode"
