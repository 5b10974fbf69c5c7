"""Where runs go, what is refused, and what waits: through a real instance and the daemon's way out of the queue."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration
from tenancy.cluster import pauses, room
from tenancy.cluster.answers import ClusterBusyError
from tenancy.cluster.launcher import TeamRunLauncher
from tenancy.cluster.room import Room

from . import plane as planes
from .databases import DAGSTER_PASSWORD, PASSWORDS
from .plane import CONTEXT, LATE, TEAMS, WEATHER, Plane


def launcher(plane: Plane) -> TeamRunLauncher:
    found = plane.instance.run_launcher
    assert isinstance(found, TeamRunLauncher)
    return found


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the container context with something else in one place: run.pod_spec_config.node_name."""
    context = json.loads(json.dumps(CONTEXT))
    at = context["k8s"]
    *steps, last = path.split(".")
    for step in steps:
        at = at.setdefault({"run": "run_k8s_config"}.get(step, step), {})
    at[last] = value
    return context


def test_a_run_becomes_a_job_in_the_namespace_of_its_team(plane: Plane) -> None:
    run_id = plane.submit()
    plane.dequeue()
    assert plane.status(run_id) == "STARTING"
    ((namespace, name),) = plane.api.jobs
    assert (namespace, name) == ("weather", f"dagster-run-{run_id}")
    job = plane.api.job_of(run_id)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["serviceAccountName"] == "run"
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["restartPolicy"] == "Never"
    assert pod["securityContext"] == {"runAsNonRoot": True, "runAsUser": 10001}
    assert container["image"].startswith("registry.example/weather-observations@sha256:")
    assert container["resources"] == CONTEXT["k8s"]["run_k8s_config"]["container_config"]["resources"]
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True}
    assert {"name": "ENVIRONMENT", "value": "dev"} in container["env"]
    assert container["args"][:3] == ["dagster", "api", "execute_run"]
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["ttlSecondsAfterFinished"] == 86400
    labels = job["metadata"]["labels"]
    assert labels == job["spec"]["template"]["metadata"]["labels"]
    assert labels["tenancy/team"] == "weather"
    assert labels["tenancy/location"] == WEATHER
    assert labels["app.kubernetes.io/component"] == "run_worker"
    assert labels["dagster/run-id"] == run_id


def test_a_run_executes_as_its_team_where_the_platform_s_code_is_not_installed(plane: Plane, tmp_path: Path) -> None:
    """What the pod would do: the Job's own command line, the team's login, an image without tenancy."""
    run_id = plane.submit()
    plane.dequeue()
    (container,) = plane.api.job_of(run_id)["spec"]["template"]["spec"]["containers"]
    assert "tenancy.cluster" not in json.dumps(container["args"])
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.modules['tenancy'] = sys.modules['dagster_k8s'] = sys.modules['kubernetes'] = None\n"
    )
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(tmp_path),
        **plane.home.database.environment,
        **{each["name"]: each["value"] for each in container["env"] if "value" in each},
        "DATABASE_USERNAME": "weather",
        "DATABASE_PASSWORD": PASSWORDS["weather"],
    }
    result = subprocess.run(
        container["args"], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert plane.status(run_id) == "SUCCESS"
    assert "works as weather in hello" in plane.messages(run_id)


def test_the_credentials_of_the_control_plane_are_in_no_argument(plane: Plane) -> None:
    run_id = plane.submit()
    plane.dequeue()
    text = json.dumps(plane.api.job_of(run_id))
    assert DAGSTER_PASSWORD not in text
    assert "DATABASE_PASSWORD" in text, "the name of the variable is what it is given"


HOSTILE_LABELS = {
    "tenancy/team": "night-shift",
    "tenancy/location": LATE,
    "app.kubernetes.io/component": "code-server",
    "dagster/run-id": "of-another",
    "mine": "stays",
}


@pytest.mark.parametrize("path", ["labels", "run.pod_template_spec_metadata.labels", "run.job_metadata.labels"])
@pytest.mark.parametrize("merge", ["DEEP", "SHALLOW"])
def test_the_platform_s_labels_win(plane: Plane, path: str, merge: str) -> None:
    context = changed(path, HOSTILE_LABELS)
    context["k8s"]["run_k8s_config"]["merge_behavior"] = merge
    run_id = plane.submit(context=context)
    plane.dequeue()
    job = plane.api.job_of(run_id)
    of_job, of_pod = job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]
    assert "stays" in {of_job.get("mine"), of_pod.get("mine")}
    for labels in (of_job, of_pod):
        assert labels["tenancy/team"] == "weather"
        assert labels["tenancy/location"] == WEATHER
        assert labels["app.kubernetes.io/component"] == "run_worker"
        assert labels["dagster/run-id"] == run_id


