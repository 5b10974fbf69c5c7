"""What a run may do: which batch it has, whether that is still to be done, and what it needs for itself alone."""

from collections.abc import Sequence

import dagster as dg

from sensor_assets._consumers import Consumer
from sensor_assets._runtime import Runtime
from sensor_assets._state import BatchRecord

BATCH_TAG = "sensor_assets/batch"
ATTEMPT_TAG = "sensor_assets/attempt"

RETRY_NUMBER_TAG = "dagster/retry_number"


def batch_of(context: dg.AssetExecutionContext, runtime: Runtime) -> BatchRecord | None:
    """Return the run's batch, None for a run that was launched by hand or by a backfill.

    Raises:
        dagster.Failure: The ledger does not hold the batch that the run names.
    """
    batch_id = context.run.tags.get(BATCH_TAG)
    if batch_id is None:
        return None
    record = runtime.ledger.batch(batch_id)
    if record is None:
        raise dg.Failure(
            f"the ledger holds no batch {batch_id}: it was pruned, restored from an older backup, or LEDGER_URL names "
            "another. What was lost with a backup arrives again by itself.",
            allow_retries=False,
        )
    return record


def nothing_to_do(context: dg.AssetExecutionContext, record: BatchRecord) -> str | None:
    """Say why the run has nothing to do: its batch was settled by another run."""
    if record.state == "split":
        return f"batch {record.id} kept failing and was halved; its halves have runs of their own"
    if record.state == "quarantined":
        return f"batch {record.id} was given up; `sensor-assets quarantine release` lets its items be tried again"
    if record.state == "done" and record.replaced_by is not None:
        return f"batch {record.id} is processed again by batch {record.replaced_by}, which has runs of its own"
    # A person who re-executes the run of a done batch wants the work done once more; Dagster's own retry does not.
    by_hand = context.run.parent_run_id is not None and RETRY_NUMBER_TAG not in context.run.tags
    if record.state == "done" and not by_hand:
        return f"batch {record.id} is already done; this run has nothing to do"
    return None


def route_of(context: dg.AssetExecutionContext, consumer: Consumer) -> str | None:
    """Return the route of this asset: what a router sent elsewhere is not its business, whoever launched the run."""
    return next(route for route, outlet in consumer.outlets.items() if outlet.asset == context.asset_key)


def lanes_of(consumer: Consumer, record: BatchRecord | None, partitions: Sequence[str]) -> Sequence[str]:
    """Return what the run needs for itself: its partitions, or the asset, or where batches are independent the batch.

    A batch needs the lanes of those whose place it takes as well, so that a late run of theirs is over before.
    """
    if partitions:
        return partitions
    if consumer.max_in_flight is not None and record is not None and record.origin != "rebuild":
        return (*record.replaces, record.id)
    return ("",)
