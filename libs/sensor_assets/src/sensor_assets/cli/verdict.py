"""Why an item is where it is, in words. Pure."""

from datetime import datetime

from sensor_assets.cli.output import count, moment
from sensor_assets.ledger._inspection import BatchRow, Standing, Version


def verdict(version: Version, standing: Standing, now: datetime) -> str:
    """Say how far a consumer is with a version, and what it waits for."""
    if standing.reason is not None and standing.released_at is None:
        return f"in quarantine since {moment(standing.since)}: {standing.reason}"
    if standing.parked_at is not None:
        return f"{_why_parked(standing)}; {_what_holds(standing)}"
    if standing.batches:
        return _of_batch(standing.batches[-1], now)
    return _without_batch(version, standing)


def _why_parked(standing: Standing) -> str:
    if standing.released_at is not None:
        return f"released from quarantine at {moment(standing.released_at)}, waits to be decided on"
    return f"waits since {moment(standing.parked_at)}, for its partition, another source or its route"


def _what_holds(standing: Standing) -> str:
    return f"it holds what waits: {standing.held}" if standing.held else "a batch is cut when one can be launched"


def _without_batch(version: Version, standing: Standing) -> str:
    if standing.passed:
        return "not processed: it was there when the asset began, before its start_from; a backfill finds it"
    ahead = version.item.arrival - standing.position - 1
    if ahead >= 0:
        return f"waits to be decided on, {count(ahead, 'arrival')} before it; {_what_holds(standing)}"
    return "processed; the batch was pruned"


def _of_batch(batch: BatchRow, now: datetime) -> str:
    match batch.state:
        case "done":
            return f"processed at {moment(batch.finished_at)}"
        case "emitted":
            return f"being processed: attempt {batch.attempt} is launched"
        case "waiting" if batch.not_before is not None and batch.not_before > now:
            return (
                f"waits until {moment(batch.not_before)} for attempt {batch.attempt + 1}, "
                f"after {count(batch.failures, 'failure')} (`sensor-assets retry` tries it now)"
            )
        case "waiting":
            return (
                "waits for its turn: a slot of max_in_flight, its partition while another batch writes it, or its "
                "partition to exist"
            )
        case "skipped":
            return f"skipped by the route at {moment(batch.created_at)}: {batch.reason}"
        case _:
            return f"its batch is {batch.state}"


def outcome(batch: BatchRow) -> str:
    """Say in a few words what a batch is and what came of it."""
    what = {"arrivals": "batch", "replay": "replay", "release": "batch after its release", "rebuild": "rebuild"}
    words = [f"half of a {what[batch.origin]}" if batch.halved else what[batch.origin]]
    words.append("halved" if batch.state == "split" else batch.state)
    if batch.replaced_by:
        words.append(f"processed again by {batch.replaced_by[:8]}")
    words += [count(batch.items, "item"), count(batch.attempt, "attempt")]
    if batch.failures:
        words.append(f"{batch.failures} failed")
    return ", ".join(words)
