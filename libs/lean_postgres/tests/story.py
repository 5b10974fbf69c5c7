"""Everything that an instance's storage is asked to do, told to one storage after the other.

Each step yields its name and what came back, in a form that two databases can share.
"""

import datetime
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
from dagster._core.events import DagsterEvent, DagsterEventType, StepMaterializationData
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.storage.dagster_run import DagsterRunStatus
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.error import SerializableErrorInfo

Step = tuple[str, Any]
NOW = datetime.datetime(2013, 3, 1, 12, 30, 15, 123456, tzinfo=datetime.UTC)
DAY = 86_400.0
LOCATION_FILE = "location.py"
RUN_IDS = [f"0000000{number}-0000-4000-8000-000000000000" for number in range(6)]


def state(
    name: str,
    kind: InstigatorType = InstigatorType.SENSOR,
    status: InstigatorStatus = InstigatorStatus.RUNNING,
    location: str = "location",
    **data: Any,
) -> InstigatorState:
    """Return the state of a sensor or schedule."""
    origin = InProcessCodeLocationOrigin(LoadableTargetOrigin(python_file=LOCATION_FILE), location_name=location)
    is_sensor = kind is InstigatorType.SENSOR
    return InstigatorState(
        RemoteRepositoryOrigin(origin, "repository").get_instigator_origin(name),
        kind,
        status,
        SensorInstigatorData(**data) if is_sensor else ScheduleInstigatorData("* * * * *", **data),
    )


def tick(
    of: InstigatorState, age: float, status: TickStatus = TickStatus.STARTED, *, selector: bool = True, **data: Any
) -> TickData:
    """Return a tick that began `age` seconds before now."""
    return TickData(
        instigator_origin_id=of.instigator_origin_id,
        instigator_name=of.name,
        instigator_type=of.instigator_type,
        status=status,
        timestamp=NOW.timestamp() - age,
        selector_id=of.selector_id if selector else None,
        run_ids=[],
        error=SerializableErrorInfo("broken", [], None) if status is TickStatus.FAILURE else None,
        **data,
    )


def attempted(action: Callable[[], Any]) -> Any:
    """Return what an action returned or raised."""
    try:
        return action()
    except Exception as error:  # noqa: BLE001 - whatever one storage raises, the other has to raise
        return type(error).__name__, str(error)


def instigators(instance: dg.DagsterInstance) -> Iterator[Step]:
    """Add, read, change and delete the states of sensors and schedules."""
    sensor, schedule = state("sensor"), state("schedule", InstigatorType.SCHEDULE, start_timestamp=5.0)
    renamed = state("sensor", location="elsewhere", cursor="c" * 5000)
    for each in (sensor, schedule, renamed):
        yield "missing state", instance.get_instigator_state(each.instigator_origin_id, each.selector_id)
        yield "update of a missing state", attempted(lambda each=each: instance.update_instigator_state(each))
        yield "add", instance.add_instigator_state(each)
        yield "add again", attempted(lambda each=each: instance.add_instigator_state(each))
    changed = sensor.with_data(SensorInstigatorData(cursor="ü'%s%%(x)s\n", last_tick_timestamp=7.5)).with_status(
        InstigatorStatus.STOPPED
    )
    yield "update", instance.update_instigator_state(changed)
    yield "read", instance.get_instigator_state(sensor.instigator_origin_id, sensor.selector_id)
    yield "read by selector alone", instance.get_instigator_state("?", renamed.selector_id)
    yield "read by origin alone", instance.get_instigator_state(sensor.instigator_origin_id, "?")
    yield "all", instance.all_instigator_state()
    yield "all sensors", instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    yield "stopped", instance.all_instigator_state(instigator_statuses={InstigatorStatus.STOPPED})
    yield "of a repository", instance.all_instigator_state(repository_selector_id=renamed.repository_selector_id)
    yield "delete", instance.delete_instigator_state(renamed.instigator_origin_id, renamed.selector_id)
    yield (
        "delete again",
        attempted(lambda: instance.delete_instigator_state(renamed.instigator_origin_id, renamed.selector_id)),
    )
    yield "update of a deleted state", attempted(lambda: instance.update_instigator_state(renamed))


