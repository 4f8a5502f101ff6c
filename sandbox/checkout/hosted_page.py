"""The page where the customer pays: ``/c/pay/cs_test_…``, with fields Checkout's users know.

The form is judged by ``payment_form``; what a payment does is for ``sessions`` and ``payments``.
Where the bank wants to hear from the customer first, the way leads over ``…/authenticate``.
"""

import sqlite3
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from flask import Blueprint, Response, redirect, render_template, request, url_for
from markupsafe import Markup
from werkzeug.wrappers import Response as BaseResponse

from sandbox import clock, settings
from sandbox.checkout import payment_form
from sandbox.objects import bank_debits, cards, debits, payments, sessions
from sandbox.objects.payments import Payer
from sandbox.protocol import money
from sandbox.protocol.errors import ApiError
from sandbox.store import JsonDict, private_part, update_private
from sandbox.webhooks import events
from sandbox.world import world

hosted_page = Blueprint("hosted_page", __name__, url_prefix="/c/pay")

# As long as Stripe holds the customer for the answer to checkout.session.completed.
HELD_AT_MOST_S = 10.0

NOT_AUTHENTICATED = (
    "We are unable to authenticate your payment method. Please choose a different payment method"
    " and try again."
)


class Outcome(NamedTuple):
    """After a try: the session, the event that completed it, or whether its bank asks first."""

    session: JsonDict
    completed_event: str | None = None
    asks: bool = False


class Try(NamedTuple):
    """The customer's last one: what was typed, and what was wrong with it."""

    typed: dict[str, str]
    errors: dict[str, str]


@hosted_page.get("/<session_id>")
def show(session_id: str) -> Response | str:
    with world().store.transaction() as db:
        session = _load(db, session_id)
        if session is None:
            return _not_found()
        shown = _shown(db, session)
    return _page(**shown)


@hosted_page.post("/<session_id>")
def pay(session_id: str) -> Response | BaseResponse:
    with world().store.transaction() as db:
        session = _load(db, session_id)
        if session is None:
            return _not_found()
        typed = payment_form.typed_in(request.form, session["payment_method_types"])
        payer, errors = payment_form.read(typed, _today())
        _keep_try(db, session, Try(typed, errors))
        outcome = _confirm(db, session, payer)
    return _answer(outcome)


@hosted_page.get("/<session_id>/authenticate")
def challenge(session_id: str) -> Response | str | BaseResponse:
    with world().store.transaction() as db:
        session = _load(db, session_id)
        if session is None:
            return _not_found()
        asked = _is_asked(db, session)
        number = _last_try(db, session).typed["number"]
    if not asked:
        return redirect(url_for("hosted_page.show", session_id=session_id), 303)
    return render_template(
        "challenge.html", session=session, amount=_amount(session), last4=number[-4:]
    )


@hosted_page.post("/<session_id>/authenticate")
def authenticate(session_id: str) -> Response | BaseResponse:
    passed = request.form.get("answer") == "complete"
    with world().store.transaction() as db:
        session = _load(db, session_id)
        if session is None:
            return _not_found()
        payer, _ = payment_form.read(_last_try(db, session).typed, _today())
        outcome = _authenticated(db, session, payer, passed)
    return _answer(outcome)


def _today() -> datetime:
    return datetime.fromtimestamp(clock.now(), UTC)


def _load(db: sqlite3.Connection, session_id: str) -> JsonDict | None:
    """The session as time has left it, or None."""
    try:
        session = sessions.load(db, session_id)
    except ApiError:
        return None
    sessions.expire_if_due(db, session)
    return session


def _is_asked(db: sqlite3.Connection, session: JsonDict) -> bool:
    if session["status"] != "open" or not session["payment_intent"]:
        return False
    return bool(payments.intent_of(db, session)["status"] == "requires_action")


def _last_try(db: sqlite3.Connection, session: JsonDict) -> Try:
    """Kept beside the session, so that a page can be left, reloaded and come back to."""
    kept = private_part(db, session["id"]).get("tried")
    return Try(*kept) if kept else Try(payment_form.blank(session["customer_email"]), {})


def _keep_try(db: sqlite3.Connection, session: JsonDict, tried: Try) -> None:
    """Only what is a test number; a real one has no business in a file."""
    if session["status"] == "open":
        kept = Try(payment_form.without_real_numbers(tried.typed), tried.errors)
        update_private(db, session["id"], private_part(db, session["id"]) | {"tried": kept})


def _confirm(db: sqlite3.Connection, session: JsonDict, payer: Payer | None) -> Outcome:
    """Under the store's lock: of two clicks the second finds the session complete."""
    if session["status"] != "open" or payer is None:
        return _as_it_is(db, session)
    data = private_part(db, session["id"])["payment_intent_data"]
    intent = payments.confirm(db, session, data, payer)
    return _after_try(db, session, intent, payer)


