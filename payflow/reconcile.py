"""Asking Stripe what nobody told us, and recording it the same way as a webhook.

Commits, since no transaction may be open while Stripe is asked.
"""

import logging

from payflow import gateway, payments
from payflow.db import db
from payflow.models import Attempt

log = logging.getLogger(__name__)


def close(attempt: Attempt) -> None:
    """See to it that an attempt can't be paid any more, or learn that it was.

    Stripe refuses to expire a session that is no longer open: then it is asked what became of it.
    Raises GatewayError, also where the session is found to be open still.
    """
    assert attempt.session_id
    try:
        answer = gateway.expire_session(attempt.session_id)
    except gateway.GatewayError as error:
        if not error.ours:
            raise
        log.info("session %s not expired: %s", attempt.session_id, error)
        answer = gateway.retrieve_session(attempt.session_id)
        if answer.object["status"] == "open":
            raise
    _record(attempt, answer, "expiry")


def _record(attempt: Attempt, answer: gateway.Answer, source: str) -> None:
    payments.record_session(attempt.payment_id, attempt.id, answer.object, answer.at, source)
    db.session.commit()