REFUSED = [
    ("namespace", "night-shift", "namespace 'night-shift', but its runs belong to 'weather'"),
    ("namespace", "kube-system", "namespace 'kube-system'"),
    ("service_account_name", "admin", "service account 'admin', but its runs have 'run'"),
    ("run.pod_spec_config.serviceAccountName", "admin", "service account 'admin'"),
    ("run.pod_spec_config.service_account", "admin", "the pod field 'service_account'"),
    ("scheduler_name", "mine", "the pod field 'scheduler_name'"),
    ("run.pod_spec_config.priorityClassName", "system-node-critical", "the pod field 'priority_class_name'"),
    ("run.pod_spec_config.node_name", "node-1", "the pod field 'node_name'"),
    ("run.pod_spec_config.host_network", True, "the pod field 'host_network'"),
    ("run.pod_spec_config.containers", [{"name": "more"}], "the pod field 'containers'"),
    ("run.pod_spec_config.initContainers", [{"name": "more"}], "the pod field 'init_containers'"),
    ("run.job_metadata.namespace", "night-shift", "the field of the Job's metadata 'namespace'"),
    ("run.job_metadata.name", "other", "the field of the Job's metadata 'name'"),
    ("run.job_metadata.ownerReferences", [{"name": "x"}], "the field of the Job's metadata 'owner_references'"),
    ("run.job_metadata.finalizers", ["mine/stay"], "the field of the Job's metadata 'finalizers'"),
    ("run.pod_template_spec_metadata.namespace", "night-shift", "the field of the pod's metadata 'namespace'"),
    ("run.job_config.metadata", {"namespace": "night-shift"}, "the field of the Job 'metadata'"),
    ("run.job_config.spec", {}, "the field of the Job 'spec'"),
    ("run.job_spec_config.parallelism", 50, "the field of the Job's specification 'parallelism'"),
    ("run.job_spec_config.template", {}, "the field of the Job's specification 'template'"),
    ("run.container_config.resources", {"limits": {"memory": "17Gi"}}, "limits.memory 17Gi, but a run may have 16Gi"),
    ("run.container_config.resources", {"requests": {"cpu": "5000m"}}, "requests.cpu 5000m, but a run may have 4"),
    ("run.container_config.resources", {"limits": {"cpu": "lots"}}, "'lots' is no quantity"),
    (
        "run.container_config.resources",
        {"limits": {"nvidia.com/gpu": 8}},
        "limits.nvidia.com/gpu 8, but a run may have cpu, memory only",
    ),
    ("resources", {"limits": {"hugepages-2Mi": "1Gi"}}, "limits.hugepages-2Mi 1Gi, but a run may have cpu, memory"),
    ("resources", {"requests": {"ephemeral-storage": "1Gi"}}, "requests.ephemeral-storage 1Gi, but a run may have cpu"),
    ("run.container_config.resources", {"claims": [{"name": "gpu"}]}, "the field of its resources 'claims'"),
    ("run.container_config.ports", [{"containerPort": 80, "hostPort": 80}], "port 80 of the node"),
    (
        "run.pod_spec_config.nodeSelector",
        {"kubernetes.io/hostname": "node-of-b"},
        "the pod field 'node_selector' {'kubernetes.io/hostname': 'node-of-b'}, but its runs have none",
    ),
    (
        "run.pod_spec_config.tolerations",
        [{"operator": "Exists"}],
        "the pod field 'tolerations' [{'operator': 'Exists'}], but its runs have none",
    ),
    ("run.pod_spec_config.affinity", {"nodeAffinity": {}}, "the pod field 'affinity'"),
    ("run.pod_spec_config.runtimeClassName", "mine", "the pod field 'runtime_class_name'"),
    ("run.pod_spec_config.priority", 1000, "the pod field 'priority'"),
    ("run.pod_spec_config.host_pid", True, "the pod field 'host_pid'"),
    ("run.pod_spec_config.host_ipc", True, "the pod field 'host_ipc'"),
    ("run.pod_spec_config.hostUsers", True, "the pod field 'host_users'"),
    ("run.pod_spec_config.resources", {"limits": {"cpu": "64"}}, "the pod field 'resources'"),
    ("run.pod_spec_config.resourceClaims", [{"name": "gpu"}], "the pod field 'resource_claims'"),
    (
        "volumes",
        [{"name": "disk", "persistentVolumeClaim": {"claimName": "x"}}],
        "the volume 'disk' of kind 'persistent_volume_claim'",
    ),
    ("volumes", [{"name": "disk", "ephemeral": {"volumeClaimTemplate": {}}}], "the volume 'disk' of kind 'ephemeral'"),
    (
        "run.pod_spec_config.volumes",
        [{"name": "node", "hostPath": {"path": "/"}}],
        "the volume 'node' of kind 'host_path', but it may set config_map, csi, downward_api, empty_dir, proj",
    ),
    ("volumes", [{"name": "nfs", "nfs": {"server": "x", "path": "/"}}], "the volume 'nfs' of kind 'nfs'"),
    ("run.pod_spec_config.nonsense", 1, "cannot be used"),
    ("nonsense", 1, "cannot be used"),
    ("run.pod_spec_config.volumes", "all", "cannot be used"),
]


