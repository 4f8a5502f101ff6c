"""A payment in each state that a customer can see, brought there as customers, banks and the owner
do it: through the form, Stripe's page and the stand-in's desk. No worker may run beside it, which
would end the waiting. For tests of how pages look, and for the scripts that picture them."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import requests
from playwright.sync_api import Page

from tests.http.conftest import FORM, hidden_fields, retold, sign
from tests.stack import Program, World, until

INVOICE = FORM | {"amount": "1,250.00", "reference": "PO-7731"}
NO_MONEY_LEFT = "4000000000009995"
PAYS, FAILS = "AT611904300234573201", "AT861904300235473202"
OUT_OF_ORDER = [{"on": "POST /v1/checkout/sessions", "fault": "429"}]


class Payer:
    """One person with one payment, known by its page's address."""

    # Stripe's ids of what became of it.
    refund: str
    dispute: str

    def __init__(
        self, site: str, world: World, variables: Mapping[str, str], lang: str = "en", **form: str
    ):
        self.site, self.world, self.variables = site, world, variables
        self.http = requests.Session()
        page = self.http.get(f"{site}/?lang={lang}", timeout=60).text
        self.form = INVOICE | hidden_fields(page) | form
        self.session_url = self.send()
        self.page = self.session()["success_url"].partition("?")[0]

    def send(self, **changes: str) -> str:
        answer = self.http.post(
            f"{self.site}/checkout", self.form | changes, timeout=60, allow_redirects=False
        )
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"]

    def pay(self, card: str = "4242424242424242") -> None:
        self.world.pay(self.session_url, card)

    def is_told_of(self, event: dict[str, Any]) -> None:
        """A delivery that Stripe would not make."""
        body = json.dumps(event)
        requests.post(f"{self.site}/webhooks/stripe", body, headers=sign(body), timeout=60)

    def session(self) -> dict[str, Any]:
        return self.world.ask(f"checkout/sessions/{self.session_url.rpartition('/')[2]}")

    def intent(self) -> str:
        return str(self.session()["payment_intent"])

    def receipt_number(self) -> str:
        (number,) = re.findall(r'data-copy="([^"]+)"', self.shown())
        return str(number)

    def shown(self) -> str:
        return requests.get(f"{self.page}/status?from=back", timeout=60).text

    def until_it_says(self, heading: str) -> str:
        until(lambda: heading in self.shown())
        return self.page


def waiting(payer: Payer) -> str:
    payer.world.set(webhook_delay_s=3600)
    payer.pay()
    payer.world.set(webhook_delay_s=0)
    return f"{payer.page}?from=stripe"


def late(payer: Payer) -> str:
    return f"{waiting(payer)}&polls=15"


def paid(payer: Payer) -> str:
    payer.pay()
    return payer.until_it_says("Payment received")


def processing(payer: Payer) -> str:
    payer.world.set(debit_delay_s=86_400)
    payer.world.pay_by_debit(payer.session_url, PAYS)
    return payer.until_it_says("Payment on its way")


def failed(payer: Payer) -> str:
    payer.world.set(debit_delay_s=0)
    payer.world.pay_by_debit(payer.session_url, FAILS)
    return payer.until_it_says("did not go through")


def back(payer: Payer) -> str:
    return f"{payer.page}?from=back"


def unpaid(payer: Payer) -> str:
    return payer.page


def declined(payer: Payer) -> str:
    payer.pay(NO_MONEY_LEFT)
    return payer.until_it_says("declined") + "?from=back"


def expired(payer: Payer) -> str:
    payer.world.ask(f"checkout/sessions/{payer.session()['id']}/expire", "POST")
    return payer.until_it_says("not completed in time")


def canceled(payer: Payer) -> str:
    command = Program(
        "flask", "--app", "wsgi", "payments", "cancel", payer.receipt_number(),
        environment=payer.variables,
    )  # fmt: skip
    assert command.process.wait(30) == 0, command.output()
    command.log.close()
    return payer.until_it_says("was canceled")


def refunded_in_part(payer: Payer) -> str:
    paid(payer)
    payer.world.at_desk("refunds", payment_intent=payer.intent(), amount=42_500)
    return payer.until_it_says("Partly refunded")


def refunded(payer: Payer) -> str:
    paid(payer)
    payer.world.at_desk("refunds", payment_intent=payer.intent())
    return payer.until_it_says("Refunded")


