"""Everything done twice: clicks, tabs, browsers, reloads, ways back. One payment, one charge."""

import pytest
from playwright.sync_api import expect

from tests.browser.customer import Customer
from tests.stack import until
from tests.states import FAILS
from tests.test_journey import RETURNED, STRIPES_PAGE

# Longer than any Checkout Session lives.
A_DAY = 24 * 3600


def test_a_double_click_opens_one_payment(customer, rows):
    customer.open_form()
    customer.click_twice("Continue to payment")
    customer.pay()
    customer.sees("Payment received")
    assert rows("SELECT count(*) FROM payments") == [(1,)]
    assert customer.world.charges() == [1250]
    assert customer.world.open_pages() == []


def test_a_tab_and_its_duplicate_come_to_one_page_which_is_paid_once(customer, site, mailbox, rows):
    customer.open_form()
    duplicate = duplicate_of(customer)
    assert customer.continue_to_stripe() == duplicate.continue_to_stripe()
    customer.pay()
    customer.sees("Payment received")

    # The other tab still shows Stripe's form, which takes nothing any more.
    duplicate.pay()
    duplicate.page.goto(customer.page.url)
    duplicate.sees("Payment received")
    assert rows("SELECT count(*) FROM payments") == [(1,)]
    assert customer.world.charges() == [1250]
    until(lambda: rows("SELECT state FROM emails") == [("sent",), ("sent",)])
    assert len(customer.world.letters(to="customer@example.com")) == 1


def test_two_browsers_that_both_try_again_come_to_one_page(customer, new_customer, rows):
    first = customer.start()
    customer.world.at_desk("clock", advance_s=A_DAY)
    customer.until_it_is("expired")
    other = new_customer()
    customer.look()
    other.look()
    # Both at the same moment, as far as Stripe's answer takes its time.
    customer.world.set(api_delay_s=1)
    for each in (customer, other):
        each.page.evaluate("document.querySelector('#pay').click()")
    for each in (customer, other):
        each.page.wait_for_url(STRIPES_PAGE)
    assert customer.page.url == other.page.url != first

    other.pay()
    other.sees("Payment received")
    # Who then comes back from Stripe's page without paying is told so, and can't pay again.
    customer.go_back()
    customer.sees("Payment received")
    assert rows("SELECT number FROM attempts ORDER BY number") == [(1,), (2,)]
    assert customer.world.charges() == [1250]


def test_going_back_with_another_amount_closes_the_page_before(customer, rows):
    first = customer.start()
    customer.page.go_back()
    customer.page.get_by_label("Amount").fill("20.00")
    second = customer.continue_to_stripe()
    assert customer.world.open_pages() == [second] != [first]

    # Whoever still has the first one open can't pay there.
    customer.world.pay(first)
    assert customer.world.charges() == []
    customer.pay()
    customer.sees("Payment received")
    expect(customer.page.get_by_text("€20.00")).to_be_visible()
    assert customer.world.charges() == [2000]
    assert sorted(rows("SELECT status, amount FROM payments")) == [
        ("expired", 1250),
        ("paid", 2000),
    ]


def test_going_back_after_paying_and_clicking_again_shows_the_receipt(customer, rows):
    customer.start()
    customer.pay()
    customer.sees("Payment received")
    while "/?amount" not in customer.page.url:
        customer.page.go_back()
    customer.page.get_by_role("button", name="Continue to payment").click()
    customer.sees("Payment received")
    assert customer.world.charges() == [1250]
    assert rows("SELECT count(*) FROM payments") == [(1,)]


def test_a_return_page_loaded_again_and_again_changes_nothing(customer, site, mailbox, rows):
    customer.world.set(deliver=False)
    customer.start()
    customer.pay()
    customer.page.wait_for_url(RETURNED)
    customer.sees("Confirming your payment…")
    customer.page.reload()
    customer.sees("Confirming your payment…")
    customer.world.set(deliver=True)
    customer.sees("Payment received")
    customer.page.reload()
    customer.sees("Payment received")
    until(lambda: rows("SELECT state FROM emails") == [("sent",), ("sent",)])
    assert len(customer.world.letters(to="customer@example.com")) == 1
    assert customer.world.charges() == [1250]


def test_trying_again_while_the_page_is_open_leads_back_to_it(customer, rows):
    first = customer.start()
    customer.go_back()
    calls = len(customer.world.api_calls("/v1/checkout"))
    assert customer.continue_to_stripe("Try again") == first
    assert len(customer.world.api_calls("/v1/checkout")) == calls
    assert rows("SELECT count(*) FROM attempts") == [(1,)]


def test_a_page_left_open_overnight_still_leads_to_a_payment(customer, rows, flask):
    first = customer.start()
    customer.go_back()
    # Stripe closes its page, and no webhook tells us.
    customer.world.set(deliver=False)
    customer.world.at_desk("clock", advance_s=A_DAY)
    flask("payments", "sync", *receipt_of(rows))
    customer.click_twice("Try again")
    assert customer.world.open_pages() == [customer.page.url] != [first]
    assert rows("SELECT count(*) FROM attempts") == [(2,)]

    customer.world.set(deliver=True)
    customer.pay()
    customer.sees("Payment received")
    assert customer.world.charges() == [1250]


def test_a_page_past_its_time_is_closed_before_another_is_opened(customer, rows):
    customer.start()
    customer.go_back()
    rows("UPDATE attempts SET expires_at = now() RETURNING id")
    second = customer.continue_to_stripe("Try again")
    assert customer.world.open_pages() == [second]
    asked = [
        call["path"]
        for call in customer.world.api_calls("/v1/checkout")
        if call["method"] == "POST"
    ]
    assert [path.rsplit("/", 1)[-1] for path in asked] == ["sessions", "expire", "sessions"]


@pytest.mark.parametrize("end", ["canceled", "failed"])
def test_after_a_dead_page_a_new_one_is_made_once_the_old_was_closed_or_asked_about(
    customer, rows, flask, end
):
    first = customer.start()
    if end == "canceled":
        flask("payments", "cancel", *receipt_of(rows))
    else:
        customer.pay_by_debit(FAILS)
        customer.sees("Payment on its way")
        customer.world.at_desk("clock", advance_s=60)
        customer.until_it_is("failed")
    customer.look()
    second = customer.continue_to_stripe("Pay after all" if end == "canceled" else "Try again")
    assert customer.world.open_pages() == [second] != [first]
    assert rows("SELECT number, session_status FROM attempts ORDER BY number")[1:] == [(2, "open")]
    customer.pay()
    customer.sees("Payment received")
    assert customer.world.charges() == [1250]


def receipt_of(rows) -> tuple[str]:
    [receipt] = rows("SELECT receipt_number FROM payments")
    return receipt


def duplicate_of(customer: Customer) -> Customer:
    """A duplicate of the tab: a browser copies its history entry, and what that remembers."""
    page = customer.page.context.new_page()
    page.goto(customer.page.url)
    remembered = customer.page.evaluate("history.state")
    page.evaluate("state => history.replaceState(state, '')", remembered)
    page.reload()
    return Customer(page, customer.site, customer.world, customer.rows)
