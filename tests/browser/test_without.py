"""A payment without what most people have: JavaScript, cookies, a mouse, a screen."""

import json
import re

import pytest
from playwright.sync_api import Page, expect

from tests import states
from tests.accessibility import overflows
from tests.browser.customer import GOOD, Customer
from tests.browser.test_again import A_DAY
from tests.test_journey import RETURNED, STRIPES_PAGE

NOTHING_CHARGED = "Nothing has been charged. Please correct this first:"


def test_without_javascript_all_of_it_works(new_customer):
    customer = new_customer(java_script_enabled=False)
    page = customer.page
    customer.open_form(email="nobody")
    page.get_by_role("button", name="Continue to payment").click()
    expect(page.get_by_role("alert")).to_contain_text(NOTHING_CHARGED)
    expect(page.get_by_label("Your name")).to_have_value("A. Customer")
    expect(page.get_by_text("At least €0.50")).to_be_visible()
    page.get_by_label("E-mail for the receipt").fill("customer@example.com")
    first = customer.continue_to_stripe()

    # Try again is a form like any other, for a page that is open and for one that is over.
    customer.go_back()
    assert customer.continue_to_stripe("Try again") == first
    customer.world.at_desk("clock", advance_s=A_DAY)
    customer.until_it_is("expired")
    customer.look()
    assert customer.continue_to_stripe("Try again") != first

    customer.world.set(deliver=False)
    customer.pay()
    page.wait_for_url(RETURNED)
    customer.sees("Confirming your payment…")
    expect(page.locator("noscript meta")).to_have_attribute("content", re.compile("^10; url=/"))
    for _ in range(3):
        page.get_by_role("link", name="Check again").click()
    customer.sees("Still waiting for the confirmation")
    customer.world.set(deliver=True)
    customer.until_it_is("paid")
    page.get_by_role("link", name="Check again").click()
    customer.sees("Payment received")
    # What only a script could do is not offered.
    expect(page.get_by_role("button")).to_have_count(0)
    assert customer.world.charges() == [1250]


@pytest.fixture
def without_cookies(new_customer, browser, tmp_path):
    """A browser whose settings refuse all cookies."""
    settings = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    (tmp_path / "Default").mkdir()
    (tmp_path / "Default" / "Preferences").write_text(json.dumps(settings))
    return new_customer(profile=tmp_path)


def test_without_cookies_the_form_says_that_nothing_was_charged(without_cookies, rows):
    page = without_cookies.page
    without_cookies.open_form()
    page.get_by_role("button", name="Continue to payment").click()
    alert = page.get_by_role("alert", name="Please send the form once more")
    expect(alert).to_be_focused()
    expect(page.get_by_label("Your name")).to_have_value("A. Customer")
    expect(
        page.get_by_text("your browser refuses cookies, which this form needs. Nothing has been")
    ).to_be_visible()
    assert page.context.cookies() == []
    assert rows("SELECT count(*) FROM payments") == [(0,)]
    assert without_cookies.world.charges() == []


def test_the_keyboard_alone_pays(customer):
    page = customer.page
    page.goto(customer.site)
    # The first stop leads past the masthead, and is seen once it is reached.
    tab_to(page, "Skip to content", stops=1)
    page.keyboard.press("Enter")
    tab_to(page, "Amount")
    page.keyboard.type("12.50")
    tab_to(page, "Currency")
    page.keyboard.press("e")
    tab_to(page, "What is it for?")
    page.keyboard.type("Invoice 2026-118")
    tab_to(page, "Your reference (optional)")
    tab_to(page, "Your name")
    page.keyboard.type("A. Customer")
    tab_to(page, "E-mail for the receipt")
    page.keyboard.type("customer@example")
    page.keyboard.press("Enter")

    # What is wrong gets the focus, and leads to its field.
    summary = page.get_by_role("alert", name=NOTHING_CHARGED)
    expect(summary).to_be_focused()
    tab_to(page, "Enter one e-mail address, like name@example.com")
    page.keyboard.press("Enter")
    email = page.get_by_label("E-mail for the receipt")
    expect(email).to_be_focused()
    expect(email).to_have_accessible_description(re.compile("^Error: Enter one e-mail address"))
    page.keyboard.press("End")
    page.keyboard.type(".com")
    tab_to(page, "Continue to payment")
    page.keyboard.press("Enter")

    page.wait_for_url(STRIPES_PAGE)
    page.get_by_label("Card number").focus()
    for typed in (GOOD, "12 / 40", "123", "A. Customer"):
        page.keyboard.type(typed)
        page.keyboard.press("Tab")
    page.get_by_label("Cardholder name").press("Enter")
    customer.sees("Payment received")
    tab_to(page, "Skip to content", stops=1)
    tab_to(page, "Copy the number")
    tab_to(page, "Print receipt")
    page.evaluate("window.print = () => document.title = 'printed'")
    page.keyboard.press("Enter")
    expect(page).to_have_title("printed")
    tab_to(page, "Back to Northlight Consulting")
    assert customer.world.charges() == [1250]


def test_whoever_has_made_a_mistake_can_read_of_it_in_another_language(plain_page, web):
    page = plain_page
    page.goto(f"{web}/?lang=en&name=A.+Customer")
    page.get_by_role("button", name="Continue to payment").click()
    page.get_by_role("navigation", name="Language").get_by_role("button", name="Deutsch").click()
    expect(page.get_by_role("alert")).to_contain_text("Geben Sie den Betrag ein")
    expect(page.get_by_label("Ihr Name")).to_have_value("A. Customer")
    page.get_by_role("navigation", name="Sprache").get_by_role("button", name="English").click()
    expect(page.get_by_role("alert")).to_contain_text("Enter the amount")


