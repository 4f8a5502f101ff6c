"""Which bodies are known to be Stripe's."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import stripe

from payflow import clock, gateway
from payflow.gateway import BadSignature

VECTORS = json.loads((Path(__file__).parent.parent / "data/signature-vectors.json").read_text())
CASES = [pytest.param(case, id=case["name"]) for case in VECTORS["cases"]]

NOW = 1_700_000_000
BODY = b'{"id": "evt_1"}'
SECRET = "whsec_payflow_tests"


@pytest.fixture
def at(monkeypatch):
    """Set the clock."""

    def set_to(timestamp):
        monkeypatch.setattr(clock, "now", lambda: datetime.fromtimestamp(timestamp, UTC))

    set_to(NOW)
    return set_to


def verifies(body, header, *secrets, tolerance=gateway.TOLERANCE):
    try:
        gateway.verify_signature(body, header, secrets, tolerance)
    except BadSignature:
        return False
    return True


def signed(body=BODY, secret=SECRET, timestamp=NOW):
    return stripe.WebhookSignature.generate_signature_header(body.decode(), secret, timestamp)


@pytest.mark.parametrize("case", CASES)
def test_a_body_verifies_as_by_stripes_own_libraries(case, at):
    at(case["now"])
    tolerance = case["tolerance"] and timedelta(seconds=case["tolerance"])
    verified = verifies(
        case["payload"].encode(), case["header"] or "", case["secret"], tolerance=tolerance
    )
    # A good signature over a body that is no event is for whoever reads the body.
    assert verified is (case["ok"] or case["kind"] in ("json", "v2"))


@pytest.mark.parametrize("kind", ["header", "scheme", "signature", "tolerance", "json", "v2", None])
def test_the_cases_tell_of_every_kind_of_refusal(kind):
    assert kind in {case["kind"] for case in VECTORS["cases"]}


@pytest.mark.parametrize("secret", ["whsec_new", "whsec_old", "whsec_older"])
def test_any_of_several_secrets_verifies(secret, at):
    assert verifies(BODY, signed(secret=secret), "whsec_new", "whsec_old", "whsec_older")


def test_none_of_several_secrets_verifies_what_another_signed(at):
    assert not verifies(BODY, signed(secret="whsec_other"), "whsec_new", "whsec_old")


@pytest.mark.parametrize("secret", ["", " ", "\t\n"])
def test_an_empty_secret_verifies_nothing(secret, at):
    assert not verifies(BODY, signed(secret=secret), secret)


def test_without_a_secret_nothing_verifies(at):
    assert not verifies(BODY, signed())


def test_an_empty_secret_does_not_stand_in_the_way_of_another(at):
    assert verifies(BODY, signed(), "", SECRET)


@pytest.mark.parametrize(
    "header",
    [
        f"t={NOW},v1=grün",
        f"t={NOW},v1=\udcff",
        f"t={NOW},v1=é" + "0" * 63,
        "ｔ=1700000000,v1=0",
    ],
)
def test_a_header_with_other_characters_is_a_bad_signature_and_no_crash(header, at):
    with pytest.raises(BadSignature, match="not ASCII"):
        gateway.verify_signature(BODY, header, (SECRET,))


@pytest.mark.parametrize(
    "header",
    [
        "t=1700000000",
        "v1=0",
        "t=,v1=",
        "t=now,v1=0",
        "t=1e9,v1=0",
        "t=" + "9" * 5000 + ",v1=0",
        "t=-1,v1=0",
        ",,,",
        "=",
        "t=1700000000;v1=0",
    ],
)
def test_a_header_out_of_shape_is_a_bad_signature_and_no_crash(header, at):
    with pytest.raises(BadSignature):
        gateway.verify_signature(BODY, header, (SECRET,))


def test_a_body_that_is_not_text_is_a_bad_signature_and_no_crash(at):
    with pytest.raises(BadSignature, match="UTF-8"):
        gateway.verify_signature(b"\xff\xfe", signed(), (SECRET,))


@pytest.mark.parametrize("changed", [BODY + b" ", BODY + b"\n", BODY.replace(b"1", b"2"), b""])
def test_one_byte_changed_is_a_bad_signature(changed, at):
    assert verifies(BODY, signed(), SECRET)
    assert not verifies(changed, signed(), SECRET)


def test_an_old_delivery_is_refused_however_good_its_signature(at):
    header = signed()
    at(NOW + 300)
    assert verifies(BODY, header, SECRET)
    at(NOW + 301)
    with pytest.raises(BadSignature, match="older than 300 s"):
        gateway.verify_signature(BODY, header, (SECRET,))