def refunding(payer: Payer) -> str:
    paid(payer)
    payer.world.set(refund_outcome="pending", refund_delay_s=3600)
    desk_refund = payer.world.at_desk("refunds", payment_intent=payer.intent(), amount=42_500)
    payer.world.set(refund_outcome=None, refund_delay_s=5)
    payer.refund = desk_refund["id"]
    return payer.until_it_says("Refund on its way")


def refund_failed(payer: Payer) -> str:
    refunding(payer)
    payer.world.at_desk(f"refunds/{payer.refund}", status="failed")
    return payer.until_it_says("Payment received")


def disputed(payer: Payer) -> str:
    paid(payer)
    payer.dispute = payer.world.at_desk("disputes", payment_intent=payer.intent())["id"]
    return payer.until_it_says("being clarified")


def reversed_by_the_bank(payer: Payer) -> str:
    disputed(payer)
    payer.world.at_desk(f"disputes/{payer.dispute}", outcome="lost")
    return payer.until_it_says("Reversed by the bank")


def reversed_in_part(payer: Payer) -> str:
    paid(payer)
    opened = payer.world.at_desk("disputes", payment_intent=payer.intent(), amount=42_500)
    payer.world.at_desk(f"disputes/{opened['id']}", outcome="lost")
    return payer.until_it_says("Taken back by your bank")


def review(payer: Payer) -> str:
    payer.world.set(webhook_delay_s=3600)
    payer.pay()
    payer.world.set(webhook_delay_s=0)
    kind = "checkout.session.completed"
    event = payer.world.events(kind, limit=1)[0]
    payer.is_told_of(retold(event, amount_total=1))
    return payer.until_it_says("being checked")


def replaced(payer: Payer) -> str:
    payer.send(amount="990.00")
    return payer.until_it_says("You have changed this payment")


# What the customer sees, by its name.
PAYMENTS: Mapping[str, Callable[[Payer], str]] = {
    "waiting": waiting,
    "late": late,
    "processing": processing,
    "paid": paid,
    "back-from-stripe": back,
    "declined": declined,
    "failed": failed,
    "expired": expired,
    "canceled": canceled,
    "not-paid-yet": unpaid,
    "partly-refunded": refunded_in_part,
    "refunded": refunded,
    "refund-on-its-way": refunding,
    "refund-failed": refund_failed,
    "disputed": disputed,
    "reversed": reversed_by_the_bank,
    "reversed-in-part": reversed_in_part,
    "in-review": review,
    "replaced": replaced,
}


def addresses(site: str, world: World, variables: Mapping[str, str]) -> dict[str, str]:
    """A payment brought into each state: where to look at it."""
    return {name: bring(Payer(site, world, variables)) for name, bring in PAYMENTS.items()}


# --- pages that are no payment's -------------------------------------------------------------


def form(page: Page, site: str) -> None:
    page.goto(f"{site}/?amount=1250&currency=eur&description=Invoice+2026-118")


def form_with_errors(page: Page, site: str) -> None:
    page.goto(f"{site}/?amount=0.10&currency=eur&email=customer@example")
    page.get_by_role("button", name="Continue to payment").click()
    page.get_by_role("alert").wait_for()


def form_without_stripe(page: Page, site: str) -> None:
    """The stand-in is OUT_OF_ORDER."""
    page.goto(f"{site}/?amount=1250&currency=eur&description=Invoice+2026-118")
    page.get_by_label("Your name").fill(INVOICE["name"])
    page.get_by_label("E-mail for the receipt").fill(INVOICE["email"])
    page.get_by_role("button", name="Continue to payment").click()
    page.get_by_role("alert").wait_for()


def unknown(page: Page, site: str) -> None:
    page.goto(f"{site}/payments/7d0a2b4e-0000-4000-8000-000000000001")


def form_kept_too_long(page: Page, site: str) -> None:
    page.goto(site)
    page.context.clear_cookies()
    page.get_by_role("button", name="Continue to payment").click()
    page.get_by_role("heading", name="Please send the form once more").wait_for()


OTHERS: Mapping[str, Callable[[Page, str], None]] = {
    "form": form,
    "form-errors": form_with_errors,
    "form-stripe-in-trouble": form_without_stripe,
    "unknown": unknown,
    "form-too-old": form_kept_too_long,
}
