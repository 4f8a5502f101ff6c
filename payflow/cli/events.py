"""`flask events …`: what Stripe has told, and handling it again."""

from collections.abc import Sequence

import click
from sqlalchemy import select

from payflow import events as domain
from payflow.cli.output import Group, quiet, refusals, table
from payflow.db import db
from payflow.models import StripeEvent

events = Group("events", callback=quiet, help="What Stripe has told, and handling it again.")


@events.command("list")
@click.option("--failed", is_flag=True, help="Only those whose handling failed, or not readable.")
@click.option("--limit", default=50, show_default=True, help="At most so many, newest first.")
def list_events(failed: bool, limit: int) -> None:
    """The newest events, a line each."""
    query = select(StripeEvent).order_by(StripeEvent.received_at.desc()).limit(limit)
    if failed:
        query = query.where(StripeEvent.error.is_not(None))
    table(
        ("RECEIVED (UTC)", "ID", "TYPE", "OUTCOME", "TRIES", "NEXT TRY (UTC)", "ERROR"),
        (
            (
                one.received_at,
                one.id,
                one.type,
                one.state,
                one.tries,
                one.next_try_at,
                one.error,
            )
            for one in db.session.scalars(query)
        ),
    )


@events.command("replay")
@click.argument("ids", nargs=-1)
@click.option("--failed", is_flag=True, help="All whose handling failed, or not readable.")
def replay(ids: Sequence[str], failed: bool) -> None:
    """Handle events once more, for real."""
    if bool(ids) == failed:
        raise click.UsageError("Name events by their ids, or say --failed.")
    left, wanted = 0, ids or list(domain.failed_events())
    if not wanted:
        click.echo("None.")
    for event_id in wanted:
        with refusals():
            left += not _replayed(event_id)
    if left:
        raise click.ClickException(f"{left} could not be handled; they are kept, and tried again.")


def _replayed(event_id: str) -> bool:
    try:
        domain.replay(event_id)
    except (domain.NotHandled, domain.WrongMode) as error:
        click.echo(f"{event_id}  not handled: {error}")
        return False
    event = db.session.get_one(StripeEvent, event_id, populate_existing=True)
    click.echo(f"{event_id}  {event.outcome}{f': {event.error}' if event.error else ''}")
    return True
