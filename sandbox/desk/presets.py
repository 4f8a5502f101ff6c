"""Sets of switches that make one kind of bad day, and the one that ends it."""

from collections.abc import Mapping
from typing import NamedTuple

from sandbox import faults, settings
from sandbox.store import JsonDict

# What every preset sets anew, so that trouble of an earlier one ends. It leaves alone the endpoint,
# the account's version and what is no trouble.
CALM: JsonDict = {
    name: settings.DEFAULTS[name]
    for name in ("api_delay_s", "deliver", "webhook_delay_s", faults.API, faults.DELIVERY)
}


class Preset(NamedTuple):
    title: str
    about: str
    switches: JsonDict


PRESETS: Mapping[str, Preset] = {
    "everything-goes-wrong": Preset(
        "Everything goes wrong",
        "Calls time out, break and are reset, before and after their effect; webhooks come twice,"
        " late, out of order, badly signed, or not at all.",
        {
            faults.API: [
                {"on": "* /v1/*", "fault": "delay", "probability": 0.2, "seconds": 1.5},
                {"on": "* /v1/*", "fault": "429", "probability": 0.1, "seconds": 1},
                {"on": "* /v1/*", "fault": "500", "probability": 0.05},
                {"on": "POST /v1/*", "fault": "500_after", "probability": 0.05},
                {"on": "* /v1/*", "fault": "reset_before", "probability": 0.1},
                {"on": "POST /v1/*", "fault": "reset_after", "probability": 0.1},
                {"on": "POST /v1/*", "fault": "timeout_after", "probability": 0.05},
            ],
            faults.DELIVERY: [
                {"on": "*", "fault": "duplicate", "probability": 0.3},
                {"on": "*", "fault": "reorder", "probability": 0.4, "seconds": 4},
                {"on": "*", "fault": "drop", "probability": 0.1},
                {"on": "*", "fault": "corrupt_signature", "probability": 0.1},
                {"on": "*", "fault": "old_timestamp", "probability": 0.1},
            ],
        },
    ),
    "stripe-is-down": Preset(
        "Stripe is down",
        "Each API call's connection is reset before anything happens; no event is delivered until"
        " it is over.",
        {faults.API: [{"on": "* /v1/*", "fault": "reset_before"}], "deliver": False},
    ),
    "webhooks-twice-and-late": Preset(
        "Webhooks twice and late",
        "Each event comes eight seconds late, and twice at the same moment.",
        {
            faults.DELIVERY: [
                {"on": "*", "fault": "delay", "seconds": 8},
                {"on": "*", "fault": "duplicate"},
            ]
        },
    ),
    "normal": Preset(
        "Back to normal",
        "No faults; events go out at once, and so do those that waited. All delays, the retries and"
        " what becomes of refunds are as at the start. Clock, endpoints and payments stay.",
        {
            name: settings.DEFAULTS[name]
            for name in (
                "debit_delay_s",
                "dispute_delay_s",
                "refund_delay_s",
                "refund_outcome",
                "retry_schedule_s",
            )
        },
    ),
}


def switches_of(name: str) -> JsonDict | None:
    """All that the preset sets: trouble of an earlier one ends."""
    preset = PRESETS.get(name)
    return None if preset is None else CALM | preset.switches
