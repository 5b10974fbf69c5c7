"""The only module of the platform on a cluster that touches Dagster's private API, and why.

- `WorkspaceLoadTarget`, `CodeLocationOrigin`, `location_origins_from_config`: how daemon and webserver are told which
  code servers there are. The command lines offer a file or nothing; ours keeps to the last good file.
- `WorkspaceProcessContext`, `CurrentWorkspace`, `daemon_controller_from_instance`: what the two command lines make of
  it. `FollowingContext` adds what refresh_workspace does not know: to leave alone what has not changed.
- `CheckError`: what Dagster raises for a workspace file of the right form with wrong content. It is no DagsterError.
- `RunQueueConfig`: what a run coordinator tells the daemon that empties the queue. The method is public, the type is
  not exported.
- `ExecuteRunArgs`, `InstanceRef`, `ConfigurableClassData`: what a run's command line is made of. A run
  gets the instance with it, and must not be asked for classes that only the platform's image has.
- `LaunchRunContext`, `CheckRunHealthResult`, `WorkerStatus`: what a run launcher is given and
  answers. The methods are public, the types are not exported.
- `RunStorageSqlMetadata` and its two likes: the tables of the instance's storage.
- `DagsterRunStatus.STARTING` and the event `RUN_ENQUEUED` by `enqueue_again`: how a run goes back to the queue, as the
  queue's own daemon does it.
"""

import json
from collections.abc import Mapping
from typing import cast

from dagster import DagsterEvent, DagsterInstance, DagsterRun, QueuedRunCoordinator
from dagster._check import CheckError
from dagster._core.instance.ref import InstanceRef
from dagster._core.launcher import LaunchRunContext
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.remote_origin import CodeLocationOrigin, GrpcServerCodeLocationOrigin
from dagster._core.run_coordinator.queued_run_coordinator import RunQueueConfig
from dagster._core.storage.event_log import SqlEventLogStorageMetadata
from dagster._core.storage.runs import RunStorageSqlMetadata
from dagster._core.storage.schedules import ScheduleStorageSqlMetadata
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load import location_origins_from_config
from dagster._core.workspace.load_target import WorkspaceLoadTarget
from dagster._core.workspace.workspace import CurrentWorkspace
from dagster._daemon.controller import daemon_controller_from_instance
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClassData

__all__ = [
    "STORAGE_TABLES",
    "CheckError",
    "CheckRunHealthResult",
    "CodeLocationOrigin",
    "ExecuteRunArgs",
    "FollowingContext",
    "InstanceRef",
    "LaunchRunContext",
    "RunQueueConfig",
    "WorkerStatus",
    "WorkspaceLoadTarget",
    "WorkspaceProcessContext",
    "daemon_controller_from_instance",
    "enqueue_again",
    "heartbeats",
    "location_origins_from_config",
    "reference_for_runs",
]

STOP_SECONDS = 5.0

STORAGE_TABLES = (RunStorageSqlMetadata, SqlEventLogStorageMetadata, ScheduleStorageSqlMetadata)
"""The tables of the instance's three storages. Each storage makes its own, but outside of a transaction: one that is
killed meanwhile leaves some of them, which no later start completes."""


class FollowingContext(WorkspaceProcessContext):
    """A workspace that can take in what was added and drop what was removed, and reloads nothing else.

    `refresh_workspace` loads every location anew, one after the other, and ends every watch on a code server: a team
    that adds a location would cost all others a reload.
    """

    def follow(self) -> None:
        """Compare the load target with what is loaded, and do what is to be done; costs nothing when it is nothing."""
        origins = {origin.location_name: origin for origin in self._origins}
        loaded = self.get_current_workspace().code_location_entries
        same = {name for name, entry in loaded.items() if origins.get(name) == entry.origin}
        if same == set(origins) == set(loaded):
            return
        added = {
            name: self._load_location(origin, reload=False) for name, origin in origins.items() if name not in same
        }
        gone = set(loaded) - same
        for name in gone:
            # A watch that goes on could load a location anew that has just been dropped.
            self._stop_watching(name)
        with self._lock:
            now = self._current_workspace.code_location_entries  # others may have been refreshed meanwhile
            entries = {name: added[name] if name in added else now[name] for name in origins}
            self._current_workspace = CurrentWorkspace(code_location_entries=entries)
            for name, entry in added.items():
                if isinstance(entry.origin, GrpcServerCodeLocationOrigin) and name not in self._watch_threads:
                    self._start_watch_thread(entry.origin)
        for name in gone:
            if (location := loaded[name].code_location) is not None:
                location.cleanup()

    def _stop_watching(self, name: str) -> None:
        with self._lock:
            stop = self._watch_thread_shutdown_events.pop(name, None)
            thread = self._watch_threads.pop(name, None)
        if stop is not None and thread is not None:
            stop.set()
            thread.join(STOP_SECONDS)


def heartbeats(instance: DagsterInstance) -> dict[str, float | None]:
    """Return when each part of the daemon that the instance needs gave its last sign of life; seconds since 1970."""
    given = instance.get_daemon_heartbeats()
    return {name: given[name].timestamp if name in given else None for name in instance.get_required_daemon_types()}


def enqueue_again(instance: DagsterInstance, run: DagsterRun) -> None:
    """Put a run that was taken from the queue back into it."""
    instance.report_dagster_event(DagsterEvent.job_enqueue(run), run_id=run.run_id)


def reference_for_runs(reference: InstanceRef) -> InstanceRef:
    """Return the instance as a run sees it: with Dagster's own queue and launcher in place of the platform's.

    A run launches nothing, but asks for the queue's settings as soon as a step of it uses a pool; the classes of the
    platform are not installed where it runs.
    """
    queue = reference.run_coordinator_data
    known = cast("Mapping[str, object]", QueuedRunCoordinator.config_type())
    settings = {key: value for key, value in (queue.config_dict if queue else {}).items() if key in known}
    return reference._replace(
        run_coordinator_data=_class_data("QueuedRunCoordinator", settings),
        run_launcher_data=_class_data("DefaultRunLauncher", {}),
    )


def _class_data(name: str, settings: Mapping[str, object]) -> ConfigurableClassData:
    return ConfigurableClassData("dagster", name, json.dumps(settings))
