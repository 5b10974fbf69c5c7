"""What became of the runs of launched batches, asked of the Dagster instance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import dagster as dg

from sensor_assets._claims import BATCH_TAG
from sensor_assets._dagster import WILL_RETRY_TAG
from sensor_assets._reconcile import RunOutcome

RUN_KEY_TAG = "dagster/run_key"

_ERROR_CHARACTERS = 2000


@dataclass(frozen=True)
class RunReport:
    """How the runs of a batch stand, and what the last one failed with."""

    outcome: RunOutcome
    error: str | None = None


class Runs(Protocol):
    """Where runs can be looked up."""

    def report(self, batches: Mapping[str, str]) -> Mapping[str, RunReport]:
        """Return a report for each batch id; the value is the run key of its present attempt."""
        ...


class InstanceRuns:
    """Runs of a Dagster instance: one query for all batches, one more for each that failed."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance

    def report(self, batches: Mapping[str, str]) -> Mapping[str, RunReport]:
        if not batches:
            return {}
        found: dict[str, list[dg.DagsterRun]] = {batch: [] for batch in batches}
        for run in self._instance.get_runs(filters=dg.RunsFilter(tags={BATCH_TAG: list(batches)})):
            found[run.tags[BATCH_TAG]].append(run)
        return {batch: self._judge(_of_attempt(runs, batches[batch])) for batch, runs in found.items()}

    def _judge(self, runs: Sequence[dg.DagsterRun]) -> RunReport:
        """Judge an attempt by all of its runs, newest first: the launched one and those that retried it."""
        if not runs:
            return RunReport("vanished")
        if any(run.status == dg.DagsterRunStatus.SUCCESS for run in runs):
            return RunReport("succeeded")
        newest = runs[0]
        # Dagster's own run retries are still to come where the tag says so; the daemon makes that run within seconds.
        if not newest.is_finished or newest.tags.get(WILL_RETRY_TAG) == "true":
            return RunReport("active")
        return RunReport("failed", self._error(newest))

    def _error(self, run: dg.DagsterRun) -> str:
        failures = self._instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        for entry in failures:
            event = entry.dagster_event
            if event is not None and (error := event.step_failure_data.error) is not None:
                cause = error
                while cause.cause is not None:
                    cause = cause.cause
                return f"run {run.run_id}: {cause.message.strip()}"[:_ERROR_CHARACTERS]
        return f"run {run.run_id} ended as {run.status.value}"


def _of_attempt(runs: Sequence[dg.DagsterRun], run_key: str) -> list[dg.DagsterRun]:
    """Return the runs of one attempt and of whoever re-executed them, newest first."""
    roots = {run.run_id for run in runs if run.tags.get(RUN_KEY_TAG) == run_key}
    return [run for run in runs if run.run_id in roots or run.root_run_id in roots]
