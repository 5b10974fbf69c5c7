"""What a run does around the function of a sensor asset: find its batch, call, mark it done."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from inspect import isgenerator
from typing import Any

import dagster as dg

from sensor_assets._batch import Batch
from sensor_assets._claims import batch_of, lanes_of, nothing_to_do, route_of
from sensor_assets._consumers import Consumer, Declaration
from sensor_assets._dagster import BACKFILL_TAG
from sensor_assets._items import Item
from sensor_assets._partitions import partitions_of
from sensor_assets._reconcile import Settlement
from sensor_assets._runtime import Runtime
from sensor_assets._state import BatchRecord
from sensor_assets.errors import ItemChanged, ItemGone

# A changed item's newer version is recorded by the next scan; a run waits for it this often before it gives up.
CHANGED_RETRIES = 5

# Items shown with a materialization.
MOST_ROWS = 10

Call = Callable[[Batch], Any]


def process(context: dg.AssetExecutionContext, runtime: Runtime, declaration: Declaration, call: Call) -> Iterator[Any]:
    """Run the function over the run's batch and yield its results to Dagster, then mark the batch done.

    Whoever launched the run, only one at a time writes a partition, and it reads the ledger after it got the right to:
    a slow older run can so never overwrite the result of a newer one.
    """
    consumer = runtime.consumers[declaration.consumer(context.asset_key)]
    record = batch_of(context, runtime)
    partitions = tuple(context.partition_keys) if context.has_partition_key or context.has_partition_key_range else ()
    if declaration.appends and (record is None or record.origin == "rebuild"):
        yield from _append_again(context, runtime, consumer, record, partitions)
        return
    with runtime.ledger.exclusive(
        context.asset_key.to_user_string(), lanes_of(consumer, record, partitions)
    ) as still_held:
        record = batch_of(context, runtime)
        if record is not None and (reason := nothing_to_do(context, record)):
            context.log.info(reason)
            return
        work = _Work(
            context=context,
            runtime=runtime,
            consumer=consumer,
            record=record,
            partitions=partitions,
            appends=declaration.appends,
            superseded=declaration.appends,
        )
        batch, results = work.call(call)
        summary = _summary(batch, record)
        for result in results:
            yield _enriched(result, summary)
        still_held()
        runtime.ledger.finish(
            consumer.name,
            record.id if record else None,
            context.run.run_id,
            rejected=batch.rejections,
            gone=work.gone,
            now=runtime.clock.now(),
        )
        if (metrics := runtime.run_metrics).on:
            metrics.count("items_processed_total", len(batch.items), consumer=consumer.name)
            metrics.count("items_rejected_total", len(batch.rejections), consumer=consumer.name)
        for item, reason in batch.rejections:
            context.log.warning(f"quarantined {item.source}:{item.key} ({item.version}): {reason}")


def _append_again(
    context: dg.AssetExecutionContext,
    runtime: Runtime,
    consumer: Consumer,
    record: BatchRecord | None,
    partitions: Sequence[str],
) -> Iterator[Any]:
    """Ask for the batches of an asset that adds to what is there, instead of adding everything once more."""
    ledger, now = runtime.ledger, runtime.clock.now()
    route = route_of(context, consumer)
    batches = ledger.replay(consumer.name, route=route, partitions=partitions, new_id=runtime.new_id, now=now)
    context.log.info(
        "the asset adds each batch to what is there, so this run writes nothing: the monitor launches "
        f"{batches} batches that process everything again, each in the place of what it replaces"
    )
    if record is not None:
        ledger.finish(consumer.name, record.id, context.run.run_id, rejected=[], gone=[], now=now)
    # A backfill takes a partition for failed of which no run says that it is there.
    if partitions and BACKFILL_TAG in context.run.tags:
        yield dg.MaterializeResult(metadata={"sensor_assets/replays": batches})


@dataclass(kw_only=True)
class _Work:
    """One run's work on one batch, or on everything when nobody named a batch."""

    context: dg.AssetExecutionContext
    runtime: Runtime
    consumer: Consumer
    record: BatchRecord | None
    partitions: tuple[str, ...]
    appends: bool
    superseded: bool
    gone: list[Item] = field(default_factory=list[Item])

    def call(self, call: Call) -> tuple[Batch, list[Any]]:
        """Call the function, again without an item that turns out to be gone."""
        while True:
            batch = self._batch()
            if not batch.items and self._may_skip():
                self.context.log.info(self._why_empty())
                return batch, []
            try:
                return batch, _results(call(batch))
            except ItemGone as error:
                self.context.log.warning(f"{error}; the run goes on without it")
                self.gone.append(error.item)
            except ItemChanged as error:
                if self.superseded and self._newer_is_recorded(error.item):
                    self.context.log.info(f"{error}; the run goes on without versions that newer ones replaced")
                    self.superseded = False
                else:
                    self._wait_for_newer(error)

    def _may_skip(self) -> bool:
        """Tell whether nothing is to be done for a batch without items: then there is nothing to remove either."""
        return not (self.appends and self.record is not None and self.record.replaces)

    def _newer_is_recorded(self, item: Item) -> bool:
        ledger = self.runtime.ledger
        source = ledger.sources([item.source])[item.source]
        return ledger.known(source.id, [item.key]).get(item.key) != item.version

    def _why_empty(self) -> str:
        """Say why there is nothing to do; nothing is materialized then."""
        if self.record is not None and self.record.origin != "rebuild":
            return "newer versions of everything in the batch have arrived; their batches follow"
        return f"the ledger holds nothing for {', '.join(self.partitions) or 'this asset'}"

    def _batch(self) -> Batch:
        record, ledger = self.record, self.runtime.ledger
        names = [source.name for source in self.consumer.sources]
        if record is not None and record.origin != "rebuild":
            items = self._present(ledger.batch_items(record, all_versions=self._whose_versions_stay()))
        elif self.partitions:
            items = [item for partition in self.partitions for item in self._current(partition)]
        else:
            items = self._current(None)
        return Batch(
            id=record.id if record else self.context.run.run_id,
            attempt=record.attempt if record else 0,
            route=record.route if record else route_of(self.context, self.consumer),
            replaces=record.replaces if record else (),
            items=tuple(items),
            partitions=self.partitions,
            load_current=self._current,
            load_rows=self.runtime.rows if any(self.runtime.clients[name].tabular for name in names) else None,
        )

    def _whose_versions_stay(self) -> list[str]:
        """Return the sources of which the batch is to have versions that newer ones replaced."""
        return [source.name for source in self.consumer.sources if self.superseded or source.keeps_versions]

    def _current(self, partition: str | None) -> list[Item]:
        ledger, consumer = self.runtime.ledger, self.consumer
        placed = partitions_of(
            consumer.partitions_def, consumer.backfill_policy, self.context.instance.get_dynamic_partitions
        )
        return self._present(
            ledger.newest_items(
                consumer.name,
                [state.id for state in ledger.sources([source.name for source in consumer.sources]).values()],
                window=None if partition is None else placed.window(partition),
                route=route_of(self.context, consumer),
                batch_id=self.record.id if self.record else None,
            )
        )

    def _present(self, items: Sequence[Item]) -> list[Item]:
        return self.runtime.readable([item for item in items if item not in self.gone])

    def _wait_for_newer(self, error: ItemChanged) -> None:
        """Repeat the step once the next scan has recorded the newer version, which then takes the older one's place.

        When that takes too long, the source cannot be scanned; the batch waits then, without blame for its items.
        """
        pause = max(source.interval(self.runtime.settings) for source in self.consumer.sources)
        self.runtime.ledger.doubt(error.item.source, error.item.key)
        if self.context.retry_number >= CHANGED_RETRIES:
            if self.record is not None:
                now = self.runtime.clock.now()
                later = replace(self.record, state="waiting", not_before=now + timedelta(seconds=pause))
                self.runtime.ledger.settle(Settlement(batch=later, error=str(error)), now)
            raise dg.Failure(f"{error}; no scan has recorded the newer version yet", allow_retries=False) from error
        self.context.log.info(f"{error}; repeating in {pause:.0f} s, when the newer version is recorded")
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
    summary: dict[str, Any] = {
        "sensor_assets/batch": batch.id,
        "sensor_assets/attempt": batch.attempt,
        "sensor_assets/items": len(batch.items),
        "sensor_assets/superseded": max(record.items - len(batch.items), 0) if record else 0,
        "sensor_assets/rejected": len(batch.rejections),
        "sensor_assets/bytes": sum(item.size for item in batch.items),
        "sensor_assets/first items": _table([(item, {"bytes": item.size}) for item in batch.items]),
    }
    if batch.rejections:
        rejected = [(item, {"reason": reason}) for item, reason in batch.rejections]
        summary["sensor_assets/rejected items"] = _table(rejected)
    return summary


def _table(rows: Sequence[tuple[Item, Mapping[str, str | int]]]) -> dg.TableMetadataValue:
    """Return the first items as a table; all of them are in the ledger."""
    records = [
        dg.TableRecord({"source": item.source, "key": item.key, "version": item.version, **more})
        for item, more in rows[:MOST_ROWS]
    ]
    columns = ["source", "key", "version", *(rows[0][1] if rows else ())]
    schema = dg.TableSchema(columns=[dg.TableColumn(name) for name in columns])
    return dg.MetadataValue.table(records=records, schema=schema)


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
