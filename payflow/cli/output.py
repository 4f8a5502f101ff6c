"""How commands answer: columns, lines, and refusals with a sentence."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import zip_longest
from typing import Any

import click
from flask.cli import AppGroup, with_appcontext
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import DeclarativeBase

from payflow import formats, schema
from payflow.by_hand import NotPossible
from payflow.db import db
from payflow.emails import NotResendable
from payflow.events import NotReplayable
from payflow.gateway import GatewayError
from payflow.known import UnknownPayment
from payflow.money import AmountError
from payflow.record import Change
from payflow.refunds import NotRefundable, Refused

# Columns that hold minor units, which people would take for a hundred times as much.
AMOUNTS = frozenset({"captured", "refunded", "received", "withdrawn"})
# Who takes it for undone asks for another.
REFUND_STANDS = (
    "A refund that was asked for is kept, and settled by the next sweep (`flask reconcile`)."
)


def quiet() -> None:
    """Leave what is logged as it happens to the logs: a command says itself what it did."""
    log = logging.getLogger("payflow")
    click.get_current_context().call_on_close(partial(log.setLevel, log.level))
    log.setLevel(logging.WARNING)


class Command(click.Command):
    """One that needs the database; what is the matter with that, it says in a sentence."""

    # The exit status then.
    without_database = 1

    def invoke(self, context: click.Context) -> Any:
        try:
            return with_appcontext(_invoke_with_database)(context, super().invoke)
        except WithoutDatabase as error:
            error.show()
            context.exit(self.without_database)


class Group(AppGroup):
    command_class = Command


class WithoutDatabase(click.ClickException):
    """It can't be reached, is behind, or failed on the way; the message says which."""


def _invoke_with_database(context: click.Context, invoke: Callable[[click.Context], Any]) -> Any:
    _look_at_database()
    try:
        return invoke(context)
    except (OperationalError, InterfaceError) as error:
        raise WithoutDatabase(
            f"The database did not do all that it was asked: {_cause(error)}. What was "
            f"committed before stands, the rest was not done. {REFUND_STANDS}"
        ) from error


def _look_at_database() -> None:
    """Before anything is done, so that nothing is done where it can't be ended."""
    try:
        revision = schema.found()
        db.session.rollback()
    except (OperationalError, InterfaceError) as error:
        raise WithoutDatabase(
            f"The database can't be reached: {_cause(error)}. Nothing was done. "
            "Look whether Postgres is running, and whether DATABASE_URL is its address."
        ) from error
    if schema.is_behind(revision):
        raise WithoutDatabase(
            f"The database's schema is at {revision}, behind this version of payflow, which needs "
            f"{schema.head()}. Nothing was done: run `flask db upgrade` first."
        )


def _cause(error: DBAPIError) -> str:
    """The driver's own words: without the statement, without hints and further addresses."""
    return str(error.orig).partition("\n")[0].rstrip(".")


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what can't be done into a sentence on the error output, and status 1."""
    try:
        yield
    except (NotPossible, NotRefundable, NotResendable, NotReplayable, UnknownPayment) as error:
        raise click.ClickException(str(error)) from error
    except AmountError as error:
        raise click.ClickException(f"{error}.") from error
    except Refused as error:
        raise click.ClickException(f"Stripe refused: {error} Nothing was done.") from error
    except GatewayError as error:
        raise click.ClickException(
            f"Stripe could not be asked, or did not answer: {error} {REFUND_STANDS}"
        ) from error
    except KeyboardInterrupt:
        raise click.ClickException(f"Interrupted. {REFUND_STANDS}") from None


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Columns as wide as what stands in them; the last may be any length."""
    lines = [list(header), *([_cell(value) for value in row] for row in rows)]
    if len(lines) == 1:
        click.echo("None.")
        return
    widths = [max(map(len, column)) for column in zip_longest(*lines, fillvalue="")]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def listed(title: str, columns: Mapping[str, str], things: Iterable[DeclarativeBase]) -> None:
    """Objects of one kind under a title; of each the columns that stand under those headers."""
    click.echo(f"\n{title}")
    table(list(columns), ([getattr(thing, name) for name in columns.values()] for thing in things))


def details(thing: DeclarativeBase, names: Sequence[str], currency: str) -> None:
    """An object's columns that hold something, a line each; amounts as people write them."""
    for name in names:
        value = getattr(thing, name)
        if value not in (None, "", [], {}, False):
            shown = formats.amount(value, currency) if name in AMOUNTS else _cell(value)
            click.echo(f"  {name:<22} {shown}")


def tell(change: Change | None, otherwise: str) -> None:
    """What a command has changed of a payment."""
    if change is None:
        click.echo(otherwise)
        return
    click.echo(one_line(change))


def one_line(change: Change) -> str:
    before, after = change.before.status, change.after.status
    arrow = f"{before} → {after}" if before != after else before
    # The arrow says already where it has come to.
    happened = "; ".join(what for what in change.happened if what != after)
    return f"{change.receipt_number}  {arrow}  {happened}".rstrip()


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, (list, tuple)):
        return "; ".join(map(str, value))
    return "" if value is None else str(value)
