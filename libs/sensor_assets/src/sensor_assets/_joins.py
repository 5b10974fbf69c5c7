"""Waiting for several sources: what `wait_for="all"` means. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sensor_assets._batching import seconds
from sensor_assets._items import counted
from sensor_assets._state import Arrival, Log


@dataclass(frozen=True, kw_only=True)
class Join:
    """What waits for all sources.

    With partitions, a partition waits until every source has ever shown something for it; what arrives later goes at
    once. Without, arrivals wait until every source has shown something since the last time that they went.

    Args:
        sources: Their names.
        max_hold: How long arrivals wait for a source that shows nothing, seconds or timedelta; for ever unless told.
    """

    sources: tuple[str, ...]
    max_hold: timedelta | float | None = None

    def waits_for(self, shown: frozenset[str], since: datetime, now: datetime) -> tuple[str, ...]:
        """Return the sources that a partition waits for, of which arrivals wait since then."""
        return () if self._overdue(since, now) else tuple(name for name in self.sources if name not in shown)

    def release(
        self, logs: Mapping[int, Log], pending: Sequence[Arrival], now: datetime
    ) -> tuple[Mapping[int, int], str | None]:
        """Return, without partitions, up to where each log may go now, and why the rest waits.

        All that is in the logs when the last source shows something goes, in as many decisions as it takes.
        """
        released = {source: max(log.released, log.position) for source, log in logs.items()}
        fresh = [arrival for arrival in pending if arrival.item.arrival > released[arrival.source_id]]
        if not fresh:
            return released, None
        since = min(arrival.seen_at for arrival in fresh)
        shown = frozenset(log.source for source, log in logs.items() if log.end > released[source])
        if missing := self.waits_for(shown, since, now):
            whom = ", ".join(missing)
            return released, f"{counted(len(fresh), 'wait')} for {whom} since {since:%Y-%m-%d %H:%M} UTC"
        return {source: log.end for source, log in logs.items()}, None

    def _overdue(self, since: datetime, now: datetime) -> bool:
        return self.max_hold is not None and (now - since).total_seconds() >= seconds(self.max_hold)
