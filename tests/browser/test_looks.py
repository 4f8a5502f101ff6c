"""What a page does for the eye and the hand beyond its words: a number copied, news when it is seen
again, a logo that does not come."""

import re

import pytest
from playwright.sync_api import expect

from tests import states
from tests.browser.customer import be_hidden

ELSEWHERE = "https://cdn.northlight.example/logo.svg"


def test_the_receipts_number_is_copied_by_a_click_and_said_to_be(browser, payer):
    address = states.paid(payer)
    with browser.new_context(permissions=["clipboard-read", "clipboard-write"]) as context:
        page = context.new_page()
        page.goto(address)
        page.get_by_role("button", name="Copy the number").click()
        expect(page.get_by_role("status")).to_have_text("Copied")
        copied = page.evaluate("navigator.clipboard.readText()")
        expect(page.locator(".number")).to_contain_text(copied)
        assert re.fullmatch("[A-Z0-9]{4}-[A-Z0-9]{4}", copied)


def test_a_small_phone_shows_the_whole_of_a_large_amount(page, site):
    page.set_viewport_size({"width": 320, "height": 640})
    page.goto(f"{site}/?amount=12500.50&lang=de")
    amount = page.locator("#amount")
    expect(amount).to_have_value("12500,50")
    assert amount.evaluate("one => one.scrollWidth <= one.clientWidth")


def test_a_page_that_was_left_open_asks_once_when_it_is_seen_again(page, payer, world):
    page.goto(states.processing(payer))
    asked = []
    page.on("request", lambda r: asked.append(r.url) if "/status" in r.url else None)
    be_hidden(page, True)
    world.at_desk("clock", advance_s=100_000)
    payer.until_it_says("Payment received")
    assert asked == []

    be_hidden(page, False)
    expect(page.get_by_role("heading", name="Payment received")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("Payment received")
    expect(page).to_have_title(re.compile("^Payment received – "))
    assert asked == [f"{payer.page}/status?seen=1"]


@pytest.mark.parametrize("scripts", [True, False])
def test_a_logo_that_does_not_come_leaves_the_businesss_name(browser, web, installed, scripts):
    shown = installed(LOGO_URL=ELSEWHERE).test_client().get("/")
    with browser.new_context(java_script_enabled=scripts) as context:
        page = context.new_page()
        page.route(ELSEWHERE, lambda route: route.abort())
        page.route(
            f"{web}/",
            lambda route: route.fulfill(body=shown.text, headers=dict(shown.headers)),
        )
        page.goto(web)
        banner = page.get_by_role("banner")
        if scripts:
            expect(banner).to_contain_text("Northlight Consulting")
            expect(banner.get_by_role("img")).to_have_count(0)
        else:
            expect(banner.get_by_role("img", name="Northlight Consulting")).to_be_visible()
