"""The run launcher of the local platform: Dagster's own, and it notices when a run's process is gone.

Dagster's default launcher hands a run to the location's code server, which runs it in a process of its own. When the
code server is killed, its runs die with it and nobody says so: they would stay "started" for ever. This launcher lets
Dagster's run monitor ask.

Why the answer can be trusted: a run becomes STARTED by an event that its own process writes, after the code server has
it in its list, and a process leaves the list only after it has ended, so after its last event. When the list no longer
has a run that the monitor read as STARTED, the monitor reads the run again and lets it be if it has ended meanwhile.
A code server that was started anew has an empty list, and the platform ends all processes of the old one first.
"""

import time
from collections.abc import Mapping
from typing import Any, Self

from dagster import DagsterRun, DefaultRunLauncher

from tenancy.local._dagster import CheckRunHealthResult, WorkerStatus, code_server_has_run

UNREACHABLE_SECONDS = 60.0
"""How long a code server may be silent before its runs count as gone: the platform restarts one within seconds."""


class LocalRunLauncher(DefaultRunLauncher):
    """`DefaultRunLauncher` with health checks, for `run_launcher` in dagster.yaml; it has no configuration."""

    def __init__(self, inst_data: Any = None) -> None:
        super().__init__(inst_data)
        self._silent_since: dict[str, float] = {}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> Self:  # noqa: ARG003
        """Return a launcher; it has no configuration."""
        return cls(inst_data)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Whether the run monitor may ask; it does so for each started run at every poll."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Say whether the process of a started run still exists."""
        has_run = code_server_has_run(run)
        if has_run is not None:
            self._silent_since.pop(run.run_id, None)
            if has_run:
                return CheckRunHealthResult(WorkerStatus.RUNNING)
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "the code server no longer has the run's process")
        silent = time.monotonic() - self._silent_since.setdefault(run.run_id, time.monotonic())
        if silent < UNREACHABLE_SECONDS:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "no answer from the code server, asking again")
        del self._silent_since[run.run_id]
        return CheckRunHealthResult(WorkerStatus.FAILED, f"no answer from the code server for {silent:.0f} s")
