"""Dagster's sensor daemon, one iteration at a time, and whatever else of Dagster's private parts the tests need.

- `execute_sensor_iteration`: the body of the daemon's loop, which sleeps at least 5 s between two rounds; its crash
  flags are the ones with which Dagster tests itself.
- `create_test_daemon_workspace_context`, `GrpcServerTarget`: what `dagster-daemon run -w workspace.yaml` builds around
  it.
- `SyncInMemoryRunLauncher`: runs in the daemon's process, for tests that are not about processes.
- `execute_backfill_iteration`, `launchPartitionBackfill`: the daemon's loop for backfills, and what the UI sends.
- `EventLogConsumerDaemon`, `execute_run_monitoring_iteration`: the daemon's loops that retry failed runs and end those
  that take too long, where the instance asks for it.
- `execute_run`, `InMemoryJob`: a re-execution without a server to ask for it.
- `InstigatorState`, `SensorInstigatorData`: what the UI's "set cursor" writes.
- `InstigationLogger`: what `context.log` of a sensor is; `get_instigation_log_records` reads what a tick has logged.

Run as a program it is a daemon that kills itself: ``python dagster_internals.py SOCKET SENSOR CRASH_POINT``.
"""

import logging
import signal
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import Any

import dagster as dg
from dagster._core.definitions.instigation_logger import InstigationLogger, get_instigation_log_records
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.launcher import LaunchRunContext
from dagster._core.launcher.sync_in_memory_run_launcher import SyncInMemoryRunLauncher
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, SensorInstigatorData
from dagster._core.storage.tags import PARENT_RUN_ID_TAG, ROOT_RUN_ID_TAG, RUN_KEY_TAG, WILL_RETRY_TAG
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.workspace.context import IWorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon
from dagster._daemon.backfill import execute_backfill_iteration
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration
from dagster._daemon.sensor import execute_sensor_iteration
from dagster_graphql.client.query import LAUNCH_PARTITION_BACKFILL_MUTATION
from dagster_graphql.test.utils import execute_dagster_graphql

LOCATION = "tested"
TICK_LOGGER = InstigationLogger

# In the order in which one tick passes them; at the last one every run is launched and nothing of that is written yet.
CRASH_POINTS = (
    "TICK_CREATED",
    "AUTOMATION_EVALUATIONS_ADDED",
    "RUN_IDS_RESERVED",
    "RUN_CREATED",
    "RUN_LAUNCHED",
    "RUN_IDS_ADDED_TO_EVALUATIONS",
)


class Daemon:
    """A sensor daemon that does one round when it is told."""

    def __init__(self, workspace: IWorkspaceProcessContext[Any]) -> None:
        self._workspace = workspace
        self._retries = EventLogConsumerDaemon()

    def round(self, *, sensor: str = "", crash_point: str = "") -> None:
        """Evaluate every sensor that is due, launch what it asks for; die by SIGKILL at the crash point."""
        flags = {sensor: {crash_point: signal.SIGKILL}} if crash_point else None
        log = logging.getLogger("daemon")
        list(execute_sensor_iteration(self._workspace, log, None, None, None, flags))
        if self._workspace.instance.run_retries_enabled:
            list(self._retries.run_iteration(self._workspace))
        if self._workspace.instance.run_monitoring_enabled:
            list(execute_run_monitoring_iteration(self._workspace, log))

    def launch_backfill(self, asset: str, partitions: Sequence[str] | None) -> str:
        """Do what the UI does when a person launches a backfill, of all partitions without a choice; returns its id."""
        chosen = {"allPartitions": True} if partitions is None else {"partitionNames": list(partitions)}
        variables = {"backfillParams": {"assetSelection": [{"path": [asset]}], **chosen}}
        context = self._workspace.create_request_context()
        answer: Any = execute_dagster_graphql(context, LAUNCH_PARTITION_BACKFILL_MUTATION, variables)
        return answer.data["launchPartitionBackfill"]["backfillId"]

    def backfill_ended(self, backfill: str) -> str:
        """Let the backfill go on; returns how it ended, or nothing as long as it has not."""
        list(execute_backfill_iteration(self._workspace, logging.getLogger("daemon")))
        found = self._workspace.instance.get_backfill(backfill)
        assert found is not None
        return "" if found.status in (BulkActionStatus.REQUESTED, BulkActionStatus.FAILING) else found.status.value


