"""The webserver of the platform: Dagster's own, following the workspace."""

from contextlib import ExitStack
from pathlib import Path

import uvicorn
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.version import __version__

from tenancy.cluster._dagster import FollowingContext
from tenancy.cluster.repeating import repeating
from tenancy.cluster.starting import opened_instance
from tenancy.cluster.workspace import FollowedWorkspace

LOOK_SECONDS = 2.0
STATEMENT_MILLISECONDS = 15_000
RECYCLE_SECONDS = 3600
POOL_OVERFLOW = 20

CLOSE_SECONDS = 20
"""How long answers that have begun may take after SIGTERM. Subscriptions are closed at once; the browser opens them
anew, at another pod."""


def run(workspace: Path, port: int, path_prefix: str) -> None:
    """Serve the UI and GraphQL until SIGTERM.

    Args:
        workspace: the workspace file.
        port: on all interfaces.
        path_prefix: path under which it is reached, such as "/dagster", or "".

    Raises:
        ControlPlaneError: the instance or the workspace is not usable.
    """
    target = FollowedWorkspace(workspace)
    with ExitStack() as stack:
        instance = stack.enter_context(opened_instance())
        instance.optimize_for_webserver(STATEMENT_MILLISECONDS, RECYCLE_SECONDS, POOL_OVERFLOW)
        context = stack.enter_context(FollowingContext(instance, target, version=__version__))
        # By itself it does not look at the workspace.
        failed = "the workspace could not be loaded anew"
        stack.enter_context(repeating(context.follow, LOOK_SECONDS, failed=failed))
        uvicorn.run(
            create_app_from_workspace_process_context(context, path_prefix),
            host="0.0.0.0",  # noqa: S104 - who may reach the pod is for the network policy to say
            port=port,
            log_config=None,
            log_level="warning",
            timeout_graceful_shutdown=CLOSE_SECONDS,
        )
