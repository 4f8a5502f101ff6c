"""No page, in no state, light or dark, has an accessibility fault that axe can find, and each fits
a window of 320 pixels: a small phone's, and what 400 % of zoom leave of a desktop's. Nor does a
reader who needs large letters have to scroll sideways."""

import pytest
from flask import render_template
from playwright.sync_api import Page

from tests import states
from tests.accessibility import overflows, violations

# Colours that would make a page unreadable, were they used as they are.
NASTY = ["#ffff00", "#ffffff", "#000000", "#00ff7f"]
LONG_NAME = "Société Générale des Eaux & Söhne Verwaltungsgesellschaft mbH"
CONTRAST = {"runOnly": ["color-contrast"]}


@pytest.fixture
def phone(browser):
    with browser.new_context(viewport={"width": 320, "height": 640}) as context:
        yield context.new_page()


def test_every_page_in_every_state_is_accessible_and_fits(phone, web, world, variables):
    found = {}
    payments = states.addresses(web, world, variables)
    for name, address in payments.items():
        phone.goto(address)
        found[name] = faults(phone)
    world.set(api_faults=states.OUT_OF_ORDER)
    for name, go_to in states.OTHERS.items():
        go_to(phone, web)
        found[name] = faults(phone)
    phone.goto(payments["expired"])
    phone.get_by_role("button", name="Try again").click()
    phone.get_by_role("heading", name="can’t be opened at the moment").wait_for()
    found["stripe-in-trouble"] = faults(phone)
    assert {name: there for name, there in found.items() if there} == {}


def test_no_key_and_no_screen_reader_comes_to_the_forms_trap(page, web):
    page.goto(web)
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


# Pages that are hard to come by, and what they are told.
TROUBLES = {
    "csrf": {},
    "other": {"code": 405, "name": "Method Not Allowed"},
    "still_opening": {},
    "too_many": {"retry_after": 90},
    "unexpected": {},
}


def test_every_page_of_trouble_is_accessible(phone, web, app):
    found = {}
    for page, told in TROUBLES.items():
        with app.test_request_context("/"):
            body = render_template(f"errors/{page}.html", **told)
        serve(phone, "**/trouble", body, "text/html")
        phone.goto(f"{web}/trouble")
        found[page] = faults(phone)
    assert {page: there for page, there in found.items() if there} == {}


def test_whatever_the_brands_colour_pages_can_be_read(phone, web, payer, installed):
    receipt = states.paid(payer)
    found = {}
    for color in NASTY:
        with installed(BRAND_COLOR=color).test_request_context("/"):
            style = render_template("brand/colors.css")
        serve(phone, "**/colors.css*", style, "text/css")
        for name, address in {"form": web, "receipt": receipt}.items():
            phone.goto(address)
            for scheme in ("light", "dark"):
                phone.emulate_media(color_scheme=scheme)
                found[color, name, scheme] = violations(phone, CONTRAST)
    assert {look: there for look, there in found.items() if there} == {}


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_business_with_a_long_word_in_its_name_fits_every_window(
    phone, web, payer, installed, language
):
    there = installed(BUSINESS_NAME=LONG_NAME).test_client()
    found = {}
    for address in (f"{web}/", states.paid(payer)):
        shown = there.get(f"{address.removeprefix(web)}?lang={language}")
        serve(phone, address, shown.text, "text/html")
        phone.goto(address)
        assert LONG_NAME in phone.locator("main").inner_text()
        found[address] = overflows(phone)
    assert {address: where for address, where in found.items() if where} == {}


def serve(page: Page, pattern: str, body: str, kind: str) -> None:
    """Answer instead of the server."""
    page.route(pattern, lambda route: route.fulfill(body=body, content_type=kind))


def faults(page: Page) -> list[str]:
    """What axe says in the light, and of contrast in the dark; and where it runs out of the
    window."""
    page.emulate_media(color_scheme="light")
    found = violations(page)
    page.emulate_media(color_scheme="dark")
    found += [f"dark: {fault}" for fault in violations(page, CONTRAST)]
    return found + overflows(page)
