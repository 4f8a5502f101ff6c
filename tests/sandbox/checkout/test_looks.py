"""The hosted page and the desk in a real browser: on a phone, in the dark, for everybody."""

from typing import Literal

import pytest
import stripe
from playwright.sync_api import Browser, Page

from tests.accessibility import is_too_wide, violations
from tests.sandbox.conftest import PAY, Sandbox, fill_card, pay, session_params

SIZES = {"phone": (390, 844), "desktop": (1200, 800)}


def complaints_about(page: Page) -> list[str]:
    return violations(page) + ["it is wider than the window"] * is_too_wide(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_no_state_of_the_hosted_page_keeps_anybody_out(
    browser: Browser, client: stripe.StripeClient, size: str, scheme: Literal["light", "dark"]
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    width, height = SIZES[size]
    with browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme
    ) as context:
        page = context.new_page()
        page.goto(made.url or "")
        assert complaints_about(page) == []
        page.get_by_role("button", name=PAY).click()
        page.get_by_text("Enter your email.").wait_for()
        assert complaints_about(page) == []
        fill_card(page, "4000000000000002")
        page.get_by_role("alert").get_by_text("Your card was declined.").wait_for()
        assert complaints_about(page) == []
        page.get_by_label("Bank debit (SEPA)").check()
        assert page.get_by_label("IBAN").is_visible()
        assert not page.get_by_label("Card number").is_visible()
        assert complaints_about(page) == []
        page.get_by_label("Card", exact=True).check()
        fill_card(page, "4000002760003184")
        page.get_by_role("button", name="Complete").wait_for()
        assert complaints_about(page) == []
        page.get_by_role("link", name="Back").click()
        assert page.get_by_label("Card number").input_value() == "4000 0027 6000 3184"


def test_a_test_card_is_picked_from_the_panel(
    browser: Browser, client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    way_back = f"{sandbox.url}/?session={{CHECKOUT_SESSION_ID}}"
    made = client.v1.checkout.sessions.create(session_params(success_url=way_back))
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(made.url or "")
        page.locator("summary", has_text="Declined").click()
        page.get_by_role("button", name="Insufficient funds").click()
        assert page.get_by_label("Card number").input_value() == "4000 0000 0000 9995"
        assert not page.get_by_role("button", name="Succeeds after 3 minutes").is_visible()
        heading = page.locator(".panel-of-cards > summary")
        assert heading.inner_text().strip() == "Test cards"
        page.get_by_label("Bank debit (SEPA)").check()
        assert heading.inner_text().strip() == "Test accounts"
        assert not page.locator("summary", has_text="Declined").is_visible()
        page.get_by_role("button", name="Succeeds after 3 minutes").click()
        assert page.get_by_label("IBAN").input_value() == "AT32 1904 3002 3547 3204"
        page.get_by_role("button", name=PAY).click()
        page.wait_for_url(f"**/?session={made.id}")
    assert client.v1.checkout.sessions.retrieve(made.id).payment_status == "unpaid"


@pytest.mark.parametrize(("size", "scheme"), [("phone", "dark"), ("desktop", "light")])
def test_no_page_of_the_desk_keeps_anybody_out(
    browser: Browser,
    client: stripe.StripeClient,
    sandbox: Sandbox,
    size: str,
    scheme: Literal["light", "dark"],
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    pay(made)
    event = client.v1.events.list().data[0]
    sandbox.post("/_sandbox/presets/everything-goes-wrong")
    width, height = SIZES[size]
    with browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme
    ) as context:
        page = context.new_page()
        for path in ("/", f"/payments/{made.id}", "/events", f"/events/{event.id}", "/deliveries",
                     "/inbox", "/controls"):  # fmt: skip
            page.goto(sandbox.url + path)
            assert complaints_about(page) == [], path


def test_digits_are_grouped_as_they_are_typed(
    browser: Browser, client: stripe.StripeClient
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(made.url or "")
        for label, typed, shown in (
            ("Card number", "4242424242424242", "4242 4242 4242 4242"),
            ("Card number", "378282246310005", "3782 822463 10005"),
            ("Expiration", "1234", "12 / 34"),
            ("Expiration", "534", "05 / 34"),
            ("Expiration", "1/34", "1 / 34"),
        ):
            field = page.get_by_label(label)
            field.fill("")
            field.press_sequentially(typed)
            assert field.input_value() == shown
        field = page.get_by_label("Card number")
        field.fill("4242424242424242")
        field.press("Home")
        for _ in range(3):
            field.press("ArrowRight")
        field.press("Backspace")
        field.press_sequentially("00")
        assert field.input_value() == "4200 2424 2424 2424 2"
        page.get_by_label("Bank debit (SEPA)").check()
        field = page.get_by_label("IBAN")
        field.press_sequentially("de89370400440532013000")
        assert field.input_value() == "DE89 3704 0044 0532 0130 00"


def test_back_forward_and_reload_send_nothing_again(
    browser: Browser, client: stripe.StripeClient
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    with browser.new_context() as context:
        page = context.new_page()
        sent: list[str] = []
        page.on("request", lambda asked: sent.append(asked.method))
        page.goto(made.url or "")
        fill_card(page, "4000000000000002")
        declined = page.get_by_role("alert").get_by_text("Your card was declined.")
        declined.wait_for()
        page.reload()
        declined.wait_for()
        page.go_back()
        page.go_forward()
        declined.wait_for()
        assert page.get_by_label("Cardholder name").input_value() == "Ada Example"
        assert page.url == made.url
        assert sent.count("POST") == 1


def test_without_a_script_there_is_no_panel_that_does_nothing(
    browser: Browser, client: stripe.StripeClient
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(made.url or "")
        assert page.get_by_text("Test cards").count() == 2
        assert not page.get_by_role("complementary", name="Test cards").is_visible()


def test_on_a_phone_the_test_cards_are_a_link_away_from_the_form(
    browser: Browser, client: stripe.StripeClient
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    with browser.new_context(viewport={"width": 390, "height": 844}) as context:
        page = context.new_page()
        page.goto(made.url or "")
        page.get_by_role("link", name="Test cards").click()
        page.get_by_role("button", name="Mastercard debit").click()
        assert page.get_by_label("Card number").input_value() == "5200 8282 8282 8210"
        assert page.locator(".brand").inner_text() == "Mastercard"
        assert page.get_by_role("button", name=PAY).is_visible()
