"""The monitor: one sensor that checks many sources and launches what they brought."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dagster as dg

from sensor_assets._additions import additions
from sensor_assets._claims import ATTEMPT_TAG, BATCH_TAG
from sensor_assets._consumers import Consumer
from sensor_assets._cursor import Cursor
from sensor_assets._dagster import RANGE_END_TAG, RANGE_START_TAG
from sensor_assets._due import breaker, tick_seconds
from sensor_assets._evaluate import Answer, Health, evaluate
from sensor_assets._report import skip_reason
from sensor_assets._runs import InstanceRuns, RunReport
from sensor_assets._runtime import RESOURCE_KEY, Runtime
from sensor_assets._sources.base import Source
from sensor_assets._state import BatchRecord
from sensor_assets.errors import LedgerError

HEALTH_CHECK = "reachable"

# The daemon looks at its sensors every 5 s, in changing order. One whose last tick began a moment less than its
# interval ago is left out until the daemon looks again, so a monitor says that it may tick a second early.
EARLY_SECONDS = 1


class TickError(dg.DagsterError):
    """The tick fails with this message.

    Dagster shows an error of its own kind as it is, and any other wrapped in one of its own, with the trace of both.
    """


class SourcesDownError(TickError):
    """The tick fails, because every source of the monitor is down or one for longer than it may be."""


@dataclass(frozen=True)
class SourceGroup:
    """Sources that get a monitor of their own, so that they can be switched in the UI apart from the others.

    Args:
        name: Name of the sensor.
        sources: Its sources. A source belongs to one monitor, so all sources of one sensor asset belong to the same.
    """

    name: str
    sources: Sequence[Source]


@dataclass(frozen=True)
class _Lazily:
    """What a tick without news does without: opening the instance costs more than checking ten sources.

    Takes the place of a logger, of `Runs`, and of the function that returns dynamic partitions.
    """

    context: dg.SensorEvaluationContext

    def log(self, level: int, msg: str, /, **named: Any) -> None:
        self.context.log.log(level, msg, **named)

    def report(self, batches: Mapping[str, str]) -> Mapping[str, RunReport]:
        return InstanceRuns(self.context.instance).report(batches) if batches else {}

    def dynamic_keys(self, name: str) -> Sequence[str]:
        return self.context.instance.get_dynamic_partitions(name)


def build_monitor(name: str, runtime: Runtime, consumers: Sequence[Consumer]) -> dg.SensorDefinition:
    """Return the sensor that follows the sources of these consumers."""
    sources = {source.name: source for consumer in consumers for source in consumer.sources}
    keys = [outlet.asset for consumer in consumers for outlet in consumer.outlets.values()]
    resource_keys = {key for source in sources.values() for key in source.required_resource_keys}
    interval = tick_seconds([source.interval(runtime.settings) for source in sources.values()])

    def source_monitor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        resources = {key: getattr(context.resources, key) for key in resource_keys}
        live: Runtime = getattr(context.resources, RESOURCE_KEY)
        cursor = Cursor.parse(context.cursor)
        lazily = _Lazily(context)
        try:
            answer = evaluate(
                live,
                name,
                consumers=consumers,
                cursor=cursor,
                runs=lazily,
                policies={consumer.name: consumer.policy(lazily.dynamic_keys) for consumer in consumers},
                resources=resources,
                log=lazily,
            )
            by_name = {consumer.name: consumer for consumer in consumers}
            added = additions(answer.batches, by_name, lazily.dynamic_keys)
            return respond(answer, cursor, live, consumers, added)
        except LedgerError as error:
            raise TickError(str(error)) from None

    # asset_selection instead of target: a target becomes one job, which fails when partitions definitions differ.
    return dg.SensorDefinition(
        name=name,
        evaluation_fn=source_monitor,
        asset_selection=dg.AssetSelection.assets(*keys),
        minimum_interval_seconds=max(1, round(interval) - EARLY_SECONDS),
        default_status=dg.DefaultSensorStatus.RUNNING,
        required_resource_keys={RESOURCE_KEY, *resource_keys},
        description=f"Checks {_names(list(sources))} and launches runs for what they brought.",
    )


def _names(sources: Sequence[str]) -> str:
    few = 20
    listed = ", ".join(sources[:few])
    more = f" and {len(sources) - few} more" if len(sources) > few else ""
    return f"the source {listed}" if len(sources) == 1 else f"the sources {listed}{more}"


def respond(
    answer: Answer,
    cursor: Cursor,
    runtime: Runtime,
    consumers: Sequence[Consumer],
    added: Sequence[dg.AddDynamicPartitionsRequest] = (),
) -> dg.SensorResult:
    """Say in Dagster's words what an evaluation found.

    Raises:
        SourcesDownError: The tick is to fail and there is nothing else to say: a failed tick discards everything.
    """
    by_name = {consumer.name: consumer for consumer in consumers}
    # An answer that is repeated after a deployment may name an outlet that is there no more; its batch vanished then.
    launched = [batch for batch in answer.batches if batch.route in by_name[batch.consumer].outlets]
    requests = [run_request(batch, by_name[batch.consumer]) for batch in launched]
    keys = {name: key for consumer in consumers for name, key in consumer.source_keys.items()}
    now = runtime.clock.now()
    events: list[Any] = [_check(keys[health.source.name], health, now) for health in answer.health]
    status = runtime.ledger.status() if answer.arrived or answer.health else []
    events += [_observation(keys[name], name, new, status) for name, new in answer.arrived.items()]
    if answer.failed and not requests and not events and answer.cursor == cursor:
        raise SourcesDownError(answer.failed)
    return dg.SensorResult(
        run_requests=requests,
        cursor=answer.cursor.dump(),
        asset_events=events,
        dynamic_partitions_requests=added,
        skip_reason=None if requests else dg.SkipReason(skip_reason(answer, now)),
    )


def run_request(batch: BatchRecord, consumer: Consumer) -> dg.RunRequest:
    """Return the request that launches a batch. It carries the batch's id as a tag: a tag has no schema to violate."""
    outlet = consumer.outlets[batch.route]
    tags = {BATCH_TAG: batch.id, ATTEMPT_TAG: str(batch.attempt)}
    partition = batch.partitions[0] if len(batch.partitions) == 1 else None
    if len(batch.partitions) > 1:
        tags |= {RANGE_START_TAG: batch.partitions[0], RANGE_END_TAG: batch.partitions[-1]}
    return dg.RunRequest(run_key=batch.run_key, asset_selection=[outlet.asset], partition_key=partition, tags=tags)


