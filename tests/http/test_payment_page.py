"""The page that shows a payment, and its fragment that is polled."""

import re

import pytest

from payflow.payment_words import SHOWN
from payflow.web.payments import LATE
from tests.http.conftest import retold, words_of

UNPAID = {"status": "complete", "payment_status": "unpaid"}
OVER = {"status": "expired", "payment_status": "unpaid"}
NOBODYS = "7d0a2b4e-0000-4000-8000-000000000001"


@pytest.fixture
def payment(app, submit, completed, deliver, world, at_stripe, charge, rows):
    """Bring a payment into a state, by what the stand-in for Stripe tells of it."""

    def tell(kind):
        for event in reversed(world.events(kind)):
            assert deliver(event).status_code == 200

    def refund(amount):
        deliver(completed())
        at_stripe("refunds", "POST", charge=charge(), amount=amount)
        tell("refund.*")

    def refund_slowly(outcome=None):
        world.set(refund_outcome="pending", refund_delay_s=3600)
        refund(425)
        (made,) = at_stripe("refunds")["data"]
        if outcome:
            world.at_desk(f"refunds/{made['id']}", status=outcome)
            tell("refund.*")

    def dispute(outcome=None, refunded=0):
        if refunded:
            refund(refunded)
        else:
            deliver(completed())
        opened = world.at_desk("disputes", charge=charge())
        if outcome:
            world.at_desk(f"disputes/{opened['id']}", outcome=outcome)
        tell("charge.dispute.*")

    def decline():
        world.pay(submit().location, card="4000000000009995")
        tell("payment_intent.payment_failed")

    def cancel():
        submit()
        ((receipt,),) = rows("SELECT receipt_number FROM payments")
        assert app.test_cli_runner().invoke(args=["payments", "cancel", receipt]).exit_code == 0

    deeds = {
        "declined": decline,
        "canceled": cancel,
        "refunded": lambda: refund(1250),
        "partially_refunded": lambda: refund(425),
        "refunding": refund_slowly,
        "refund failed": lambda: refund_slowly("failed"),
        "part disputed": lambda: dispute(refunded=425),
        "disputed": dispute,
        "reversed": lambda: dispute("lost"),
    }
    told = {
        "paid": {},
        "processing": UNPAID,
        "failed": UNPAID,
        "expired": OVER,
        "review": {"amount_total": 1},
    }

    def bring_into(status, **form):
        if status == "open":
            submit(**form)
        elif status in deeds:
            deeds[status]()
        else:
            kind = "checkout.session.async_payment_failed" if status == "failed" else None
            event = retold(completed(**form), kind, **told[status])
            assert deliver(event).status_code == 200

    return bring_into


WORDS = [
    ("open", "?from=stripe", "Confirming your payment…", "Please don’t pay again"),
    ("open", "?from=back", "Not paid yet", "No money was taken. You can go on where you stopped."),
    ("open", "", "Not paid yet", "If you have just paid, wait a minute and look again."),
    ("paid", "", "Payment received", "The receipt goes to c••@example.com."),
    ("processing", "", "Payment on its way", "Your bank takes a few days."),
    ("review", "", "Payment received, being checked", "We’ll contact you at c••@example.com"),
    ("failed", "", "This payment did not go through", "Your bank has refused it. No money was"),
    ("expired", "", "This payment did not go through", "It was not completed in time. No money"),
    ("canceled", "", "This payment was canceled", "If you want to pay all the same, you can."),
    ("declined", "?from=back", "Not paid: the card was declined", "too little money. No money was"),
    ("refunded", "", "Refunded", "Refunded €12.50 ,"),
    ("partially_refunded", "", "Partly refunded", "Remaining €8.25"),
    ("refunding", "", "Refund on its way", "Refund on its way €4.25 ,"),
    (
        "refund failed",
        "?seen=1",
        "Payment received, a refund did not arrive",
        "Refund did not arrive €4.25 ,",
    ),
    ("disputed", "", "Payment received, being clarified", "Your bank has asked"),
    ("reversed", "", "Reversed by the bank", "Your bank has taken this payment back."),
]


# The status of the payment, where what the page says is more than that.
STANDS = {
    "declined": "open",
    "disputed": "paid",
    "reversed": "paid",
    "refunding": "partially_refunded",
    "refund failed": "paid",
}


def test_what_is_kept_is_not_said_while_a_bank_claims_it(client, payment, page_of):
    payment("part disputed")
    words = words_of(client.get(page_of()).text)
    assert "Payment received, being clarified" in words
    assert "Refunded €4.25" in words
    assert "Remaining" not in words


def test_a_refund_that_did_not_arrive_is_no_news_once_another_was_made(
    client, payment, page_of, at_stripe, charge, world, deliver
):
    payment("refund failed")
    assert "a refund did not arrive" in client.get(page_of()).text
    world.set(refund_outcome=None)
    at_stripe("refunds", "POST", charge=charge(), amount=425)
    for event in reversed(world.events("refund.*")):
        deliver(event)
    words = words_of(client.get(page_of()).text)
    assert "Partly refunded" in words
    assert "Refund did not arrive €4.25" in words
    assert "a refund did not arrive" not in words


