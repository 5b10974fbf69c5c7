"""How commands print: tables that fit the terminal, or JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import click
from rich.console import Console
from rich.table import Table

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines; times are ISO 8601, UTC.")


class NothingMatchedError(Exception):
    """A command found nothing to act upon or to show."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        head: Its head.
        number: Whether it holds numbers.
        folds: Whether it gives way to others where the table is too wide: its texts go on in the next line.
        above: Whether it is said once above the rows that share it, which follow each other.
    """

    head: str
    number: bool = False
    folds: bool = False
    above: bool = False


def above(head: str) -> Column:
    """Return a column that is said above the rows that share it."""
    return Column(head, above=True)


def show(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> None:
    """Print tables that fit the terminal, one for the rows of each group."""
    texts = [[legible(cell) for cell in row] for row in rows]
    heads = [place for place, column in enumerate(columns) if column.above]
    cells = [place for place, column in enumerate(columns) if not column.above]
    for number, (group, members) in enumerate(groupby(texts, key=lambda row: [row[place] for place in heads])):
        if number:
            click.echo()
        if said := [
            f"{columns[place].head.lower()}: {text}" for place, text in zip(heads, group, strict=True) if text != "-"
        ]:
            click.echo("  ".join(said))
        table = Table(box=None, pad_edge=False, header_style="")
        for column in (columns[place] for place in cells):
            justify = "right" if column.number else "left"
            table.add_column(column.head, justify=justify, overflow="fold", no_wrap=not column.folds)
        for row in members:
            table.add_row(*(row[place] for place in cells))
        console().print(table)


def console() -> Console:
    """Return a console that prints texts as they are, as wide as the terminal or `COLUMNS` say, else 80 columns."""
    return Console(markup=False, highlight=False, emoji=False)


def legible(cell: Any) -> str:
    """Return a cell as text without control characters, which a key may hold."""
    if cell is None:
        return "-"
    if isinstance(cell, datetime):
        return moment(cell)
    text = str(cell)
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def moment(time: datetime | None) -> str:
    """Write a time in UTC to the second."""
    return "-" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def minute(time: datetime) -> str:
    """Write a time in UTC to the minute."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}"


def count(number: int, one: str, many: str | None = None) -> str:
    """Write a number of things: 1 item, 2 items."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def size(number: int) -> str:
    """Write a number of bytes."""
    value = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:  # noqa: PLR2004 - the unit's base
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def duration(seconds: float) -> str:
    """Write seconds in the largest unit that fits."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def dump(value: Any) -> None:
    """Print JSON."""
    click.echo(json.dumps(_plain(value), indent=2, ensure_ascii=False))


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat()
        case Mapping():
            return {str(name): _plain(each) for name, each in value.items()}
        case str() | bool() | int() | float() | None:
            return value
        case list() | tuple() | set() | frozenset():
            return [_plain(each) for each in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return _plain(asdict(value))
        case _:
            return str(value)
