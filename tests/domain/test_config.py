"""Settings: what suffices, and the sentence for each way in which they can't be run with."""

import pytest

from payflow.config import ConfigError, Settings

WHO = {
    "BUSINESS_NAME": "Northlight Consulting",
    "MAIL_DEFAULT_SENDER": "Northlight Consulting <billing@northlight.example>",
}
PLACE = {
    "DATABASE_URL": "postgresql://payflow:payflow@db.example/payflow",
    "SECRET_KEY": "payflow-tests-" + "0" * 32,
    "PUBLIC_URL": "https://pay.northlight.example",
}
SECRETS = {
    "STRIPE_SECRET_KEY": "sk_test_payflow_tests",
    "STRIPE_WEBHOOK_SECRET": "whsec_payflow_tests",
    "MAIL_PASSWORD": "payflow-tests",
}
STAND_IN = {"STRIPE_API_BASE": "http://127.0.0.1:12111", "PUBLIC_URL": "http://127.0.0.1:8000"}
LIVE = {"STRIPE_SECRET_KEY": "sk_live_payflow_tests"}


@pytest.fixture
def load(monkeypatch):
    """Load the settings from an environment that holds what suffices, with changes by keyword."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def load_with(**changes):
        for name, value in (WHO | PLACE | SECRETS | changes).items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        return Settings.load()

    return load_with


@pytest.fixture
def refusal(load):
    """The sentence with which the settings are refused."""

    def refused_with(**changes):
        with pytest.raises(ConfigError) as refused:
            load(**changes)
        return str(refused.value)

    return refused_with


# --- what suffices ---------------------------------------------------------------------------


def test_three_secrets_suffice_beside_who_and_where_one_is(load):
    settings = load()
    assert settings.stripe_secret_key == "sk_test_payflow_tests"
    assert settings.stripe_webhook_secret == ("whsec_payflow_tests",)
    assert settings.mail_password == "payflow-tests"
    assert settings.currencies == ("usd",)
    assert settings.checkout_origins == ("https://checkout.stripe.com",)
    assert settings.livemode is False
    assert settings.business.email == "billing@northlight.example"


def test_an_empty_variable_is_as_good_as_none(load):
    settings = load(CURRENCIES="", AMOUNT_MAX="", ALERT_EMAIL="", MAIL_PORT="", TIMEZONE="")
    assert settings.currencies == ("usd",)
    assert settings.mail_port == 2587


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_postgres_address_is_rewritten_for_the_driver(load, scheme):
    settings = load(DATABASE_URL=f"{scheme}://payflow:payflow@db.example/payflow")
    assert settings.database_url == "postgresql+psycopg://payflow:payflow@db.example/payflow"


def test_renders_address_is_used_where_no_public_one_is_set(load):
    settings = load(PUBLIC_URL=None, RENDER_EXTERNAL_URL="https://payflow-1.onrender.com")
    assert settings.public_url == "https://payflow-1.onrender.com"
    assert "payflow-1.onrender.com" in settings.trusted_hosts


def test_an_address_of_ones_own_goes_before_renders_and_both_are_answered_to(load):
    settings = load(RENDER_EXTERNAL_URL="https://payflow-1.onrender.com")
    assert settings.public_url == "https://pay.northlight.example"
    assert {"pay.northlight.example", "payflow-1.onrender.com"} <= set(settings.trusted_hosts)


def test_an_address_with_a_slash_at_its_end_loses_it(load):
    assert load(PUBLIC_URL="https://pay.example/").public_url == "https://pay.example"


def test_an_address_in_capitals_is_https_all_the_same(load):
    settings = load(PUBLIC_URL="HTTPS://Pay.Example:8443")
    assert settings.is_https
    assert settings.public_url == "https://pay.example:8443"


@pytest.mark.parametrize(
    "typed", ["whsec_new,whsec_old", "whsec_new, whsec_old", "whsec_new whsec_old"]
)
def test_several_webhook_secrets_may_be_valid_at_once(load, typed):
    settings = load(STRIPE_WEBHOOK_SECRET=typed)
    assert settings.stripe_webhook_secret == ("whsec_new", "whsec_old")


@pytest.mark.parametrize(
    ("key", "livemode"),
    [
        ("sk_test_payflow_tests", False),
        ("rk_test_payflow_tests", False),
        ("sk_live_payflow_tests", True),
        ("rk_live_payflow_tests", True),
    ],
)
def test_the_key_tells_whether_real_money_moves(load, key, livemode):
    assert load(STRIPE_SECRET_KEY=key).livemode is livemode


def test_the_owner_is_led_to_stripes_dashboard_of_the_payments_mode_or_to_the_stand_in(load):
    settings = load()
    assert settings.dashboard(livemode=True) == "https://dashboard.stripe.com"
    assert settings.dashboard(livemode=False) == "https://dashboard.stripe.com/test"
    assert load(**STAND_IN).dashboard(livemode=False) == STAND_IN["STRIPE_API_BASE"]


def test_currencies_are_taken_in_any_case_and_each_once(load):
    assert load(CURRENCIES="USD, eur,usd").currencies == ("usd", "eur")


def test_limits_are_read_by_currency_and_a_bare_number_is_the_first_ones(load):
    settings = load(CURRENCIES="eur,jpy,kwd", AMOUNT_MIN="5,jpy:500", AMOUNT_MAX="eur:250.50")
    assert settings.minimum == {"eur": 500, "jpy": 500, "kwd": 10}
    assert settings.maximum == {"eur": 25050}


def test_without_a_word_limits_are_there_and_no_proxy_is_believed(load):
    settings = load()
    assert settings.limit_per_address == "60 per hour; 300 per day"
    assert settings.limit_per_email == "20 per hour; 60 per day"
    assert settings.limit_storage == "memory://"
    assert settings.trusted_proxies == 0


@pytest.mark.parametrize(
    ("host", "port", "starttls", "implicit"),
    [
        ("smtp.resend.com", "2587", True, False),
        ("smtp.example.com", "587", True, False),
        ("smtp.example.com", "25", True, False),
        ("smtp.example.com", "465", False, True),
        ("smtp.example.com", "2465", False, True),
        ("127.0.0.1", "1025", False, False),
        ("localhost", "1025", False, False),
    ],
)
def test_mail_leaves_this_machine_encrypted_only(load, host, port, starttls, implicit):
    settings = load(MAIL_SERVER=host, MAIL_PORT=port)
    assert (settings.mail_starttls, settings.mail_implicit_tls) == (starttls, implicit)


def test_customers_questions_go_to_the_support_address_where_there_is_one(load):
    assert load(SUPPORT_EMAIL="help@northlight.example").business.email == "help@northlight.example"


def test_how_the_business_looks_is_its_own_where_it_says_so_and_ours_else(load):
    assert load().brand.light.fill == "#4338ca"
    assert load(BRAND_COLOR="#FFD400").brand.light.fill == "#ffd400"
    logo = "https://cdn.northlight.example:8443/a/logo.svg?v=2"
    assert load(LOGO_URL=logo).business.logo_url == logo
    assert load(LOGO_URL="http://127.0.0.1:9/logo.png").business.logo_url
    assert load(STATEMENT_DESCRIPTOR="NORTHLIGHT 24").business.statement_descriptor


def test_the_stand_in_is_allowed_where_all_is_on_this_machine(load):
    settings = load(**STAND_IN, MAIL_SERVER="127.0.0.1", MAIL_PASSWORD=None)
    assert settings.stripe_api_base == "http://127.0.0.1:12111"


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "DATABASE_URL",
        "SECRET_KEY",
        "PUBLIC_URL",
        "STRIPE_SECRET_KEY",
        "STRIPE_WEBHOOK_SECRET",
        "MAIL_DEFAULT_SENDER",
        "BUSINESS_NAME",
    ],
)
@pytest.mark.parametrize("value", [None, ""], ids=["missing", "empty"])
def test_what_must_be_set_is_asked_for_by_name(refusal, name, value):
    assert refusal(**{name: value}).startswith(f"{name} is missing: set it in the environment")


def test_every_fault_is_told_at_once_a_sentence_per_variable(refusal):
    told = refusal(DATABASE_URL=None, STRIPE_SECRET_KEY="pk_test_1", TIMEZONE="Dublin").splitlines()
    assert [line.split()[0] for line in told] == ["DATABASE_URL", "STRIPE_SECRET_KEY", "TIMEZONE"]


def test_all_that_is_missing_is_told_at_once_the_mail_servers_password_too(refusal):
    needed = ["DATABASE_URL", "SECRET_KEY", "PUBLIC_URL", "STRIPE_SECRET_KEY"]
    needed += ["STRIPE_WEBHOOK_SECRET", "MAIL_PASSWORD", "MAIL_DEFAULT_SENDER", "BUSINESS_NAME"]
    told = refusal(**dict.fromkeys(needed)).splitlines()
    assert [line.split(" is missing: ")[0] for line in told] == needed


ORIGIN = "must be an address like https://pay.example.com."
BARE_ORIGIN = "must be an address without a path, like https://pay.example.com."
HOST_ALONE = "must be an address with nothing but a host and perhaps a port, in the letters a to z"
KEY = "must be a secret or restricted key: sk_test_…, rk_test_… or the live one."
ENDPOINT_SECRET = "must be the signing secret of the webhook endpoint: whsec_…."
ADDRESS = "must be one e-mail address, like Northlight <billing@example.com>."
ONE_LINE = "must be one line, without control characters."
COLOR = "must be a colour of six hexadecimal digits, like #4338ca."
PICTURE = "must be the address of a picture, like https://www.example.com/logo.png, without"
DESCRIPTOR = "must be 5 to 22 plain Latin characters, a letter among them, none of"
CODES = "must be currency codes separated by commas, like USD,EUR."
RATES = "must be limits like 60 per hour; 300 per day."
COUNTED = "must be memory:// or the address of a Redis, like redis://host:6379."
LIMITS = "must be amounts by currency, like eur:5,jpy:500."


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("DATABASE_URL", "sqlite:///payflow.db", "must be a Postgres address, like "),
        ("DATABASE_URL", "mysql://db.example/payflow", "must be a Postgres address, like "),
        ("SECRET_KEY", "secret", "is too short: use 32 random characters or more"),
        ("SECRET_KEY", "0" * 31, "is too short: use 32 random characters or more"),
        ("PUBLIC_URL", "pay.example.com", ORIGIN),
        ("PUBLIC_URL", "ftp://pay.example.com", ORIGIN),
        ("PUBLIC_URL", "https://", ORIGIN),
        ("PUBLIC_URL", "https://pay.example.com/shop", BARE_ORIGIN),
        ("PUBLIC_URL", "https://pay.example.com?shop=1", BARE_ORIGIN),
        ("PUBLIC_URL", "https://owner:secret@pay.example.com", HOST_ALONE),
        ("PUBLIC_URL", "https://pay example.com", HOST_ALONE),
        ("PUBLIC_URL", "https://müller.example", HOST_ALONE),
        ("STRIPE_SECRET_KEY", "pk_test_payflow_tests", KEY),
        ("STRIPE_SECRET_KEY", "whsec_payflow_tests", KEY),
        ("STRIPE_SECRET_KEY", "sk_test_", KEY),
        ("STRIPE_SECRET_KEY", "sk_test_pay flow", KEY),
        ("STRIPE_WEBHOOK_SECRET", "sk_test_payflow_tests", ENDPOINT_SECRET),
        ("STRIPE_WEBHOOK_SECRET", "whsec_", ENDPOINT_SECRET),
        ("STRIPE_WEBHOOK_SECRET", "whsec_payflow_tests,other", ENDPOINT_SECRET),
        ("STRIPE_WEBHOOK_SECRET", ",", ENDPOINT_SECRET),
        ("MAIL_DEFAULT_SENDER", "Northlight Consulting", ADDRESS),
        ("MAIL_DEFAULT_SENDER", "billing@northlight.example\nBcc: x@example.com", ONE_LINE),
        ("BUSINESS_NAME", "Northlight\nConsulting", ONE_LINE),
        ("ALERT_EMAIL", "owner", ADDRESS),
        ("SUPPORT_EMAIL", "help desk", ADDRESS),
        ("BRAND_COLOR", "indigo", COLOR),
        ("BRAND_COLOR", "#43c", COLOR),
        ("BRAND_COLOR", "#4338ca;}", COLOR),
        ("LOGO_URL", "logo.png", PICTURE),
        ("LOGO_URL", "https://www.example.com", PICTURE),
        ("LOGO_URL", "https://www.example.com/a; script-src *", PICTURE),
        ("LOGO_URL", "https://www.example.com/a,b.png", PICTURE),
        ("LOGO_URL", "https://user@www.example.com/a.png", PICTURE),
        ("LOGO_URL", "data:image/png;base64,AAAA", PICTURE),
        ("LOGO_URL", "http://www.example.com/a.png", "must begin with https://, or browsers"),
        ("TERMS_URL", "terms", "must be an address like https://www.example.com."),
        ("PRIVACY_URL", "javascript:alert(1)", "must be an address like https://www.example.com."),
        ("STATEMENT_DESCRIPTOR", "NORT", DESCRIPTOR),
        ("STATEMENT_DESCRIPTOR", "N" * 23, DESCRIPTOR),
        ("STATEMENT_DESCRIPTOR", "12345", DESCRIPTOR),
        ("STATEMENT_DESCRIPTOR", "NORTH*LIGHT", DESCRIPTOR),
        ("STATEMENT_DESCRIPTOR", "NØRDLYS", DESCRIPTOR),
        ("CURRENCIES", "dollars", CODES),
        ("CURRENCIES", "usd,€", CODES),
        ("CURRENCIES", "usd,xxx", CODES),
        ("CURRENCIES", "abc", CODES),
        ("CURRENCIES", ",", CODES),
        ("AMOUNT_MIN", "five", LIMITS),
        ("AMOUNT_MIN", "usd:0.001", LIMITS),
        ("AMOUNT_MIN", "usd:-5", LIMITS),
        ("AMOUNT_MIN", "usd:0.10", "for USD is less than Stripe takes: 0.50."),
        ("AMOUNT_MAX", "five", LIMITS),
        ("AMOUNT_MAX", "usd:NaN", LIMITS),
        ("AMOUNT_MAX", "usd:0.10", "for usd is below the least amount taken."),
        ("TIMEZONE", "Dublin", "is no time zone; use a name like Europe/Dublin."),
        ("TIMEZONE", "../../etc/passwd", "is no time zone; use a name like Europe/Dublin."),
        ("LOCALE", "english", "is no locale; use one like en, en_GB or de."),
        ("LOCALE", "xx_YY", "is no locale; use one like en, en_GB or de."),
        ("MAIL_PORT", "smtp", "must be a whole number, like 1."),
        ("LIMIT_PER_ADDRESS", "many", RATES),
        ("LIMIT_PER_ADDRESS", "60 per fortnight", RATES),
        ("LIMIT_PER_EMAIL", "per hour", RATES),
        ("LIMIT_STORAGE", "postgres://db.example", COUNTED),
        ("LIMIT_STORAGE", "redis://", COUNTED),
        ("TRUSTED_PROXIES", "-1", "must be the number of proxies in front of payflow, 0 or more."),
        ("TRUSTED_PROXIES", "all", ""),
    ],
)  # fmt: skip
def test_a_value_that_can_not_be_used_is_refused_by_name(refusal, name, value, sentence):
    assert refusal(**{name: value}).startswith(f"{name} {sentence}")


@pytest.mark.parametrize(
    "name", [name for name, field in Settings.model_fields.items() if field.annotation is str]
)
def test_no_setting_of_text_has_a_second_line(refusal, name):
    assert refusal(**{name.upper(): "one\ntwo"}) == f"{name.upper()} {ONE_LINE}"


def test_a_value_that_is_a_secret_is_not_repeated_in_the_refusal(refusal):
    told = refusal(STRIPE_SECRET_KEY="sk_prod_payflow", STRIPE_WEBHOOK_SECRET="payflow_hook")
    assert "sk_prod_payflow" not in told
    assert "payflow_hook" not in told


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            STAND_IN | LIVE,
            "STRIPE_API_BASE is set while STRIPE_SECRET_KEY is a live key: "
            "unset STRIPE_API_BASE, or use a test key.",
        ),
        (
            {"STRIPE_API_BASE": "http://127.0.0.1:12111"},
            "STRIPE_API_BASE points to a stand-in for Stripe, which is allowed only where it "
            "and PUBLIC_URL are both on this machine (127.0.0.1): unset STRIPE_API_BASE.",
        ),
        (
            STAND_IN | {"STRIPE_API_BASE": "http://stripe.example"},
            "STRIPE_API_BASE points to a stand-in for Stripe, which is allowed only where it "
            "and PUBLIC_URL are both on this machine (127.0.0.1): unset STRIPE_API_BASE.",
        ),
        (
            LIVE | {"PUBLIC_URL": "http://pay.northlight.example"},
            "PUBLIC_URL must begin with https:// when the Stripe key is a live one.",
        ),
        (
            {"STRIPE_PUBLISHABLE_KEY": "pk_live_payflow_tests"},
            "STRIPE_PUBLISHABLE_KEY and STRIPE_SECRET_KEY are of different modes: "
            "take both from Stripe's test mode, or both from live mode.",
        ),
        (
            LIVE | {"STRIPE_PUBLISHABLE_KEY": "pk_test_payflow_tests"},
            "STRIPE_PUBLISHABLE_KEY and STRIPE_SECRET_KEY are of different modes: "
            "take both from Stripe's test mode, or both from live mode.",
        ),
        (
            {"MAIL_PASSWORD": None},
            "MAIL_PASSWORD is missing: smtp.resend.com asks for one.",
        ),
    ],
    ids=[
        "stand-in with a live key",
        "stand-in and a public address",
        "stand-in elsewhere",
        "live key without https",
        "live publishable key beside a test key",
        "test publishable key beside a live key",
        "no password for a mail server elsewhere",
    ],
)
def test_an_unsafe_mix_is_refused(refusal, changes, sentence):
    assert refusal(**changes) == sentence
