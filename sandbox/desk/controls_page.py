"""The page with the levers: the clock, quick presets, single faults, how webhooks behave."""

import re
from collections.abc import Callable
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from sandbox import clock, faults, later, settings
from sandbox.desk import actions, control, notes, presets
from sandbox.desk.notes import Note
from sandbox.desk.pages import in_words
from sandbox.protocol import versions
from sandbox.protocol.errors import ApiError
from sandbox.settings import BadSetting
from sandbox.store import JsonDict
from sandbox.world import world

controls_page = Blueprint("controls_page", __name__)

STEPS = {"1 hour": 3600, "1 day": 86400, "8 days": 8 * 86400}
# Nobody is told of these.
UNHEARD = frozenset({"balance.available"})
NUMBERS = {
    "webhook_delay_s": "Seconds until an event is delivered",
    "api_delay_s": "Seconds each API answer is held back",
    "debit_delay_s": "Seconds until a bank answers a debit",
    "refund_delay_s": "Seconds until a pending refund is decided",
    "dispute_delay_s": "Seconds until a card’s dispute, and its verdict",
    "seed": "Seed of the faults",
}
# Empty for null.
TEXTS = ("api_version", "business_name", "refund_outcome", "webhook_secret", "webhook_url")


@controls_page.app_template_global()
def trouble() -> list[str]:
    """What the top of each page warns of: somebody who forgot a fault looks for it for hours."""
    with world().store.reading() as db:
        switches = settings.current(db)
    return [name for name in presets.CALM if switches[name] != presets.CALM[name]]


controls_page.add_app_template_global(clock.offset, "clock_offset")


@controls_page.get("/controls")
def show() -> str:
    with world().store.reading() as db:
        switches = settings.current(db)
        return render_template(
            "controls.html",
            switches=switches,
            counts=faults.counts(db),
            to_come=[row for row in later.pending(db) if row["action"] not in UNHEARD][:12],
            now=clock.now(),
            offset_s=clock.offset(),
            presets=presets.PRESETS,
            chosen=_chosen(switches),
            steps=STEPS,
            numbers=NUMBERS,
            schedule=", ".join(f"{seconds:g}" for seconds in switches["retry_schedule_s"]),
            outcomes=[outcome for outcome in settings.REFUND_OUTCOMES if outcome],
            versions=reversed(versions.KNOWN),
            api_faults=list(faults.API_SECONDS),
            delivery_faults=list(faults.DELIVERY_SECONDS),
            note=notes.of_this_page(),
        )


def _chosen(switches: JsonDict) -> str | None:
    """The preset that is in force, if one is."""
    for name in presets.PRESETS:
        wanted = presets.switches_of(name) or {}
        checked = {key: settings.CHECKS[key](key, value) for key, value in wanted.items()}
        if all(switches[key] == value for key, value in checked.items()):
            return name
    return None


@controls_page.post("/controls/clock")
def move_clock() -> BaseResponse:
    seconds = _number(request.form.get("advance_s", ""))
    try:
        with world().store.transaction() as db:
            done = actions.move_clock(db, {"advance_s": seconds})["done"]
    except ApiError as error:
        return _back(Note("clock", error.message, refused=True))
    happened = {0: "nothing was due", 1: "one thing was due and is done"}
    told = happened.get(done, f"{done} things were due and are done")
    return _back(Note("clock", f"Moved forward by {in_words(float(seconds))}: {told}."))


@controls_page.post("/controls/preset")
def choose_preset() -> BaseResponse:
    name = request.form.get("preset", "")
    wanted = presets.switches_of(name)
    if wanted is None:
        return _back(Note("presets", "Choose a kind of day.", refused=True))
    return _change(lambda _: wanted, "presets", f"{presets.PRESETS[name].title}: set.")


@controls_page.post("/controls/fault")
def add_fault() -> BaseResponse:
    kind = request.form.get("kind", "")
    if kind not in (faults.API, faults.DELIVERY):
        return _back(Note("presets", "Choose a fault.", refused=True))
    rule: JsonDict = {name: request.form.get(name, "").strip() for name in ("fault", "on")}
    for field in ("probability", "times", "seconds"):
        typed = request.form.get(field, "").strip()
        if typed:
            rule[field] = _number(typed)
    if "probability" in rule and isinstance(rule["probability"], int | float):
        rule["probability"] = rule["probability"] / 100
    return _change(lambda now: {kind: [*now[kind], rule]}, kind, "Added.")


@controls_page.post("/controls/fault/remove")
def remove_fault() -> BaseResponse:
    kind, _, index = request.form.get("rule", "").partition(":")
    if kind not in (faults.API, faults.DELIVERY):
        return _back(Note("presets", "Choose a fault.", refused=True))
    return _change(
        lambda now: {kind: [rule for at, rule in enumerate(now[kind]) if str(at) != index]},
        kind,
        "Removed.",
    )


@controls_page.post("/settings")
def change_settings() -> BaseResponse:
    """What the form holds; whether deliveries are on is a check box: absent is off."""
    form = request.form
    wanted: JsonDict = {name: _number(form[name].strip()) for name in NUMBERS if name in form}
    wanted |= {name: form[name].strip() or None for name in TEXTS if name in form}
    if "retry_schedule_s" in form:
        parts = form["retry_schedule_s"].replace(",", " ").split()
        wanted["retry_schedule_s"] = [_number(part) for part in parts]
    if "deliver_shown" in form:
        wanted["deliver"] = "deliver" in form
    return _change(lambda _: wanted, "settings", "Saved.")


@controls_page.get("/controls/reset")
def ask_before_reset() -> str:
    return render_template("reset.html")


@controls_page.post("/controls/reset")
def reset() -> BaseResponse:
    control.start_over()
    return _back(Note("reset", "Everything was forgotten, and all switches are as at the start."))


def _change(wanted: Callable[[JsonDict], Any], where: str, done: str) -> BaseResponse:
    try:
        with world().store.transaction() as db:
            settings.change(db, wanted(settings.current(db)))
    except BadSetting as error:
        return _back(Note(where, str(error), refused=True, typed=request.form.to_dict()))
    return _back(Note(where, done))


def _back(note: Note) -> BaseResponse:
    to = url_for("controls_page.show", note=notes.keep(note), _anchor=f"{note.where}-title")
    return redirect(to, 303)


def _number(typed: str) -> float | int | str:
    """What is no number is left for the setting's own check to refuse."""
    if re.fullmatch(r"-?[0-9]{1,15}", typed):
        return int(typed)
    return float(typed) if re.fullmatch(r"-?[0-9]{1,15}\.[0-9]{1,15}", typed) else typed
