"""The story of one payment, in a real browser on real parts. Start reading here."""

import re
from datetime import UTC, datetime

from playwright.sync_api import Page, expect

from tests.stack import until

STRIPES_PAGE = re.compile(r"/c/pay/cs_test_")
RETURNED = re.compile(r"/payments/[0-9a-f-]{36}\?from=stripe$")
WENT_BACK = re.compile(r"/payments/[0-9a-f-]{36}\?from=back$")


def test_a_payment_from_the_form_to_the_receipt(page, site, world, mailbox, rows):
    world.set(webhook_delay_s=3)
    page_loads, polls = [], []
    page.on("request", lambda r: page_loads.append(r.url) if r.is_navigation_request() else None)
    page.on("response", lambda r: polls.append(datetime.now(UTC)) if "/status?" in r.url else None)

    fill_in_the_form(page, site)
    pay_with(page, "4242 4242 4242 4242")

    # The customer is back before Stripe has told us: the page waits, and offers nothing to click.
    page.wait_for_url(RETURNED)
    expect(page.get_by_role("heading", name="Confirming your payment…")).to_be_visible()
    expect(page.locator("[data-payment-status]")).to_have_attribute("data-payment-status", "open")
    expect(page.get_by_role("button")).to_have_count(0)

    # Then it turns by itself, without being loaded again, and tells screen readers so.
    loads_before = len(page_loads)
    expect(page.get_by_role("heading", name="Payment received")).to_be_visible(timeout=15_000)
    expect(page.locator("[data-payment-status]")).to_have_attribute("data-payment-status", "paid")
    expect(page.get_by_role("status")).to_have_text("Payment received")
    expect(page.get_by_text("€1,250.00")).to_be_visible()
    expect(page.get_by_text("Invoice 2026-118")).to_be_visible()
    expect(page.get_by_text("c••@example.com")).to_be_visible()
    assert len(page_loads) == loads_before

    # Within two polls of the delivery, and then the polling ends.
    [(told_at,)] = rows(
        "SELECT received_at FROM stripe_events WHERE type = 'checkout.session.completed'"
    )
    assert len([poll for poll in polls if poll > told_at]) <= 2
    expect(page.locator("[hx-trigger]")).to_have_count(0)

    # Postgres says the same, and each letter has come once.
    [(receipt_number, *payment)] = rows(
        "SELECT receipt_number, status, amount, currency, email FROM payments"
    )
    assert payment == ["paid", 125_000, "eur", "customer@example.com"]
    until(lambda: rows("SELECT state FROM emails") == [("sent",), ("sent",)])
    [receipt] = world.letters(to="customer@example.com")
    assert receipt["subject"] == f"Receipt from Northlight Consulting: €1,250.00 ({receipt_number})"
    assert page.url.split("?")[0] in receipt["text"]
    assert "€1,250.00" in receipt["html"]
    [letter] = world.letters(to="owner@northlight.example")
    assert letter["subject"] == f"You’ve been paid €1,250.00 ({receipt_number})"
    assert "Invoice 2026-118" in letter["text"]

    # The page stays, as the receipt, for whoever has its address.
    page.goto(page.url.split("?")[0])
    expect(page.get_by_role("heading", name="Payment received")).to_be_visible()
    expect(page.get_by_role("button", name="Print receipt")).to_be_visible()


def test_a_declined_card_and_then_a_good_one(page, site, world, mailbox, rows):
    fill_in_the_form(page, site)
    pay_with(page, "4000 0000 0000 9995")
    expect(page.get_by_text(re.compile("insufficient funds"))).to_be_visible()
    assert rows("SELECT status FROM payments") == [("open",)]

    pay_with(page, "4242 4242 4242 4242")
    page.wait_for_url(RETURNED)
    expect(page.get_by_role("heading", name="Payment received")).to_be_visible(timeout=15_000)
    until(lambda: rows("SELECT state FROM emails") == [("sent",), ("sent",)])
    assert len(world.letters(to="customer@example.com")) == 1
    assert rows("SELECT count(*) FROM attempts") == [(1,)]


def test_back_from_stripe_and_try_again(page, site, world, mailbox, rows):
    fill_in_the_form(page, site)
    stripes_page = page.url
    page.get_by_role("link", name="Back").click()

    page.wait_for_url(WENT_BACK)
    expect(page.get_by_role("heading", name="Not paid yet")).to_be_visible()
    expect(page.get_by_text("No money was taken")).to_be_visible()

    page.get_by_role("button", name="Try again").click()
    page.wait_for_url(STRIPES_PAGE)
    assert page.url == stripes_page
    pay_with(page, "4242 4242 4242 4242")
    expect(page.get_by_role("heading", name="Payment received")).to_be_visible(timeout=15_000)
    assert rows("SELECT status, (SELECT count(*) FROM attempts) FROM payments") == [("paid", 1)]


def test_the_browsers_back_button_makes_no_second_payment(page, site, world, rows):
    fill_in_the_form(page, site)
    stripes_page = page.url
    page.go_back()
    expect(page.get_by_label("What is it for?")).to_have_value("Invoice 2026-118")

    page.get_by_role("button", name="Continue to payment").click()
    page.wait_for_url(STRIPES_PAGE)
    assert page.url == stripes_page
    assert rows("SELECT count(*) FROM payments") == [(1,)]


def test_without_javascript_the_page_turns_by_refreshing(plain_page, site, world, mailbox):
    world.set(webhook_delay_s=2)
    fill_in_the_form(plain_page, site)
    pay_with(plain_page, "4242 4242 4242 4242")
    plain_page.wait_for_url(RETURNED)
    expect(plain_page.get_by_role("link", name="Check again")).to_be_visible()
    # By the page's own refresh, ten seconds on.
    expect(plain_page.get_by_role("heading", name="Payment received")).to_be_visible(timeout=20_000)


def fill_in_the_form(page: Page, site: str) -> None:
    page.goto(site)
    page.get_by_label("Amount").fill("1,250.00")
    page.get_by_label("Currency").select_option("eur")
    page.get_by_label("What is it for?").fill("Invoice 2026-118")
    page.get_by_label("Your name").fill("A. Customer")
    page.get_by_label("E-mail for the receipt").fill("customer@example.com")
    page.get_by_role("button", name="Continue to payment").click()
    page.wait_for_url(STRIPES_PAGE)


def pay_with(page: Page, card: str) -> None:
    page.get_by_label("Card number").fill(card)
    page.get_by_label("Expiration").fill("12 / 40")
    page.get_by_label("CVC").fill("123")
    page.get_by_label("Cardholder name").fill("A. Customer")
    page.get_by_role("button", name=re.compile("^Pay ")).click()