def _check(key: dg.AssetKey, health: Health, now: datetime) -> dg.AssetCheckEvaluation:
    state = health.state
    metadata: dict[str, Any] = {"checked": dg.TimestampMetadataValue(now.timestamp())}
    if not health.healthy:
        metadata |= {"error": state.error or "", "failures": state.failures, "breaker": breaker(state, now)}
        if state.due_at:
            metadata["asked again"] = dg.TimestampMetadataValue(state.due_at.timestamp())
        if state.failing_since:
            metadata["failing since"] = dg.TimestampMetadataValue(state.failing_since.timestamp())
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=HEALTH_CHECK,
        passed=health.healthy,
        metadata={name: dg.MetadataValue.text(v) if isinstance(v, str) else v for name, v in metadata.items()},
        severity=dg.AssetCheckSeverity.ERROR,
        description=state.error if not health.healthy else "the source answers",
    )


def _observation(key: dg.AssetKey, name: str, new: int, status: Sequence[Mapping[str, Any]]) -> dg.AssetObservation:
    metadata: dict[str, Any] = {"new": new}
    for row in status:
        if row["source"] == name:
            prefix = row["consumer"]
            for column in ("seen", "waiting", "in_flight", "done", "quarantined"):
                metadata[f"{prefix}: {column}"] = int(row[column])
            metadata[f"{prefix}: lag seconds"] = float(row["lag_seconds"])
    return dg.AssetObservation(asset_key=key, metadata=metadata)
