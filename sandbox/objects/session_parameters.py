"""What ``POST /v1/checkout/sessions`` accepts, and the rules that span several parameters."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from sandbox import clock
from sandbox.objects import bank_debits
from sandbox.protocol import money
from sandbox.protocol.checks import (
    Checker,
    boolean,
    email,
    hash_of,
    integer,
    list_of,
    metadata,
    metadata_change,
    one_of,
    string,
    top_level,
    unplayed,
)
from sandbox.protocol.errors import ApiError, missing_parameter

LOCALES = (
    "auto bg cs da de el en en-GB es es-419 et fi fil fr fr-CA hr hu id it ja ko lt lv ms mt nb nl"
    " pl pt pt-BR ro ru sk sl sv th tr vi zh zh-HK zh-TW"
).split()

# What is now hosted_page was hosted before.
HOSTED_PAGE_SINCE = "2026-03-25"

SHORTEST_LIFE_S = 30 * 60
LONGEST_LIFE_S = 24 * 60 * 60


def currency(value: Any, name: str) -> str:
    text = string()(value, name).lower()
    if text not in money.CURRENCIES:
        listed = ", ".join(sorted(money.CURRENCIES))
        raise ApiError(
            400,
            f"Invalid currency: {text}. Stripe currently supports these currencies: {listed}",
            param=name,
        )
    return str(text)


def descriptor(value: Any, name: str) -> str:
    """What the bank prints: 22 characters, none of ``< > \\ ' " *``, at least one letter."""
    text = str(string(22)(value, name))
    if any(character in "<>\\'\"*" for character in text):
        raise ApiError(
            400,
            "The statement descriptor can't contain any of the characters <, >, \\, ', \", *.",
            param=name,
        )
    if not any(character.isalpha() for character in text):
        raise ApiError(
            400, "The statement descriptor must contain at least one alphabetic character.",
            param=name,
        )  # fmt: skip
    return text


def not_yet(*accepted: str) -> Checker:
    """A parameter whose other values Stripe knows and the sandbox can't play: says so."""

    def check(value: Any, name: str) -> Any:
        if value not in accepted:
            raise ApiError(
                400, f"The sandbox does not support {name}={value} (yet); Stripe may.", param=name
            )
        return value

    return check


def off(value: Any, name: str) -> bool:
    """A switch that the sandbox can't turn on."""
    if boolean(value, name):
        not_yet("false")(value, name)
    return False


def whole(fields: Mapping[str, Checker], *required: str) -> Checker:
    """A hash with its required fields, which are missed only once all that is there can be played:
    whoever sends ``price`` must not be told that ``price_data`` is missing."""
    of_fields = hash_of(fields)

    def check(value: Any, name: str) -> Any:
        found = of_fields(value, name)
        for field in required:
            if field not in found:
                raise missing_parameter(f"{name}[{field}]")
        return found

    return check


# Letters of any alphabet: a browser writes them in ASCII by itself.
LABEL = re.compile(r"(?!-)[\w-]{1,63}(?<!-)")
LONGEST_HOST = 253


def web_address(value: Any, name: str) -> str:
    """One that a browser can be sent to: a redirect to any other would end in no answer at all."""
    text = str(string()(value, name))
    if not _leads_somewhere(text):
        raise ApiError(400, "Not a valid URL", code="url_invalid", param=name)
    return text


def _leads_somewhere(text: str) -> bool:
    if any(character.isspace() or not character.isprintable() for character in text):
        return False
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:  # brackets that don't match, a port that is no number or above 65535
        return False
    if parts.scheme not in ("http", "https") or port == 0:
        return False
    return _is_host(parts.hostname or "", parts.netloc)


def _is_host(host: str, netloc: str) -> bool:
    if "[" in netloc:  # an IPv6 address, which urlsplit has judged
        return ":" in host
    try:
        written = host.removesuffix(".").encode("idna").decode()
    except UnicodeError:
        return False
    labels = written.split(".")
    return len(written) <= LONGEST_HOST and all(LABEL.fullmatch(label) for label in labels)


def locale(value: Any, name: str) -> str:
    """One of Stripe's; the hosted page speaks English."""
    return str(not_yet("auto", "en")(one_of(*LOCALES)(value, name), name))


