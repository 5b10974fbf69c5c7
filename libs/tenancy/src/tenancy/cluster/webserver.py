"""The webserver of the platform: Dagster's own, following the workspace."""

from contextlib import ExitStack
from pathlib import Path

import dagster_webserver
from dagster import DagsterInstance
from dagster_webserver.cli import host_dagster_ui_with_workspace_process_context

from tenancy.cluster._dagster import WorkspaceProcessContext
from tenancy.cluster.workspace import FollowedWorkspace, following

STATEMENT_MILLISECONDS = 15_000
RECYCLE_SECONDS = 3600
POOL_OVERFLOW = 20


def run(workspace: Path, port: int, path_prefix: str) -> None:
    """Serve the UI and GraphQL until SIGTERM.

    Args:
        workspace: the workspace file.
        port: on all interfaces.
        path_prefix: path under which it is reached, such as "/dagster", or "".
    """
    target = FollowedWorkspace(workspace)
    with ExitStack() as stack:
        instance = stack.enter_context(DagsterInstance.get())
        instance.optimize_for_webserver(STATEMENT_MILLISECONDS, RECYCLE_SECONDS, POOL_OVERFLOW)
        context = stack.enter_context(WorkspaceProcessContext(instance, target, version=dagster_webserver.__version__))
        stack.enter_context(following(target, context.refresh_workspace))
        host_dagster_ui_with_workspace_process_context(
            context,
            host="0.0.0.0",
            port=port,
            path_prefix=path_prefix,
            log_level="warning",  # noqa: S104
        )
