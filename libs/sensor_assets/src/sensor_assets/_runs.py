"""What became of the runs of launched batches, asked of the Dagster instance."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import dagster as dg

from sensor_assets._claims import BATCH_TAG
from sensor_assets._dagster import WILL_RETRY_TAG
from sensor_assets._reconcile import RunOutcome

RUN_KEY_TAG = "dagster/run_key"

_ERROR_CHARACTERS = 2000

INTERRUPTED = "DagsterExecutionInterruptedError"

# Longest that Dagster's retry of a failed run is waited for.
RETRY_SECONDS = 600.0

# Longest that a run may wait to be submitted: the daemon creates and submits it within one tick. When its database goes
# away between the two, it logs that and takes the cursor, and the run stays NOT_STARTED: run monitoring does not look
# at such a run, and the asset would be in progress for ever.
SUBMIT_SECONDS = 60.0


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

    def __init__(self, instance: dg.DagsterInstance, *, now: Callable[[], float] = time.time) -> None:
        self._instance = instance
        self._now = now

    def report(self, batches: Mapping[str, str]) -> Mapping[str, RunReport]:
        if not batches:
            return {}
        found: dict[str, list[dg.RunRecord]] = {batch: [] for batch in batches}
        for record in self._instance.get_run_records(filters=dg.RunsFilter(tags={BATCH_TAG: list(batches)})):
            found[record.dagster_run.tags[BATCH_TAG]].append(record)
        return {batch: self._judge(_of_attempt(records, batches[batch])) for batch, records in found.items()}

    def _judge(self, records: Sequence[dg.RunRecord]) -> RunReport:
        """Judge an attempt by all of its runs, newest first: the launched one and those that retried it."""
        if not records:
            return RunReport("vanished")
        if any(record.dagster_run.status == dg.DagsterRunStatus.SUCCESS for record in records):
            return RunReport("succeeded")
        newest = records[0]
        if self._was_never_submitted(newest):
            self._instance.report_run_canceled(
                newest.dagster_run, message="It was created and never submitted; its batch goes on with another run."
            )
            return RunReport("vanished")
        if not newest.dagster_run.is_finished or self._will_be_retried(newest):
            return RunReport("active")
        return RunReport("failed", self._error(newest.dagster_run))

    def _was_never_submitted(self, record: dg.RunRecord) -> bool:
        created = record.dagster_run.status == dg.DagsterRunStatus.NOT_STARTED
        return created and self._now() - record.create_timestamp.timestamp() > SUBMIT_SECONDS

    def _will_be_retried(self, record: dg.RunRecord) -> bool:
        """Tell whether Dagster's own retry of a run is still to come: its daemon makes that run within seconds.

        When it has not for minutes it will not any more (it cannot load the location, run retries were switched off).
        """
        ended = record.end_time or record.update_timestamp.timestamp()
        return record.dagster_run.tags.get(WILL_RETRY_TAG) == "true" and self._now() - ended < RETRY_SECONDS

    def _error(self, run: dg.DagsterRun) -> str:
        failures = self._instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        for entry in failures:
            event = entry.dagster_event
            if event is not None and (error := event.step_failure_data.error) is not None:
                cause = error
                while cause.cause is not None:
                    cause = cause.cause
                # Of a step that was interrupted, what interrupted it says more.
                if cause.cls_name != INTERRUPTED:
                    return f"run {run.run_id}: {cause.message.strip()}"[:_ERROR_CHARACTERS]
        return f"run {run.run_id} {self._end(run)}"[:_ERROR_CHARACTERS]

    def _end(self, run: dg.DagsterRun) -> str:
        """Say how a run ended that no step explains: it was cancelled, monitoring ended it, its process was lost."""
        kinds = {
            dg.DagsterEventType.RUN_CANCELING,
            dg.DagsterEventType.RUN_CANCELED,
            dg.DagsterEventType.RUN_FAILURE,
        }
        events = [entry.dagster_event for entry in self._instance.all_logs(run.run_id, of_type=kinds)]
        said = dict.fromkeys(event.message.strip() for event in events if event is not None and event.message)
        return f"ended as {run.status.value}" + "".join(f"; {text}" for text in said)


def _of_attempt(records: Sequence[dg.RunRecord], run_key: str) -> list[dg.RunRecord]:
    """Return the runs of one attempt and of whoever re-executed them, newest first."""
    runs = [record.dagster_run for record in records]
    roots = {run.run_id for run in runs if run.tags.get(RUN_KEY_TAG) == run_key}
    return [r for r in records if r.dagster_run.run_id in roots or r.dagster_run.root_run_id in roots]
