"""`flask reconcile`: one sweep, now."""

import click

from payflow import sweep
from payflow.cli.output import Command, one_line, quiet
from payflow.record import found_by_sweep

# Exit statuses.
DIFFERENCES, COULD_NOT_ASK = 1, 2


class Reconcile(Command):
    # Else it would read as differences.
    without_database = COULD_NOT_ASK


@click.command("reconcile", cls=Reconcile)
@click.option("--dry-run", is_flag=True, help="Print every difference, store nothing; exits 0, "
              "1 (differences) or 2 (Stripe could not be asked, or the database).")  # fmt: skip
@click.pass_context
def reconcile(context: click.Context, dry_run: bool) -> None:
    """Ask Stripe about all that is not settled, and record what it says."""
    quiet()
    report = sweep.run(by_hand=True, dry_run=dry_run)
    for change in report.changes:
        click.echo(one_line(change))
    click.echo(
        f"{len(report.changes)} {'would change' if dry_run else 'changed'}, "
        f"{report.missed_events} events were never delivered, Stripe asked {report.asked} times; "
        f"payments ever found by a sweep and by no webhook: {found_by_sweep()}"
    )
    if report.stopped:
        click.echo(f"Stopped before the end. {report.stopped}", err=True)
        context.exit(COULD_NOT_ASK)
    context.exit(DIFFERENCES if dry_run and report.changes else 0)