@pytest.mark.parametrize(("path", "value", "message"), REFUSED, ids=[f"{case[0]}={case[1]}"[:60] for case in REFUSED])
def test_what_is_not_the_team_s_is_refused_with_a_message_in_the_event_log(
    plane: Plane, path: str, value: Any, message: str
) -> None:
    run_id = plane.submit(context=changed(path, value))
    plane.dequeue()
    assert plane.status(run_id) == "FAILURE"
    assert plane.api.jobs == {}
    (said,) = [text for text in plane.messages(run_id) if "The run is not launched" in text]
    assert f"location {WEATHER}" in said
    assert message in said
    assert "Traceback" not in "".join(plane.messages(run_id))
    assert "\n" not in said


TOLERATION = {"key": "pool", "operator": "Equal", "value": "data", "effect": "NoExecute", "tolerationSeconds": 1000000}
SCHEDULING = {"node_selector": {"pool": "data"}, "tolerations": [TOLERATION]}


@pytest.mark.parametrize("asked", [{}, SCHEDULING], ids=["says nothing", "says the same"])
def test_runs_are_put_on_the_nodes_of_the_platform(plane: Plane, asked: dict[str, Any]) -> None:
    plane.home.change_places(lambda places: places["locations"][WEATHER].update(scheduling=SCHEDULING))
    context = json.loads(json.dumps(CONTEXT))
    context["k8s"]["run_k8s_config"]["pod_spec_config"].update(asked)
    run_id = plane.submit(context=context)
    plane.dequeue()
    pod = plane.api.job_of(run_id)["spec"]["template"]["spec"]
    assert (pod["nodeSelector"], pod["tolerations"]) == ({"pool": "data"}, [TOLERATION])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("node_selector", {"pool": "data", "kubernetes.io/hostname": "node-of-b"}),
        ("tolerations", [TOLERATION, {"operator": "Exists"}]),
        ("tolerations", [{**TOLERATION, "effect": "NoSchedule"}]),
    ],
)
def test_a_code_server_adds_no_nodes_to_the_platform_s(plane: Plane, field: str, value: Any) -> None:
    plane.home.change_places(lambda places: places["locations"][WEATHER].update(scheduling=SCHEDULING))
    run_id = plane.submit(context=changed(f"run.pod_spec_config.{field}", value))
    plane.dequeue()
    assert (plane.status(run_id), plane.api.jobs) == ("FAILURE", {})
    assert f"the pod field '{field}'" in "".join(plane.messages(run_id))