def ui_mode(value: Any, name: str) -> str:
    if value in ("elements", "embedded_page"):
        not_yet()(value, name)
    return str(one_of("elements", "embedded_page", "hosted_page")(value, name))


def method_type(value: Any, name: str) -> str:
    if value not in ("card", bank_debits.METHOD):
        raise ApiError(
            400,
            f"The sandbox takes card and {bank_debits.METHOD} only (yet), not {value}; Stripe may.",
            param=name,
        )
    return str(value)


def _unplayed(*names: str) -> dict[str, Checker]:
    return dict.fromkeys(names, unplayed)


PRODUCT = whole(
    {
        # Nobody could read the metadata: there are no products here.
        **_unplayed("images", "metadata", "tax_code", "unit_label"),
        "name": string(),
        "description": string(40000),
    },
    "name",
)

PRICE = whole(
    {
        **_unplayed("product", "recurring", "unit_amount_decimal"),
        "currency": currency,
        "product_data": PRODUCT,
        "tax_behavior": not_yet("unspecified"),
        "unit_amount": integer(),
    },
    "currency",
    "product_data",
    "unit_amount",
)

LINE_ITEM = whole(
    {
        **_unplayed("adjustable_quantity", "dynamic_tax_rates", "price", "tax_rates"),
        "metadata": metadata,
        "price_data": PRICE,
        "quantity": integer(1),
    },
    "price_data",
)

PAYMENT_INTENT_DATA = hash_of(
    {
        **_unplayed(
            "application_fee_amount",
            "on_behalf_of",
            "setup_future_usage",
            "shipping",
            "transfer_data",
            "transfer_group",
        ),
        "capture_method": not_yet("automatic", "automatic_async"),
        "description": string(1000),
        "metadata": metadata,
        "receipt_email": email,
        "statement_descriptor": descriptor,
        "statement_descriptor_suffix": descriptor,
    }
)

INVOICE_CREATION = whole({**_unplayed("invoice_data"), "enabled": off}, "enabled")

BRANDING = hash_of(
    {
        **_unplayed(
            "background_color", "border_style", "button_color", "font_family", "icon", "logo"
        ),
        "display_name": string(),
    }
)

# What Stripe takes and the sandbox has no part of.
UNPLAYED = """
    after_expiration consent_collection currency custom_fields custom_text customer customer_account
    customer_update discounts excluded_payment_method_types integration_identifier managed_payments
    name_collection optional_items payment_method_collection payment_method_configuration
    payment_method_data payment_method_options permissions redirect_on_completion return_url
    saved_payment_method_options setup_intent_data shipping_address_collection shipping_options
    subscription_data tax_id_collection wallet_options
""".split()


FIELDS: Mapping[str, Checker] = {
    **_unplayed(*UNPLAYED),
    "adaptive_pricing": hash_of({"enabled": off}),
    "allow_promotion_codes": not_yet("false"),
    "automatic_tax": hash_of({**_unplayed("liability"), "enabled": off}),
    "billing_address_collection": not_yet("auto"),
    "branding_settings": BRANDING,
    "cancel_url": web_address,
    "client_reference_id": string(200),
    "customer_creation": not_yet("if_required"),
    "customer_email": email,
    "expand": list_of(string()),
    "expires_at": integer(),
    "invoice_creation": INVOICE_CREATION,
    "line_items": list_of(LINE_ITEM),
    "locale": locale,
    "metadata": metadata,
    "mode": one_of("payment", "setup", "subscription"),
    "origin_context": not_yet("web"),
    "payment_intent_data": PAYMENT_INTENT_DATA,
    "payment_method_types": list_of(method_type),
    "phone_number_collection": hash_of({"enabled": off}),
    "submit_type": one_of("auto", "book", "donate", "pay", "subscribe"),
    "success_url": web_address,
    "ui_mode": ui_mode,
}


UPDATE: Mapping[str, Checker] = {
    **_unplayed("collected_information", "line_items", "shipping_options"),
    "expand": list_of(string()),
    "metadata": metadata_change,
}


