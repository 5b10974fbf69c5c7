"""The run launcher of the platform: a Job for each run, in the namespace of the location's team.

Where a run goes is the platform's to say. `K8sRunLauncher` takes it from the container context that a location's own
code server reports, and from tags of the run: whoever writes them could have the control plane start a pod in another
team's namespace, with that team's service account. This launcher takes it from `Places`; it refuses a run whose code
server asks for something else, and knows no tag but the one for resources.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from dagster import DagsterRun, Field, StringSource
from dagster_k8s import K8sRunLauncher
from dagster_k8s.client import DagsterK8sAPIRetryLimitExceeded, DagsterK8sUnrecoverableAPIError
from dagster_k8s.container_context import K8sContainerContext

from tenancy.cluster._dagster import DagsterUserCodeUnreachableError
from tenancy.cluster.last_good import LastGood
from tenancy.cluster.places import Place, Places, refusals
from tenancy.cluster.resources import RESOURCES_TAG, bounded, requested

# 403 is what a full quota answers, 429 and 5xx a busy API server: the run is not wrong, and waits.
PASSING = frozenset({403, 429, 500, 502, 503, 504})


class RunRefusedError(Exception):
    """A run is not launched; the message goes into its event log."""


class ClusterBusyError(DagsterUserCodeUnreachableError):
    """Kubernetes takes no Job now. The queue keeps a run after an error of this kind and tries again."""


class TeamRunLauncher(K8sRunLauncher):
    """`K8sRunLauncher` with the platform's word on where runs belong, for `run_launcher` in dagster.yaml.

    Its configuration is that of `K8sRunLauncher` and `places`, the path of the file that `Places` describes.
    """

    def __init__(self, *, places: str, **config: Any) -> None:
        super().__init__(**config)
        self._places = LastGood(Path(places), Places.read)

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """Return the configuration of `K8sRunLauncher` and the path of the places."""
        return {**super().config_type(), "places": Field(StringSource, description="File with the place of each run.")}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> Self:
        """Return a launcher."""
        return cls(inst_data=inst_data, **config_value)

    def get_container_context_for_run(self, dagster_run: DagsterRun) -> K8sContainerContext:
        """Return what the run's Job is made of; also where its Job is looked for, however it was asked for."""
        location, place = self._place(dagster_run)
        asked = K8sContainerContext.create_for_run(dagster_run, self, include_run_tags=False)
        own = K8sContainerContext(
            namespace=place.namespace,
            service_account_name=place.service_account,
            labels={"tenancy/team": place.team, "tenancy/location": location},
        )
        try:
            resources = bounded(requested(dagster_run.tags.get(RESOURCES_TAG)), place)
        except ValueError:
            resources = None  # launching refuses it; who looks for the Job wants its namespace
        return asked.merge(own).merge(K8sContainerContext(resources=resources) if resources else K8sContainerContext())

    def _launch_k8s_job_with_args(self, job_name: str, args: Any, run: DagsterRun) -> None:
        """Launch or resume a run.

        Raises:
            RunRefusedError: its code server or a tag asks for what the run may not have.
            ClusterBusyError: there is no room now, or no answer.
        """
        self._refuse(run)
        with _passing_troubles():
            super()._launch_k8s_job_with_args(job_name, args, run)

    def _refuse(self, run: DagsterRun) -> None:
        location, place = self._place(run)
        origin = run.job_code_origin
        context = origin.repository_origin.container_context if origin else None
        asked = K8sContainerContext.create_from_config(context)
        if found := refusals(location, place, asked.namespace, asked.run_k8s_config.pod_spec_config):
            raise RunRefusedError("; ".join(map(str, found)))
        try:
            bounded(requested(run.tags.get(RESOURCES_TAG)), place)
        except ValueError as error:
            raise RunRefusedError(str(error)) from None

    def _place(self, run: DagsterRun) -> tuple[str, Place]:
        origin = run.remote_job_origin
        # From the workspace, which the platform writes, and not from the code server.
        location = origin.repository_origin.code_location_origin.location_name if origin else ""
        place = self._places.get().locations.get(location)
        if place is None:
            raise RunRefusedError(f"location {location!r} is not in the register: its runs have no namespace")
        return location, place


@contextmanager
def _passing_troubles() -> Iterator[None]:
    try:
        yield
    except DagsterK8sAPIRetryLimitExceeded as error:
        raise ClusterBusyError(f"the Kubernetes API does not answer: {error}") from error
    except DagsterK8sUnrecoverableAPIError as error:
        cause = error.k8s_api_exception
        if cause.status in PASSING:
            raise ClusterBusyError(f"Kubernetes takes no Job now ({cause.status}): {cause.body}") from error
        raise
