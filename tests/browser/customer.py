"""A customer in a browser, and what the world does to the payment meanwhile."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Locator, Page, expect

from tests.http.conftest import FORM
from tests.stack import World, until
from tests.test_journey import STRIPES_PAGE, pay_with

GOOD = "4242 4242 4242 4242"
# Milliseconds; a busy machine is slow.
WAIT = 60_000


@dataclass
class Customer:
    """One person, one payment. `page` is a tab of the person's browser."""

    page: Page
    site: str
    world: World
    rows: Callable[..., list[Any]]

    def open_form(self, **changes: str) -> None:
        """The form, as a link of the business's prefills it."""
        self.page.goto(f"{self.site}/?{urlencode(FORM | changes)}")

    def continue_to_stripe(self, button: str = "Continue to payment") -> str:
        """Click, and answer the address of Stripe's page."""
        self.page.get_by_role("button", name=button).click()
        self.page.wait_for_url(STRIPES_PAGE)
        return self.page.url

    def click_twice(self, button: str) -> None:
        """To Stripe's page. The second click breaks off the way that the first has begun, which
        waiting for a navigation would take for a failure."""
        self.page.get_by_role("button", name=button).dblclick()
        expect(self.page).to_have_url(STRIPES_PAGE, timeout=WAIT)

    def start(self) -> str:
        self.open_form()
        return self.continue_to_stripe()

    def pay(self) -> None:
        pay_with(self.page, GOOD)

    def pay_by_debit(self, iban: str) -> None:
        self.page.get_by_label("Bank debit (SEPA)").check()
        self.page.get_by_label("IBAN").fill(iban)
        self.page.get_by_label("Name on the account").fill("A. Customer")
        self.page.get_by_role("button", name=re.compile("^Pay ")).click()

    def go_back(self) -> None:
        """By the link on Stripe's page."""
        self.page.get_by_role("link", name="Back").click()
        self.page.wait_for_url(re.compile(r"\?from=back$"))

    def look(self) -> None:
        """The payment's own address, as the letters have it."""
        self.page.goto(f"{self.site}/payments/{self.payment_id}")

    def sees(self, heading: str) -> Locator:
        shown = self.page.get_by_role("heading", name=heading, exact=True, level=1)
        expect(shown).to_be_visible(timeout=WAIT)
        return shown

    @property
    def payment_id(self) -> str:
        (payment_id,) = self.rows("SELECT id::text FROM payments ORDER BY created_at DESC")[0]
        return str(payment_id)

    def until_it_is(self, status: str) -> None:
        query = "SELECT status FROM payments ORDER BY created_at DESC"
        until(lambda: self.rows(query)[0] == (status,))


def be_hidden(page: Page, hidden: bool) -> None:
    """As a tab is that another one covers; Playwright keeps every page visible for the browser."""
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )
