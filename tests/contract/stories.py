"""Every endpoint that the stand-in has, driven by stripe-python; one story for each kind of object.

What the answers hold is judged behind the test that tells these; here they are asked for and read.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import requests
import stripe

from tests.sandbox.conftest import Sandbox, card_form, client_of, session_params
from tests.stack import until

VISA = "4242424242424242"
DECLINED = "4000000000009995"
FRAUD = "4000000000000259"
INQUIRY = "4000000000001976"
WARNED = "4000000000005423"
REFUND_PENDING = "4000000000007726"
REFUND_FAILS = "4000000000005126"
ASKED = "4000002760003184"
DEBIT_SUCCEEDS = "AT611904300234573201"
DEBIT_FAILS = "AT861904300235473202"
DEBIT_DISPUTED = "AT591904300235473203"


class Teller(NamedTuple):
    """Who tells a story: a stand-in and stripe-python's client of it."""

    sandbox: Sandbox
    client: stripe.StripeClient

    def switch(self, **switches: Any) -> None:
        self.sandbox.set(**switches)

    def pay(self, card: str = VISA, **changes: Any) -> stripe.checkout.Session:
        made = self.client.v1.checkout.sessions.create(session_params(**changes))
        return self.send(made, card_form(card))

    def debit(self, iban: str) -> stripe.checkout.Session:
        """Paid for by a bank account, of which is heard later."""
        params = session_params(payment_method_types=["card", "sepa_debit"])
        made = self.client.v1.checkout.sessions.create(params)
        form = {"method": "sepa_debit", "iban": iban, "account_name": "A. Customer"}
        return self.send(made, form | {"email": "customer@example.com"})

    def send(
        self, session: stripe.checkout.Session, form: dict[str, str], page: str = ""
    ) -> stripe.checkout.Session:
        """The hosted page's form, as a customer does; then the session as it is."""
        answer = requests.post(f"{session.url}{page}", form, timeout=15, allow_redirects=False)
        assert answer.status_code in (200, 303), answer.text
        return self.session(session.id)

    def session(self, session_id: str) -> stripe.checkout.Session:
        expand = ["payment_intent.latest_charge", "payment_intent.payment_method"]
        return self.client.v1.checkout.sessions.retrieve(session_id, {"expand": expand})

    def charge(self, card: str = VISA, **changes: Any) -> stripe.Charge:
        intent = self.pay(card, **changes).payment_intent
        assert isinstance(intent, stripe.PaymentIntent)
        assert isinstance(intent.latest_charge, stripe.Charge)
        return intent.latest_charge

    def told(self, kind: str) -> stripe.Event:
        """The newest event of a type, as soon as there is one."""

        def look() -> list[stripe.Event]:
            return self.client.v1.events.list({"type": kind}).data

        newest: stripe.Event = until(look)[0]
        return newest


Story = Callable[[Teller], None]

STORIES: list[Story] = []


def teller_of(sandbox: Sandbox) -> Teller:
    return Teller(sandbox, client_of(sandbox))


def story(told: Story) -> Story:
    STORIES.append(told)
    return told


@story
def account(to: Teller) -> None:
    assert to.client.v1.accounts.retrieve_current().id.startswith("acct_")


@story
def balance(to: Teller) -> None:
    charge = to.charge()
    transactions = to.client.v1.balance_transactions
    of_charge: Any = {"source": charge.id, "expand": ["data.source"]}
    [newest] = until(lambda: transactions.list(of_charge).data)
    assert isinstance(newest.source, stripe.Charge)
    assert transactions.retrieve(newest.id).net == newest.amount - newest.fee
    assert to.client.v1.balance.retrieve().pending[0].amount > 0


@story
def charges(to: Teller) -> None:
    charge = to.charge()
    api = to.client.v1.charges
    changed = api.update(charge.id, {"metadata": {"order": "118"}})
    assert changed.to_dict()["metadata"] == {"order": "118"}
    found = api.retrieve(charge.id, {"expand": ["payment_intent", "balance_transaction"]})
    assert isinstance(found.payment_intent, stripe.PaymentIntent)
    assert api.list({"limit": 1}).data[0].id == charge.id
    assert not to.charge(DECLINED).paid


@story
def checkout_sessions(to: Teller) -> None:
    api = to.client.v1.checkout.sessions
    made = api.create(session_params(customer_email="customer@example.com"))
    assert api.update(made.id, {"metadata": {"order": "118"}}).id == made.id
    assert api.list({"limit": 1, "expand": ["data.line_items"]}).data[0].id == made.id
    assert api.line_items.list(made.id).data[0].amount_total == 1250
    assert api.expire(made.id).status == "expired"
    assert to.pay().payment_status == "paid"


@story
def authentication(to: Teller) -> None:
    """3-D Secure: failed, then complete."""
    session = to.pay(ASKED)
    assert isinstance(session.payment_intent, stripe.PaymentIntent)
    assert session.payment_intent.status == "requires_action"
    refused = to.send(session, {"answer": "fail"}, "/authenticate").payment_intent
    assert isinstance(refused, stripe.PaymentIntent)
    assert refused.status == "requires_payment_method"
    to.send(session, card_form(ASKED))
    assert to.send(session, {"answer": "complete"}, "/authenticate").status == "complete"


