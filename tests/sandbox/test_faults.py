"""What goes wrong on purpose, as a client and an endpoint see it."""

import json
from pathlib import Path
from typing import Any

import pytest
import requests
import stripe

from sandbox import faults, settings
from sandbox.store import Store
from tests.stack import until

from .conftest import SECRET, Endpoint, Sandbox, client_of, pay, session_params
from .merchant import expire_one

SESSIONS = "POST /v1/checkout/sessions"


def rule(fault: str, on: str = "*", **more: Any) -> dict[str, Any]:
    return {"on": on, "fault": fault, **more}


def create(
    sandbox: Sandbox, key: str = "payflow-key", timeout: float = 10, mode: str = "payment"
) -> requests.Response:
    """A session asked for without a library that would try again."""
    return requests.post(
        f"{sandbox.url}/v1/checkout/sessions",
        data={
            "mode": mode,
            "line_items[0][price_data][currency]": "eur",
            "line_items[0][price_data][unit_amount]": "1250",
            "line_items[0][price_data][product_data][name]": "Invoice",
            "line_items[0][quantity]": "1",
            "success_url": "http://127.0.0.1:9/paid",
        },
        headers={"Authorization": "Bearer sk_test_payflow_x", "Idempotency-Key": key},
        timeout=timeout,
    )


def sessions(sandbox: Sandbox) -> int:
    return len(client_of(sandbox).v1.checkout.sessions.list().data)


def test_a_500_is_stored_under_the_idempotency_key(sandbox: Sandbox) -> None:
    sandbox.set(api_faults=[rule("500", SESSIONS, times=1)])
    first = create(sandbox)
    assert (first.status_code, first.json()["error"]["type"]) == (500, "api_error")
    again = create(sandbox)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (500, "true")
    assert again.json() == first.json()
    assert sessions(sandbox) == 0
    assert create(sandbox, "another-key").status_code == 200


def test_a_500_after_the_effect_hides_it_for_as_long_as_the_key_lives(sandbox: Sandbox) -> None:
    sandbox.set(api_faults=[rule("500_after", SESSIONS, times=1)])
    assert create(sandbox).status_code == 500
    assert sessions(sandbox) == 1
    again = create(sandbox)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (500, "true")
    assert sessions(sandbox) == 1


def test_a_500_after_the_effect_spares_what_had_none(sandbox: Sandbox) -> None:
    """A misuse of the key is refused, a repeat is the kept answer; then the rule strikes."""
    good = create(sandbox)
    sandbox.set(api_faults=[rule("500_after", SESSIONS, times=1)])
    misused = create(sandbox, mode="setup")
    assert (misused.status_code, misused.json()["error"]["type"]) == (400, "idempotency_error")
    again = create(sandbox)
    assert (again.status_code, again.json()["id"]) == (200, good.json()["id"])
    assert create(sandbox, "another-key", mode="setup").status_code == 400
    assert create(sandbox, "another-key").status_code == 500
    assert create(sandbox).json()["id"] == good.json()["id"]
    faults = [entry["fault"] for entry in sandbox.get("/_sandbox/requests.json").json()]
    assert faults == [None, None, None, None, "500_after", None]


def test_a_500_after_the_effect_spares_the_answer_to_a_call_that_was_cut_off(
    sandbox: Sandbox,
) -> None:
    sandbox.set(api_faults=[rule("reset_after", SESSIONS, times=1), rule("500_after", SESSIONS)])
    with pytest.raises(requests.ConnectionError):
        create(sandbox)
    for _ in range(2):
        again = create(sandbox)
        assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")


def test_a_500_does_not_replace_an_answer_that_is_stored(sandbox: Sandbox) -> None:
    good = create(sandbox)
    sandbox.set(api_faults=[rule("500", SESSIONS)])
    again = create(sandbox)
    assert (again.status_code, again.json()["id"]) == (200, good.json()["id"])


def test_a_429_says_when_to_come_again_and_stores_nothing(sandbox: Sandbox) -> None:
    sandbox.set(api_faults=[rule("429", SESSIONS, times=1, seconds=3)])
    refused = create(sandbox)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "3")
    assert refused.json()["error"]["code"] == "rate_limit"
    assert create(sandbox).status_code == 200
    client = client_of(sandbox)
    sandbox.set(api_faults=[rule("429", "GET /v1/events", times=1)])
    with pytest.raises(stripe.RateLimitError):
        client.v1.events.list()


