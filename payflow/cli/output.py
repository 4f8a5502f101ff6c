"""How commands answer: columns, lines, and refusals with a sentence."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import zip_longest
from typing import Any

import click
from sqlalchemy.orm import DeclarativeBase

from payflow import formats
from payflow.by_hand import NotPossible
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
    return f"{change.receipt_number}  {arrow}  {'; '.join(change.happened)}".rstrip()


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, (list, tuple)):
        return "; ".join(map(str, value))
    return "" if value is None else str(value)