def test_every_state_has_a_sign_of_its_own():
    signs = [shown.icon for shown in SHOWN.values()]
    assert len(set(signs)) == len(signs)


@pytest.mark.parametrize("part", ["", "/status"])
@pytest.mark.parametrize(("status", "query", "heading", "words"), WORDS)
def test_every_state_has_words_of_its_own(
    client, payment, page_of, status, query, heading, words, part
):
    payment(status)
    answer = client.get(f"{page_of()}{part}{query}")
    assert answer.status_code == 200
    assert f"<h1>{heading}</h1>" in answer.text
    assert words in words_of(answer.text)
    stands = STANDS.get(status, status)
    assert answer.text.count(f'data-payment-status="{stands}"') == 1


def test_the_outermost_element_of_the_fragment_tells_the_state(client, payment, page_of):
    payment("paid")
    fragment = client.get(f"{page_of()}/status").text.strip()
    assert re.match(r'<article [^>]*data-payment-status="paid"', fragment)
    assert fragment.endswith("</article>")
    assert "<html" not in fragment


@pytest.mark.parametrize(
    ("status", "query", "polls"),
    [
        ("open", "?from=stripe", True),
        ("open", "?from=back", False),
        ("open", "", False),
        ("paid", "?from=stripe", False),
        ("processing", "", True),
        ("review", "?from=stripe", False),
        ("failed", "?from=stripe", False),
        ("expired", "?from=stripe", False),
    ],
)
def test_only_a_page_that_waits_for_something_is_polled(
    client, payment, page_of, status, query, polls
):
    payment(status)
    for part in ("", "/status"):
        assert ("hx-trigger=" in client.get(f"{page_of()}{part}{query}").text) is polls


def test_a_waiting_page_asks_for_its_fragment_and_counts(client, payment, page_of):
    payment("open")
    page = page_of()
    shown = client.get(f"{page}?from=stripe").text
    for count in (1, 2, 3):
        assert 'hx-trigger="every 2s' in shown
        assert 'hx-swap="outerHTML"' in shown
        (asks_for,) = re.findall(r'hx-get="([^"]+)"', shown)
        assert asks_for.replace("&amp;", "&") == f"{page}/status?from=stripe&polls={count}"
        shown = client.get(asks_for.replace("&amp;", "&")).text


def polled_at(shown):
    """Where a payment that is on its way is asked for next, and in how many seconds."""
    ((address, seconds),) = re.findall(r'hx-get="([^"]+)" hx-trigger="every (\d+)s"', shown)
    return address, int(seconds)


def test_a_payment_on_its_way_is_asked_for_every_10_s_and_after_30_times_every_5_minutes(
    client, payment, page_of, rows
):
    payment("processing")
    page = page_of()
    address, seconds = polled_at(client.get(f"{page}?from=stripe&polls=20").text)
    paces = [seconds]
    for count in range(1, 33):
        assert address == f"{page}/on-its-way?polls={count}"
        answer = client.get(address)
        # What is on the page stays as it is, but for what polls.
        assert "<article" not in answer.text
        assert "HX-Retarget" not in answer.headers
        address, seconds = polled_at(answer.text)
        paces.append(seconds)
    assert paces == [10] * 30 + [300] * 3
    assert rows("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'check_payment'") == [
        (0,)
    ]


@pytest.mark.parametrize("status", ["paid", "failed", "disputed", "open"])
def test_once_a_payment_is_no_more_on_its_way_the_whole_of_the_fragment_is_new(
    client, payment, page_of, status
):
    payment(status)
    answer = client.get(f"{page_of()}/on-its-way?polls=7")
    assert answer.headers["HX-Retarget"] == "#status"
    assert answer.text.strip().startswith('<article id="status"')
    assert "hx-trigger" not in answer.text


def test_a_confirmation_that_is_late_says_not_to_pay_again_and_is_asked_for_less(
    client, payment, page_of
):
    payment("open")
    before = client.get(f"{page_of()}/status?from=stripe&polls={LATE - 1}").text
    assert "Confirming your payment…" in before
    late = client.get(f"{page_of()}/status?from=stripe&polls={LATE}").text
    assert "Still waiting for the confirmation" in late
    assert "Don’t pay again: we’ll e-mail you at c••@example.com." in words_of(late)
    assert 'hx-trigger="every 10s' in late


@pytest.mark.parametrize("polls", ["x", "", "1e9", "-5", "9" * 40])
def test_a_count_that_is_none_breaks_nothing(client, payment, page_of, polls):
    payment("open")
    answer = client.get(f"{page_of()}/status?from=stripe&polls={polls}")
    assert answer.status_code == 200


