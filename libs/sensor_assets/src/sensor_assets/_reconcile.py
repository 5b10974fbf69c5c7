"""What becomes of a batch whose run ended or disappeared. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from sensor_assets._batching import Retry
from sensor_assets._state import BatchRecord

RunOutcome = Literal["active", "succeeded", "failed", "vanished"]


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """The next state of a batch; `children` replace it, `reason` goes into the quarantine."""

    batch: BatchRecord
    children: tuple[BatchRecord, ...] = ()
    error: str | None = None


def settle(
    batch: BatchRecord,
    outcome: RunOutcome,
    *,
    retry: Retry,
    error: str | None,
    sink_works: bool,
    now: datetime,
    new_id: Callable[[], str],
) -> Settlement | None:
    """Return what becomes of a launched batch, or None while its run is active.

    A run that vanished (purged, lost with a restored database, never created) says nothing about its items, so it does
    not count as a failure. `sink_works` tells that another batch of the consumer succeeded since this one first failed,
    or since it was cut off from a batch that kept failing. Such a half need not fail as often as the whole had to: once
    another batch succeeded, its sibling for one, its first failure halves it again.
    """
    if outcome == "active":
        return None
    if outcome == "succeeded":
        return Settlement(batch=replace(batch, state="done"))
    if outcome == "vanished":
        return Settlement(batch=replace(batch, state="waiting", not_before=None), error="its run vanished")
    failures = batch.failures + 1
    failed = replace(batch, failures=failures, first_failed_at=now if failures == 1 else batch.first_failed_at or now)
    if batch.items > 1 and (failures >= retry.max_failures or (batch.halved and sink_works)):
        children = tuple(replace(half, first_failed_at=now) for half in halves(batch, new_id))
        return Settlement(batch=replace(failed, state="split"), children=children, error=error)
    if failures >= retry.max_failures and (sink_works or failures >= retry.give_up):
        return Settlement(batch=replace(failed, state="quarantined"), error=error)
    later = now + timedelta(seconds=retry.delay(failures))
    return Settlement(batch=replace(failed, state="waiting", not_before=later), error=error)


def halves(batch: BatchRecord, new_id: Callable[[], str]) -> tuple[BatchRecord, BatchRecord]:
    """Cut a batch of at least two items into two of nearly equal length."""
    numbered = [(source, arrival) for source, arrivals in batch.slices.items() for arrival in arrivals]
    middle = len(numbered) // 2
    first, second = (_child(batch, half, new_id()) for half in (numbered[:middle], numbered[middle:]))
    return first, second


def _child(batch: BatchRecord, numbered: list[tuple[int, int]], identity: str) -> BatchRecord:
    slices: Mapping[int, tuple[int, ...]] = {
        source: tuple(arrival for other, arrival in numbered if other == source)
        for source in dict.fromkeys(source for source, _ in numbered)
    }
    return BatchRecord(
        id=identity,
        consumer=batch.consumer,
        origin=batch.origin,
        halved=True,
        route=batch.route,
        partitions=batch.partitions,
        replaces=(*batch.replaces, batch.id),
        slices=slices,
        bytes=batch.bytes // 2,
    )
