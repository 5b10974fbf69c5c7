"""What a pod of one team tries against another team, the cluster and the control plane."""

import json
from collections.abc import Iterator
from textwrap import dedent

import pytest

from .cluster import CONTROL_PLANE, CommandFailedError, apply, graphql, kubectl, objects, wait_for
from .platform import OBJECT_STORE, Release, create_namespace, launch, run_messages, run_status

ATTACKER = ("weather", "deployment/weather-observations")

CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3).close()
    print("open")
except OSError:
    print("closed")
"""


def python(namespace: str, target: str, code: str, *arguments: str) -> str:
    """Run Python in a pod, or in one of a Deployment, and return what it printed."""
    return kubectl("exec", "-n", namespace, target, "--", "python", "-c", dedent(code), *arguments).strip()


def connects(host: str, port: int, *, source: tuple[str, str] = ATTACKER) -> bool:
    """Say whether a pod reaches a port."""
    return python(*source, CONNECT, host, str(port)) == "open"


def idle_pod(release: Release, namespace: str, name: str, *command: str) -> None:
    """Start a pod that a team could start, and wait until it runs."""
    (server, *_) = objects("pods", "operations", "app.kubernetes.io/component=code-server")
    container = {
        "name": name,
        "image": release.images["platform"],
        "command": command,
        "securityContext": server["spec"]["containers"][0]["securityContext"],
    }
    spec = {
        "automountServiceAccountToken": False,
        "securityContext": server["spec"]["securityContext"],
        "containers": [container],
    }
    apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec})
    kubectl("wait", "--for=condition=Ready", f"pod/{name}", "-n", namespace, "--timeout=60s")


@pytest.fixture(scope="module")
def listener(release: Release) -> Iterator[str]:
    """Return the address of a pod of operations that is no code server and listens on port 4000."""
    serve = ("python", "-m", "http.server", "4000", "--directory", "/opt/venv/bin")
    idle_pod(release, "operations", "listener", *serve)
    yield json.loads(kubectl("get", "pod", "listener", "-n", "operations", "-o", "json"))["status"]["podIP"]
    kubectl("delete", "pod", "listener", "-n", "operations", "--wait=false")


@pytest.fixture(scope="module")
def outsider(release: Release) -> Iterator[tuple[str, str]]:
    """Return a pod in a namespace without any network policy, and without a team."""
    idle_pod(release, OBJECT_STORE, "outsider", "sleep", "3600")
    yield OBJECT_STORE, "pod/outsider"
    kubectl("delete", "pod", "outsider", "-n", OBJECT_STORE, "--grace-period=0", "--force")


@pytest.fixture(scope="module")
def uncontrolled(release: Release) -> Iterator[tuple[str, str]]:
    """Return a pod in a namespace that says that it is a team's, and whose way out nothing restricts."""
    create_namespace("uncontrolled", **{"tenancy/team": "uncontrolled"})
    wait_for("the account", lambda: objects("serviceaccounts", "uncontrolled"), seconds=30)
    idle_pod(release, "uncontrolled", "attacker", "sleep", "3600")
    yield "uncontrolled", "pod/attacker"
    kubectl("delete", "namespace", "uncontrolled", "--wait=false")


# --- network: first what must be open, or the rest would prove nothing


@pytest.mark.parametrize(
    ("host", "port"), [("platform-database.dagster.svc", 5432), ("object-store.object-store.svc", 7070)]
)
def test_a_team_reaches_what_it_has_a_hole_for(release: Release, host: str, port: int) -> None:
    assert connects(host, port)


def test_the_control_plane_reaches_code_servers(release: Release) -> None:
    source = (CONTROL_PLANE, "deployment/platform-webserver")
    assert connects("operations-departures.operations.svc", 4000, source=source)


@pytest.mark.parametrize(
    ("what", "host", "port"),
    [
        ("another team's code server", "operations-departures.operations.svc", 4000),
        ("a code server of its own team", "weather-alerts.weather.svc", 4000),
        ("the webserver, which would launch any team's runs", "platform-webserver.dagster.svc", 80),
        ("the Kubernetes API", "kubernetes.default.svc", 443),
    ],
)
def test_a_team_does_not_reach(release: Release, what: str, host: str, port: int) -> None:
    assert not connects(host, port), what