def check(values: Mapping[str, Any], now: int, version: str) -> dict[str, Any]:
    """The parameters, clean; ``now`` in epoch seconds. Raises :class:`ApiError`."""
    if values.get("ui_mode") == "hosted" and version < HOSTED_PAGE_SINCE:
        values = {**values, "ui_mode": "hosted_page"}
    _refuse_other_modes(values)
    params = top_level(values, FIELDS, required=("success_url",))
    if "mode" not in params:
        raise missing_parameter("mode")
    if not params.get("line_items"):
        raise missing_parameter("line_items")
    if "expires_at" in params:
        params["expires_at"] = _by_our_clock(params["expires_at"], now)
        _check_life(params["expires_at"], now)
    _check_amounts(params["line_items"])
    params["payment_method_types"] = _method_types(params)
    return params


def _refuse_other_modes(values: Mapping[str, Any]) -> None:
    """First of all: they come with parameters of theirs, none of which would be the reason."""
    lacking = {"setup": "setup intents", "subscription": "subscriptions"}.get(
        str(values.get("mode"))
    )
    if lacking:
        raise ApiError(
            400,
            f"The sandbox plays mode=payment only: it has no {lacking} (yet), though Stripe has.",
            param="mode",
        )


def _method_types(params: Mapping[str, Any]) -> list[str]:
    """Those asked for, or what the account has switched on that suits the currency."""
    code = params["line_items"][0]["price_data"]["currency"]
    wanted: list[str] = params.get("payment_method_types") or []
    if not wanted:
        return ["card", bank_debits.METHOD] if code == bank_debits.CURRENCY else ["card"]
    if bank_debits.METHOD in wanted and code != bank_debits.CURRENCY:
        raise ApiError(
            400,
            f"The currency provided ({code}) is invalid for one or more payment method types on"
            f" this Checkout Session: `{bank_debits.METHOD}` takes {bank_debits.CURRENCY} only.",
            param="payment_method_types",
        )
    return wanted


def _by_our_clock(expires_at: int, now: int) -> int:
    """Who reckons by the machine's clock means as long from now, however far ours was moved."""
    shifted = expires_at + round(clock.offset())
    meant = SHORTEST_LIFE_S <= shifted - now <= LONGEST_LIFE_S
    return shifted if expires_at < now + SHORTEST_LIFE_S and meant else expires_at


def _check_life(expires_at: int, now: int) -> None:
    if expires_at < now + SHORTEST_LIFE_S:
        raise ApiError(
            400,
            "The `expires_at` timestamp must be at least 30 minutes from Checkout Session"
            " creation.",
            param="expires_at",
        )
    if expires_at > now + LONGEST_LIFE_S:
        raise ApiError(
            400,
            "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.",
            param="expires_at",
        )


def _check_amounts(items: list[dict[str, Any]]) -> None:
    currencies = {item["price_data"]["currency"] for item in items}
    if len(currencies) > 1:
        raise ApiError(
            400, "All prices on a Checkout Session must use the same currency.", param="line_items"
        )
    (code,) = currencies
    for index, item in enumerate(items):
        if "quantity" not in item:
            raise missing_parameter(f"line_items[{index}][quantity]")
        _check_granularity(item["price_data"]["unit_amount"], code, index)
    _check_total(total(items), code)


def total(items: list[dict[str, Any]]) -> int:
    """In minor units."""
    return sum(item["price_data"]["unit_amount"] * item["quantity"] for item in items)


def _check_granularity(amount: int, code: str, index: int) -> None:
    step = money.granularity(code)
    if amount % step:
        raise ApiError(
            400,
            f"Invalid amount: {amount} {code} must be a multiple of {step}, as {code.upper()} is"
            f" charged in {'whole units' if step == 100 else 'steps of ten'}.",
            param=f"line_items[{index}][price_data][unit_amount]",
        )


def _check_total(amount: int, code: str) -> None:
    if amount < money.minimum(code):
        smallest = money.format_amount(money.minimum(code), code)
        raise ApiError(
            400,
            f"The Checkout Session's total amount due must add up to at least {smallest} {code}",
            code="amount_too_small",
        )
    if amount > money.MAXIMUM_MINOR:
        largest = money.format_amount(money.MAXIMUM_MINOR, code)
        raise ApiError(
            400,
            f"The Checkout Session's total amount due must be no more than {largest} {code}",
            code="amount_too_large",
        )