@pytest.mark.parametrize(("fault", "made"), [("reset_before", 0), ("reset_after", 1)])
def test_a_reset_leaves_the_effect_or_nothing(sandbox: Sandbox, fault: str, made: int) -> None:
    sandbox.set(api_faults=[rule(fault, SESSIONS, times=1)])
    with pytest.raises(requests.ConnectionError, match=r"[Rr]eset"):
        create(sandbox)
    assert sessions(sandbox) == made
    assert create(sandbox).status_code == 200
    assert sessions(sandbox) == 1


@pytest.mark.parametrize(("fault", "made"), [("timeout_before", 0), ("timeout_after", 1)])
def test_a_timeout_leaves_the_effect_or_nothing(sandbox: Sandbox, fault: str, made: int) -> None:
    sandbox.set(api_faults=[rule(fault, SESSIONS, times=1)])
    with pytest.raises(requests.ReadTimeout):
        create(sandbox, timeout=0.5)
    assert sessions(sandbox) == made
    again = until(lambda: (answer := create(sandbox)).status_code == 200 and answer)
    assert again.headers.get("Idempotent-Replayed") == ("true" if made else None)
    assert sessions(sandbox) == 1


def test_the_sdk_gets_over_a_reset_by_its_own_retry(sandbox: Sandbox) -> None:
    sandbox.set(api_faults=[rule("reset_after", SESSIONS, times=1)])
    client = stripe.StripeClient(
        "sk_test_payflow_x", base_addresses={"api": sandbox.url}, max_network_retries=2
    )
    assert client.v1.checkout.sessions.create(session_params()).id
    assert sessions(sandbox) == 1


def test_only_what_the_pattern_names_is_struck(sandbox: Sandbox) -> None:
    sandbox.set(api_faults=[rule("500", "GET /v1/charges*")])
    client = client_of(sandbox)
    assert client.v1.events.list().data == []
    with pytest.raises(stripe.APIError):
        client.v1.charges.list()


def outcomes(sandbox: Sandbox, seed: int) -> list[int]:
    sandbox.set(seed=seed, api_faults=[rule("500", "GET /v1/events", probability=0.5)])
    headers = {"Authorization": "Bearer sk_test_payflow_x"}
    url = f"{sandbox.url}/v1/events"
    return [requests.get(url, headers=headers, timeout=5).status_code for _ in range(24)]


def test_the_same_seed_brings_the_same_faults(sandbox: Sandbox) -> None:
    first = outcomes(sandbox, 7)
    assert set(first) == {200, 500}
    assert outcomes(sandbox, 7) == first
    assert outcomes(sandbox, 8) != first


