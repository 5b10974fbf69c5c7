"""The daemon of the platform: Dagster's own, alone over its database, and following the workspace."""

import signal
from contextlib import ExitStack
from pathlib import Path

from dagster import DagsterInstance

from tenancy.cluster._dagster import daemon_controller_from_instance
from tenancy.cluster.sole import sole
from tenancy.cluster.workspace import FollowedWorkspace


def run(workspace: Path, lock_url: str) -> None:
    """Run all daemons of the instance until SIGTERM.

    Args:
        workspace: the workspace file.
        lock_url: database whose lock makes this the only daemon.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        stack.enter_context(sole(lock_url))
        instance = stack.enter_context(DagsterInstance.get())
        controller = stack.enter_context(
            daemon_controller_from_instance(instance, FollowedWorkspace(workspace), log_format="json")
        )
        try:
            controller.check_daemon_loop()
        except KeyboardInterrupt:
            pass
