"""A process that dies at a point it is told, never production code: python -m tests.crashes.child

Reads orders from its input, a line of JSON each, and for each forks a process that does one of the
scenarios and kills itself at the n-th point: before and after each commit that wrote something,
each call to Stripe, and the mail server's taking of a letter. Answers, in a line of JSON, whether
it died, and the points that it met. Forking saves the second that starting takes.
"""

import json
import os
import signal
import smtplib
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Flask
from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session

from payflow import (
    by_hand,
    checkout,
    clock,
    create_app,
    emails,
    events,
    gateway,
    reconcile,
    refunds,
    sweep,
)
from payflow.payments import Details

SCENARIOS: Mapping[str, Callable[..., object]] = {
    "open": lambda form_key, details: checkout.start(Details(**details), bytes.fromhex(form_key)),
    "webhook": lambda event: events.receive(event, json.dumps(event)),
    "deliver": lambda email_id: emails.deliver(email_id),
    "refund": lambda payment_id, amount: refunds.refund(UUID(payment_id), amount),
    "sweep": lambda: sweep.run(by_hand=True),
    "match": lambda: reconcile.match_events(),
    "cancel": lambda payment_id: by_hand.cancel(UUID(payment_id)),
    "accept": lambda payment_id: by_hand.accept(UUID(payment_id)),
}


class Points:
    """Counts the points that are met, tells each, and dies at one of them."""

    def __init__(self, told_to: int, die_at: int) -> None:
        self.told_to, self.die_at, self.met = told_to, die_at, 0
        self.written, self.counts = False, True

    def meet(self, name: str) -> None:
        if not self.counts:
            return
        self.met += 1
        os.write(self.told_to, f"{name}\n".encode())
        if self.met == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def before_commit(self, connection: Connection) -> None:
        xact = connection.exec_driver_sql("SELECT pg_current_xact_id_if_assigned()").scalar()
        self.written = xact is not None
        if self.written:
            self.meet("before a commit")

    def after_commit(self, session: Session) -> None:
        if self.written:
            self.written = False
            self.meet("after a commit")

    def around(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def met(*arguments: Any) -> Any:
            self.meet(f"before {what}")
            answer = function(*arguments)
            self.meet(f"after {what}")
            return answer

        return met

    def unseen(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def not_met(*arguments: Any) -> Any:
            self.counts = False
            try:
                return function(*arguments)
            finally:
                self.counts = True

        return not_met

    def install(self) -> None:
        event.listen(Engine, "commit", self.before_commit)
        event.listen(Session, "after_commit", self.after_commit)
        # How often Stripe was asked today: one more or less is no harm.
        sweep._spend = self.unseen(sweep._spend)
        gateway._call = self.around("Stripe's answer", gateway._call)
        smtplib.SMTP.data = self.around("the letter is taken", smtplib.SMTP.data)  # type: ignore[method-assign]


def do(app: Flask, order: Mapping[str, Any], told_to: int) -> int:
    """In the forked process: one scenario, to its end or its death."""
    now, shift = clock.now, timedelta(seconds=order["shift_s"])
    clock.now = lambda: now() + shift
    Points(told_to, order["die_at"]).install()
    try:
        with app.test_request_context():
            SCENARIOS[order["scenario"]](**order["arguments"])
    except Exception:  # an outcome like others: the test judges what it left
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    app = create_app()
    for line in sys.stdin:
        reading, writing = os.pipe()
        process = os.fork()
        if process == 0:
            os._exit(do(app, json.loads(line), writing))
        os.close(writing)
        with os.fdopen(reading) as told:
            points = told.read().splitlines()
        _, status = os.waitpid(process, 0)
        answer = {"died": os.WIFSIGNALED(status), "points": points,
                  "failed": os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0}  # fmt: skip
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
