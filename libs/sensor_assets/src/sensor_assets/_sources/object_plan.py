"""What a scan of an object source looks at, and which of the keys that it sees are data."""

import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from fnmatch import translate
from typing import TYPE_CHECKING

from sensor_assets._listing.scan import Plan
from sensor_assets._listing.window import open_ranges

if TYPE_CHECKING:
    from sensor_assets._sources.objects import ObjectSource

# A digest of the same lines differs when this does, so that everything is listed again once.
FORMAT = 1
ANY_DAY = datetime(2013, 1, 1, tzinfo=UTC)


def has_window(source: "ObjectSource") -> bool:
    """Tell whether the source's keys tell where those of open dates lie."""
    return open_ranges(source.key, ANY_DAY, source.open_for) is not None


def chosen(source: "ObjectSource") -> str:
    """Return the strategy, also when none was named."""
    if source.strategy is not None or source.events is not None:
        return " and ".join(part for part in (source.events and "events", source.strategy) if part)
    return "window" if has_window(source) else "full"


def plan(source: "ObjectSource", now: datetime) -> Plan:
    """Return what a scan looks at."""
    match source.strategy:
        case "full":
            return Plan()
        case "append_only":
            return Plan(tail=True, sweep=source.sweep)
        case None if source.events is not None:
            return Plan(sweep=source.sweep)
        case _:
            ranges = open_ranges(source.key, now, source.open_for)
            return Plan() if ranges is None else Plan(window=ranges, sweep=source.sweep)


def ignored(globs: Sequence[str]) -> Callable[[str], bool] | None:
    """Return what tells whether a key is not to be recorded; None when none is ignored."""
    if not globs:
        return None
    pattern = re.compile("|".join(translate(glob) for glob in globs))
    return lambda key: bool(pattern.match(key) or pattern.match(key.rsplit("/", 1)[-1]))


def fingerprint(source: "ObjectSource") -> str:
    """Return a hash of what decides which lines of a listing become items."""
    return hashlib.sha256(repr((FORMAT, sorted(source.ignore), source.versions)).encode()).hexdigest()[:16]
