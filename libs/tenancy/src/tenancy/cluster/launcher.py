"""The run launcher of the platform: a Job for each run, in the namespace of the location's team.

Where a run goes is the platform's to say. `K8sRunLauncher` takes it from the container context that a location's own
code server reports, and from tags of the run: whoever writes them could have the control plane start a pod in another
team's namespace, with that team's service account. This launcher takes it from `Places`; it refuses a run whose code
server asks for something else, and knows no tag but the one for resources.

A run for which the cluster has no room goes back to the queue, as often as need be. Dagster's queue would count that as
a failure of the code server and give the run up after some of them (`max_user_code_failure_retries`), so the launcher
puts the run back itself, and has the queue leave its team alone for a while.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from dagster import DagsterRun, DagsterRunStatus, Field, StringSource
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import get_job_name_from_run_id
from kubernetes.config import ConfigException

from tenancy.cluster import contexts
from tenancy.cluster._dagster import (
    CheckRunHealthResult,
    ExecuteRunArgs,
    LaunchRunContext,
    WorkerStatus,
    enqueue_again,
    reference_for_runs,
)
from tenancy.cluster.answers import ClusterBusyError, RunRefusedError
from tenancy.cluster.errors import ControlPlaneError, one_line
from tenancy.cluster.jobs import Jobs
from tenancy.cluster.last_good import LastGood
from tenancy.cluster.pauses import Pauses
from tenancy.cluster.places import Place, Places
from tenancy.cluster.room import Amounts, Room, of_a_run, of_a_server
from tenancy.cluster.sweeping import Janitor

NAMESPACE_TAG = "tenancy/namespace"
"""Where a run's Job is; for a run whose location has left the register."""

logger = logging.getLogger("tenancy.cluster")


