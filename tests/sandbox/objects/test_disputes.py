"""Disputes: what the bank asks for, what the merchant answers, and how it ends."""

from typing import Any

import pytest
import requests
import stripe

from tests.sandbox.conftest import Endpoint, Sandbox, pay, session_params
from tests.sandbox.merchant import charge_of, paid, types_about
from tests.stack import until

FRAUD = "4000000000000259"
NOT_RECEIVED = "4000000000002685"
INQUIRY = "4000000000001976"
WARNING = "4000000000005423"
DAY = 24 * 60 * 60


def disputed(client: stripe.StripeClient, sandbox: Sandbox, number: str = FRAUD) -> Any:
    """The dispute that a payment of 12.50 EUR with this card brings about."""
    intent = paid(client, number)
    sandbox.advance(60)
    (dispute,) = client.v1.disputes.list({"payment_intent": intent}).data
    return dispute


def submit(client: stripe.StripeClient, dispute: Any, text: str) -> Any:
    return client.v1.disputes.update(dispute.id, {"evidence": {"uncategorized_text": text}})


def kinds(client: stripe.StripeClient) -> list[str]:
    start = "charge.dispute."
    return [kind.removeprefix(start) for kind in types_about(client, start)]


@pytest.mark.parametrize(
    ("number", "reason"), [(FRAUD, "fraudulent"), (NOT_RECEIVED, "product_not_received")]
)
def test_a_dispute_takes_the_money_and_wants_an_answer(
    client: stripe.StripeClient,
    sandbox: Sandbox,
    endpoint: Endpoint,
    number: str,
    reason: str,
) -> None:
    dispute = disputed(client, sandbox, number)
    assert (dispute.status, dispute.reason, dispute.amount) == ("needs_response", reason, 1250)
    assert dispute.evidence_details.due_by > dispute.created + 7 * DAY
    assert [item.amount for item in dispute.balance_transactions] == [-1250]
    assert dispute.balance_transactions[0].fee == 1500
    assert client.v1.charges.retrieve(dispute.charge).disputed
    (created,) = until(lambda: endpoint.of_type("charge.dispute.created"))
    assert created.event["data"]["object"]["id"] == dispute.id
    assert created.event["request"] == {"id": None, "idempotency_key": None}
    assert kinds(client) == ["created", "funds_withdrawn"]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"charge": dispute.charge})
    assert refused.value.code == "charge_disputed"


@pytest.mark.parametrize(
    ("text", "status"), [("winning_evidence", "won"), ("losing_evidence", "lost")]
)
def test_the_evidence_decides(
    client: stripe.StripeClient, sandbox: Sandbox, text: str, status: str
) -> None:
    dispute = disputed(client, sandbox)
    answered = submit(client, dispute, text)
    assert answered.status == "under_review"
    assert answered.evidence_details.submission_count == 1
    sandbox.advance(60)
    found = client.v1.disputes.retrieve(dispute.id)
    assert found.status == status
    back = [item.amount for item in found.balance_transactions]
    assert back == ([-1250, 1250] if status == "won" else [-1250])
    ended = ["closed", "funds_reinstated"] if status == "won" else ["closed"]
    assert kinds(client) == ["created", "funds_withdrawn", "updated", *ended]
    with pytest.raises(stripe.InvalidRequestError, match=f"status of {status}"):
        submit(client, dispute, "more")