def ticks(instance: dg.DagsterInstance) -> Iterator[Step]:
    """Create, change, read and purge ticks, also such without a selector, as old versions wrote them."""
    sensor, other = state("ticking"), state("other", InstigatorType.SCHEDULE)
    origin, selector = sensor.instigator_origin_id, sensor.selector_id
    created = [
        instance.create_tick(tick(sensor, age * DAY, status, selector=age % 3 != 0, cursor="%s"))
        for age, status in enumerate([*TickStatus] * 5)
    ]
    yield "created", created
    yield "created without a selector", instance.create_tick(tick(other, 0.5, selector=False))
    for number, each in enumerate(created[:4]):
        yield (
            "update",
            instance.update_tick(each.with_status(TickStatus.SUCCESS, error=None, end_timestamp=float(number))),
        )
    yield "update of a missing tick", instance.update_tick(created[0]._replace(tick_id=10_000))
    yield "ticks", instance.get_ticks(origin, selector)
    yield "ticks of a kind", instance.get_ticks(origin, selector, statuses=[TickStatus.SKIPPED], limit=2)
    yield (
        "between",
        instance.get_ticks(origin, selector, before=NOW.timestamp() - 2.5 * DAY, after=NOW.timestamp() - 6.5 * DAY),
    )
    yield "tick", instance.get_tick(origin, selector, created[3].timestamp)
    storage: Any = instance.schedule_storage
    yield "summaries", storage.get_tick_summaries(origin, selector)
    yield "by id", sorted(storage.get_ticks_by_ids([created[1].tick_id, created[2].tick_id]))
    yield "one by id", storage.get_tick(created[5].tick_id)
    yield "missing by id", attempted(lambda: storage.get_tick(10_000))
    yield "in batches", storage.supports_batch_queries and storage.get_batch_ticks([selector], limit=3)
    for days, statuses in ((15, [TickStatus.SKIPPED]), (12, None), (9, [TickStatus.SKIPPED, TickStatus.FAILURE])):
        before = NOW.timestamp() - days * DAY
        yield "purge", instance.purge_ticks(origin, selector, before, statuses)
        yield f"left after {days} days", instance.get_ticks(origin, selector)
    yield "purge of nothing", instance.purge_ticks("?", "?", NOW.timestamp())


def runs(instance: dg.DagsterInstance) -> Iterator[Step]:
    """Add runs, change them by events, tag, count, find and delete them."""
    for number, run_id in enumerate(RUN_IDS):
        tags = {"number": str(number), "dagster/partition": f"2013-01-0{number + 1}", "kind": "even" * (number % 2)}
        run = dg.DagsterRun(job_name=f"job_{number % 2}", run_id=run_id, tags=tags)
        yield "add", instance.add_run(run)
    yield "add again", attempted(lambda: instance.add_run(dg.DagsterRun(job_name="job_0", run_id=RUN_IDS[0])))
    for run_id, kind in zip(RUN_IDS, STORY_OF_RUNS, strict=True):
        for event_type in kind:
            yield event_type.value, instance.handle_new_event(run_event(run_id, event_type))
        yield "run", instance.get_run_by_id(run_id)
    yield "tag", instance.add_run_tags(RUN_IDS[0], {"number": "none", "new": "yes"})
    yield "tags", instance.get_run_tags(tag_keys=["number", "new"])
    yield "tag keys", sorted(instance.get_run_tag_keys())
    for filters in (
        dg.RunsFilter(tags={"number": ["1", "2"]}),
        dg.RunsFilter(statuses=[DagsterRunStatus.SUCCESS]),
        dg.RunsFilter(job_name="job_1", exclude_subruns=True),
    ):
        yield "runs", instance.get_runs(filters)
        yield "run ids", instance.get_run_ids(filters, limit=2)
        yield "count", instance.get_runs_count(filters)
    yield (
        "records",
        [
            (record.storage_id, record.dagster_run, record.start_time, record.end_time)
            for record in instance.get_run_records(order_by="id", ascending=True)
        ],
    )
    yield "partition data", instance.run_storage.get_run_partition_data(dg.RunsFilter(job_name="job_0"))
    yield "logs", [record.event_log_entry for record in instance.get_records_for_run(RUN_IDS[1]).records]
    yield "stats", instance.get_run_stats(RUN_IDS[1])
    yield "delete", instance.delete_run(RUN_IDS[5])


STORY_OF_RUNS = [
    [DagsterEventType.RUN_STARTING],
    [DagsterEventType.RUN_START, DagsterEventType.RUN_SUCCESS],
    [DagsterEventType.RUN_START, DagsterEventType.RUN_FAILURE],
    [DagsterEventType.RUN_CANCELING, DagsterEventType.RUN_CANCELED],
    [DagsterEventType.RUN_START],
    [DagsterEventType.RUN_SUCCESS],
]


def run_event(run_id: str, event_type: DagsterEventType) -> dg.EventLogEntry:
    """Return the event by which a run changes its status."""
    return entry(run_id, DagsterEvent(event_type.value, job_name="job", message="told"), "job")


def entry(run_id: str, event: DagsterEvent, job_name: str) -> dg.EventLogEntry:
    return dg.EventLogEntry(
        error_info=None,
        level="INFO",
        user_message="",
        run_id=run_id,
        timestamp=NOW.timestamp(),
        job_name=job_name,
        dagster_event=event,
    )


