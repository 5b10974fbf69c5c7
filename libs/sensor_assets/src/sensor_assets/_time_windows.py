"""Time windows as partitions: hours, days, weeks, months, in any time zone."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo

import dagster as dg

from sensor_assets._placing import Unplaceable, Window

_A_DATE = len("2013-01-01")


class TimePartitions:
    """An item's date or time falls into one of the windows; neighbours may share a run.

    Items carry local times as text, and the ledger finds those of a partition by comparing texts. So a partition holds
    the texts from its first to its last local time, and a text is placed where it will be found: a time that the clock
    shows twice in autumn belongs to the earlier hour, one that it skips in spring to the hour before the gap.
    """

    def __init__(self, definition: dg.TimeWindowPartitionsDefinition, *, join: bool) -> None:
        self._definition = definition
        self._join = join
        self._zone: tzinfo = definition.start.tzinfo or UTC

    def place(self, partition: str | None) -> str | None:
        if partition is None:
            raise Unplaceable("the item names no date")
        moment = self._moment(partition)
        start, end = self._definition.start, self._definition.end
        if moment < start:
            raise Unplaceable(f"{partition} lies before the asset's first partition ({start:%Y-%m-%d %H:%M})")
        if end is not None and moment >= end:
            raise Unplaceable(f"{partition} lies after the asset's last partition (it ends at {end:%Y-%m-%d %H:%M})")
        # The second reading is that of a time which the clock skipped.
        for reading in (moment, moment.replace(fold=1)):
            key = self._definition.get_partition_key_for_timestamp(reading.timestamp())
            first, after_last = self._texts(key)
            if first <= partition < after_last:
                break
        else:
            raise Unplaceable(f"{partition} lies in a time that the asset's partitions leave out")
        if len(partition) == _A_DATE and len(first) > _A_DATE:
            raise Unplaceable(f"{partition} is a whole day, and the asset's partitions begin at {first[11:16]}")
        window = self._definition.time_window_for_partition_key(key)
        if window.start < start or (end is not None and window.end > end):
            raise Unplaceable(f"{partition} lies in '{key}', which the first or last moment of the asset cuts off")
        return key

    def _moment(self, partition: str) -> datetime:
        try:
            moment = datetime.fromisoformat(partition)
        except ValueError:
            raise Unplaceable(f"'{partition}' is not an ISO date or time") from None
        local = moment.astimezone(self._zone) if moment.tzinfo else moment.replace(tzinfo=self._zone)
        if partition not in {_iso(local), local.replace(tzinfo=None).isoformat()}:
            raise Unplaceable(f"'{partition}' is to be written as {_iso(local)}, in the time zone of the asset")
        return local

    def available(self, keys: Sequence[str]) -> frozenset[str]:
        return frozenset(key for key in keys if self._definition.has_partition_key(key))

    def absence(self, key: str) -> str:
        end = self._definition.time_window_for_partition_key(key).end
        return f"{key} is no partition yet: its time ends {end:%Y-%m-%d %H:%M %Z}"

    def ranges(self, keys: Sequence[str]) -> list[tuple[str, ...]]:
        ordered = sorted(keys, key=self._definition.start_time_for_partition_key)
        if not self._join:
            return [(key,) for key in ordered]
        grouped: list[list[str]] = []
        for key in ordered:
            if grouped and self._definition.get_next_partition_key(grouped[-1][-1]) == key:
                grouped[-1].append(key)
            else:
                grouped.append([key])
        return [tuple(group) for group in grouped]

    def window(self, key: str) -> Window:
        return self._texts(key)

    def _texts(self, key: str) -> tuple[str, str]:
        window = self._definition.time_window_for_partition_key(key)
        return _first_text(window.start), _first_text(window.end)


def _first_text(moment: datetime) -> str:
    """Return the first text that stands for no earlier time than the moment.

    In the repeated hour of autumn that is its end, because every text of the hour stands for its first time.
    """
    while moment.fold and moment.utcoffset() != moment.replace(fold=0).utcoffset():
        naive = moment.replace(tzinfo=None, fold=0, second=0, microsecond=0) + timedelta(minutes=1)
        moment = naive.replace(tzinfo=moment.tzinfo, fold=1)
    return _iso(moment)


def _iso(moment: datetime) -> str:
    """Write a moment the way items carry it, so that texts compare as times do."""
    plain = moment.replace(tzinfo=None, fold=0)
    return plain.date().isoformat() if plain.time() == datetime.min.time() else plain.isoformat()
