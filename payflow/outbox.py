"""The outbox: letters that are owed, queued with the facts that call for them. Never commits.

A letter is a row and a job in the transaction of its facts; `emails.py` delivers it.
"""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert as upsert

from payflow import clock, queue
from payflow.config import current_settings
from payflow.db import db
from payflow.letters import OWNER, Owed
from payflow.models import EMAILS

TASK = "deliver_email"
# Characters of what a letter is about: Postgres indexes no more than about 2,700 bytes of a row.
LONGEST = 500

# One that was skipped, for what it was about had passed, is owed anew when that comes again.
QUEUE = (
    upsert(EMAILS)
    .on_conflict_do_update(
        index_elements=["payment_id", "kind", "about"],
        set_={"state": "queued", "tries": 0},
        where=EMAILS.c.state == "skipped",
    )
    .returning(EMAILS.c.id)
)


def queue_letters(payment_id: UUID | None, owed: Iterable[Owed], customer: str = "") -> None:
    """Queue letters and their jobs; those that exist already are left alone.

    `customer` is the address for letters to the customer. Where no ALERT_EMAIL is set, the owner
    gets none. Without a payment, a letter is about the installation.
    """
    recipients = {OWNER: current_settings().alert_email}
    rows = [
        {"payment_id": payment_id, "kind": letter.kind, "about": letter.about[:LONGEST],
         "state": "queued", "recipient": recipient, "tries": 0,
         "created_at": clock.now()}
        for letter in sorted(owed)
        if (recipient := recipients.get(letter.to, customer))
    ]  # fmt: skip
    if rows:
        queue.defer(*(job_of(email_id) for email_id in db.session.scalars(QUEUE, rows)))


def job_of(email_id: int) -> queue.Deferred:
    """The job that delivers a letter."""
    return queue.Deferred(TASK, {"email_id": email_id}, f"email:{email_id}", queue.LETTER)
