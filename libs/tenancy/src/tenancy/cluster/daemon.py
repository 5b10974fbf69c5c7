"""The daemon of the platform: Dagster's own, alone over its database, following the workspace."""

import logging
import os
import signal
from contextlib import ExitStack
from pathlib import Path
from threading import Timer

from tenancy.cluster import log
from tenancy.cluster._dagster import daemon_controller_from_instance, heartbeats
from tenancy.cluster.connecting import LOGIN_KEY
from tenancy.cluster.environment import Login, Server
from tenancy.cluster.health import Health, answering
from tenancy.cluster.launcher import TeamRunLauncher
from tenancy.cluster.repeating import repeating
from tenancy.cluster.roles import DAGSTER
from tenancy.cluster.sole import sole
from tenancy.cluster.starting import opened_instance
from tenancy.cluster.sweeping import SWEEP_SECONDS
from tenancy.cluster.workspace import FollowedWorkspace

logger = logging.getLogger("tenancy.cluster")


def run(
    workspace: Path, server: Server, login: Login, *, health_port: int, stale_seconds: float, grace_seconds: float
) -> None:
    """Run all daemons of the instance until SIGTERM.

    Args:
        workspace: the workspace file.
        server: with the instance's database, whose lock makes this the only daemon.
        login: of the control plane.
        health_port: where /healthz and /readyz are answered.
        stale_seconds: age of a sign of life from which on a part of the daemon counts as hanging.
        grace_seconds: how long it may take to end after SIGTERM; what still runs then is cut off.

    Raises:
        ControlPlaneError: the database, the instance or the workspace is not usable.
    """
    # Both: Dagster's loop sets the one to what the other is.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.default_int_handler)
    health = Health(stale_seconds)
    try:
        with ExitStack() as stack:
            target = FollowedWorkspace(workspace)
            stack.enter_context(answering(health, health_port))
            stack.enter_context(sole(server, DAGSTER, login, key=LOGIN_KEY))
            logger.info("this is the daemon now")
            instance = stack.enter_context(opened_instance())
            health.works(lambda: heartbeats(instance))  # before its parts begin, whose first sign of life counts
            controller = stack.enter_context(daemon_controller_from_instance(instance, target, log_level="warning"))
            if isinstance(launcher := instance.run_launcher, TeamRunLauncher):
                failed = "the Jobs that runs have left over could not be removed"
                stack.enter_context(repeating(launcher.janitor().sweep, SWEEP_SECONDS, failed=failed))
            log.take_over("dagster", "dagit", "dagster-webserver")
            stack.callback(_end_at_latest, grace_seconds)
            controller.check_daemon_loop()
    except KeyboardInterrupt:
        logger.info("the daemon has ended")


def _end_at_latest(seconds: float) -> None:
    """End the process after some seconds, if it has not ended by itself: a tick may hang for minutes.

    Whatever is cut off can be: a daemon may die at any moment, and the next one goes on.
    """
    timer = Timer(seconds, os._exit, [0])
    timer.daemon = True
    timer.start()
