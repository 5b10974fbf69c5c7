"""Options by which commands choose items and batches."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any

import click

from sensor_assets.ledger._selection import Selection

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Moment(click.ParamType[datetime]):
    """A time: ISO 8601, in UTC unless it has an offset, or how long ago."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        text = str(value)
        number, unit = text[:-1], _UNITS.get(text[-1:])
        try:
            if unit and number.isdecimal():
                return datetime.now(UTC) - timedelta(**{unit: int(number)})
            found = datetime.fromisoformat(text)
            return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            self.fail(f"'{text}' is no time: write 2013-01-31, 2013-01-31T12:00 (UTC), or 7d, 12h, 30m ago", param, ctx)


_OPTIONS = {
    "consumer": click.option("--consumer", help="Only this consumer: an asset's key, or a router's name."),
    "source": click.option("--source", help="Only items of this source."),
    "route": click.option("--route", help="Only batches that a router sent to this outlet."),
    "partition": click.option("--partition", help="Only batches of this partition of the asset."),
    "key": click.option("--key", metavar="GLOB", help="Only these keys; * is any text, ? one character."),
    "since": click.option(
        "--since", type=Moment(), help="Only items first seen since then: 2013-01-31, 2013-01-31T12:00 (UTC), 7d, 12h."
    ),
    "until": click.option("--until", type=Moment(), help="Only items first seen before then."),
}


def selected_by(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options of these names; it gets them as `selection`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)  # also the options that the command has already
        def wrapper(*arguments: Any, **named: Any) -> Any:
            selection = Selection(**{name: named.pop(name) for name in names})
            return command(*arguments, selection=selection, **named)

        decorated: Callable[..., Any] = wrapper
        for name in reversed(names):
            decorated = _OPTIONS[name](decorated)
        return decorated

    return decorate


def is_everything(selection: Selection) -> bool:
    """Tell whether nothing was chosen."""
    return selection == Selection()
