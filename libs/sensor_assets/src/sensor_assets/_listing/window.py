"""The part of a listing in which the dates are still open, as ranges of keys."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sensor_assets._listing.scan import KeyRange
from sensor_assets._pages import order
from sensor_assets._template import KeyTemplate

# A range costs at least one LIST call in every scan.
MOST_RANGES = 100
# Producers ahead of UTC, and files named after the day in which they are due.
AHEAD = timedelta(days=1)
_STEPS = {"H": timedelta(hours=1), "d": timedelta(days=1), "j": timedelta(days=1)}


def open_ranges(template: KeyTemplate | None, now: datetime, open_for: timedelta) -> Sequence[KeyRange] | None:
    """Return where the keys of the open dates lie, in order; None when the template does not tell.

    When dates sort like the keys that hold them, that is one range, from the oldest open date to the end of the
    listing; else one range for each open date.
    """
    if template is None or template.format is None or not template.date_leads:
        return None
    oldest = template.begins_with + (now - open_for).strftime(template.format)
    codes = re.findall(r"%(.)", template.format)
    if _sorts(codes):
        return [KeyRange(oldest, None)]
    names = sorted({template.begins_with + date for date in _dates(template.format, codes, now, open_for)}, key=order)
    if not 0 < len(names) <= MOST_RANGES:
        return None
    return [KeyRange(name, name[:-1] + chr(ord(name[-1]) + 1)) for name in names]


def _sorts(codes: Sequence[str]) -> bool:
    """Tell whether a date is written from its largest unit to its smallest, all with a fixed width."""
    return any(list(codes) == [*scale][: len(codes)] for scale in ("YmdHMS", "YjHMS"))


def _dates(form: str, codes: Sequence[str], now: datetime, open_for: timedelta) -> Iterator[str]:
    """Yield each open date as the template writes it; nothing when there are too many of them."""
    finest = next((step for code, step in _STEPS.items() if code in codes), timedelta(days=1))
    if {"M", "S"} & set(codes) or open_for / finest > MOST_RANGES * 31:
        return
    moment = now - open_for
    while moment <= now + AHEAD:
        yield moment.strftime(form)
        moment += finest
