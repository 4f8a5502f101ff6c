"""The page that waits for the confirmation: for an hour, asleep, unseen, and when a poll fails."""

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.browser.customer import Customer, be_hidden
from tests.stack import until
from tests.states import PAYS
from tests.test_journey import RETURNED

POLL, SLOW_POLL = re.compile(r"/status\?"), re.compile(r"/on-its-way\?")
DAYS = 3 * 86_400
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


def asked_by(page: Page) -> list[str]:
    """The addresses of the payment that the page asks for from now on. Its icon is none of them,
    which Chromium fetches when it finds the time."""
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url) if "/payments/" in one.url else None)
    return asked


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
    asked = asked_by(page)
    page.clock.run_for(60_000)
    assert asked == []


def test_a_page_that_nobody_sees_does_not_ask_and_asks_at_once_when_seen_again(waiting):
    page = waiting.page
    asked = asked_by(page)
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


@pytest.fixture
def on_its_way(customer: Customer) -> Customer:
    """Paid by a debit, which the bank takes days for; time passes as the test says."""
    customer.world.set(debit_delay_s=DAYS)
    customer.start()
    customer.pay_by_debit(PAYS)
    customer.sees("Payment on its way")
    customer.page.clock.install()
    customer.look()
    customer.page.evaluate(TELLS)
    return customer


def slowly(page: Page, seconds: int) -> int:
    """Let so much time pass for the page that it asks once; answers which poll it was, once the
    page is to make the next."""
    with page.expect_request_finished(lambda request: SLOW_POLL.search(request.url)) as asked:
        page.clock.run_for(seconds * 1000)
    number = poll_number(asked.value)
    following = re.compile(f"polls={number + 1}$")
    expect(page.locator("#status [hx-get]")).to_have_attribute("hx-get", following)
    return number


def test_a_payment_on_its_way_turns_by_itself_and_is_asked_for_ever_more_seldom(on_its_way):
    page = on_its_way.page
    home = page.get_by_role("link", name="Back to Northlight Consulting")
    home.focus()
    assert [slowly(page, 10) for _ in range(30)] == list(range(1, 31))
    asked = asked_by(page)
    page.clock.run_for(290_000)
    assert asked == []
    assert slowly(page, 10) == 31
    # Nothing was new: nobody was told anything, nor has lost the place.
    assert heard(page) == []
    expect(home).to_be_focused()

    on_its_way.world.at_desk("clock", advance_s=DAYS)
    on_its_way.until_it_is("paid")
    page.clock.run_for(300_000)
    on_its_way.sees("Payment received")
    assert heard(page) == ["Payment received"]
    assert page.title().startswith("Payment received – ")
    asked.clear()
    page.clock.run_for(900_000)
    assert asked == []


def test_a_payment_on_its_way_is_not_asked_for_by_a_page_that_nobody_sees(on_its_way):
    page = on_its_way.page
    asked = asked_by(page)
    be_hidden(page, True)
    page.clock.run_for(600_000)
    assert asked == []
    be_hidden(page, False)
    until(lambda: page.clock.run_for(1_000) or len(asked) == 1)
    assert asked[0].endswith("/status?seen=1")
    on_its_way.sees("Payment on its way")


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
