"""The pages behind the scenes, as a browser without JavaScript reads and presses them."""

import re
from html import unescape
from typing import Any

import pytest
import requests
import stripe

from .conftest import Endpoint, Sandbox, eventually, pay, session_params


@pytest.fixture
def paid(client: stripe.StripeClient) -> Any:
    made = client.v1.checkout.sessions.create(session_params())
    pay(made)
    return made


def press(sandbox: Sandbox, path: str, **form: str) -> str:
    """The page that a press of a button ends on."""
    answer = requests.post(sandbox.url + path, data=form, timeout=10)
    assert answer.status_code == 200, answer.text
    return unescape(answer.text)


@pytest.mark.parametrize("path", ["/", "/events", "/deliveries", "/inbox", "/controls"])
def test_every_page_says_that_this_is_not_stripe(sandbox: Sandbox, paid: Any, path: str) -> None:
    page = sandbox.get(path)
    assert page.status_code == 200
    assert "This is not Stripe" in page.text
    assert 'aria-current="page"' in page.text


def test_a_payment_has_a_page_with_its_charge_and_its_events(sandbox: Sandbox, paid: Any) -> None:
    page = sandbox.get(f"/payments/{paid.id}").text
    assert "Invoice 2026-118" in page
    assert "•••• 4242" in page
    assert "checkout.session.completed" in page
    assert sandbox.get("/payments/cs_test_nothing").status_code == 404


def test_a_refund_is_made_by_a_button(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint, paid: Any
) -> None:
    page = press(sandbox, f"/payments/{paid.id}/refund", amount="2.50")
    assert "Refund €2.50" in page
    (refund,) = client.v1.refunds.list().data
    assert (refund.amount, refund.status) == (250, "succeeded")
    page = press(sandbox, f"/payments/{paid.id}/refunds/{refund.id}", status="failed")
    assert client.v1.refunds.retrieve(refund.id).status == "failed"
    eventually(lambda: endpoint.of_type("refund.failed"))


@pytest.mark.parametrize(
    ("amount", "sentence"),
    [
        ("99", "greater than charge amount"),
        ("1.005", "is no amount"),
        ("much", "is no amount"),
        ("1e5000", "is no amount"),
    ],
)
def test_a_refund_that_can_not_be_is_told_on_the_page(
    client: stripe.StripeClient, sandbox: Sandbox, paid: Any, amount: str, sentence: str
) -> None:
    page = press(sandbox, f"/payments/{paid.id}/refund", amount=amount)
    problem = re.search(r'<p class="problem" role="alert">([^<]*)</p>', page)
    assert problem
    assert sentence in problem[1]
    assert client.v1.refunds.list().data == []


def test_a_dispute_is_opened_lost_and_reversed_by_buttons(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint, paid: Any
) -> None:
    press(sandbox, f"/payments/{paid.id}/dispute", reason="duplicate", **{"as": "dispute"})
    (dispute,) = client.v1.disputes.list().data
    assert (dispute.reason, dispute.status) == ("duplicate", "needs_response")
    way = f"/payments/{paid.id}/disputes/{dispute.id}"
    assert "Reverse: won after all" in press(sandbox, way, outcome="lost")
    assert client.v1.disputes.retrieve(dispute.id).status == "lost"
    press(sandbox, way, outcome="reversed")
    assert client.v1.disputes.retrieve(dispute.id).status == "won"
    eventually(lambda: endpoint.of_type("charge.dispute.funds_reinstated"))


def test_an_inquiry_becomes_a_chargeback_by_a_button(
    client: stripe.StripeClient, sandbox: Sandbox, paid: Any
) -> None:
    press(sandbox, f"/payments/{paid.id}/dispute", reason="general", **{"as": "inquiry"})
    (dispute,) = client.v1.disputes.list().data
    assert dispute.status == "warning_needs_response"
    press(sandbox, f"/payments/{paid.id}/disputes/{dispute.id}", outcome="escalated")
    assert client.v1.disputes.retrieve(dispute.id).status == "needs_response"


def test_the_clock_is_moved_by_buttons(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    page = press(sandbox, "/controls/clock", advance_s=str(8 * 86400))
    assert "192.0 h ahead" in page
    assert client.v1.checkout.sessions.retrieve(made.id).status == "expired"
    assert "192.0 h ahead" in sandbox.get("/").text
    assert "goes forward only" in press(sandbox, "/controls/clock", advance_s="-5")


def test_a_preset_is_chosen_and_told_on_every_page(sandbox: Sandbox) -> None:
    page = press(sandbox, "/controls/preset", preset="webhooks-twice-and-late")
    assert re.search(r'value="webhooks-twice-and-late"[^>]*aria-pressed="true"', page)
    assert "Trouble is on:" in sandbox.get("/").text
    press(sandbox, "/controls/preset", preset="normal")
    assert "Trouble is on:" not in sandbox.get("/").text


def test_a_fault_is_added_and_removed_on_the_page(sandbox: Sandbox) -> None:
    form = {"kind": "delivery_faults", "fault": "drop", "on": "charge.*", "probability": "25"}
    page = press(sandbox, "/controls/fault", **form, times="", seconds="")
    assert "struck 0 of 0" in page
    (rule,) = sandbox.get("/_sandbox/settings").json()["delivery_faults"]
    assert (rule["fault"], rule["on"], rule["probability"]) == ("drop", "charge.*", 0.25)
    refused = press(sandbox, "/controls/fault", **form | {"probability": "often"})
    assert "probability must be a number" in refused
    press(sandbox, "/controls/fault/remove", rule="delivery_faults:0")
    assert sandbox.get("/_sandbox/settings").json()["delivery_faults"] == []


def test_a_form_on_another_site_turns_nothing(sandbox: Sandbox) -> None:
    answer = sandbox.post("/settings", data={"seed": "9"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    for origin in ("http://evil.example", sandbox.url.replace("http", "https")):
        answer = sandbox.post("/_sandbox/reset", headers={"Origin": origin})
        assert answer.status_code == 403
        assert "own pages only" in answer.json()["error"]
    neighbour = {"Sec-Fetch-Site": "same-site", "Origin": "null"}
    assert sandbox.post("/settings", data={"seed": "9"}, headers=neighbour).status_code == 403
    assert sandbox.get("/_sandbox/settings").json()["seed"] == 1
    ours = {"Sec-Fetch-Site": "same-origin", "Origin": "null"}
    assert sandbox.post("/settings", data={"seed": "9"}, headers=ours).status_code == 303


def test_a_delivery_is_shown_with_its_headers_body_and_answer(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint, paid: Any
) -> None:
    event = client.v1.events.list({"type": "checkout.session.completed"}).data[0]
    page = eventually(
        lambda: "✓ delivered" in (text := sandbox.get(f"/events/{event.id}").text) and text
    )
    (item,) = endpoint.of_type("checkout.session.completed")
    assert item.headers["Stripe-Signature"] in page
    assert f"Sent to <code>{endpoint.url}</code>" in page
    assert '<pre tabindex="0">ok</pre>' in page
    assert unescape(page).count(f'"id": "{paid.id}"') == 1
    assert endpoint.url in sandbox.get("/deliveries").text
