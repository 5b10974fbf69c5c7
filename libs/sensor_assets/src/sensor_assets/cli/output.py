"""How commands print: tables that fit the terminal, or JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines; times are ISO 8601, UTC.")


class NothingMatchedError(Exception):
    """A command found nothing to act upon or to show."""


def show(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; heads that end with ``#`` are over numbers. Cells that are too long go on in the next line."""
    table = Table(box=None, pad_edge=False, header_style="")
    for head in heads:
        table.add_column(head.rstrip("#"), justify="right" if head.endswith("#") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(legible(cell) for cell in row))
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