def test_a_team_does_not_reach_the_node(release: Release) -> None:
    (address,) = [
        address["address"]
        for address in json.loads(kubectl("get", "nodes", "-o", "json"))["items"][0]["status"]["addresses"]
        if address["type"] == "InternalIP"
    ]
    assert not connects(address, 10250)


def test_a_team_does_not_reach_another_teams_run(release: Release, listener: str) -> None:
    assert connects("127.0.0.1", 4000, source=("operations", "pod/listener"))
    assert not connects(listener, 4000)


# What follows is stopped at the door and not on the way out.


def test_nobody_but_the_control_plane_enters_a_code_server(
    release: Release, outsider: tuple[str, str], uncontrolled: tuple[str, str]
) -> None:
    for source in (outsider, uncontrolled):
        assert connects("platform-database.dagster.svc", 5432, source=source) is (source == uncontrolled)
        assert not connects("operations-departures.operations.svc", 4000, source=source)


def test_a_pod_that_is_no_code_server_lets_nobody_in(
    release: Release, outsider: tuple[str, str], listener: str
) -> None:
    assert not connects(listener, 4000, source=outsider)
    assert not connects(listener, 4000, source=(CONTROL_PLANE, "deployment/platform-webserver"))


def test_the_webserver_lets_in_whoever_is_no_team(
    release: Release, outsider: tuple[str, str], uncontrolled: tuple[str, str]
) -> None:
    assert connects("platform-webserver.dagster.svc", 80, source=outsider)
    assert not connects("platform-webserver.dagster.svc", 80, source=uncontrolled)


# --- rights


def may(verb: str, resource: str, namespace: str, account: str) -> bool:
    """Ask the API server what a service account may do."""
    try:
        kubectl("auth", "can-i", verb, resource, "-n", namespace, f"--as=system:serviceaccount:{account}")
    except CommandFailedError:
        return False
    return True


@pytest.mark.parametrize("account", ["weather:code-server", "weather:run", "weather:default"])
@pytest.mark.parametrize("namespace", ["weather", "operations", CONTROL_PLANE])
def test_a_teams_accounts_have_no_rights(release: Release, account: str, namespace: str) -> None:
    for verb, resource in (("get", "secrets"), ("list", "pods"), ("create", "jobs"), ("create", "pods/exec")):
        assert not may(verb, resource, namespace, account), f"{account} may {verb} {resource} in {namespace}"


def test_the_control_plane_launches_runs_and_reads_no_secret(release: Release) -> None:
    account = f"{CONTROL_PLANE}:platform-control-plane"
    assert may("create", "jobs", "operations", account)
    for verb, resource in (("get", "secrets"), ("create", "pods"), ("create", "pods/exec"), ("update", "deployments")):
        assert not may(verb, resource, "operations", account)
    for namespace in ("kube-system", OBJECT_STORE, CONTROL_PLANE):
        assert not may("create", "jobs", namespace, account)


def test_the_webserver_ends_runs_and_launches_none(release: Release) -> None:
    account = f"{CONTROL_PLANE}:platform-webserver"
    assert may("delete", "jobs", "operations", account)
    for verb, resource in (("create", "jobs"), ("list", "pods"), ("get", "pods/log"), ("get", "secrets")):
        assert not may(verb, resource, "operations", account)


def test_no_pod_of_a_team_has_a_token(release: Release) -> None:
    """Whether it serves or runs; those that go on are asked as well."""
    found = {(team, pod["metadata"]["name"]): pod for team in release.register.teams for pod in objects("pods", team)}
    assert len(found) >= len(release.register.locations)
    code = "import os; print(os.path.exists('/var/run/secrets/kubernetes.io'))"
    for (team, name), pod in found.items():
        assert "serviceAccountToken" not in json.dumps(pod["spec"]), name
        if pod["status"]["phase"] == "Running":
            assert python(team, f"pod/{name}", code) == "False", name