def test_nothing_can_take_the_focus_while_the_page_is_polled(client, payment, page_of):
    payment("open")
    fragment = client.get(f"{page_of()}/status?from=stripe").text
    assert not re.search(r"<(a|button|input|form|select)\b", fragment)


def test_a_waiting_page_goes_on_without_javascript(client, payment, page_of):
    payment("open")
    # Each look counts for five polls: after three of them, half a minute, the confirmation is late.
    shown = client.get(f"{page_of()}?from=stripe").text
    for polls in (5, 10, 15):
        assert "Confirming your payment…" in shown
        address = f"{page_of()}?from=stripe&amp;polls={polls}"
        refresh = f'<meta http-equiv="refresh" content="10; url={address}">'
        assert f"<noscript>{refresh}</noscript>" in shown
        assert f'<a href="{address}">Check again</a>' in shown
        shown = client.get(address.replace("&amp;", "&")).text
    assert "Still waiting for the confirmation" in shown


def test_a_receipt_tells_amount_purpose_reference_date_and_number(client, payment, page_of, rows):
    payment("paid", amount="1,250.00", currency="USD", reference="A-7")
    words = words_of(client.get(page_of()).text)
    ((number, paid_at),) = rows("SELECT receipt_number, paid_at FROM payments")
    for shown in ("$1,250.00", "Invoice 2026-118", "A-7", "Northlight Consulting", number):
        assert shown in words
    assert f"{paid_at:%-d %B %Y, %H:%M} UTC" in words
    assert "Print receipt" in words
    assert f'data-copy="{number}"' in client.get(page_of()).text


@pytest.mark.parametrize("status", ["disputed", "reversed", "review", "refund failed"])
def test_what_the_business_must_answer_offers_to_write_to_it(
    client, payment, page_of, rows, status
):
    payment(status)
    ((number,),) = rows("SELECT receipt_number FROM payments")
    offer = f'href="mailto:billing@northlight.example?subject={number}"'
    assert offer in client.get(page_of()).text


@pytest.mark.parametrize(
    ("status", "query", "looks_again"),
    [
        ("open", "?from=stripe", None),
        ("open", "?from=back", "?from=back&amp;seen=1"),
        ("processing", "", "?seen=1"),
    ],
)
def test_a_page_that_is_polled_no_more_says_where_to_look_when_it_is_seen_again(
    client, payment, page_of, status, query, looks_again
):
    payment(status)
    said = re.search(r'data-look-again="([^"]+)"', client.get(page_of() + query).text)
    assert (said and said[1]) == (
        None if looks_again is None else f"{page_of()}/status{looks_again}"
    )


@pytest.mark.parametrize("query", ["", "?from=stripe", "?from=back"])
@pytest.mark.parametrize("status", ["open", "paid", "processing", "review", "failed"])
def test_the_address_of_the_customer_is_masked(client, payment, page_of, status, query):
    payment(status, email="someone.private@example.com", name="Private Person")
    for part in ("", "/status"):
        page = client.get(f"{page_of()}{part}{query}").text
        assert "someone.private" not in page
        assert "Private Person" not in page


def test_what_was_typed_is_escaped(client, payment, page_of):
    payment("paid", description="<script>alert(1)</script>", reference='"><img src=x>')
    page = client.get(page_of()).text
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


# --- headers, and pages that are not there ---------------------------------------------------


@pytest.mark.parametrize("part", ["", "/status"])
def test_a_payments_page_is_for_nobody_elses_eyes(client, payment, page_of, part):
    payment("paid")
    headers = client.get(page_of() + part).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"
    policy = headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'"} <= set(policy)
    assert {"base-uri 'none'", "frame-ancestors 'none'"} <= set(policy)
    assert "unsafe" not in headers["Content-Security-Policy"]


def test_a_payments_page_is_in_no_search_engine(client, payment, page_of):
    payment("paid")
    assert '<meta name="robots" content="noindex">' in client.get(page_of()).text


@pytest.mark.parametrize("query", ["", "?from=stripe"])
def test_no_page_of_ours_has_a_script_or_style_in_it(client, payment, page_of, query):
    payment("open")
    page = client.get(page_of() + query).text
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert "<style" not in page
    assert not re.search(r"\bon\w+=", page)
    assert 'style="' not in page


@pytest.mark.parametrize("part", ["", "/status"])
@pytest.mark.parametrize("name", [NOBODYS, "7", "nope", "cs_test_1", "%00", "0" * 36])
def test_a_payment_that_is_not_there_is_a_plain_404(client, name, part):
    answer = client.get(f"/payments/{name}{part}")
    assert answer.status_code == 404
    assert "This page does not exist" in answer.text
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_host_that_is_not_ours_is_not_answered(client, payment, page_of):
    payment("paid")
    assert client.get(page_of(), headers={"Host": "evil.example"}).status_code == 400