@contextmanager
def running_daemon(instance: dg.DagsterInstance, socket: str) -> Generator[Daemon]:
    """Connect a daemon to the code server behind a socket."""
    target = GrpcServerTarget(host="localhost", port=None, socket=socket, location_name=LOCATION)
    with create_test_daemon_workspace_context(target, instance) as workspace:
        yield Daemon(workspace)


class _InThisProcess(SyncInMemoryRunLauncher):
    """Runs in a thread that is waited for: a backfill is launched from an event loop, and a run starts one as well."""

    def launch_run(self, context: LaunchRunContext) -> None:
        thread = Thread(target=super().launch_run, args=(context,))
        thread.start()
        thread.join()


@contextmanager
def runs_in_this_process(instance: dg.DagsterInstance) -> Generator[None]:
    """Launch runs in this process meanwhile, ten times as fast; a run has ended when its launch returns."""
    private: Any = instance
    launcher = private._run_launcher
    private._run_launcher = _InThisProcess()
    private._run_launcher.register_instance(instance)
    try:
        yield
    finally:
        private._run_launcher = launcher


def reexecute(
    job: dg.JobDefinition,
    parent: dg.DagsterRun,
    instance: dg.DagsterInstance,
    *,
    tags: Mapping[str, str] | None = None,
) -> bool:
    """Run once more what a run did, as the UI's "Re-execute" does, or Dagster's own retry with its tag.

    Tells whether it succeeded. Neither takes over the run key and what the first run says about its own retry.
    """
    inherited = {name: value for name, value in parent.tags.items() if name not in (RUN_KEY_TAG, WILL_RETRY_TAG)}
    inherited |= {PARENT_RUN_ID_TAG: parent.run_id, ROOT_RUN_ID_TAG: parent.run_id}
    run = instance.create_run_for_job(
        job_def=job, tags={**inherited, **(tags or {})}, parent_run_id=parent.run_id, root_run_id=parent.run_id
    )
    return execute_run(InMemoryJob(job), run, instance).success


def sensor_state(instance: dg.DagsterInstance, sensor: str) -> tuple[InstigatorState, SensorInstigatorData]:
    """Return what the daemon remembers of a sensor."""
    state = next(state for state in instance.all_instigator_state() if state.instigator_name == sensor)
    data = state.instigator_data
    assert isinstance(data, SensorInstigatorData)
    return state, data


def newest_ticks(instance: dg.DagsterInstance, sensor: str, number: int) -> list[InstigatorTick]:
    """Return the last ticks of a sensor, the newest first."""
    state, _ = sensor_state(instance, sensor)
    return list(instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=number))


def tick_lines(instance: dg.DagsterInstance, tick: InstigatorTick) -> list[dict[str, Any]]:
    """Return the lines that a tick has logged, as the UI reads them."""
    key = tick.tick_data.log_key
    return [dict(record) for record in get_instigation_log_records(instance, key)] if key else []


def cursor(instance: dg.DagsterInstance, sensor: str) -> str | None:
    return sensor_state(instance, sensor)[1].cursor


def set_cursor(instance: dg.DagsterInstance, sensor: str, text: str | None) -> None:
    """Do what the UI does when a person resets or edits the cursor."""
    state, data = sensor_state(instance, sensor)
    instance.update_instigator_state(
        state.with_data(
            SensorInstigatorData(
                last_tick_timestamp=data.last_tick_timestamp,
                last_run_key=data.last_run_key,
                min_interval=data.min_interval,
                cursor=text,
                last_tick_start_timestamp=data.last_tick_start_timestamp,
                last_sensor_start_timestamp=data.last_sensor_start_timestamp,
                sensor_type=data.sensor_type,
                last_tick_success_timestamp=data.last_tick_success_timestamp,
            )
        )
    )


def main() -> None:
    socket, sensor, crash_point = sys.argv[1:]
    with dg.DagsterInstance.get() as instance, running_daemon(instance, socket) as daemon:
        while True:
            daemon.round(sensor=sensor, crash_point=crash_point)
            time.sleep(0.1)


if __name__ == "__main__":
    main()
