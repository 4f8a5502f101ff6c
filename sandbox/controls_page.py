"""The page with the levers: the clock, quick presets, single faults, how webhooks behave."""

import re
from collections.abc import Callable
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from sandbox import actions, clock, faults, later, presets, settings
from sandbox.errors import ApiError
from sandbox.settings import BadSetting
from sandbox.store import JsonDict
from sandbox.world import world

controls_page = Blueprint("controls_page", __name__)

STEPS = {"1 hour": 3600, "1 day": 86400, "8 days": 8 * 86400}
# Nobody is told of these.
UNHEARD = frozenset({"balance.available"})
NUMBERS = ("webhook_delay_s", "api_delay_s", "debit_delay_s", "seed")


@controls_page.app_context_processor
def trouble() -> dict[str, object]:
    """What the top of each page warns of: somebody who forgot a fault looks for it for hours."""
    with world().store.reading() as db:
        switches = settings.current(db)
    changed = [name for name in presets.CALM if switches[name] != presets.CALM[name]]
    return {"trouble": changed, "clock_offset_s": clock.offset()}


@controls_page.get("/controls")
def show() -> str:
    return _show({})


def _show(errors: dict[str, str]) -> str:
    with world().store.reading() as db:
        return render_template(
            "controls.html",
            switches=settings.current(db),
            counts=faults.counts(db),
            to_come=[row for row in later.pending(db) if row["action"] not in UNHEARD][:12],
            now=clock.now(),
            offset_s=clock.offset(),
            presets=presets.PRESETS,
            chosen=_chosen(settings.current(db)),
            steps=STEPS,
            api_faults=list(faults.API_SECONDS),
            delivery_faults=list(faults.DELIVERY_SECONDS),
            typed=request.form,
            errors=errors,
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
def move_clock() -> BaseResponse | str:
    typed = request.form.get("advance_s", "")
    try:
        with world().store.transaction() as db:
            actions.move_clock(db, {"advance_s": _number(typed)})
    except ApiError as error:
        return _show({"clock": error.message})
    return _back()


@controls_page.post("/controls/preset")
def choose_preset() -> BaseResponse | str:
    wanted = presets.switches_of(request.form.get("preset", ""))
    return _change(lambda _: wanted or {}, "presets")


@controls_page.post("/controls/fault")
def add_fault() -> BaseResponse | str:
    kind = request.form.get("kind", "")
    if kind not in (faults.API, faults.DELIVERY):
        return _show({"fault": "Choose a fault."})
    fault = request.form.get("fault", "")
    rule: JsonDict = {"fault": fault, "on": request.form.get("on", "").strip()}
    for field in ("probability", "times", "seconds"):
        typed = request.form.get(field, "").strip()
        if typed:
            rule[field] = _number(typed)
    if "probability" in rule and isinstance(rule["probability"], int | float):
        rule["probability"] = rule["probability"] / 100
    return _change(lambda now: {kind: [*now[kind], rule]}, f"fault-{kind}")


@controls_page.post("/controls/fault/remove")
def remove_fault() -> BaseResponse | str:
    kind, _, index = request.form.get("rule", "").partition(":")
    if kind not in (faults.API, faults.DELIVERY):
        return _back()
    return _change(
        lambda now: {kind: [rule for at, rule in enumerate(now[kind]) if str(at) != index]},
        "fault",
    )


@controls_page.post("/settings")
def change_settings() -> BaseResponse | str:
    """The delays, the seed, and whether deliveries are on (a check box: absent is off)."""
    wanted: JsonDict = {
        name: _number(request.form[name]) for name in NUMBERS if name in request.form
    }
    if "deliver_shown" in request.form:
        wanted["deliver"] = "deliver" in request.form
    return _change(lambda _: wanted, "settings")


def _change(wanted: Callable[[JsonDict], Any], where: str) -> BaseResponse | str:
    try:
        with world().store.transaction() as db:
            settings.change(db, wanted(settings.current(db)))
    except BadSetting as error:
        return _show({where: str(error)})
    return _back()


def _back() -> BaseResponse:
    world().deliveries.wake()
    return redirect(url_for("controls_page.show"), 303)


def _number(typed: str) -> float | int | str:
    """What is no number is left for the setting's own check to refuse."""
    if re.fullmatch(r"-?[0-9]{1,15}", typed):
        return int(typed)
    return float(typed) if re.fullmatch(r"-?[0-9]{1,15}\.[0-9]{1,15}", typed) else typed