class TeamRunLauncher(K8sRunLauncher):
    """`K8sRunLauncher` with the platform's word on where runs belong, for `run_launcher` in dagster.yaml.

    Its configuration is that of `K8sRunLauncher` without `job_namespace`, and `places`, the path of the file that
    `Places` describes. `service_account_name` and `instance_config_map` may be left out: nothing here uses them.
    """

    def __init__(self, *, places: str, **config: Any) -> None:
        stock_config: dict[str, Any] = {"service_account_name": "", "instance_config_map": "", **config}
        try:
            super().__init__(**stock_config)
        except ConfigException as error:
            raise ControlPlaneError(
                f"the launcher cannot reach Kubernetes: {one_line(error)}. Its pod needs a service account's token "
                "(automountServiceAccountToken: true)"
            ) from error
        self._places = LastGood(Path(places), Places.read)
        stock = self._api_client
        self._jobs = Jobs(stock.batch_api, stock.core_api, stock.logger, stock.sleeper, stock.timer)
        self._api_client = self._jobs
        self._room = Room(self._jobs.quotas, lambda namespace: bool(self._jobs.unfinished(namespace)))
        self.pauses = Pauses()
        """Teams for whose runs there was no room a moment ago; the queue asks."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Return the configuration of `K8sRunLauncher`, changed as described."""
        stock = {name: field for name, field in super().config_type().items() if name != "job_namespace"}
        not_used = Field(StringSource, is_required=False, description="Not used.")
        places = Field(StringSource, description="File with the place of each location's runs.")
        return {**stock, "instance_config_map": not_used, "service_account_name": not_used, "places": places}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> Self:
        """Return a launcher."""
        return cls(inst_data=inst_data, **config_value)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Make the run's Job, or fail the run with a message, or put it back into the queue."""
        run = context.dagster_run
        try:
            self._launch_k8s_job_with_args(get_job_name_from_run_id(run.run_id), self._arguments(run), run)
        except RunRefusedError as error:
            logger.warning("run %s is refused: %s", run.run_id, error)
            self._instance.report_run_failed(run, f"The run is not launched: {error}.")
        except ClusterBusyError as error:
            self._put_back(run, error)

    @property
    def supports_resume_run(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride] - the base's is Literal
        """False: a run whose pod has died is made anew, by the tag dagster/max_retries."""
        return False

    @property
    def supports_run_worker_crash_recovery(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        """False: a run has one Job, and dagster-k8s does not count them by a query at each look."""
        return False

    def _arguments(self, run: DagsterRun) -> Sequence[str]:
        if run.job_code_origin is None:
            raise RunRefusedError("it does not say where its code is")
        return ExecuteRunArgs(
            job_origin=run.job_code_origin,
            run_id=run.run_id,
            instance_ref=reference_for_runs(self._instance.get_ref()),
            set_exit_code_on_failure=self._fail_pod_on_run_failure,
        ).get_command_args()

    def _launch_k8s_job_with_args(self, job_name: str, args: Sequence[str] | None, run: DagsterRun) -> None:
        location, place = self._registered(run)
        context = contexts.of_run(run, self, location, place)
        wanted = of_a_run(context.run_k8s_config.container_config.get("resources") or {})
        if lacks := self._room.take(place.namespace, run.run_id, wanted, self._reserve(place)):
            kind = RunRefusedError if any(lack.ever for lack in lacks) else ClusterBusyError
            raise kind(f"the quota of team {place.team} has no room for it: {'; '.join(map(str, lacks))}")
        try:
            self._instance.add_run_tags(run.run_id, {NAMESPACE_TAG: place.namespace})
            super()._launch_k8s_job_with_args(job_name, args, run)
        except BaseException:
            self._room.give_back(run.run_id)
            raise
        self.pauses.end(place.team)

    def _put_back(self, run: DagsterRun, error: ClusterBusyError) -> None:
        now = self._instance.get_run_by_id(run.run_id)
        # It may have been ended meanwhile; or its Job was made, the answer was lost, and it has begun.
        if now is None or now.status not in (DagsterRunStatus.QUEUED, DagsterRunStatus.STARTING):
            return
        self._instance.report_engine_event(f"The run waits in the queue: {error}.", now)
        enqueue_again(self._instance, now)
        _, place = self._look_up(run)
        if place is not None:
            self.pauses.begin(place.team)

    def get_container_context_for_run(self, dagster_run: DagsterRun) -> K8sContainerContext:
        """Return what the run's Job is made of; also where its Job is looked for, however it was asked for.

        Raises:
            RunRefusedError: nobody knows where the run belongs.
        """
        location, place = self._look_up(dagster_run)
        if place is None:
            if (namespace := self._namespace(dagster_run)) is None:
                raise RunRefusedError(_unknown(location))
            return K8sContainerContext(namespace=namespace)
        try:
            return contexts.of_run(dagster_run, self, location, place)
        except RunRefusedError:
            # Launching has refused it before it comes here; whoever looks for its Job wants its namespace.
            return contexts.own(dagster_run, location, place)

    def _look_up(self, run: DagsterRun) -> tuple[str, Place | None]:
        origin = run.remote_job_origin
        # From the workspace, which the platform writes, and not from the code server.
        location = origin.repository_origin.code_location_origin.location_name if origin else ""
        return location, self._places.get().locations.get(location)

    def _reserve(self, place: Place) -> Amounts:
        team = self._places.get().teams.get(place.team)
        return of_a_server(team.reserve) if team and team.reserve else {}

    def janitor(self, clock: Callable[[], float] = time.time) -> Janitor:
        """Return who removes the Jobs that runs have left over."""
        return Janitor(self._instance, self._jobs, self._namespaces, clock)

    def _namespaces(self) -> set[str]:
        return {place.namespace for place in self._places.get().locations.values()}

    def _registered(self, run: DagsterRun) -> tuple[str, Place]:
        location, place = self._look_up(run)
        if place is None:
            raise RunRefusedError(_unknown(location))
        return location, place

    def _namespace(self, run: DagsterRun) -> str | None:
        _, place = self._look_up(run)
        return place.namespace if place else run.tags.get(NAMESPACE_TAG)

    def terminate(self, run_id: str) -> bool:
        """Delete the run's Job; returns whether it did."""
        run = self._instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished and self._namespace(run) is None:
            self._instance.report_engine_event(f"The run cannot be terminated: {_unknown(self._look_up(run)[0])}.", run)
            return False
        return bool(super().terminate(run_id))

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Tell how the run's Job is.

        Raises:
            ClusterBusyError: nobody can say. `K8sRunLauncher` answers UNKNOWN then, for which the run monitor fails
                the run, though nothing is wrong with it.
        """
        if self._namespace(run) is None:
            return CheckRunHealthResult(WorkerStatus.UNKNOWN, _unknown(self._look_up(run)[0]))
        result = super().check_run_worker_health(run)
        if result.status is WorkerStatus.UNKNOWN and not (result.msg or "").endswith("could not be found"):
            raise ClusterBusyError(f"nobody can say how the Job of run {run.run_id} is: {one_line(result.msg)[:500]}")
        return result

    def get_run_worker_debug_info(self, run: DagsterRun, include_container_logs: bool | None = True) -> str | None:  # noqa: FBT001, FBT002 - as the base has it
        """Return what Kubernetes tells of the run's Job and its pod."""
        if self._namespace(run) is None:
            return _unknown(self._look_up(run)[0])
        return super().get_run_worker_debug_info(run, include_container_logs)


def _unknown(location: str) -> str:
    return f"location {location!r} is not in the register (tenants.yaml): nobody knows the namespace of its runs"