def _authenticated(
    db: sqlite3.Connection, session: JsonDict, payer: Payer | None, passed: bool
) -> Outcome:
    if payer is None or not _is_asked(db, session):
        return _as_it_is(db, session)
    intent = payments.authenticate(db, payments.intent_of(db, session), payer, passed)
    return _after_try(db, session, intent, payer)


def _as_it_is(db: sqlite3.Connection, session: JsonDict) -> Outcome:
    if session["status"] != "complete":
        return Outcome(session)
    return Outcome(session, events.latest_of(db, session["id"], "checkout.session.completed"))


def _after_try(
    db: sqlite3.Connection, session: JsonDict, intent: JsonDict, payer: Payer
) -> Outcome:
    if intent["status"] == "requires_action":
        sessions.keep_payment_intent(db, session, intent["id"])
        return Outcome(session, asks=True)
    if intent["status"] == "requires_payment_method":
        sessions.keep_payment_intent(db, session, intent["id"])
        refusal = {"refusal": _words(intent["last_payment_error"])}
        _keep_try(db, session, Try(_last_try(db, session).typed, refusal))
        return Outcome(session)
    completed = sessions.complete(db, session, intent, payer)
    if intent["status"] == "processing":
        debits.schedule(db, intent["latest_charge"])
    told = _told_at_once(db, completed)
    if told:
        world().deliveries.expect(completed, told)
    return Outcome(session, completed)


def _words(error: JsonDict) -> str:
    """Stripe's page words for the customer what the API words for programs."""
    if error["code"] == "payment_intent_authentication_failure":
        return NOT_AUTHENTICATED
    return str(error["message"])


def _told_at_once(db: sqlite3.Connection, event_id: str) -> int:
    """How many endpoints can answer soon: the customer is held for them, and only then."""
    switches = settings.current(db)
    if not switches["deliver"] or switches["webhook_delay_s"]:
        return 0
    row = db.execute("SELECT count(*) FROM deliveries WHERE event_id = ?", (event_id,)).fetchone()
    return int(row[0])


def _answer(outcome: Outcome) -> BaseResponse:
    """Always a redirect: Back, Forward and Reload show a page and send nothing again.

    Call after the commit: the merchant may ask for the session as soon as it hears of it.
    """
    session_id = outcome.session["id"]
    if outcome.completed_event:
        world().deliveries.wait_for_answers(outcome.completed_event, HELD_AT_MOST_S)
        return redirect(merchant_url(outcome.session["success_url"], session_id), 303)
    page = "hosted_page.challenge" if outcome.asks else "hosted_page.show"
    return redirect(url_for(page, session_id=session_id), 303)


def merchant_url(template: str, session_id: str) -> str:
    return template.replace("{CHECKOUT_SESSION_ID}", session_id)


def _amount(session: JsonDict) -> str:
    return money.format_amount(session["amount_total"], session["currency"])


def _shown(db: sqlite3.Connection, session: JsonDict) -> dict[str, Any]:
    tried = _last_try(db, session)
    return {
        "session": session,
        "items": _items(db, session["id"]),
        "failed": _debit_failed(db, session),
        "typed": tried.typed,
        "errors": tried.errors,
    }


def _page(session: JsonDict, **shown: Any) -> str:
    """Without the store, which everybody waits for: a page takes longer than what it shows."""
    back = session["success_url" if session["status"] == "complete" else "cancel_url"]
    return render_template(
        "pay.html" if session["status"] == "open" else "closed.html",
        session=session,
        amount=_amount(session),
        back=merchant_url(back, session["id"]) if back else None,
        test_cards=_test_cards(tuple(session["payment_method_types"]), _today().year + 8),
        **shown,
    )


@lru_cache(maxsize=8)
def _test_cards(methods: tuple[str, ...], valid_until: int) -> Markup:
    """The panel to pick from: most of the page, and always the same."""
    return Markup(
        render_template(
            "test_cards.html",
            methods=methods,
            groups=cards.GROUPS,
            mistyped=cards.MISTYPED,
            accounts=bank_debits.ACCOUNTS.values(),
            expiration=f"12 / {valid_until % 100:02}",
        )
    )


def _items(db: sqlite3.Connection, session_id: str) -> list[JsonDict]:
    """The session's line items with what each thing is, if the merchant said so."""
    private = private_part(db, session_id)
    items = private["line_items"]
    abouts = private.get("descriptions") or [None] * len(items)  # made by an older sandbox
    return [item | {"about": about} for item, about in zip(items, abouts, strict=True)]


def _debit_failed(db: sqlite3.Connection, session: JsonDict) -> bool:
    """A complete session whose bank said no, days later."""
    if session["status"] != "complete" or session["payment_status"] == "paid":
        return False
    return bool(payments.intent_of(db, session)["status"] != "processing")


def _not_found() -> Response:
    return Response(render_template("no_session.html"), 404)
