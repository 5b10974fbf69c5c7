"""What a run does around the function of a sensor asset: find its batch, call, mark it done."""

from collections.abc import Callable, Iterator, Sequence
from inspect import isgenerator
from typing import Any

import dagster as dg

from sensor_assets._batch import Batch
from sensor_assets._consumers import Consumer, Declaration
from sensor_assets._items import Item
from sensor_assets._partitions import partitions_of
from sensor_assets._runtime import Runtime
from sensor_assets._state import BatchRecord
from sensor_assets.errors import ItemChanged, ItemGone

BATCH_TAG = "sensor_assets/batch"
ATTEMPT_TAG = "sensor_assets/attempt"

# A changed item's newer version is recorded by the next scan; a run waits for it this often before it gives up.
CHANGED_RETRIES = 5

Call = Callable[[Batch], Any]


def process(context: dg.AssetExecutionContext, runtime: Runtime, declaration: Declaration, call: Call) -> Iterator[Any]:
    """Run the function over the run's batch and yield its results to Dagster, then mark the batch done.

    Whoever launched the run, only one at a time writes a partition, and it reads the ledger after it got the right to:
    a slow older run can so never overwrite the result of a newer one.
    """
    consumer = runtime.consumers[declaration.consumer(context.asset_key)]
    record = _record(context, runtime)
    partitions = tuple(context.partition_keys) if context.has_partition_key or context.has_partition_key_range else ()
    with runtime.ledger.exclusive(context.asset_key.to_user_string(), _lanes(consumer, record, partitions)):
        if record is not None:
            record = runtime.ledger.batch(record.id) or record
            if record.state == "done" and not _asked_again(context):
                context.log.info(f"batch {record.id} is already done; this run has nothing to do")
                return
        gone: set[str] = set()
        while True:
            batch = _batch(context, runtime, consumer, record, partitions, gone)
            try:
                results = _results(call(batch))
                break
            except ItemGone as error:
                context.log.warning(f"{error}; the run goes on without it")
                gone.add(error.key)
            except ItemChanged as error:
                _wait_for_newer(context, runtime, consumer, error)
        summary = _summary(batch, record)
        for result in results:
            yield _enriched(result, summary)
        runtime.ledger.finish(
            consumer.name, record.id if record else None, context.run.run_id, batch.rejections, runtime.clock.now()
        )
        for item, reason in batch.rejections:
            context.log.warning(f"quarantined {item.source}:{item.key} ({item.version}): {reason}")


def _record(context: dg.AssetExecutionContext, runtime: Runtime) -> BatchRecord | None:
    batch_id = context.run.tags.get(BATCH_TAG)
    if batch_id is None:
        return None
    record = runtime.ledger.batch(batch_id)
    if record is None:
        raise dg.Failure(
            f"the ledger holds no batch {batch_id}: it was restored from an older backup, or LEDGER_URL names another. "
            "The items that the batch held arrive again by themselves.",
            allow_retries=False,
        )
    return record


def _asked_again(context: dg.AssetExecutionContext) -> bool:
    """Tell whether a person re-executed the run, who then wants the work done once more."""
    return context.run.parent_run_id is not None


def _lanes(consumer: Consumer, record: BatchRecord | None, partitions: Sequence[str]) -> Sequence[str]:
    if partitions:
        return partitions
    if consumer.max_in_flight is not None and record is not None:
        return (record.id,)
    return ("",)


def _batch(
    context: dg.AssetExecutionContext,
    runtime: Runtime,
    consumer: Consumer,
    record: BatchRecord | None,
    partitions: tuple[str, ...],
    gone: set[str],
) -> Batch:
    ledger = runtime.ledger
    names = [source.name for source in consumer.sources]
    sources = [state.id for state in ledger.sources(names).values()]
    # What a router sent elsewhere is no business of this asset, whoever launched the run.
    route = next(name for name, outlet in consumer.outlets.items() if outlet.asset == context.asset_key)
    placed = partitions_of(consumer.partitions_def, consumer.backfill_policy, _dynamic_keys(context.instance))

    def current(partition: str | None) -> list[Item]:
        window = None if partition is None else placed.window(partition)
        items = ledger.newest_items(consumer.name, sources, window=window, route=route)
        return runtime.readable([item for item in items if item.key not in gone])

    if record is not None:
        items = [item for item in runtime.readable(ledger.batch_items(record)) if item.key not in gone]
    elif partitions:
        items = [item for partition in partitions for item in current(partition)]
    else:
        items = current(None)
    tabular = any(runtime.clients[name].tabular for name in names)
    return Batch(
        id=record.id if record else context.run.run_id,
        attempt=record.attempt if record else 0,
        route=route if record is None else record.route,
        items=tuple(items),
        partitions=partitions,
        load_current=current,
        load_rows=runtime.rows if tabular else None,
    )


def _dynamic_keys(instance: dg.DagsterInstance) -> Callable[[str], Sequence[str]]:
    return instance.get_dynamic_partitions


def _wait_for_newer(
    context: dg.AssetExecutionContext, runtime: Runtime, consumer: Consumer, error: ItemChanged
) -> None:
    """Repeat the step once the next scan has recorded the newer version, which then takes the older one's place."""
    pause = max(source.interval(runtime.settings) for source in consumer.sources)
    context.log.info(f"{error}; repeating in {pause:.0f} s, when the newer version is recorded")
    raise dg.RetryRequested(max_retries=CHANGED_RETRIES, seconds_to_wait=pause) from error


def _results(result: Any) -> list[Any]:
    """Return the function's results as events. The generator form is drawn out here, so that all reading is over."""
    if isgenerator(result):
        return list(result)
    if result is None:
        return [dg.MaterializeResult()]
    if isinstance(result, dg.MaterializeResult | dg.Output | dg.AssetCheckResult):
        return [result]
    return [dg.Output(result)]


def _summary(batch: Batch, record: BatchRecord | None) -> dict[str, Any]:
    return {
        "sensor_assets/batch": batch.id,
        "sensor_assets/attempt": batch.attempt,
        "sensor_assets/items": len(batch.items),
        "sensor_assets/superseded": (record.items - len(batch.items)) if record else 0,
        "sensor_assets/rejected": len(batch.rejections),
        "sensor_assets/bytes": sum(item.size for item in batch.items),
    }


def _enriched(result: Any, summary: dict[str, Any]) -> Any:
    if isinstance(result, dg.MaterializeResult):
        return dg.MaterializeResult(
            asset_key=result.asset_key,
            metadata={**summary, **(result.metadata or {})},
            check_results=result.check_results,
            data_version=result.data_version,
            tags=result.tags,
            value=result.value,
        )
    if isinstance(result, dg.Output):
        return result.with_metadata({**summary, **result.metadata})
    return result
