"""The pages behind the scenes, as a browser without JavaScript reads and presses them."""

import re
from html import unescape
from typing import Any

import pytest
import requests
import stripe

from tests.sandbox.conftest import Endpoint, Sandbox, pay, session_params
from tests.stack import until


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
    page = sandbox.get(f"/payments/{paid.id}").text.replace("<wbr>", "")
    assert "Invoice 2026-118" in page
    assert "•••• 4242" in page
    assert "checkout.session.completed" in page
    assert sandbox.get("/payments/cs_test_nothing").status_code == 404


def test_a_refund_is_made_by_a_button(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint, paid: Any
) -> None:
    page = press(sandbox, f"/payments/{paid.id}/refund", amount="2.50")
    assert "−€2.50" in page
    assert "Refund €2.50" in page
    (refund,) = client.v1.refunds.list().data
    assert (refund.amount, refund.status) == (250, "succeeded")
    page = press(sandbox, f"/payments/{paid.id}/refunds/{refund.id}", status="failed")
    assert client.v1.refunds.retrieve(refund.id).status == "failed"
    until(lambda: endpoint.of_type("refund.failed"))


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
    until(lambda: endpoint.of_type("charge.dispute.funds_reinstated"))


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
    assert "8 days ahead" in page
    assert "Moved forward by 8 days: one thing was due and is done." in page
    assert client.v1.checkout.sessions.retrieve(made.id).status == "expired"
    assert "The clock is 8 days ahead." in sandbox.get("/").text
    assert 'class="trouble"' not in sandbox.get("/").text
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
    assert 'value="often"' in refused
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
    page = until(
        lambda: "✓ delivered" in (text := sandbox.get(f"/events/{event.id}").text) and text
    )
    (item,) = endpoint.of_type("checkout.session.completed")
    assert item.headers["Stripe-Signature"] in page
    assert f"Sent to <code>{endpoint.url}</code>" in page
    assert '<pre tabindex="0">ok</pre>' in page
    assert unescape(page).count(f'"id": "{paid.id}"') == 1
    assert endpoint.url in sandbox.get("/deliveries").text


def test_a_refused_form_is_answered_with_a_redirect_too(sandbox: Sandbox, paid: Any) -> None:
    for path, form in (
        ("/settings", {"debit_delay_s": "soon"}),
        ("/controls/fault", {"kind": "api_faults", "fault": "none"}),
        ("/controls/clock", {"advance_s": "1e5000"}),
        (f"/payments/{paid.id}/refund", {"amount": "1e5000"}),
    ):
        answer = sandbox.post(path, data=form)
        assert answer.status_code == 303, path
        assert 'role="alert"' in sandbox.get(answer.headers["Location"]).text, path


def test_every_switch_is_on_the_page_and_saved_by_it(sandbox: Sandbox) -> None:
    page = sandbox.get("/controls").text
    switches = sandbox.get("/_sandbox/settings").json()
    for name in switches.keys() - {"api_faults", "delivery_faults"}:
        assert f'name="{name}"' in page, name
    page = press(
        sandbox,
        "/settings",
        refund_delay_s="7",
        dispute_delay_s="1.5",
        retry_schedule_s="1, 2,3",
        refund_outcome="pending",
        api_version="2025-03-31.basil",
    )
    assert "Saved." in page
    after = sandbox.get("/_sandbox/settings").json()
    assert (after["refund_delay_s"], after["dispute_delay_s"]) == (7, 1.5)
    assert after["retry_schedule_s"] == [1, 2, 3]
    assert (after["refund_outcome"], after["api_version"]) == ("pending", "2025-03-31.basil")
    assert after["deliver"] is True
    press(sandbox, "/controls/preset", preset="normal")
    after = sandbox.get("/_sandbox/settings").json()
    assert (after["refund_delay_s"], after["refund_outcome"]) == (5, None)
    assert after["api_version"] == "2025-03-31.basil"
    assert "must be a number of seconds" in press(sandbox, "/settings", retry_schedule_s="1, x")


def test_a_reset_asks_first(client: stripe.StripeClient, sandbox: Sandbox, paid: Any) -> None:
    assert "Forget everything?" in sandbox.get("/controls/reset").text
    assert len(client.v1.charges.list().data) == 1
    assert "Everything was forgotten" in press(sandbox, "/controls/reset")
    assert client.v1.charges.list().data == []


