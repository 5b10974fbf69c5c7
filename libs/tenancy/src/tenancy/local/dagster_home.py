"""The configuration of the local Dagster instance: two `dagster.yaml` over one storage.

The platform's own has the queue, the run monitor and the run launcher. That of `dg dev`, which runs a daemon of its
own beside the platform's, launches its runs at once instead of queueing them: a second daemon that dequeued would take
other locations' runs, which it cannot launch, and fail them.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tenancy.environments import Environment
from tenancy.local.layout import Layout
from tenancy.local.postgres import Postgres
from tenancy.local.provision import DAGSTER
from tenancy.register import Location

START_TIMEOUT_SECONDS = 30
"""A run that was launched and has not begun after this long counts as failed. It covers a code server that is killed
between taking a run and beginning it; a run that does begin later sees that it has been given up and does nothing."""


def write_homes(layout: Layout, postgres: Postgres, environment: Environment) -> None:
    """Write both `dagster.yaml`."""
    storage = _storage(layout, postgres, lean=environment.storage.lean)
    _write(layout.dagster_home / "dagster.yaml", storage | _platform(environment.runs.max_concurrent))
    at_once = {"run_coordinator": _class("dagster._core.run_coordinator", "DefaultRunCoordinator")}
    _write(layout.development_home / "dagster.yaml", storage | at_once)


def write_workspace(layout: Layout, locations: Iterable[Location]) -> None:
    """Write the workspace of the locations that are started, by the absolute paths of their sockets."""
    servers = [
        {"grpc_server": {"socket": str(layout.socket(name)), "location_name": name}}
        for name in (location.dagster_name for location in locations)
    ]
    _write(layout.workspace, {"load_from": servers})


def _storage(layout: Layout, postgres: Postgres, *, lean: bool) -> dict[str, Any]:
    url = postgres.url(DAGSTER, DAGSTER)
    return {
        "storage": {"custom": _class("lean_postgres", "LeanPostgresStorage", postgres_url=url, lean=lean)},
        "local_artifact_storage": _class(
            "dagster._core.storage.root", "LocalArtifactStorage", base_dir=str(layout.dagster_home)
        ),
        "compute_logs": _class(
            "dagster._core.storage.local_compute_log_manager",
            "LocalComputeLogManager",
            base_dir=str(layout.dagster_home / "compute"),
        ),
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
        "sensors": {"use_threads": True, "num_workers": 8},
        "retention": {"sensor": {"purge_after_days": {"skipped": 1, "success": 30, "failure": 30}}},
    }


def _platform(max_concurrent_runs: int) -> dict[str, Any]:
    return {
        "run_coordinator": _class(
            "dagster",
            "QueuedRunCoordinator",
            max_concurrent_runs=max_concurrent_runs,
            dequeue_interval_seconds=1,
            # Launching waits until the run's process has started, a second or two: not one run after the other.
            dequeue_use_threads=True,
            dequeue_num_workers=max_concurrent_runs,
            # A code server that is down comes back within seconds: its runs wait in the queue instead of failing.
            max_user_code_failure_retries=100,
            user_code_failure_retry_delay=2,
        ),
        "run_launcher": _class("tenancy.local.launcher", "LocalRunLauncher"),
        # For runs that ask for it by the tag dagster/max_retries, as automation does; batches have their own attempts.
        "run_retries": {"enabled": True, "max_retries": 0},
        "run_monitoring": {
            "enabled": True,
            "poll_interval_seconds": 5,
            "start_timeout_seconds": START_TIMEOUT_SECONDS,
            "cancel_timeout_seconds": 30,
            "max_resume_run_attempts": 0,
        },
    }


def _class(module: str, name: str, **config: Any) -> dict[str, Any]:
    return {"module": module, "class": name, "config": config}


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(f"# Made by the local platform at every start.\n{yaml.safe_dump(content, sort_keys=False)}")