@story
def delayed_debits(to: Teller) -> None:
    """They succeed, fail, and are disputed; a failed one's PaymentIntent can be canceled."""
    to.switch(debit_delay_s=0.5, dispute_delay_s=0)
    waiting = to.debit(DEBIT_SUCCEEDS)
    assert (waiting.status, waiting.payment_status) == ("complete", "unpaid")
    failing, disputed = to.debit(DEBIT_FAILS), to.debit(DEBIT_DISPUTED)
    until(lambda: to.session(waiting.id).payment_status == "paid")
    to.told("checkout.session.async_payment_failed")
    assert to.session(failing.id).payment_status == "unpaid"
    assert isinstance(failing.payment_intent, stripe.PaymentIntent)
    canceled = to.client.v1.payment_intents.cancel(failing.payment_intent.id)
    assert canceled.status == "canceled"
    assert isinstance(disputed.payment_intent, stripe.PaymentIntent)
    paid_by = {"payment_intent": disputed.payment_intent.id}
    [dispute] = until(lambda: to.client.v1.disputes.list(paid_by).data)
    assert dispute.status == "lost"


@story
def disputes(to: Teller) -> None:
    """Won, lost, given in to; an inquiry that is closed."""
    to.switch(dispute_delay_s=0)
    api = to.client.v1.disputes
    charges = [to.charge(card).id for card in (FRAUD, FRAUD, FRAUD, INQUIRY)]
    won, lost, given_in, inquiry = (
        until(lambda charge=charge: api.list({"charge": charge}).data)[0].id for charge in charges
    )
    for dispute, verdict in ((won, "winning_evidence"), (lost, "losing_evidence")):
        answered = api.update(dispute, {"evidence": {"uncategorized_text": verdict}})
        assert answered.status == "under_review"
    assert api.close(given_in).status == "lost"
    assert api.retrieve(inquiry).status == "warning_needs_response"
    assert api.close(inquiry).status == "warning_closed"
    until(lambda: api.retrieve(won).status == "won")
    until(lambda: api.retrieve(lost).status == "lost")


@story
def early_fraud_warnings(to: Teller) -> None:
    to.switch(dispute_delay_s=0)
    charge = to.charge(WARNED)
    api = to.client.v1.radar.early_fraud_warnings
    [warning] = until(lambda: api.list({"charge": charge.id}).data)
    assert api.retrieve(warning.id).actionable


@story
def events(to: Teller) -> None:
    to.pay()
    [event] = to.client.v1.events.list({"limit": 1, "types": ["checkout.session.completed"]}).data
    assert to.client.v1.events.retrieve(event.id).data.object["payment_status"] == "paid"


@story
def payment_intents(to: Teller) -> None:
    charge = to.charge(DECLINED, payment_intent_data={"metadata": {"order": "118"}})
    api = to.client.v1.payment_intents
    intent = api.retrieve(str(charge.payment_intent))
    assert intent.last_payment_error is not None
    assert intent.to_dict()["metadata"] == {"order": "118"}
    assert api.list({"limit": 1, "expand": ["data.latest_charge"]}).data[0].id == intent.id
    assert api.update(intent.id, {"description": "Invoice 2026-118"}).id == intent.id
    assert to.client.v1.checkout.sessions.list({"payment_intent": intent.id}).data


@story
def payment_intents_of_open_sessions(to: Teller) -> None:
    """Only the session can cancel them."""
    session = to.pay(DECLINED)
    assert isinstance(session.payment_intent, stripe.PaymentIntent)
    with pytest.raises(stripe.InvalidRequestError, match="Expire the Checkout Session instead"):
        to.client.v1.payment_intents.cancel(session.payment_intent.id)
    to.client.v1.checkout.sessions.expire(session.id)
    assert to.client.v1.payment_intents.retrieve(session.payment_intent.id).status == "canceled"


@story
def refunds(to: Teller) -> None:
    """In part and in full, changed, by the charge's own list."""
    charge = to.charge()
    api = to.client.v1.refunds
    part = api.create({"charge": charge.id, "amount": 250, "reason": "requested_by_customer"})
    changed = api.update(part.id, {"metadata": {"order": "118"}})
    assert changed.to_dict()["metadata"] == {"order": "118"}
    of_charge = f"/v1/charges/{charge.id}/refunds"
    to.client.raw_request("post", of_charge, amount=100)
    assert to.client.raw_request("get", of_charge).code == 200
    rest = api.create({"payment_intent": str(charge.payment_intent)})
    assert (rest.amount, rest.status) == (900, "succeeded")
    expand = ["charge", "balance_transaction"]
    assert api.retrieve(part.id, {"expand": expand}).amount == 250
    assert [refund.id for refund in api.list({"limit": 1}).data] == [rest.id]


@story
def refunds_that_take_longer(to: Teller) -> None:
    """Pending; failing later; the customer asked, and too late or canceled."""
    to.switch(refund_delay_s=0)
    api = to.client.v1.refunds
    for card, ends in ((REFUND_PENDING, "succeeded"), (REFUND_FAILS, "failed")):
        refund = api.create({"charge": to.charge(card).id})
        until(lambda id=refund.id, ends=ends: api.retrieve(id).status == ends)
    to.switch(refund_outcome="requires_action")
    waiting = api.create({"charge": to.charge().id, "instructions_email": "customer@example.com"})
    assert api.cancel(waiting.id).status == "canceled"
    waiting = api.create({"charge": to.charge().id})
    assert to.client.v1.test_helpers.refunds.expire(waiting.id).status == "failed"
    to.switch(refund_outcome=None)


@story
def webhook_endpoints(to: Teller) -> None:
    api = to.client.v1.webhook_endpoints
    made = api.create(
        {
            "url": "http://127.0.0.1:9/webhooks",
            "enabled_events": ["checkout.session.completed", "charge.refunded"],
            "api_version": "2026-05-27.dahlia",
            "description": "A shop",
        }
    )
    assert (made.secret or "").startswith("whsec_")
    assert "secret" not in api.retrieve(made.id).to_dict()
    assert api.update(made.id, {"disabled": True, "metadata": {"a": "b"}}).status == "disabled"
    assert [endpoint.id for endpoint in api.list().data] == [made.id]
    assert api.delete(made.id).deleted