@pytest.mark.parametrize(("asked", "status"), [("10Gi", "STARTING"), ("2Ti", "FAILURE")])
def test_a_run_has_of_a_node_s_disk_what_its_place_allows(plane: Plane, asked: str, status: str) -> None:
    plane.home.change_places(lambda places: places["locations"][WEATHER].update(ephemeral_storage="10Gi"))
    resources = {kind: {"cpu": "1", "ephemeral-storage": asked} for kind in ("requests", "limits")}
    run_id = plane.submit(context=changed("run.container_config.resources", resources))
    plane.dequeue()
    assert plane.status(run_id) == status
    if status == "FAILURE":
        assert "limits.ephemeral-storage 2Ti, but a run may have 10Gi" in "".join(plane.messages(run_id))
    else:
        (container,) = plane.api.job_of(run_id)["spec"]["template"]["spec"]["containers"]
        assert container["resources"] == resources


def test_all_that_is_refused_is_told_at_once(plane: Plane) -> None:
    context = changed("namespace", "night-shift")
    context["k8s"]["service_account_name"] = "admin"
    run_id = plane.submit(context=context)
    plane.dequeue()
    (said,) = [text for text in plane.messages(run_id) if "The run is not launched" in text]
    assert "namespace 'night-shift'" in said
    assert "service account 'admin'" in said


def test_what_code_server_and_platform_agree_on_is_no_refusal(plane: Plane) -> None:
    context = changed("namespace", "weather")
    context["k8s"]["service_account_name"] = "run"
    run_id = plane.submit(context=context)
    plane.dequeue()
    assert plane.status(run_id) == "STARTING"


def test_a_code_server_may_ask_for_the_token_of_its_own_account(plane: Plane) -> None:
    asked = plane.submit(context=changed("run.pod_spec_config.automount_service_account_token", True))
    silent = plane.submit(context={})
    plane.dequeue()
    tokens = {
        run_id: plane.api.job_of(run_id)["spec"]["template"]["spec"]["automountServiceAccountToken"]
        for run_id in (asked, silent)
    }
    assert tokens == {asked: True, silent: False}


def test_a_real_code_server_that_asks_for_another_s_namespace_is_refused(plane: Plane) -> None:
    hostile = "weather-hostile"
    plane.home.write_places({**TEAMS, hostile: "weather"})
    before = plane.home.workspace.read_text()
    with planes.code_server(hostile, plane.home.environment, changed("namespace", "night-shift")) as port:
        content = planes.yaml.safe_load(before)
        content["load_from"].append({"grpc_server": {"host": "127.0.0.1", "port": port, "location_name": hostile}})
        planes.replace(plane.home.workspace, planes.yaml.safe_dump(content))
        plane.context.follow()
        run_id = plane.submit(hostile)
        plane.dequeue()
        assert "namespace 'night-shift', but its runs belong to 'weather'" in "".join(plane.messages(run_id))
        assert plane.api.jobs == {}
        planes.replace(plane.home.workspace, before)
        plane.context.follow()


@pytest.mark.parametrize(
    "tags",
    [
        {"dagster-k8s/config": json.dumps({"pod_spec_config": {"service_account_name": "admin"}})},
        {"dagster-k8s/config": json.dumps({"job_metadata": {"namespace": "night-shift"}})},
        {"dagster-k8s/resource_requirements": json.dumps({"limits": {"cpu": "64"}})},
        {"tenancy/namespace": "night-shift", "tenancy/team": "night-shift"},
    ],
)
def test_no_tag_moves_a_run(plane: Plane, tags: dict[str, str]) -> None:
    run_id = plane.submit(tags=tags)
    plane.dequeue()
    ((namespace, _),) = plane.api.jobs
    pod = plane.api.job_of(run_id)["spec"]["template"]["spec"]
    assert namespace == "weather"
    assert pod["serviceAccountName"] == "run"
    assert pod["containers"][0]["resources"]["limits"]["cpu"] == "1"
    assert plane.run(run_id).tags["tenancy/namespace"] == "weather"
    assert plane.run(run_id).tags["tenancy/team"] == "weather"


