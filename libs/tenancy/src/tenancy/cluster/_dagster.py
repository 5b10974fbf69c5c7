"""The only module of the platform on a cluster that touches Dagster's private API, and why.

- `DagsterUserCodeUnreachableError`: the one error after which the queue keeps a run and tries again, instead of
  failing it. Not exported.
- `WorkspaceLoadTarget`, `CodeLocationOrigin`, `location_origins_from_yaml_paths`: how daemon and webserver are told
  which code servers there are. The command lines offer a file or nothing; ours keeps to the last good file.
- `WorkspaceProcessContext`, `daemon_controller_from_instance`: what the two command lines make of it.
- `TAGS_*`: names of tags that Dagster sets itself.
"""

from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.remote_origin import CodeLocationOrigin
from dagster._core.run_coordinator.queued_run_coordinator import RunQueueConfig
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load import location_origins_from_config
from dagster._core.workspace.load_target import WorkspaceLoadTarget
from dagster._daemon.controller import daemon_controller_from_instance

__all__ = [
    "CodeLocationOrigin",
    "DagsterUserCodeUnreachableError",
    "RunQueueConfig",
    "WorkspaceLoadTarget",
    "WorkspaceProcessContext",
    "daemon_controller_from_instance",
    "location_origins_from_config",
]
