"""Every state that a payment's page can show, reached by a customer in a browser: what it says,
what it offers, and whether it fits."""

import json
from collections.abc import Callable
from typing import NamedTuple
from uuid import uuid4

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.browser.customer import FAILS, NO_MONEY_LEFT, PAYS, Customer
from tests.http.conftest import retold, sign

# Longer than any Checkout Session lives.
A_DAY = 24 * 3600
HOME = "Back to Northlight Consulting"
RECEIPT = ["Print receipt", HOME]


def wait(customer: Customer) -> None:
    customer.world.set(deliver=False)
    customer.start()
    customer.pay()
    customer.sees("Confirming your payment…")


def pay(customer: Customer) -> None:
    customer.start()
    customer.pay()
    customer.until_it_is("paid")


def go_back(customer: Customer) -> None:
    customer.start()
    customer.go_back()


def leave(customer: Customer) -> None:
    customer.start()
    customer.look()


def be_declined(customer: Customer) -> None:
    customer.start()
    customer.pay(NO_MONEY_LEFT)
    customer.until_it_is("insufficient_funds", "last_decline")
    customer.go_back()


def pay_by_debit(customer: Customer) -> None:
    customer.start()
    customer.pay_by_debit(PAYS)


def fail_by_debit(customer: Customer) -> None:
    customer.start()
    customer.pay_by_debit(FAILS)
    customer.sees("Payment on its way")
    customer.world.at_desk("clock", advance_s=60)
    customer.until_it_is("failed")
    customer.look()


def let_it_expire(customer: Customer) -> None:
    customer.start()
    customer.world.at_desk("clock", advance_s=A_DAY)
    customer.until_it_is("expired")
    customer.look()


def be_canceled(customer: Customer) -> None:
    customer.start()
    [(receipt,)] = customer.rows("SELECT receipt_number FROM payments")
    customer.flask("payments", "cancel", receipt)
    customer.look()


def be_refunded(customer: Customer) -> None:
    pay(customer)
    customer.world.at_desk("refunds", charge=customer.charge())
    customer.until_it_is("refunded")
    customer.look()


def be_refunded_in_part(customer: Customer) -> None:
    pay(customer)
    customer.world.at_desk("refunds", charge=customer.charge(), amount=425)
    customer.until_it_is("partially_refunded")
    customer.look()


def dispute(customer: Customer) -> str:
    pay(customer)
    opened = customer.world.at_desk("disputes", charge=customer.charge())
    customer.until_it_is("needs_response", "dispute")
    customer.look()
    return str(opened["id"])


def be_charged_back(customer: Customer) -> None:
    customer.world.at_desk(f"disputes/{dispute(customer)}", outcome="lost")
    customer.until_it_is("lost", "dispute")
    customer.look()


def pay_another_amount(customer: Customer) -> None:
    """What should never be: Stripe tells another amount than was asked for."""
    wait(customer)
    [event] = customer.world.events("checkout.session.completed")
    body = json.dumps(retold(event, amount_total=1))
    address = f"{customer.site}/webhooks/stripe"
    assert requests.post(address, data=body, headers=sign(body), timeout=10).ok


def change_the_form(customer: Customer) -> None:
    customer.start()
    first = customer.payment_id
    customer.page.go_back()
    customer.page.get_by_label("Amount").fill("20.00")
    customer.continue_to_stripe()
    customer.page.goto(f"{customer.site}/payments/{first}")


def mistype_the_address(customer: Customer) -> None:
    customer.page.goto(f"{customer.site}/payments/{uuid4()}?from=stripe")


class State(NamedTuple):
    reached_by: Callable[[Customer], object]
    heading: str
    words: list[str]
    offers: list[str]
    taken: list[int] = []


STATES = {
    "waiting": State(
        wait,
        "Confirming your payment…",
        ["Please don’t pay again.", "You can close this page: the receipt goes to c••@example.com"],
        [],
        [1250],
    ),
    "processing": State(
        pay_by_debit,
        "Payment on its way",
        ["we’ll e-mail you at c••@example.com", "Please don’t pay again"],
        [HOME],
    ),
    "paid": State(
        pay, "Payment received", ["The receipt goes to c••@example.com"], RECEIPT, [1250]
    ),
    "back": State(go_back, "Not paid yet", ["No money was taken"], ["Try again"]),
    "unpaid": State(
        leave, "Not paid yet", ["If you have just paid, wait a minute"], ["Continue to payment"]
    ),
    "declined": State(
        be_declined,
        "Not paid: the card was declined",
        ["The account behind the card has too little money. No money was taken."],
        ["Try again"],
    ),
    "failed": State(
        fail_by_debit,
        "This payment did not go through",
        ["Your bank has refused it. No money was taken."],
        ["Try again"],
    ),
    "expired": State(
        let_it_expire,
        "This payment did not go through",
        ["It was not completed in time. No money was taken."],
        ["Try again"],
    ),
    "canceled": State(
        be_canceled, "This payment was canceled", ["No money was taken."], ["Pay after all"]
    ),
    "refunded": State(
        be_refunded, "Refunded", ["banks take 5 to 10 days", "€12.50, "], RECEIPT, [1250]
    ),
    "part refund": State(
        be_refunded_in_part, "Partly refunded", ["€4.25, ", "Kept", "€8.25"], RECEIPT, [1250]
    ),
    "disputed": State(
        dispute,
        "Payment received, being clarified",
        ["there is nothing for you to do here"],
        ["Write to us", *RECEIPT],
        [1250],
    ),
    "reversed": State(
        be_charged_back,
        "Reversed by the bank",
        ["Please write to us if you did not expect that."],
        ["Write to us", *RECEIPT],
        [1250],
    ),
    "review": State(
        pay_another_amount,
        "Payment received, being checked",
        ["We’ll contact you at c••@example.com", "Please don’t pay again"],
        ["Write to us"],
        [1250],
    ),
    "replaced": State(
        change_the_form,
        "You have changed this payment",
        ["No money was taken by this one"],
        ["To the payment form"],
    ),
    "unknown": State(
        mistype_the_address,
        "This page does not exist",
        ["your receipt by e-mail has the right link; or write to us"],
        ["To the payment form", "Write to us"],
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_every_state_says_what_became_of_the_money_and_what_to_do(customer, name):
    state = STATES[name]
    state.reached_by(customer)
    customer.sees(state.heading)
    card = customer.page.locator("main .card")
    for words in state.words:
        expect(card).to_contain_text(words)
    offers = customer.page.locator(".actions").locator("button, a")
    assert [words.strip() for words in offers.all_inner_texts()] == state.offers
    expect(customer.page.get_by_role("link", name="billing@northlight.example")).to_be_visible()
    assert customer.charges() == state.taken
    assert overflows(customer.page) == []


def overflows(page: Page) -> list[str]:
    """Where the page must be scrolled sideways: in a window of 320 pixels (400 % zoom on a laptop),
    at 200 % zoom, and with letters of twice the size."""
    found = []
    for width, letters in ((320, "100%"), (640, "100%"), (640, "200%")):
        page.set_viewport_size({"width": width, "height": 640})
        page.evaluate("size => document.documentElement.style.fontSize = size", letters)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append(f"{width} px, letters of {letters}")
    return found
