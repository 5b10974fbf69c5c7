"""The Job of a run, as the launcher of the rendered dagster.yaml makes it of what a code server reports."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import kubernetes
import yaml
from dagster import DagsterRun
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._serdes import ConfigurableClassData
from dagster_k8s.job import construct_dagster_k8s_job
from tenancy.cluster import contexts
from tenancy.cluster.launcher import TeamRunLauncher

from tests.helm import kubelet, releases
from tests.helm.rendering import Object, Values, read_one

KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "nowhere",
    "contexts": [{"name": "nowhere", "context": {"cluster": "nowhere", "user": "nobody"}}],
    "clusters": [{"name": "nowhere", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "nobody", "user": {}}],
}
RUN_ID = "4f2a0c3e-0000-4000-8000-000000000000"


def of_kind(objects: Sequence[Object], kind: str, suffix: str = "") -> Object:
    """Return the only object of a kind whose name ends so."""
    (found,) = [each for each in objects if each["kind"] == kind and each["metadata"]["name"].endswith(suffix)]
    return found


def launcher(plane: Sequence[Object], directory: Path) -> TeamRunLauncher:
    """Return the launcher of a rendered control plane; its Kubernetes is nowhere.

    Args:
        plane: objects of helm/platform.
        directory: for the files that it reads.
    """
    config = read_one(of_kind(plane, "ConfigMap", "-instance")["data"]["dagster.yaml"])["run_launcher"]
    places, kubeconfig = directory / "places.yaml", directory / "kubeconfig"
    places.write_text(of_kind(plane, "ConfigMap", "-workspace")["data"]["places.yaml"])
    kubeconfig.write_text(json.dumps(KUBECONFIG))
    here = {"places": str(places), "load_incluster_config": False, "kubeconfig_file": str(kubeconfig)}
    data = ConfigurableClassData(config["module"], config["class"], yaml.safe_dump({**config["config"], **here}))
    made = data.rehydrate()
    assert isinstance(made, TeamRunLauncher)
    return made


def reported(code_server: Object) -> tuple[str, str, Mapping[str, Any]]:
    """Return what a code server reports of itself: its location, its image, the container context of its runs."""
    (container,) = code_server["spec"]["template"]["spec"]["containers"]
    variables = kubelet.environment(container, lambda name, key: f"{key} of {name}")
    context = json.loads(variables["DAGSTER_CLI_API_GRPC_CONTAINER_CONTEXT"])
    return variables["LOCATION"], variables["DAGSTER_CURRENT_IMAGE"], context


def job(launcher: TeamRunLauncher, code_server: Object, *, name: str = "dagster-run-1") -> Object:
    """Return the Job of a run of a code server's location, in the namespace that the launcher gives it."""
    location, image, container_context = reported(code_server)
    code = RepositoryPythonOrigin(
        executable_path="python",
        code_pointer=ModuleCodePointer("x", "y", None),
        container_image=image,
        container_context=container_context,
    )
    at = GrpcServerCodeLocationOrigin(host="x", port=4000, location_name=location)
    run = DagsterRun(
        job_name="job",
        run_id=RUN_ID,
        job_code_origin=JobPythonOrigin("job", code),
        remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(at, "__repository__"), "job"),
    )
    # Not get_container_context_for_run, which finds a run's Job after a refusal too.
    context = contexts.of_run(run, launcher, *launcher._registered(run))  # pyright: ignore[reportPrivateUsage]
    made = construct_dagster_k8s_job(
        job_config=context.get_k8s_job_config(job_image=image, run_launcher=launcher),
        args=["dagster", "api", "execute_run", "{}"],
        job_name=name,
        component="run_worker",
        labels={"dagster/job": "job", "dagster/run-id": RUN_ID, "dagster/code-location": location},
        user_defined_k8s_config=context.run_k8s_config,
    )
    thing = cast("Object", kubernetes.client.ApiClient().sanitize_for_serialization(made))
    return {**thing, "metadata": {**thing["metadata"], "namespace": context.namespace}}


def of_everything(values: Values) -> tuple[list[Object], list[Object]]:
    """Return the objects of every control plane, and the Job of a run of each location as their launchers make it."""
    objects: list[Object] = []
    jobs: list[Object] = []
    for plane in ["", *releases.dedicated(values)]:
        own = list(releases.platform(values, plane).objects)
        objects += own
        served = [location for location in releases.locations(values) if releases.serves(values, plane, location[0])]
        with TemporaryDirectory() as directory:
            found = launcher(own, Path(directory))
            for team, name in served:
                code_server = of_kind(releases.location(values, team, name).objects, "Deployment")
                jobs.append(job(found, code_server, name=f"dagster-run-{len(jobs)}"))
    return objects, jobs