@pytest.mark.parametrize(
    ("tag", "requests", "limits"),
    [
        ({"cpu": "2"}, {"cpu": "2", "memory": "512Mi"}, {"cpu": "2", "memory": "2Gi"}),
        ({"cpu": "4", "memory": "16Gi"}, {"cpu": "4", "memory": "16Gi"}, {"cpu": "4", "memory": "16Gi"}),
    ],
)
def test_a_tag_chooses_resources_within_the_bounds(
    plane: Plane, tag: dict[str, str], requests: dict[str, str], limits: dict[str, str]
) -> None:
    run_id = plane.submit(tags={"tenancy/resources": json.dumps(tag)})
    plane.dequeue()
    (container,) = plane.api.job_of(run_id)["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {"requests": requests, "limits": limits}


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ('{"cpu": "5"}', "asks for cpu 5; a run of team weather may have more than 0 and up to 4"),
        ('{"memory": "1Ti"}', "asks for memory 1Ti"),
        ('{"cpu": "0"}', "asks for cpu 0"),
        ('{"cpu": "-1"}', "'-1' is no quantity"),
        ('{"gpu": "1"}', "must be as in"),
        ('{"cpu": 2}', "must be as in"),
        ("[]", "must be as in"),
        ("2 cores", "is no JSON"),
    ],
)
def test_a_tag_beyond_the_bounds_is_refused_by_name(plane: Plane, tag: str, message: str) -> None:
    run_id = plane.submit(tags={"tenancy/resources": tag})
    plane.dequeue()
    assert plane.status(run_id) == "FAILURE"
    assert message in "".join(plane.messages(run_id))
    assert plane.api.jobs == {}


# A location that has left the register.


def test_a_run_of_a_location_that_is_not_in_the_register_is_refused(plane: Plane) -> None:
    run_id = plane.submit()
    plane.home.write_places({LATE: "night-shift"})
    plane.dequeue()
    assert plane.status(run_id) == "FAILURE"
    assert f"location '{WEATHER}' is not in the register (tenants.yaml)" in "".join(plane.messages(run_id))


def test_a_run_that_was_launched_is_found_after_its_location_has_gone(plane: Plane) -> None:
    run_id = plane.submit()
    plane.dequeue()
    plane.home.write_places({LATE: "night-shift"})
    assert launcher(plane).check_run_worker_health(plane.run(run_id)).status.value == "RUNNING"
    assert f"dagster-run-{run_id}" in str(launcher(plane).get_run_worker_debug_info(plane.run(run_id)))
    assert launcher(plane).terminate(run_id)
    assert plane.api.jobs == {}
    assert "Run was terminated successfully." in plane.messages(run_id)[-1]


def test_a_run_of_which_nobody_knows_the_place_gets_an_answer(plane: Plane) -> None:
    run_id = plane.submit()
    plane.home.write_places({LATE: "night-shift"})
    run = plane.run(run_id)
    answer = launcher(plane).check_run_worker_health(run)
    assert (answer.status.value, "nobody knows the namespace" in str(answer.msg)) == ("UNKNOWN", True)
    assert "nobody knows the namespace" in str(launcher(plane).get_run_worker_debug_info(run))
    assert not launcher(plane).terminate(run_id)
    assert "The run cannot be terminated: location" in "".join(plane.messages(run_id))


def test_a_run_whose_context_would_be_refused_now_is_still_found(plane: Plane) -> None:
    run_id = plane.submit(tags={"tenancy/resources": '{"cpu": "4"}'})
    plane.dequeue()
    content = planes.yaml.safe_load((plane.home.path / "workspace" / "places.yaml").read_text())
    content["locations"][WEATHER]["cpu"] = "1"
    planes.replace(plane.home.path / "workspace" / "places.yaml", planes.yaml.safe_dump(content))
    assert launcher(plane).check_run_worker_health(plane.run(run_id)).status.value == "RUNNING"
    assert launcher(plane).terminate(run_id)