def test_evidence_can_be_staged_before_it_is_submitted(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    dispute = disputed(client, sandbox)
    params: Any = {"evidence": {"customer_name": "Test"}, "submit": False}
    staged = client.v1.disputes.update(dispute.id, params)
    assert (staged.status, staged.evidence.customer_name) == ("needs_response", "Test")
    assert staged.evidence_details.has_evidence
    assert client.v1.disputes.update(dispute.id, {"submit": True}).status == "under_review"


def test_metadata_alone_submits_nothing(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    dispute = disputed(client, sandbox)
    changed = client.v1.disputes.update(dispute.id, {"metadata": {"case": "7"}})
    assert (changed.status, changed.to_dict()["metadata"]) == ("needs_response", {"case": "7"})


def test_a_deadline_that_passes_loses_the_dispute(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    dispute = disputed(client, sandbox)
    sandbox.advance(11 * DAY)
    found = client.v1.disputes.retrieve(dispute.id)
    assert (found.status, found.evidence_details.past_due) == ("lost", True)
    (closed,) = client.v1.events.list({"type": "charge.dispute.closed"}).data
    assert closed.created == found.evidence_details.due_by


def test_closing_a_dispute_gives_in(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    dispute = disputed(client, sandbox)
    assert client.v1.disputes.close(dispute.id).status == "lost"
    with pytest.raises(stripe.InvalidRequestError, match="status of lost"):
        client.v1.disputes.close(dispute.id)


def test_a_lost_dispute_can_be_reversed(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    dispute = disputed(client, sandbox)
    client.v1.disputes.close(dispute.id)
    url = f"/_sandbox/disputes/{dispute.id}"
    assert sandbox.post(url, json={"outcome": "reversed"}).json()["status"] == "won"
    until(lambda: endpoint.of_type("charge.dispute.funds_reinstated"))
    again = sandbox.post(url, json={"outcome": "reversed"})
    assert again.status_code == 400
    assert "stays so" in again.json()["error"]


def test_an_inquiry_takes_no_money_and_can_become_a_chargeback(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    inquiry = disputed(client, sandbox, INQUIRY)
    assert inquiry.status == "warning_needs_response"
    assert inquiry.payment_method_details.card.case_type == "inquiry"
    assert (inquiry.balance_transactions, inquiry.is_charge_refundable) == ([], True)
    assert kinds(client) == ["created"]
    answered = submit(client, inquiry, "escalate_inquiry_evidence")
    assert answered.status == "warning_under_review"
    sandbox.advance(60)
    found = client.v1.disputes.retrieve(inquiry.id)
    assert found.status == "needs_response"
    assert found.payment_method_details is not None
    assert found.payment_method_details.card is not None
    assert found.payment_method_details.card.case_type == "chargeback"
    assert kinds(client)[-2:] == ["updated", "funds_withdrawn"]


def test_an_answered_inquiry_is_closed_without_a_loss(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    inquiry = disputed(client, sandbox, INQUIRY)
    submit(client, inquiry, "winning_evidence")
    sandbox.advance(60)
    assert client.v1.disputes.retrieve(inquiry.id).status == "warning_closed"


def test_an_inquiry_ends_once_all_is_refunded(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    inquiry = disputed(client, sandbox, INQUIRY)
    client.v1.refunds.create({"charge": inquiry.charge})
    sandbox.advance(60)
    assert client.v1.disputes.retrieve(inquiry.id).status == "warning_closed"


def test_an_early_fraud_warning_is_no_dispute(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    intent = paid(client, WARNING)
    sandbox.advance(60)
    (warning,) = client.v1.radar.early_fraud_warnings.list({"payment_intent": intent}).data
    assert client.v1.radar.early_fraud_warnings.retrieve(warning.id).actionable
    (told,) = until(lambda: endpoint.of_type("radar.early_fraud_warning.created"))
    assert told.event["data"]["object"]["id"] == warning.id
    assert client.v1.disputes.list().data == []


def test_a_bank_opens_a_dispute_by_a_persons_hand(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    charge = charge_of(client, paid(client)).id
    wanted = {"charge": charge, "reason": "duplicate", "amount": 1000}
    made = sandbox.post("/_sandbox/disputes", json=wanted).json()
    assert (made["amount"], made["reason"]) == (1000, "duplicate")
    until(lambda: endpoint.of_type("charge.dispute.funds_withdrawn"))
    twice = sandbox.post("/_sandbox/disputes", json=wanted)
    assert (twice.status_code, "disputed already" in twice.json()["error"]) == (400, True)
    lost = sandbox.post(f"/_sandbox/disputes/{made['id']}", json={"outcome": "lost"}).json()
    assert lost["status"] == "lost"


def test_a_dispute_can_be_expanded_from_a_list(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    disputed(client, sandbox)
    (found,) = client.v1.disputes.list({"expand": ["data.charge.balance_transaction"]}).data
    assert isinstance(found.charge, stripe.Charge)
    assert isinstance(found.charge.balance_transaction, stripe.BalanceTransaction)
    assert found.charge.balance_transaction.amount == 1250


def test_a_payment_that_was_declined_cannot_be_disputed(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    pay(client.v1.checkout.sessions.create(session_params()), "4000000000000002")
    (charge,) = client.v1.charges.list().data
    answer = sandbox.post("/_sandbox/disputes", json={"charge": charge.id})
    assert (answer.status_code, "never paid" in answer.json()["error"]) == (400, True)


def test_a_disputed_bank_debit_is_lost_at_once(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    paid_by_debit(client, sandbox, "AT591904300235473203")
    (dispute,) = client.v1.disputes.list().data
    assert (dispute.status, dispute.reason) == ("lost", "fraudulent")
    assert kinds(client) == ["created", "funds_withdrawn", "closed"]


def test_money_lost_to_a_dispute_cannot_be_lost_again(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    session = client.v1.checkout.sessions.create(session_params())
    pay(session)
    (charge,) = client.v1.charges.list().data
    made = sandbox.post("/_sandbox/disputes", json={"charge": charge.id}).json()
    sandbox.post(f"/_sandbox/disputes/{made['id']}", json={"outcome": "lost"})
    again = sandbox.post("/_sandbox/disputes", json={"charge": charge.id})
    assert again.status_code == 400
    assert len(client.v1.disputes.list().data) == 1


@pytest.mark.parametrize("which", [{"charge": ["a"]}, {"payment_intent": {"a": 1}}])
def test_a_dispute_of_nothing_that_could_be_named_is_refused(sandbox: Sandbox, which: Any) -> None:
    assert sandbox.post("/_sandbox/disputes", json=which).status_code == 400


@pytest.mark.parametrize("outcome", ["won", "lost"])
def test_a_charge_is_disputed_once(
    client: stripe.StripeClient, sandbox: Sandbox, outcome: str
) -> None:
    charge = charge_of(client, paid(client)).id
    made = sandbox.post("/_sandbox/disputes", json={"charge": charge}).json()
    sandbox.post(f"/_sandbox/disputes/{made['id']}", json={"outcome": outcome})
    for again in ({"charge": charge}, {"charge": charge, "inquiry": True}):
        answer = sandbox.post("/_sandbox/disputes", json=again)
        assert (answer.status_code, "already" in answer.json()["error"]) == (400, True)
    assert len(client.v1.disputes.list().data) == 1


def test_a_charge_whose_dispute_was_won_can_be_refunded(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    dispute = disputed(client, sandbox)
    sandbox.post(f"/_sandbox/disputes/{dispute.id}", json={"outcome": "won"})
    assert client.v1.disputes.retrieve(dispute.id).is_charge_refundable
    assert client.v1.refunds.create({"charge": dispute.charge}).amount == 1250


def test_a_bank_debits_bank_asks_no_questions_first(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    charge = paid_by_debit(client, sandbox, "AT611904300234573201")
    answer = sandbox.post("/_sandbox/disputes", json={"charge": charge, "inquiry": True})
    assert (answer.status_code, "bank debit" in answer.json()["error"]) == (400, True)
    assert client.v1.disputes.list().data == []
    assert sandbox.post("/_sandbox/disputes", json={"charge": charge}).json()["status"] == "lost"


def test_a_person_who_disputes_before_the_test_card_does_is_alone(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    sandbox.set(dispute_delay_s=60)
    charge = charge_of(client, paid(client, FRAUD)).id
    made = sandbox.post("/_sandbox/disputes", json={"charge": charge}).json()
    sandbox.advance(60)
    assert [dispute.id for dispute in client.v1.disputes.list().data] == [made["id"]]


def paid_by_debit(client: stripe.StripeClient, sandbox: Sandbox, iban: str) -> str:
    """The charge, once the bank has answered."""
    made = client.v1.checkout.sessions.create(session_params())
    typed = {
        "method": "sepa_debit",
        "email": "customer@example.com",
        "account_name": "Test Customer",
        "iban": iban,
    }
    assert made.url is not None
    answer = requests.post(made.url, data=typed, allow_redirects=False, timeout=15)
    assert answer.status_code == 303
    sandbox.advance(10 * 60)
    (charge,) = client.v1.charges.list().data
    return charge.id
