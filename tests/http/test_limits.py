"""How often a payment may be begun: from one network, and with one e-mail address."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from sandbox.demo.postgres import free_port
from tests.http.conftest import FORM, hidden_fields
from tests.stack import until

CREATE = "/v1/checkout/sessions"
AMPLE = "1000 per hour"


@pytest.fixture
def limited(installed, world):
    """An installation with narrow limits: browsers of it, by the address they come from."""

    def install(**settings):
        app = installed(**{"LIMIT_PER_ADDRESS": AMPLE, "LIMIT_PER_EMAIL": AMPLE} | settings)

        def browser(address="203.0.113.7"):
            client = app.test_client()
            client.environ_base["REMOTE_ADDR"] = address
            return client

        return browser

    return install


def begin(browser, headers=None, **changes):
    """Open the form, fill it in and send it."""
    form = FORM | hidden_fields(browser.get("/").text) | changes
    return browser.post("/checkout", data=form, headers=headers)


def statuses(answers):
    return [answer.status_code for answer in answers]


def test_who_begins_too_many_is_told_when_to_try_again_and_that_nothing_was_charged(
    limited, rows, world
):
    browser = limited(LIMIT_PER_ADDRESS="2 per hour")
    mine = browser()
    assert statuses(begin(mine) for _ in range(2)) == [303, 303]
    refused = begin(mine, reference="A-7", email="another@example.com")
    assert refused.status_code == 429
    assert 3500 < int(refused.headers["Retry-After"]) <= 3600
    assert "Too many payments were begun in a short time" in refused.text
    assert "Nothing has been charged" in refused.text
    assert "you can send it in 60 minutes" in refused.text
    assert "billing@northlight.example" in refused.text
    for value in ("12.50", "Invoice 2026-118", "A-7", "A. Customer", "another@example.com"):
        assert f'value="{value}"' in refused.text
    assert rows("SELECT count(*) FROM payments") == [(2,)]
    assert len(world.api_calls(CREATE)) == 2
    assert begin(browser("203.0.113.8")).status_code == 303


def test_the_wait_is_told_in_the_readers_language(limited):
    mine = limited(LIMIT_PER_ADDRESS="1 per day")()
    mine.get("/?lang=de")
    answers = [begin(mine, amount="12,50") for _ in range(2)]
    assert statuses(answers) == [303, 429]
    assert "in 24 Stunden" in answers[1].text
    assert "Es wurde nichts abgebucht" in answers[1].text


def test_a_limit_is_over_when_its_time_is(limited):
    mine = limited(LIMIT_PER_ADDRESS="1 per second")()
    assert statuses(begin(mine) for _ in range(2)) == [303, 429]
    assert until(lambda: begin(mine).status_code == 303)


def test_of_many_clicks_at_once_no_more_get_through_than_may(limited):
    browser, barrier = limited(LIMIT_PER_ADDRESS="3 per hour"), Barrier(8)

    def click(_):
        tab = browser()
        form = FORM | hidden_fields(tab.get("/").text)
        barrier.wait()
        return tab.post("/checkout", data=form).status_code

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(click, range(8))) == [303] * 3 + [429] * 5


def test_mistakes_in_the_form_and_looking_at_pages_count_for_nothing(limited):
    mine = limited(LIMIT_PER_ADDRESS="1 per hour")()
    assert statuses(begin(mine, amount="twelve") for _ in range(4)) == [422] * 4
    assert begin(mine).status_code == 303
    assert mine.get("/").status_code == 200


def test_one_mailbox_is_one_however_its_address_is_written_and_wherever_it_comes_from(limited):
    browser = limited(LIMIT_PER_EMAIL="2 per hour")
    written = ["a.customer@example.com", "A.Customer+Shop@Example.com", " a.customer+7@EXAMPLE.com"]
    answers = [begin(browser(f"203.0.113.{n}"), email=one) for n, one in enumerate(written)]
    assert statuses(answers) == [303, 303, 429]
    assert begin(browser("203.0.113.0"), email="b.customer@example.com").status_code == 303


def test_dots_make_no_other_mailbox_of_one_at_google(limited):
    mine = limited(LIMIT_PER_EMAIL="1 per hour")()
    written = ["acustomer@gmail.com", "a.c.ustomer+7@gmail.com", "A.Customer@googlemail.com"]
    assert statuses(begin(mine, email=one) for one in written) == [303, 429, 429]
    elsewhere = ["acustomer@example.com", "a.customer@example.com"]
    assert statuses(begin(mine, email=one) for one in elsewhere) == [303, 303]


def test_addresses_that_begin_with_a_plus_are_not_one(limited):
    mine = limited(LIMIT_PER_EMAIL="1 per hour")()
    assert begin(mine, email="+1@example.com").status_code == 303
    assert begin(mine, email="+2@example.com").status_code == 303


# --- where a request comes from --------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", 429),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", 303),
        ("::ffff:203.0.113.7", "203.0.113.7", 429),
    ],
    ids=["one /64", "another /64", "IPv4 within IPv6"],
)
def test_addresses_of_one_customers_network_count_as_one(limited, first, second, status):
    browser = limited(LIMIT_PER_ADDRESS="1 per hour")
    assert statuses(begin(browser(one)) for one in (first, second)) == [303, status]


@pytest.mark.parametrize(
    ("proxies", "written", "status"),
    [
        ("0", ["203.0.113.1", "203.0.113.2"], 429),
        ("1", ["203.0.113.1", "203.0.113.2"], 303),
        ("1", ["203.0.113.1, 203.0.113.7", "203.0.113.2, 203.0.113.7"], 429),
        ("2", ["192.0.2.1, 203.0.113.7, 198.51.100.1", "192.0.2.2, 203.0.113.7, 198.51.100.2"],
         429),
        ("2", ["203.0.113.1, 198.51.100.1", "203.0.113.2, 198.51.100.1"], 303),
        ("2", ["203.0.113.1", "203.0.113.2"], 429),
        ("1", ["203.0.113.7:4711", "203.0.113.7:4712"], 429),
        ("1", ["203.0.113.7:4711", "203.0.113.8:4711"], 303),
        ("1", ["[2001:db8:0:1::1]:4711", "2001:db8:0:1::2"], 429),
        ("1", ["[2001:db8:0:1::1]:4711", "[2001:db8:0:2::1]:4711"], 303),
        ("1", ["unknown", "unknown"], 429),
        ("1", ["x" * 300, "203.0.113.2"], 303),
    ],
    ids=[
        "no proxy: what is written is not believed",
        "one proxy tells",
        "one proxy, and what the customer wrote before it",
        "two proxies, and what the customer wrote before them",
        "two proxies tell",
        "one proxy too few: all are one",
        "a proxy that tells the port as well",
        "a proxy that tells the port as well, of another",
        "a proxy that tells the port as well, of IPv6",
        "a proxy that tells the port as well, of another IPv6",
        "a proxy that does not know",
        "a proxy that tells nonsense",
    ],
)  # fmt: skip
def test_an_address_is_what_trusted_proxies_tell_and_cannot_be_made_up(
    limited, proxies, written, status
):
    browser = limited(LIMIT_PER_ADDRESS="1 per hour", TRUSTED_PROXIES=proxies)
    answers = [begin(browser("10.0.0.1"), {"X-Forwarded-For": one}) for one in written]
    assert statuses(answers) == [303, status]


def test_a_proxy_that_no_setting_names_is_told_of_once(limited, caplog):
    mine = limited()()
    for _ in range(2):
        mine.get("/", headers={"X-Forwarded-For": "203.0.113.1"})
    told = [one.getMessage() for one in caplog.records if "TRUSTED_PROXIES" in one.getMessage()]
    assert len(told) == 1
    assert "all customers count as one" in told[0]


# --- trying again ----------------------------------------------------------------------------


def test_a_stranger_who_tries_a_payment_again_uses_up_nothing_of_the_customers(limited, rows):
    browser = limited(LIMIT_PER_EMAIL="2 per hour", LIMIT_PER_ADDRESS="4 per hour")
    customer, stranger = browser("203.0.113.1"), browser("203.0.113.2")
    location = begin(customer).location
    ((payment_id,),) = rows("SELECT id FROM payments")
    address = f"/payments/{payment_id}/retry"

    def retry(who):
        return who.post(address, data=hidden_fields(who.get("/").text))

    answers = [retry(stranger) for _ in range(3)]
    assert statuses(answers) == [303, 303, 429]
    assert int(answers[2].headers["Retry-After"]) <= 3600
    assert "Nothing has been charged by it. You can try again in 60 minutes" in answers[2].text
    assert f'href="/payments/{payment_id}"' in answers[2].text
    assert retry(customer).location == location
    assert begin(customer).status_code == 303


def test_all_payments_that_one_network_tries_again_count_together(limited, rows):
    browser = limited(LIMIT_PER_ADDRESS="3 per hour")
    customer = browser()
    begin(customer), begin(customer)
    token = hidden_fields(customer.get("/").text)
    tried = [
        customer.post(f"/payments/{payment_id}/retry", data=token)
        for (payment_id,) in rows("SELECT id FROM payments")
    ]
    assert statuses(tried) == [303, 429]


# --- where it is counted ---------------------------------------------------------------------


def test_while_the_counter_elsewhere_is_away_customers_can_pay_and_are_counted_here(limited):
    mine = limited(
        LIMIT_STORAGE=f"redis://127.0.0.1:{free_port()}", LIMIT_PER_ADDRESS="2 per hour"
    )()
    assert statuses(begin(mine) for _ in range(3)) == [303, 303, 429]