# What waits.

FULL = 'jobs.batch "x" is forbidden: exceeded quota: team, requested: count/jobs.batch=1, used: 5, limited: 5'


@pytest.mark.parametrize(
    "refusal",
    [
        (403, FULL),
        (403, 'jobs.batch "x" is forbidden: status unknown for quota: team, resources: count/jobs.batch'),
        (429, "too many requests"),
        (500, "etcdserver: leader changed"),
        (503, "the server is currently unable to handle the request"),
        (401, "Unauthorized"),
    ],
    ids=lambda refusal: str(refusal[0]),
)
def test_a_run_that_the_cluster_does_not_take_waits_however_often(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, refusal: tuple[int, str]
) -> None:
    monkeypatch.setattr(pauses, "FIRST_SECONDS", 0.0)
    run_id = plane.submit()
    for attempt in range(5):
        plane.api.refusals.append(refusal)
        plane.dequeue()
        assert plane.status(run_id) == "QUEUED", attempt
        assert f"takes no Job now: {refusal[1]}" in "".join(plane.messages(run_id))
    plane.dequeue()
    assert plane.status(run_id) == "STARTING"
    assert plane.instance.get_concurrency_config().run_queue_config.max_user_code_failure_retries == 0  # pyright: ignore[reportOptionalMemberAccess]


def test_an_api_that_does_not_answer_is_waited_for(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "FIRST_SECONDS", 0.0)
    run_id = plane.submit()
    plane.api.is_down = True
    plane.dequeue()
    assert plane.status(run_id) == "QUEUED"
    assert "the Kubernetes API does not answer" in "".join(plane.messages(run_id))
    plane.api.is_down = False
    plane.dequeue()
    assert plane.status(run_id) == "STARTING"


def test_while_a_team_waits_it_is_left_alone_and_the_others_go_on(plane: Plane) -> None:
    first = plane.submit()
    plane.api.refusals.append((403, FULL))
    plane.dequeue()
    second, other = plane.submit(), plane.submit(LATE)
    events = len(plane.events(first))
    plane.dequeue()
    assert [plane.status(run) for run in (first, second, other)] == ["QUEUED", "QUEUED", "STARTING"]
    assert len(plane.events(first)) == events, "a look costs events only when it is one"


@pytest.mark.parametrize(
    ("refusal", "advice"),
    [
        ((403, 'jobs.batch is forbidden: User "system:serviceaccount:a:b" cannot create resource'), "Role launch-runs"),
        ((404, 'namespaces "weather" not found'), "there is no such namespace"),
        ((403, "unable to create new content in namespace weather because it is being terminated"), "is going away"),
        ((422, 'Job.batch "x" is invalid: spec.template.spec.volumes[0].name: Required value'), "container context"),
        ((403, 'pods "x" is forbidden: failed quota: team: must specify limits.memory'), "Role launch-runs"),
    ],
)
def test_what_will_not_get_better_by_itself_fails_the_run(plane: Plane, refusal: tuple[int, str], advice: str) -> None:
    run_id = plane.submit()
    plane.api.refusals.append(refusal)
    plane.dequeue()
    assert plane.status(run_id) == "FAILURE"
    (said,) = [text for text in plane.messages(run_id) if "The run is not launched" in text]
    assert refusal[1] in said
    assert advice in said or "is going away" in said


