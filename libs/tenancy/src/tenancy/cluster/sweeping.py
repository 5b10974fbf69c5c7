"""Removes the Jobs that runs have left over, again and again, in the daemon."""

import logging
from collections.abc import Callable, Collection, Mapping

from dagster import DagsterInstance, RunRecord, RunsFilter

from tenancy.cluster.answers import ClusterBusyError, NoAnswerError
from tenancy.cluster.janitor import GRACE_SECONDS, RunJob, left_over
from tenancy.cluster.jobs import Jobs

SWEEP_SECONDS = 60.0

logger = logging.getLogger("tenancy.cluster")


class Janitor:
    """Compares the Jobs of runs with the instance's runs.

    It costs a request for each namespace, and one query when a Job is older than the grace.

    Args:
        instance: whose runs they are.
        jobs: the Kubernetes API.
        namespaces: returns where runs of the instance are.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        instance: DagsterInstance,
        jobs: Jobs,
        namespaces: Callable[[], Collection[str]],
        clock: Callable[[], float],
    ) -> None:
        self._instance = instance
        self._jobs = jobs
        self._namespaces = namespaces
        self._clock = clock
        self._unknown: dict[str, float] = {}

    def sweep(self) -> None:
        """Remove what is left over now; what Kubernetes refuses is logged, and tried again next time."""
        # In this order: the run of each Job that is seen is in the instance already.
        jobs = self._unfinished()
        now = self._clock()
        runs = self._runs({job.run_id for job in jobs if now - job.made > GRACE_SECONDS})
        over = {run_id: ended for run_id, record in runs.items() if (ended := self._over(run_id, record, now))}
        self._unknown = {run_id: since for run_id, since in self._unknown.items() if run_id in over}
        for job in left_over(jobs, over, now):
            try:
                self._remove(job, runs[job.run_id])
            except ClusterBusyError as error:
                logger.warning("Job %s in namespace %s is left over and stays: %s", job.name, job.namespace, error)

    def _unfinished(self) -> list[RunJob]:
        found: list[RunJob] = []
        for namespace in sorted(self._namespaces()):
            try:
                found += self._jobs.unfinished(namespace)
            except NoAnswerError as error:
                logger.warning("no Job that is left over is removed now: %s", error)
                return []
            except ClusterBusyError as error:
                logger.warning("the Jobs of namespace %s cannot be seen: %s", namespace, error)
        return found

    def _runs(self, run_ids: Collection[str]) -> Mapping[str, RunRecord | None]:
        records = self._instance.get_run_records(RunsFilter(run_ids=sorted(run_ids))) if run_ids else ()
        return {**dict.fromkeys(run_ids), **{record.dagster_run.run_id: record for record in records}}

    def _over(self, run_id: str, record: RunRecord | None, now: float) -> float | None:
        """Return since when a run needs no pod, None while it does."""
        if record is None:
            return self._unknown.setdefault(run_id, now)
        if not record.dagster_run.is_finished:
            return None
        return record.end_time or record.update_timestamp.timestamp()

    def _remove(self, job: RunJob, record: RunRecord | None) -> None:
        if not self._jobs.remove(job):
            return
        minutes = f"{GRACE_SECONDS / 60:g} minutes"
        reason = f"for {minutes} no such run" if record is None else f"its pod had not ended {minutes} after the run"
        said = f"Job {job.name} was removed from namespace {job.namespace}: {reason}"
        logger.info("%s", said)
        if record is not None:
            self._instance.report_engine_event(f"{said}.", record.dagster_run)
