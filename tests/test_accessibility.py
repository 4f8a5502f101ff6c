"""No page has an accessibility fault that axe can find, light or dark."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.test_journey import RETURNED, STRIPES_PAGE, fill_in_the_form, pay_with


@pytest.fixture(params=["light", "dark"])
def themed_page(browser, request):
    with browser.new_context(color_scheme=request.param) as context:
        yield context.new_page()


def test_each_page_of_a_payment_is_accessible(themed_page, site, world, mailbox):
    page = themed_page
    page.goto(site)
    assert faults(page) == []

    page.get_by_role("button", name="Continue to payment").click()
    page.get_by_role("alert").wait_for()
    assert faults(page) == []

    fill_in_the_form(page, site)
    page.get_by_role("link", name="Back").click()
    page.get_by_role("heading", name="Not paid yet").wait_for()
    assert faults(page) == []

    world.set(webhook_delay_s=2)
    page.get_by_role("button", name="Try again").click()
    page.wait_for_url(STRIPES_PAGE)
    pay_with(page, "4242 4242 4242 4242")
    page.wait_for_url(RETURNED)
    page.get_by_role("heading", name="Confirming your payment…").wait_for()
    assert faults(page) == []

    page.get_by_role("heading", name="Payment received").wait_for()
    assert faults(page) == []

    page.goto(f"{site}/payments/unknown")
    assert faults(page) == []


def test_no_key_and_no_screen_reader_comes_to_the_forms_trap(page, site):
    page.goto(site)
    assert page.locator("#subject").count() == 1
    assert page.get_by_role("textbox").count() == 5  # amount, purpose, reference, name, e-mail
    reached = []
    page.locator("#amount").focus()
    for _ in range(8):
        reached.append(page.evaluate("document.activeElement.name || document.activeElement.type"))
        page.keyboard.press("Tab")
    assert reached[:7] == [
        "amount", "currency", "description", "reference", "name", "email", "submit",
    ]  # fmt: skip


def test_pages_fit_a_phone_of_320_pixels(browser, site, world):
    with browser.new_context(viewport={"width": 320, "height": 640}) as context:
        page = context.new_page()
        page.goto(site)
        assert overflow(page) == 0
        fill_in_the_form(page, site)
        page.goto(page.url)
        page.get_by_role("link", name="Back").click()
        page.wait_for_url(re.compile("from=back"))
        assert overflow(page) == 0


def faults(page: Page) -> list[str]:
    return [
        f"{fault['id']}: {node['html']}"
        for fault in Axe().run(page).response["violations"]
        for node in fault["nodes"]
    ]


def overflow(page: Page) -> int:
    """Pixels by which the page is wider than its window."""
    return page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