def test_evidence_is_submitted_and_the_badge_follows(
    client: stripe.StripeClient, sandbox: Sandbox, paid: Any
) -> None:
    press(sandbox, f"/payments/{paid.id}/dispute", reason="duplicate", **{"as": "dispute"})
    assert "disputed, to be answered" in sandbox.get("/").text
    (dispute,) = client.v1.disputes.list().data
    way = f"/payments/{paid.id}/disputes/{dispute.id}"
    page = press(sandbox, f"{way}/evidence", evidence="other")
    assert client.v1.disputes.retrieve(dispute.id).status == "under_review"
    assert "dispute under review" in page
    assert "You submit" not in page
    assert "dispute won" in press(sandbox, way, outcome="won")
    assert "dispute won" in sandbox.get("/").text


def test_winning_evidence_wins(client: stripe.StripeClient, sandbox: Sandbox, paid: Any) -> None:
    press(sandbox, f"/payments/{paid.id}/dispute", reason="duplicate", **{"as": "dispute"})
    (dispute,) = client.v1.disputes.list().data
    way = f"/payments/{paid.id}/disputes/{dispute.id}/evidence"
    press(sandbox, way, evidence="winning_evidence")
    sandbox.advance(3)
    assert client.v1.disputes.retrieve(dispute.id).status == "won"


def test_a_button_that_can_only_be_refused_is_not_offered(
    client: stripe.StripeClient, sandbox: Sandbox, paid: Any
) -> None:
    page = press(sandbox, f"/payments/{paid.id}/refund", amount="")
    assert "Refund it" not in page
    page = press(sandbox, f"/payments/{paid.id}/dispute", reason="general", **{"as": "dispute"})
    assert "dispute it" not in page
    other = client.v1.checkout.sessions.create(session_params())
    assert "Refund it" not in sandbox.get(f"/payments/{other.id}").text
    pay(other)
    page = press(sandbox, f"/payments/{other.id}/dispute", reason="general", **{"as": "dispute"})
    assert "Refund it" not in page


def test_a_payment_tells_its_card_once_its_fee_and_its_metadata(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    made = client.v1.checkout.sessions.create(
        session_params(
            metadata={"order": "A-118"}, payment_intent_data={"metadata": {"shelf": "B-7"}}
        )
    )
    pay(made)
    sandbox.advance(2)
    page = unescape(sandbox.get(f"/payments/{made.id}").text)
    assert page.count("Visa") == 1
    assert "<code>order</code>: A-118" in page
    assert "<code>shelf</code>: B-7" in page
    fee, net = "€0.66", "€11.84"
    assert fee in page
    assert net in page


def test_lists_go_on_to_what_is_older_and_can_be_narrowed(
    client: stripe.StripeClient, sandbox: Sandbox, paid: Any
) -> None:
    for _ in range(51):
        client.v1.checkout.sessions.create(session_params())
    first = unescape(sandbox.get("/").text)
    assert paid.id not in first
    older = re.search(r'href="([^"]*before=[^"]*)"', first)
    assert older
    second = unescape(sandbox.get(older[1]).text)
    assert f"/payments/{paid.id}" in second
    newer = re.search(r'href="([^"]*after=[^"]*)"', second)
    assert newer
    assert unescape(sandbox.get(newer[1]).text).count("/payments/cs_test_") == 50
    assert unescape(sandbox.get("/?status=paid").text).count("/payments/cs_test_") == 1
    assert unescape(sandbox.get("/?status=disputed").text).count("/payments/cs_test_") == 0
    some = sandbox.get("/events?type=charge.succeeded").text
    assert some.count('href="/events/evt_') == 1
    assert "None of these." in sandbox.get("/deliveries?type=refund.failed").text


def test_each_endpoint_has_its_attempts_its_payload_and_its_button(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    old = client.v1.webhook_endpoints.create(
        {
            "url": endpoint.url + "/old",
            "enabled_events": ["checkout.session.completed", "payout.paid"],
            "api_version": "2024-06-20",
        }
    )
    pay(client.v1.checkout.sessions.create(session_params()))
    (event,) = client.v1.events.list({"type": "checkout.session.completed"}).data
    way = f"/events/{event.id}"
    until(lambda: sandbox.get(way).text.count('class="attempt"') == 2)
    page = unescape(sandbox.get(way).text).replace("<wbr>", "")
    assert f"{old.id}</span> · version 2024-06-20" in page
    assert page.count('"ui_mode": "hosted_page"') == 1
    assert page.count('"ui_mode": "hosted"') == 1
    assert page.count(">Send again<") == 2
    assert "Send again to all" in page
    before = len(endpoint.of_type("checkout.session.completed"))
    press(sandbox, f"{way}/send", endpoint=old.id)
    until(lambda: len(endpoint.of_type("checkout.session.completed")) == before + 1)
    assert sandbox.get(way).text.count('class="attempt"') == 3
    page = unescape(sandbox.get("/deliveries").text).replace("<wbr>", "")
    assert "The sandbox never sends payout.paid: Stripe would." in page