def test_a_run_waits_while_the_quota_has_no_room_for_its_pod(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Job is made all the same then; its pod is not, and the run would fail because it does not begin."""
    monkeypatch.setattr(pauses, "FIRST_SECONDS", 0.0)
    hard = {"requests.cpu": "2", "limits.memory": "8Gi"}
    plane.api.set_quota("weather", hard, {"requests.cpu": "1900m", "limits.memory": "1Gi"})
    run_id = plane.submit()
    plane.dequeue()
    assert (plane.status(run_id), plane.api.jobs) == ("QUEUED", {})
    message = "the quota of team weather has no room for it: requests.cpu: 0.25 wanted, 0.1 of 2 left."
    assert f"The run waits in the queue: {message}" in plane.messages(run_id)
    plane.api.set_quota("weather", hard, {"requests.cpu": "1750m", "limits.memory": "1Gi"})
    plane.dequeue()
    assert plane.status(run_id) == "STARTING"


def test_runs_that_are_too_new_for_the_quota_to_know_are_counted(plane: Plane) -> None:
    plane.api.set_quota("weather", {"limits.memory": "4Gi"}, {"limits.memory": "0"})
    run_ids = [plane.submit() for _ in range(4)]
    plane.dequeue()
    assert sorted(plane.status(run_id) for run_id in run_ids) == ["QUEUED", "QUEUED", "STARTING", "STARTING"]
    assert len(plane.api.jobs) == 2


def test_a_run_that_wants_more_than_the_whole_quota_is_refused(plane: Plane) -> None:
    plane.api.set_quota("weather", {"requests.cpu": "2"}, {"requests.cpu": "0"})
    run_id = plane.submit(tags={"tenancy/resources": '{"cpu": "3"}'})
    plane.dequeue()
    assert plane.status(run_id) == "FAILURE"
    assert "requests.cpu: 3 wanted, 2 of 2 left" in "".join(plane.messages(run_id))


RESERVE = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}


def test_runs_leave_room_in_the_quota_for_a_code_server(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is upgraded, or a node's drain takes it away: with runs on its last byte, its other pod would never come."""
    monkeypatch.setattr(pauses, "FIRST_SECONDS", 0.0)
    plane.home.change_places(lambda places: places["teams"]["weather"].update(reserve=RESERVE))
    plane.api.set_quota("weather", {"limits.memory": "5Gi"}, {"limits.memory": "1Gi"})
    first, second = plane.submit(), plane.submit()
    plane.dequeue()
    assert sorted([plane.status(first), plane.status(second)]) == ["QUEUED", "STARTING"]
    waits = first if plane.status(first) == "QUEUED" else second
    left = f"{2**31} wanted, {3 * 2**29} of 5Gi left, beside {2**29} for a code server"
    message = f"the quota of team weather has no room for it: limits.memory: {left}."
    assert f"The run waits in the queue: {message}" in plane.messages(waits)
    plane.api.set_quota("weather", {"limits.memory": "6Gi"}, {"limits.memory": "1Gi"})
    plane.dequeue()
    assert plane.status(waits) == "STARTING"


def test_a_quota_that_holds_no_run_beside_a_code_server_holds_one_run_at_a_time(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pauses, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(room, "SETTLE_SECONDS", 0.0)
    plane.home.change_places(lambda places: places["teams"]["weather"].update(reserve=RESERVE))
    plane.api.set_quota("weather", {"limits.memory": "3Gi"}, {"limits.memory": "1Gi"})
    first = plane.submit()
    plane.dequeue()
    second = plane.submit()
    plane.dequeue()
    assert [plane.status(first), plane.status(second)] == ["STARTING", "QUEUED"]
    plane.api.end(first, failed=1)
    plane.dequeue()
    assert plane.status(second) == "STARTING"


def test_without_the_right_to_see_quotas_runs_are_launched(plane: Plane) -> None:
    plane.api.set_quota("weather", {"requests.cpu": "0"}, {"requests.cpu": "0"})
    plane.api.may_see_quotas = False
    run_id = plane.submit()
    plane.dequeue()
    assert plane.status(run_id) == "STARTING"


def test_a_job_whose_answer_was_lost_is_not_made_twice(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "FIRST_SECONDS", 0.0)
    run_id = plane.submit()
    plane.api.lost_answers = 1
    plane.dequeue()
    assert (plane.status(run_id), len(plane.api.jobs)) == ("QUEUED", 1)
    plane.dequeue()
    assert (plane.status(run_id), len(plane.api.jobs)) == ("STARTING", 1)


def test_a_job_whose_pod_found_the_run_in_the_queue_is_made_anew(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "FIRST_SECONDS", 0.0)
    run_id = plane.submit()
    plane.api.lost_answers = 1
    plane.dequeue()
    plane.api.end(run_id, succeeded=1)
    plane.dequeue()
    assert (plane.status(run_id), plane.api.jobs) == ("QUEUED", {})
    plane.dequeue()
    assert plane.status(run_id) == "STARTING"
    assert plane.api.job_of(run_id)["status"]["active"] == 1


def test_a_run_that_was_ended_meanwhile_stays_ended(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = plane.submit()

    def cancel(*_: Any) -> None:
        plane.instance.report_run_canceled(plane.run(run_id))
        raise ClusterBusyError("full")

    monkeypatch.setattr(Room, "take", cancel)
    plane.dequeue()
    assert plane.status(run_id) == "CANCELED"


# Health.


def started(plane: Plane) -> str:
    run_id = plane.submit()
    plane.dequeue()
    plane.begin(run_id)
    assert plane.status(run_id) == "STARTED"
    return run_id


@pytest.mark.parametrize(
    ("status", "health"),
    [({"active": 1}, "RUNNING"), ({"failed": 1}, "FAILED"), ({"active": 0, "succeeded": 1}, "FAILED")],
)
def test_the_health_of_a_run_is_that_of_its_job(plane: Plane, status: dict[str, int], health: str) -> None:
    run_id = started(plane)
    plane.api.end(run_id, **status)
    assert launcher(plane).check_run_worker_health(plane.run(run_id)).status.value == health


def test_a_run_whose_job_was_deleted_is_told(plane: Plane) -> None:
    run_id = started(plane)
    plane.api.jobs.clear()
    assert launcher(plane).check_run_worker_health(plane.run(run_id)).status.value == "UNKNOWN"


def test_a_kubernetes_that_does_not_answer_fails_no_run(plane: Plane) -> None:
    run_id = started(plane)
    plane.api.is_down = True
    errors = [each for each in execute_run_monitoring_iteration(plane.context, planes.logger()) if each]
    assert plane.status(run_id) == "STARTED"
    assert "nobody can say how the Job of run" in errors[0].message
    plane.api.is_down = False
    assert not [each for each in execute_run_monitoring_iteration(plane.context, planes.logger()) if each]
    assert plane.status(run_id) == "STARTED"


def test_terminating_deletes_the_job(plane: Plane) -> None:
    run_id = started(plane)
    assert launcher(plane).terminate(run_id)
    assert plane.api.jobs == {}
    assert plane.status(run_id) == "CANCELING"


def test_terminating_a_run_whose_job_is_gone_is_told(plane: Plane) -> None:
    run_id = started(plane)
    plane.api.jobs.clear()
    assert not launcher(plane).terminate(run_id)
    assert "Run was not terminated successfully; delete_job returned False" in "".join(plane.messages(run_id))


def test_a_run_whose_pod_has_died_gets_no_second_job(plane: Plane) -> None:
    run_id = started(plane)
    plane.api.end(run_id, failed=1)
    list(execute_run_monitoring_iteration(plane.context, planes.logger()))
    assert (plane.status(run_id), len(plane.api.jobs)) == ("FAILURE", 1)


def test_the_launcher_needs_the_rights_of_the_chart_s_role_and_no_others(plane: Plane) -> None:
    """The Role launch-runs; `plane` is of the whole module, so what the other tests asked counts too."""
    run_id = started(plane)
    launcher(plane).get_run_worker_debug_info(plane.run(run_id))
    plane.api.end(run_id, failed=1)
    assert "OOMKilled" in str(launcher(plane).get_run_worker_debug_info(plane.run(run_id)))
    launcher(plane).check_run_worker_health(plane.run(run_id))
    launcher(plane).terminate(run_id)
    assert plane.api.asked == {
        "jobs create",
        "jobs delete",
        "jobs list",
        "jobs/status get",
        "pods list",
        "pods/log get",
        "events list",
        "resourcequotas list",
    }