def test_a_duplicate_comes_twice_with_the_same_bytes(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    sandbox.set(delivery_faults=[rule("duplicate", "checkout.session.*")])
    pay(client.v1.checkout.sessions.create(session_params()))
    first, second = until(
        lambda: len(found := endpoint.of_type("checkout.session.completed")) == 2 and found
    )
    assert first.body == second.body
    until(lambda: endpoint.of_type("charge.updated"))
    assert len(endpoint.of_type("payment_intent.succeeded")) == 1


def test_a_dropped_event_never_comes_and_the_list_still_knows_it(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    sandbox.set(delivery_faults=[rule("drop", "checkout.session.completed")])
    assert pay(client.v1.checkout.sessions.create(session_params())).status_code == 303
    until(lambda: endpoint.of_type("charge.updated"))
    assert endpoint.of_type("checkout.session.completed") == []
    (lost,) = client.v1.events.list({"type": "checkout.session.completed"}).data
    assert "✕ lost" in sandbox.get(f"/events/{lost.id}").text
    sandbox.set(delivery_faults=[])
    sandbox.post(f"/events/{lost.id}/send")
    until(lambda: endpoint.of_type("checkout.session.completed"))


def test_a_delayed_event_comes_later_and_the_customer_does_not_wait(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    sandbox.set(delivery_faults=[rule("delay", "checkout.session.completed", seconds=3600)])
    assert pay(client.v1.checkout.sessions.create(session_params())).status_code == 303
    until(lambda: endpoint.of_type("charge.updated"))
    assert endpoint.of_type("checkout.session.completed") == []
    sandbox.post("/_sandbox/clock", json={"advance_s": 3600})
    until(lambda: endpoint.of_type("checkout.session.completed"))


def test_reordered_events_overtake_each_other(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    sandbox.set(delivery_faults=[rule("reorder", seconds=1.5)])
    for _ in range(3):
        pay(client.v1.checkout.sessions.create(session_params()))
    until(lambda: len(endpoint.received) >= 12)
    made = [event.id for event in client.v1.events.list({"limit": 100}).data][::-1]
    came = [item.event["id"] for item in endpoint.received]
    assert came != [event for event in made if event in came]


@pytest.mark.parametrize("fault", ["corrupt_signature", "old_timestamp"])
def test_a_bad_signature_does_not_verify_and_the_retry_does(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint, fault: str
) -> None:
    sandbox.set(retry_schedule_s=[0.1], delivery_faults=[rule(fault, times=1)])
    endpoint.status = 400
    client.v1.checkout.sessions.expire(client.v1.checkout.sessions.create(session_params()).id)
    until(lambda: len(endpoint.received) == 2)
    bad, good = endpoint.received
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(bad.body, bad.headers["Stripe-Signature"], SECRET)
    stripe.Webhook.construct_event(good.body, good.headers["Stripe-Signature"], SECRET)


@pytest.mark.parametrize(
    "switches",
    [
        {"api_faults": {}},
        {"api_faults": ["500"]},
        {"api_faults": [{"fault": "503"}]},
        {"api_faults": [{"fault": "duplicate"}]},
        {"api_faults": [{"fault": "500", "on": "/v1/events"}]},
        {"api_faults": [{"fault": "500", "often": 1}]},
        {"api_faults": [{"fault": "500", "probability": 1.5}]},
        {"api_faults": [{"fault": "500", "times": 1.5}]},
        {"api_faults": [{"fault": "429", "seconds": "1"}]},
        {"delivery_faults": [{"fault": "500"}]},
        {"delivery_faults": [{"fault": "drop", "on": 1}]},
        {"delivery_faults": [{"fault": "drop", "probability": True}]},
        {"seed": "7"},
        {"seed": True},
    ],
)
def test_a_rule_that_does_not_fit_is_refused_with_a_sentence(
    sandbox: Sandbox, switches: dict[str, Any]
) -> None:
    answer = sandbox.post("/_sandbox/settings", json=switches)
    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")
    now = sandbox.get("/_sandbox/settings").json()
    assert (now["api_faults"], now["delivery_faults"]) == ([], [])


def test_a_rule_is_shown_whole(sandbox: Sandbox) -> None:
    sandbox.set(api_faults=[{"fault": "429"}])
    assert sandbox.get("/_sandbox/settings").json()["api_faults"] == [
        {"on": "* *", "fault": "429", "probability": 1.0, "times": None, "seconds": 1.0}
    ]


def test_presets_make_a_bad_day_and_one_call_ends_it(sandbox: Sandbox) -> None:
    normal = sandbox.get("/_sandbox/settings").json()
    for name in ("everything-goes-wrong", "webhooks-twice-and-late", "stripe-is-down"):
        after = sandbox.post(f"/_sandbox/presets/{name}").json()
        assert after["api_faults"] or after["delivery_faults"]
    with pytest.raises(requests.ConnectionError):
        create(sandbox)
    assert sandbox.post("/_sandbox/presets/normal").json() == normal
    assert create(sandbox).status_code == 200
    sandbox.post("/_sandbox/presets/stripe-is-down")
    assert json.loads(sandbox.post("/_sandbox/reset").text) == normal
    assert sandbox.post("/_sandbox/presets/nice-weather").status_code == 404


def test_a_dropped_event_arrives_when_it_is_sent_again(
    sandbox: Sandbox, endpoint: Endpoint
) -> None:
    sandbox.set(delivery_faults=[rule("drop", "checkout.*")])
    client = client_of(sandbox)
    client.v1.checkout.sessions.expire(client.v1.checkout.sessions.create(session_params()).id)
    (event,) = client.v1.events.list().data
    until(lambda: "Never sent." in sandbox.get(f"/events/{event.id}").text)
    assert sandbox.post(f"/events/{event.id}/send").status_code == 303
    until(lambda: endpoint.received)
    sandbox.set(delivery_faults=[])
    expire_one(client)
    until(lambda: len({item.event["id"] for item in endpoint.received}) == 2)
    assert len(endpoint.received) == 2


def test_faults_of_the_way_and_of_the_sending_add_up(sandbox: Sandbox, endpoint: Endpoint) -> None:
    delay, twice = rule("delay", times=1, seconds=0.2), rule("duplicate", times=1)
    sandbox.set(delivery_faults=[delay, twice])
    client = client_of(sandbox)
    client.v1.checkout.sessions.expire(client.v1.checkout.sessions.create(session_params()).id)
    until(lambda: len(endpoint.received) == 2)
    assert endpoint.received[0].body == endpoint.received[1].body


@pytest.mark.parametrize("broken", [{"on": {}, "fault": []}, {"on": "*", "fault": {}}, 7])
def test_a_rule_of_no_shape_is_refused_with_a_sentence(sandbox: Sandbox, broken: Any) -> None:
    answer = sandbox.post("/_sandbox/settings", json={"api_faults": [broken]})
    assert answer.status_code == 400
    assert "api_faults[0]" in answer.text


def test_a_401_is_a_key_that_is_refused_and_leaves_nothing_behind(sandbox: Sandbox) -> None:
    sandbox.set(api_faults=[rule("401", SESSIONS, times=1)])
    with pytest.raises(stripe.AuthenticationError):
        client_of(sandbox).v1.checkout.sessions.create(session_params())
    assert sessions(sandbox) == 0
    assert create(sandbox).status_code == 200


def test_a_402_is_a_declined_card_and_stays_so_for_its_key(sandbox: Sandbox) -> None:
    sandbox.set(api_faults=[rule("402", SESSIONS, times=1)])
    first, again = create(sandbox), create(sandbox)
    assert (first.status_code, first.json()["error"]["code"]) == (402, "card_declined")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (402, "true")
    assert sessions(sandbox) == 0

    sandbox.set(api_faults=[rule("402", SESSIONS)])
    with pytest.raises(stripe.CardError) as declined:
        client_of(sandbox).v1.checkout.sessions.create(session_params())
    assert declined.value.error.decline_code == "generic_decline"


@pytest.mark.parametrize("on", ["*", "* *", "GET /v1/events"])
def test_a_rule_for_all_calls_or_for_get_strikes_head_too(tmp_path: Path, on: str) -> None:
    with Store(tmp_path / "sandbox.sqlite3").transaction() as db:
        settings.change(db, {"api_faults": [rule("429", on)]})
        for method in ("GET", "HEAD"):
            assert faults.on_call(db, settings.current(db), method, "/v1/events")
        settings.change(db, {"api_faults": [rule("429", "POST *")]})
        for method in ("GET", "HEAD"):
            assert not faults.on_call(db, settings.current(db), method, "/v1/events")


def test_a_rule_on_everything_strikes_any_call(sandbox: Sandbox) -> None:
    sandbox.set(api_faults=[rule("429", "*")])
    assert create(sandbox).status_code == 429


def lost(client: stripe.StripeClient, sandbox: Sandbox, *, busy: bool) -> list[bool]:
    """Which of ten events are dropped, in the order they happened."""
    sandbox.post("/_sandbox/reset")
    sandbox.set(seed=7, delivery_faults=[rule("drop", probability=0.5)])
    for _ in range(10):
        expire_one(client)
        if busy:
            pay(client.v1.checkout.sessions.create(session_params()), "4000000000000002")
    wanted: Any = {"type": "checkout.session.expired"}
    told = [event.id for event in client.v1.events.list({"limit": 100, **wanted}).data][::-1]
    pages = [
        until(
            lambda event=event: (
                (page := sandbox.get(f"/events/{event}").text).count("attempt-") and page
            )
        )
        for event in told
    ]
    return ["✕ lost" in page for page in pages]


def test_the_same_events_meet_the_same_faults_whatever_else_happens(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    quiet = lost(client, sandbox, busy=False)
    assert {True, False} == set(quiet)
    assert lost(client, sandbox, busy=True) == quiet


@pytest.mark.parametrize("fault", ["wrong_livemode", "other_object", "thin", "twice_signed"])
def test_a_strange_event_is_signed_well_and_the_retry_is_as_it_should_be(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint, fault: str
) -> None:
    sandbox.set(retry_schedule_s=[0.1], delivery_faults=[rule(fault, times=1)])
    endpoint.status = 500
    expire_one(client)
    strange, plain = until(lambda: len(endpoint.received) == 2 and endpoint.received)
    for item in (strange, plain):
        stripe.WebhookSignature.verify_header(
            item.body.decode(), item.headers["Stripe-Signature"], SECRET
        )
    assert plain.event["livemode"] is False
    assert plain.event["data"]["object"]["object"] == "checkout.session"
    assert plain.headers["Stripe-Signature"].count("v1=") == 1
    if fault == "wrong_livemode":
        assert strange.event == plain.event | {"livemode": True}
    elif fault == "other_object":
        assert strange.event["type"] == "checkout.session.expired"
        assert strange.event["data"]["object"]["object"] == "customer"
    elif fault == "thin":
        assert strange.event["object"] == "v2.core.event"
        session = plain.event["data"]["object"]["id"]
        assert strange.event["related_object"]["url"] == f"/v1/checkout/sessions/{session}"
    else:
        assert strange.headers["Stripe-Signature"].count("v1=") == 2
        assert strange.body == plain.body