@pytest.mark.parametrize(
    ("database", "statement"),
    [
        ("ledger", "select count(*) from operations.item"),
        ("ledger", "create table operations.mine (i int)"),
        ("dagster", "drop table runs"),
        ("dagster", "alter table runs add column mine int"),
        ("dagster", "create table mine (i int)"),
        ("dagster", "create role mine"),
        ("dagster", "select rolpassword from pg_authid"),
    ],
)
def test_a_teams_login_is_refused(release: Release, database: str, statement: str) -> None:
    code = """
        import os, sys, psycopg
        url = os.environ["LEDGER_URL"].replace("/ledger?", f"/{sys.argv[1]}?")
        try:
            psycopg.connect(url, autocommit=True, connect_timeout=5).execute(sys.argv[2])
            print("done")
        except (psycopg.errors.InsufficientPrivilege, psycopg.OperationalError) as error:
            print(type(error).__name__, error)
        """
    answer = python(*ATTACKER, code, database, statement)
    assert "permission denied" in answer or "must be owner" in answer, answer


def test_a_teams_login_reads_its_own_ledger(release: Release) -> None:
    code = """
        import os, psycopg
        print(psycopg.connect(os.environ["LEDGER_URL"]).execute("select count(*) from source").fetchone()[0])
        """
    assert int(python(*ATTACKER, code)) > 0


# --- bounds


def test_a_team_cannot_exceed_its_quota(release: Release) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "greedy", "namespace": "fleet"},
        "spec": {
            "containers": [
                {
                    "name": "greedy",
                    "image": "greedy:1",
                    "resources": {"requests": {"cpu": "3", "memory": "64Mi"}, "limits": {"cpu": "3", "memory": "64Mi"}},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                        "runAsNonRoot": True,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                }
            ]
        },
    }
    with pytest.raises(CommandFailedError, match="exceeded quota: team"):
        apply(pod)


def test_a_team_cannot_run_as_root_or_reach_the_nodes_files(release: Release) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "rooted", "namespace": "fleet"},
        "spec": {
            "containers": [{"name": "rooted", "image": "rooted:1"}],
            "volumes": [{"name": "node", "hostPath": {"path": "/"}}],
        },
    }
    with pytest.raises(CommandFailedError, match="violates PodSecurity"):
        apply(pod)


# --- the confused deputy


HOSTILE = json.dumps({"k8s": {"namespace": "operations", "service_account_name": "run"}})


@pytest.fixture
def hostile(release: Release) -> Iterator[None]:
    """Let a code server of weather say that its runs belong into operations' namespace."""
    (deployment,) = [
        found for found in objects("deployments", "weather") if found["metadata"]["name"] == "weather-alerts"
    ]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    context = [variable["name"] for variable in container["env"]].index("DAGSTER_CLI_API_GRPC_CONTAINER_CONTEXT")
    identity = next(i for i, argument in enumerate(container["args"]) if argument.startswith("--fixed-server-id"))
    path = "/spec/template/spec/containers/0"
    patch = [
        {"op": "replace", "path": f"{path}/env/{context}/value", "value": HOSTILE},
        {"op": "replace", "path": f"{path}/args/{identity}", "value": "--fixed-server-id=hostile"},
    ]
    kubectl("patch", "deployment/weather-alerts", "-n", "weather", "--type=json", "-p", json.dumps(patch))
    kubectl("rollout", "status", "deployment/weather-alerts", "-n", "weather", "--timeout=120s")
    yield
    kubectl("rollout", "undo", "deployment/weather-alerts", "-n", "weather")
    kubectl("rollout", "status", "deployment/weather-alerts", "-n", "weather", "--timeout=120s")


ASSETS = "{ assetNodes { id assetKey { path } repository { name location { name } } } }"


def test_a_code_server_that_asks_for_another_teams_namespace_is_refused(hostile: None) -> None:
    before = {job["metadata"]["name"] for job in objects("jobs", "operations")}
    (key, *_) = [
        node["assetKey"]["path"]
        for node in graphql(ASSETS)["assetNodes"]
        if node["repository"]["location"]["name"] == "weather-alerts" and node["assetKey"]["path"][0] == "weather"
    ]

    def refused() -> bool:
        run = launch("weather-alerts", assets=[key])
        wait_for("the run to end", lambda: run_status(run) in {"FAILURE", "SUCCESS"}, seconds=120)
        return any("'operations'" in message and "weather-alerts" in message for message in run_messages(run))

    # The control plane may not have seen the new code server yet when the first is launched.
    wait_for("a run to be refused with a message that names the namespace", refused, seconds=180)
    assert {job["metadata"]["name"] for job in objects("jobs", "operations")} <= before
