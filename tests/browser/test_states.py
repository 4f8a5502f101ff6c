"""Every state that a payment's page can show: what it says, and what it offers."""

from typing import NamedTuple

import pytest
from playwright.sync_api import Page, expect

from tests import states

HOME = "Back to Northlight Consulting"
RECEIPT = ["Print receipt", HOME]


class State(NamedTuple):
    heading: str
    words: list[str]
    offers: list[str]
    taken: list[int] = []


STATES = {
    "waiting": State(
        "Confirming your payment…",
        ["Please don’t pay again.", "You can close this page: the receipt goes to c••@example.com"],
        [],
        [125_000],
    ),
    "late": State(
        "Still waiting for the confirmation",
        ["Don’t pay again: we’ll e-mail you at c••@example.com"],
        [],
        [125_000],
    ),
    "processing": State(
        "Payment on its way",
        ["we’ll e-mail you at c••@example.com", "Please don’t pay again"],
        [HOME],
    ),
    "paid": State("Payment received", ["The receipt goes to c••@example.com"], RECEIPT, [125_000]),
    "back-from-stripe": State(
        "Not paid yet", ["No money was taken"], ["Try again", "To the payment form"]
    ),
    "not-paid-yet": State(
        "Not paid yet", ["If you have just paid, wait a minute"], ["Continue to payment"]
    ),
    "declined": State(
        "Not paid: the card was declined",
        ["The account behind the card has too little money. No money was taken."],
        ["Try again"],
    ),
    "failed": State(
        "This payment did not go through",
        ["Your bank has refused it. No money was taken."],
        ["Try again"],
    ),
    "expired": State(
        "This payment did not go through",
        ["It was not completed in time. No money was taken."],
        ["Try again"],
    ),
    "canceled": State("This payment was canceled", ["No money was taken."], ["Pay after all"]),
    "refunded": State("Refunded", ["banks take 5 to 10 days", "€1,250.00, "], RECEIPT, [125_000]),
    "partly-refunded": State(
        "Partly refunded", ["€425.00, ", "Kept", "€825.00"], RECEIPT, [125_000]
    ),
    "refund-on-its-way": State("Refund on its way", ["€425.00, "], RECEIPT, [125_000]),
    "refund-failed": State(
        "Payment received", ["Refund did not arrive", "€425.00, "], RECEIPT, [125_000]
    ),
    "disputed": State(
        "Payment received, being clarified",
        ["there is nothing for you to do here"],
        ["Write to us", *RECEIPT],
        [125_000],
    ),
    "reversed": State(
        "Reversed by the bank",
        ["Please write to us if you did not expect that."],
        ["Write to us", *RECEIPT],
        [125_000],
    ),
    "reversed-in-part": State(
        "Payment received",
        ["Taken back by your bank", "€425.00", "Kept", "€825.00"],
        RECEIPT,
        [125_000],
    ),
    "in-review": State(
        "Payment received, being checked",
        ["We’ll contact you at c••@example.com", "Please don’t pay again"],
        ["Write to us"],
        [125_000],
    ),
    "replaced": State(
        "You have changed this payment",
        ["No money was taken by this one"],
        ["To the payment form"],
    ),
}
UNKNOWN = State(
    "This page does not exist",
    ["your receipt by e-mail has the right link; or write to us"],
    ["To the payment form", "Write to us"],
)


@pytest.mark.parametrize("name", states.PAYMENTS)
def test_every_state_says_what_became_of_the_money_and_what_to_do(page, payer, world, name):
    page.goto(states.PAYMENTS[name](payer))
    shows(page, STATES[name])
    assert world.charges() == STATES[name].taken


def test_an_address_that_was_mistyped_leads_on(page, web):
    states.unknown(page, web)
    shows(page, UNKNOWN)
    answered = page.evaluate("performance.getEntriesByType('navigation')[0].responseStatus")
    assert answered == 404


def shows(page: Page, state: State) -> None:
    expect(page.get_by_role("heading", name=state.heading, exact=True, level=1)).to_be_visible()
    card = page.locator("main .card")
    for words in state.words:
        expect(card).to_contain_text(words)
    offers = page.locator(".actions").locator("button, a")
    assert [words.strip() for words in offers.all_inner_texts()] == state.offers
    expect(page.get_by_role("link", name="billing@northlight.example")).to_be_visible()
