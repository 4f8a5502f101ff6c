"""`flask emails …`: letters, and sending one again."""

from collections.abc import Sequence

import click
from sqlalchemy import select

from payflow import emails as domain
from payflow.cli.output import Group, quiet, refusals, table
from payflow.db import db
from payflow.models import LETTER_STATES, Email, Payment

emails = Group("emails", callback=quiet, help="Letters, and sending one again.")


@emails.command("list")
@click.option("--state", type=click.Choice(LETTER_STATES))
@click.option("--limit", default=50, show_default=True, help="At most so many, newest first.")
def list_emails(state: str | None, limit: int) -> None:
    """The newest letters, a line each."""
    query = (
        select(Email, Payment.receipt_number)
        .outerjoin(Payment)
        .order_by(Email.id.desc())
        .limit(limit)
    )
    if state:
        query = query.where(Email.state == state)
    table(
        ("ID", "CREATED (UTC)", "RECEIPT", "KIND", "TO", "STATE", "TRIES", "LAST ERROR"),
        (
            (
                one.id,
                one.created_at,
                receipt_number,
                one.kind,
                one.recipient,
                one.state,
                one.tries,
                one.last_error,
            )
            for one, receipt_number in db.session.execute(query)
        ),
    )


@emails.command("resend")
@click.argument("ids", nargs=-1, type=int, required=True)
def resend(ids: Sequence[int]) -> None:
    """Send letters once more; the worker delivers them."""
    for email_id in ids:
        with refusals():
            letter = domain.send_again(email_id)
            db.session.commit()
        click.echo(f"Letter {letter.id} ({letter.kind}) goes to {letter.recipient} again.")