def assets(instance: dg.DagsterInstance) -> Iterator[Step]:
    """Materialize, observe, check and wipe assets; add and delete dynamic partitions."""
    flights, weather = dg.AssetKey(["raw", "flights"]), dg.AssetKey("weather")
    for number, key in enumerate([flights, weather, flights]):
        made = dg.AssetMaterialization(
            key, partition=f"2013-01-0{number + 1}", metadata={"rows": number}, tags={"dagster/data_version": "1"}
        )
        event = DagsterEvent(
            DagsterEventType.ASSET_MATERIALIZATION.value,
            job_name="job",
            event_specific_data=StepMaterializationData(made, []),
        )
        yield "materialization", instance.handle_new_event(entry(RUN_IDS[number], event, "job"))
    yield "observation", instance.report_runless_asset_event(dg.AssetObservation(weather, metadata={"wind": 7.5}))
    yield (
        "check",
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(check_name="complete", passed=False, asset_key=flights, metadata={})
        ),
    )
    yield "keys", sorted(instance.all_asset_keys())
    yield (
        "records",
        [
            (record.asset_entry.asset_key, record.asset_entry.last_run_id, materialization_of(record))
            for record in instance.get_asset_records([flights, weather])
        ],
    )
    yield "latest", instance.get_latest_materialization_event(flights)
    yield "partitions", sorted(instance.get_materialized_partitions(flights))
    yield "tags", instance.event_log_storage.get_event_tags_for_asset(flights)
    yield (
        "checks",
        [
            (execution.run_id, execution.status)
            for execution in instance.event_log_storage.get_asset_check_execution_history(
                dg.AssetCheckKey(flights, "complete"), limit=5
            )
        ],
    )
    yield "add partitions", instance.add_dynamic_partitions("carriers", ["AA", "UA", "DL"])
    yield "add partitions again", instance.add_dynamic_partitions("carriers", ["UA", "B6"])
    yield "delete a partition", instance.delete_dynamic_partition("carriers", "AA")
    yield "has partition", instance.has_dynamic_partition("carriers", "AA")
    yield "dynamic partitions", instance.get_dynamic_partitions("carriers")
    yield "limit", instance.event_log_storage.set_concurrency_slots("database", 2)
    yield "claim", instance.event_log_storage.claim_concurrency_slot("database", RUN_IDS[0], "step").slot_status
    yield "free", instance.event_log_storage.free_concurrency_slots_for_run(RUN_IDS[0])
    yield "wipe", instance.wipe_assets([weather])
    yield "keys that are left", sorted(instance.all_asset_keys())


def materialization_of(record: Any) -> Any:
    last = record.asset_entry.last_materialization_record
    return last and (last.storage_id, last.event_log_entry)


def daemons(instance: dg.DagsterInstance) -> Iterator[Step]:
    """Note heartbeats and cursors, add and change backfills."""
    for number in range(3):
        heartbeat = DaemonHeartbeat(NOW.timestamp() + number, "SENSOR", f"daemon-{number}", [])
        yield "heartbeat", instance.add_daemon_heartbeat(heartbeat)
    yield "another", instance.add_daemon_heartbeat(DaemonHeartbeat(NOW.timestamp(), "BACKFILL", None, None))
    yield "heartbeats", instance.get_daemon_heartbeats()
    storage = instance.daemon_cursor_storage
    yield "cursors", storage.set_cursor_values({"a": "1", "b": "2"})
    yield "cursors again", storage.set_cursor_values({"b": "3", "c": "4"})
    yield "cursor values", storage.get_cursor_values({"a", "b", "c", "d"})
    backfills = [
        PartitionBackfill(
            backfill_id=f"backfill{number}",
            status=BulkActionStatus.REQUESTED,
            from_failure=False,
            tags={"number": str(number)},
            backfill_timestamp=NOW.timestamp() + number,
            asset_selection=[dg.AssetKey("weather")],
            serialized_asset_backfill_data="{}",
        )
        for number in range(3)
    ]
    for backfill in backfills:
        yield "add backfill", instance.add_backfill(backfill)
    yield "update", instance.update_backfill(backfills[1].with_status(BulkActionStatus.COMPLETED_SUCCESS))
    yield "backfill", instance.get_backfill("backfill1")
    filters = BulkActionsFilter(statuses=[BulkActionStatus.REQUESTED], tags={"number": ["0", "1"]})
    yield "backfills", instance.get_backfills(filters)
    yield "count", instance.get_backfills_count(filters)


CHAPTERS = (instigators, ticks, runs, assets, daemons)
