"""What the Job of a run is made of: what its code server asks for, within what the platform allows, and its own."""

from dagster import DagsterRun
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import UserDefinedDagsterK8sConfig

from tenancy.cluster.answers import RunRefusedError
from tenancy.cluster.errors import one_line
from tenancy.cluster.places import Place
from tenancy.cluster.refusals import Asked, refusals
from tenancy.cluster.resources import RESOURCES_TAG, bounded, requested

_WITHOUT_TOKEN = K8sContainerContext(
    run_k8s_config=UserDefinedDagsterK8sConfig(pod_spec_config={"automount_service_account_token": False})
)


def of_run(run: DagsterRun, launcher: K8sRunLauncher, location: str, place: Place) -> K8sContainerContext:
    """Return what the Job of a run is made of.

    Args:
        run: with what its code server reported when it was made.
        launcher: whose configuration is underneath.
        location: Dagster name of the run's location.
        place: where its runs belong.

    Raises:
        RunRefusedError: the code server, or the run's tag, asks for what it may not have.
    """
    origin = run.job_code_origin
    try:
        asked = K8sContainerContext.create_from_config(origin.repository_origin.container_context if origin else None)
        merged = _WITHOUT_TOKEN.merge(K8sContainerContext.create_for_run(run, launcher, include_run_tags=False))
    except Exception as error:
        # A code server can report anything; dagster-k8s raises whatever it stumbles over.
        raise RunRefusedError(
            f"location {location}: the container context that its code server reports cannot be used: {one_line(error)}"
        ) from error
    config = asked.run_k8s_config
    found = refusals(
        location,
        place,
        Asked(
            namespace=asked.namespace,
            pod=config.pod_spec_config,
            pod_metadata=config.pod_template_spec_metadata,
            container=config.container_config,
            job=config.job_config,
            job_metadata=config.job_metadata,
            job_spec=config.job_spec_config,
        ),
        _scheduling(place).pod_spec_config,
    )
    try:
        resources = bounded(requested(run.tags.get(RESOURCES_TAG)), place)
    except ValueError as error:
        raise RunRefusedError("; ".join([*found, str(error)])) from None
    if found:
        raise RunRefusedError("; ".join(found))
    return merged.merge(own(run, location, place)).merge(K8sContainerContext(resources=resources))


def own(run: DagsterRun, location: str, place: Place) -> K8sContainerContext:
    """Return what no code server decides; it goes over what code servers ask for."""
    return K8sContainerContext(
        namespace=place.namespace,
        service_account_name=place.service_account,
        labels={
            "app.kubernetes.io/component": "run_worker",
            "dagster/code-location": location,
            "dagster/run-id": run.run_id,
            "tenancy/location": location,
            "tenancy/team": place.team,
        },
        run_k8s_config=_scheduling(place),
    )


def _scheduling(place: Place) -> UserDefinedDagsterK8sConfig:
    """Return on which nodes runs may be, in dagster-k8s' words."""
    chosen = place.scheduling.model_dump(exclude_unset=True)
    return UserDefinedDagsterK8sConfig(pod_spec_config={name: value for name, value in chosen.items() if value})
