"""The pages behind the scenes: what sessions and events there are, and how deliveries went."""

import json
import sqlite3
from datetime import UTC, datetime

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from sandbox import events, settings
from sandbox.sessions import KIND
from sandbox.settings import BadSetting
from sandbox.store import JsonDict
from sandbox.world import world

pages = Blueprint("pages", __name__)

SHOWN = 30


@pages.app_template_filter()
def clock_time(epoch: float) -> str:
    """In UTC, which the column says."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%H:%M:%S")


@pages.app_template_filter()
def date_time(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


@pages.get("/")
def index() -> str:
    return _index({})


def _index(errors: dict[str, str]) -> str:
    with world().store.reading() as db:
        return render_template(
            "index.html",
            sessions=_sessions(db),
            events=_events(db),
            attempts=_attempts(db),
            counts=_counts(db),
            switches=settings.current(db),
            errors=errors,
        )


def _sessions(db: sqlite3.Connection) -> list[JsonDict]:
    rows = db.execute(
        "SELECT body, private FROM objects WHERE object = ? ORDER BY seq DESC LIMIT ?",
        (KIND, SHOWN),
    ).fetchall()
    return [
        json.loads(row["body"])
        | {"title": json.loads(row["private"])["line_items"][0]["description"]}
        for row in rows
    ]


def _events(db: sqlite3.Connection) -> list[sqlite3.Row]:
    return db.execute(
        "SELECT events.*, state, tries, due_at FROM events LEFT JOIN deliveries ON event_id = id"
        " ORDER BY seq DESC LIMIT ?",
        (SHOWN,),
    ).fetchall()


def _attempts(db: sqlite3.Connection) -> list[sqlite3.Row]:
    return db.execute(
        "SELECT attempts.*, events.type FROM attempts JOIN events ON events.id = event_id"
        " ORDER BY attempts.seq DESC LIMIT ?",
        (SHOWN,),
    ).fetchall()


def _counts(db: sqlite3.Connection) -> sqlite3.Row:
    row: sqlite3.Row = db.execute(
        "SELECT (SELECT count(*) FROM objects WHERE object = ?) AS sessions,"
        " (SELECT count(*) FROM events) AS events, (SELECT count(*) FROM attempts) AS attempts,"
        " (SELECT count(*) FROM mails) AS mails",
        (KIND,),
    ).fetchone()
    return row


@pages.post("/settings")
def change_delay() -> BaseResponse | str:
    typed = request.form.get("webhook_delay_s", "")
    try:
        with world().store.transaction() as db:
            settings.change(db, {"webhook_delay_s": _number(typed)})
    except BadSetting as error:
        return _index({"webhook_delay_s": str(error)})
    return redirect(url_for("pages.index"), 303)


def _number(typed: str) -> float | str:
    try:
        return float(typed)
    except ValueError:
        return typed  # for the setting's own check to refuse


@pages.get("/events/<event_id>")
def event(event_id: str) -> str:
    with world().store.reading() as db:
        row = db.execute(
            "SELECT events.*, state, tries, due_at FROM events"
            " LEFT JOIN deliveries ON event_id = id WHERE id = ?",
            (event_id,),
        ).fetchone()
        attempts = db.execute(
            "SELECT * FROM attempts WHERE event_id = ? ORDER BY seq DESC", (event_id,)
        ).fetchall()
        endpoint = settings.endpoint(db)
    if row is None:
        abort(404)
    return render_template(
        "event.html",
        event=row,
        payload=row["body"].decode(),
        attempts=[
            dict(item) | {"headers": json.loads(item["request_headers"])} for item in attempts
        ],
        endpoint=endpoint,
    )


@pages.post("/events/<event_id>/send")
def send_again(event_id: str) -> BaseResponse | Response:
    with world().store.transaction() as db:
        if events.find(db, event_id) is None:
            abort(404)
        if settings.endpoint(db) is None:
            return Response(render_template("no_endpoint.html"), 409)
        events.queue(db, event_id, datetime.now(UTC).timestamp())
    world().deliveries.wake()
    return redirect(url_for("pages.event", event_id=event_id), 303)
