"""The page that waits for the confirmation: for an hour, asleep, unseen, and when a poll fails."""

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.browser.customer import Customer, be_hidden
from tests.stack import until
from tests.test_journey import RETURNED

POLL = re.compile(r"/status\?")
# What Chromium and htmx say of a request that fails.
LOST = r"Failed to load resource|Response Status Error Code|htmx:"
TELLS = """() => {
    window.heard = [];
    const region = document.getElementById("announcement");
    new MutationObserver(() => region.textContent && window.heard.push(region.textContent))
        .observe(region, { childList: true, characterData: true, subtree: true });
}"""


@pytest.fixture
def waiting(customer: Customer) -> Customer:
    """Paid at Stripe, which has not told us; time passes as the test says."""
    return wait_for_the_confirmation(customer)


def wait_for_the_confirmation(customer: Customer) -> Customer:
    customer.world.set(deliver=False)
    customer.start()
    customer.page.clock.install()
    customer.pay()
    customer.page.wait_for_url(RETURNED)
    customer.sees("Confirming your payment…")
    customer.page.evaluate(TELLS)
    return customer


def poll(page: Page, seconds: int = 2) -> int:
    """Let so much time pass for the page that it asks once; answers which poll it was."""
    with page.expect_request_finished(lambda request: POLL.search(request.url)) as asked:
        page.clock.run_for(seconds * 1000)
    return poll_number(asked.value)


def heard(page: Page) -> list[str]:
    """What screen readers have been told, once the page has had a moment to tell it."""
    page.clock.run_for(100)
    told: list[str] = page.evaluate("heard")
    return told


def poll_number(request: Request) -> int:
    return int(parse_qs(urlsplit(request.url).query)["polls"][0])


def answering(status: int) -> Callable[[Route], None]:
    return lambda route: route.fulfill(status=status, body="<h1>Not a payment</h1>")


def test_a_late_confirmation_is_said_once_and_found_an_hour_later(waiting, rows):
    page = waiting.page
    for number in range(1, 15):
        assert poll(page) == number
        expect(page.locator("#status")).to_have_attribute(
            "hx-get", re.compile(f"polls={number + 1}$")
        )
    waiting.sees("Confirming your payment…")
    assert heard(page) == []

    poll(page)
    waiting.sees("Still waiting for the confirmation")
    expect(page.get_by_text("Don’t pay again: we’ll e-mail you at c••@example.com")).to_be_visible()
    expect(page.locator("main").locator("button, a")).to_have_count(0)
    poll(page, 10)
    assert heard(page) == ["Still waiting for the confirmation"]

    # A laptop that sleeps for an hour: the time is gone at once, and one poll is made for it.
    with page.expect_request(POLL):
        page.clock.fast_forward("01:00:00")
    waiting.world.set(deliver=True)
    waiting.until_it_is("paid")
    page.clock.run_for(20_000)
    waiting.sees("Payment received")
    assert heard(page) == ["Still waiting for the confirmation", "Payment received"]
    assert "Payment received – " in page.title()
    assert waiting.world.charges() == [1250]

    # And then it is never asked for again.
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(60_000)
    assert asked == []


def test_a_page_that_nobody_sees_does_not_ask_and_asks_at_once_when_seen_again(waiting):
    page, asked = waiting.page, []
    page.on("request", lambda request: asked.append(request.url))
    be_hidden(page, True)
    page.clock.run_for(60_000)
    assert asked == []

    waiting.world.set(deliver=True)
    waiting.until_it_is("paid")
    # No time passes for the page: what makes it ask is that it is seen.
    be_hidden(page, False)
    waiting.sees("Payment received")
    assert len(asked) == 1
    assert heard(page) == ["Payment received"]


def test_a_poll_that_fails_leaves_the_page_as_it_is_and_is_made_again(new_customer):
    customer = wait_for_the_confirmation(new_customer(may=LOST))
    page = customer.page
    page.route(POLL, lambda route: route.abort(), times=1)
    with page.expect_event("requestfailed"):
        page.clock.run_for(2_000)
    customer.sees("Confirming your payment…")
    for refusal in (500, 502, 404):
        page.route(POLL, answering(refusal), times=1)
        assert poll(page) == 1
        customer.sees("Confirming your payment…")
    assert heard(page) == []

    customer.world.set(deliver=True)
    customer.until_it_is("paid")
    poll(page)
    customer.sees("Payment received")
    assert heard(page) == ["Payment received"]


def test_a_poll_that_hangs_is_given_up_and_made_again(new_customer):
    customer = wait_for_the_confirmation(new_customer(may=LOST))
    page, held = customer.page, []
    page.route(POLL, lambda route: held.append(route), times=1)
    with page.expect_request(POLL):
        page.clock.run_for(2_000)
    customer.world.set(deliver=True)
    customer.until_it_is("paid")
    until(lambda: page.clock.run_for(3_000) or page.title().startswith("Payment received"))
    assert len(held) == 1