def tab_to(page: Page, name: str, stops: int = 1) -> None:
    """Press Tab so many times; then this has the focus, and whoever sees can see that."""
    for _ in range(stops):
        page.keyboard.press("Tab")
    focused = page.locator(":focus")
    expect(focused).to_have_accessible_name(name)
    expect(focused).to_be_in_viewport()
    assert page.evaluate(OUTLINE) >= 2, f"no visible focus on {name}"


# Pixels of the outline around what has the focus.
OUTLINE = """() => {
    const style = getComputedStyle(document.activeElement);
    return style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth);
}"""

FORM = """
- heading "Pay Northlight Consulting" [level=1]
- alert "Nothing has been charged. Please correct this first:":
  - heading "Nothing has been charged. Please correct this first:" [level=2]
  - list:
    - listitem:
      - link "Enter the amount"
- text: Amount
- textbox "Amount"
- text: Currency
- combobox "Currency"
- textbox "What is it for?"
- textbox "Your reference (optional)"
- textbox "Your name"
- textbox "E-mail for the receipt"
- button "Continue to payment"
"""
RECEIPT = """
- main:
  - status: Payment received
  - article:
    - heading "Payment received" [level=1]
    - paragraph: The receipt goes to c••@example.com.
    - paragraph: €12.50
    - term: For
    - definition: Invoice 2026-118
    - term: Date
    - definition:
      - time
    - term: Receipt number
    - definition:
      - button "Copy the number"
    - term: Paid to
    - definition: Northlight Consulting 12 Quay Street, Dublin
    - button "Print receipt"
    - link "Back to Northlight Consulting"
"""


def test_a_screen_reader_is_told_all_that_is_seen(customer):
    page = customer.page
    page.goto(customer.site)
    page.get_by_role("button", name="Continue to payment").click()
    expect(page).to_have_title("Error: Pay Northlight Consulting")
    amount = page.get_by_label("Amount")
    expect(amount).to_have_accessible_description(
        re.compile(r"^Error: Enter the amount Between \$0\.50")
    )
    expect(amount).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("banner")).to_contain_text("Test mode: no money moves")
    expect(page.get_by_role("main")).to_match_aria_snapshot(FORM)

    customer.world.set(webhook_delay_s=1)
    customer.start()
    customer.pay()
    customer.sees("Payment received")
    expect(page.get_by_role("main")).to_match_aria_snapshot(RECEIPT)


def test_nothing_moves_for_whoever_wants_less_motion(new_customer):
    moving = {}
    for wish in ("reduce", "no-preference"):
        customer = new_customer(reduced_motion=wish)
        customer.world.set(deliver=False)
        customer.start()
        customer.pay()
        customer.sees("Confirming your payment…")
        moving[wish] = customer.page.evaluate("document.getAnimations().length")
    assert moving == {"reduce": 0, "no-preference": 1}


def test_the_receipt_on_paper_is_the_receipt_alone(customer):
    page = customer.page
    customer.start()
    customer.pay()
    customer.sees("Payment received")
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.get_by_role("banner").get_by_text("Northlight Consulting")).to_be_visible()
    for shown in ("€12.50", "Invoice 2026-118", "Receipt number", "12 Quay Street, Dublin"):
        expect(page.get_by_role("main").get_by_text(shown)).to_be_visible()
    expect(page.get_by_text("The receipt goes to")).to_be_hidden()
    for hidden in (page.get_by_role("button"), page.locator(".actions a"), page.locator("nav")):
        assert not hidden.or_(page.locator(".skip")).filter(visible=True).count()
    # Dark ink on white paper, for a browser that is dark as well.
    ink, paper = page.evaluate(
        "[getComputedStyle(document.querySelector('h1')).color,"
        " getComputedStyle(document.documentElement).backgroundColor]"
    )
    assert brightness(ink) < 60 < 200 < brightness(paper)
    # Of the PDF's parts only a page is called so.
    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4"))) == 1


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("reversed", "Your bank has taken this payment back."),
        ("refunded", "The money goes back to where it came from"),
        ("disputed", "Your bank has asked about this payment."),
    ],
)
def test_what_has_become_of_the_money_stands_on_paper_too(page, payer, state, told):
    page.goto(states.PAYMENTS[state](payer))
    page.emulate_media(media="print")
    expect(page.get_by_text(told)).to_be_visible()
    row = "Taken back by your bank" if state == "reversed" else "Receipt number"
    expect(page.get_by_text(row)).to_be_visible()


def brightness(colour: str) -> int:
    return min(int(part) for part in re.findall(r"\d+", colour)[:3])


def test_the_form_fits_small_windows_and_large_letters_light_and_dark(new_customer):
    for scheme in ("light", "dark"):
        customer: Customer = new_customer(color_scheme=scheme)
        customer.open_form(amount="")
        assert overflows(customer.page) == []
        customer.page.get_by_role("button", name="Continue to payment").click()
        expect(customer.page.get_by_role("alert")).to_be_visible()
        assert overflows(customer.page) == []
        ground = customer.page.evaluate(
            "getComputedStyle(document.documentElement).backgroundColor"
        )
        assert (brightness(ground) > 128) is (scheme == "light")
