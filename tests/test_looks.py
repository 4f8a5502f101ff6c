"""What a page does for the eye and the hand beyond its words: a number copied, news when it is seen
again, a logo that does not come, a receipt on paper."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests import states

ELSEWHERE = "https://cdn.northlight.example/logo.svg"


@pytest.fixture
def customer(_web, app, world, variables, public_url) -> states.Customer:
    """Somebody with a payment, while no worker runs."""
    return states.Customer(public_url, world, variables)


def test_the_receipts_number_is_copied_by_a_click_and_said_to_be(browser, customer):
    address = states.paid(customer)
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


def test_what_needs_javascript_is_not_shown_without_it(plain_page, customer):
    plain_page.goto(states.paid(customer))
    expect(plain_page.get_by_role("heading", name="Payment received")).to_be_visible()
    expect(plain_page.get_by_role("button")).to_have_count(0)


def test_a_page_that_was_left_open_asks_once_when_it_is_seen_again(page, customer, world):
    page.goto(states.processing(customer))
    asked = []
    page.on("request", lambda r: asked.append(r.url) if "/status" in r.url else None)
    be_hidden(page, True)
    world.at_desk("clock", advance_s=100_000)
    customer.until_it_says("Payment received")
    assert asked == []

    be_hidden(page, False)
    expect(page.get_by_role("heading", name="Payment received")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("Payment received")
    expect(page).to_have_title(re.compile("^Payment received – "))
    assert asked == [f"{customer.page}/status"]


def be_hidden(page: Page, hidden: bool) -> None:
    """As a tab is that another one covers."""
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


@pytest.mark.usefixtures("_web")
@pytest.mark.parametrize("scripts", [True, False])
def test_a_logo_that_does_not_come_leaves_the_businesss_name(
    browser, public_url, installed, scripts
):
    shown = installed(LOGO_URL=ELSEWHERE).test_client().get("/")
    with browser.new_context(java_script_enabled=scripts) as context:
        page = context.new_page()
        page.route(ELSEWHERE, lambda route: route.abort())
        page.route(
            f"{public_url}/",
            lambda route: route.fulfill(body=shown.text, headers=dict(shown.headers)),
        )
        page.goto(public_url)
        banner = page.get_by_role("banner")
        if scripts:
            expect(banner).to_contain_text("Northlight Consulting")
            expect(banner.get_by_role("img")).to_have_count(0)
        else:
            expect(banner.get_by_role("img", name="Northlight Consulting")).to_be_visible()


def test_on_paper_a_receipt_is_what_is_to_be_kept_on_one_page(page, customer):
    page.goto(states.paid(customer))
    page.emulate_media(media="print")
    for kept in ("Northlight Consulting", "€1,250.00", "12 Quay Street, Dublin"):
        expect(page.get_by_text(kept).first).to_be_visible()
    for left_out in ("Print receipt", "Copy the number"):
        expect(page.get_by_role("button", name=left_out)).to_have_count(0)
    expect(page.get_by_role("navigation")).to_have_count(0)
    # Of the PDF's parts only a page is called so.
    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4"))) == 1
