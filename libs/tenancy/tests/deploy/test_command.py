"""`tenancy deploy`: what it runs, when it ends that, and what it says.

The programs on PATH are stand-ins that note their arguments; tests/e2e deploys with Helm on a cluster.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tenancy.cli import main
from tenancy.deploy import deploying

TEAM = """\
    description: Aircraft
    groups: {everyone: viewer}
    quota: {cpu: "2", memory: 4Gi, concurrent_runs: 1}
    contact: {alerts: "#x", email: x@acme.example}
"""
TENANTS = f"""\
organization: acme
teams:
  fleet:
    locations: {{aircraft: {{}}, airports: {{}}}}
{TEAM}
  hr:
    isolation: dedicated
    locations: {{people: {{}}}}
{TEAM}"""
VALUES = """\
environment: dev
runs: {max_concurrent: 1}
storage: {lean: true}
variables: {}
locations: {fleet-aircraft: {variables: {}}, fleet-airports: {variables: {}}, hr-people: {variables: {}}}
database: {embedded: {enabled: true}}
"""
HELM = """\
#!/bin/sh
[ "$1" = version ] && echo "$HELM_VERSION" && exit
case "$*" in *"$BAD"*)
    trap 'echo undone >> "$NOTES"; echo "Error: UPGRADE FAILED: undone"; exit 1' INT
    echo "$@" >> "$NOTES"
    while :; do sleep 0.1; done
esac
echo "$@" >> "$NOTES"
"""
KUBECTL = """\
#!/bin/sh
case "$*" in
"config current-context") echo laptop;;
"config get-contexts "*) echo "error: context $3 not found" >&2; exit 1;;
*"get pods"*) if grep -qs -- "$BAD" "$NOTES"; then cat "$PODS"; else echo '{"items": []}'; fi;;
*) echo '{"items": []}';;
esac
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository with an environment, and put stand-ins for the programs on PATH."""
    (tmp_path / "tenants.yaml").write_text(TENANTS)
    values = tmp_path / "environments/dev/values.yaml"
    values.parent.mkdir(parents=True)
    values.write_text(VALUES)
    values.with_name("images.yaml").write_text("images: {}\n")
    for name, text in {"helm": HELM, "kubectl": KUBECTL}.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    pulling = {"reason": "ErrImagePull", "message": "not found"}
    pod = {
        "metadata": {"name": "a", "uid": "a", "labels": {"app.kubernetes.io/component": "code-server"}},
        "spec": {"containers": [{"name": "main", "image": "example/x:1"}]},
        "status": {"containerStatuses": [{"name": "main", "ready": False, "state": {"waiting": pulling}}]},
    }
    (tmp_path / "pods.json").write_text(json.dumps({"items": [pod]}))
    for name, value in {
        "PATH": f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}",
        "NOTES": f"{tmp_path}/notes",
        "PODS": f"{tmp_path}/pods.json",
        "HELM_VERSION": "v4.3.1+g0",
        "BAD": "nothing is bad",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(deploying, "LOOK_SECONDS", 0.1)
    return tmp_path


def deploy(root: Path, *arguments: str) -> Result:
    """Run the command in a repository."""
    result = CliRunner().invoke(main, ["--root", str(root), "deploy", *arguments, "--patience", "0"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result


def run(root: Path) -> list[str]:
    """Return the commands of Helm that were run, with paths from the root of the repository."""
    return (root / "notes").read_text().replace(f"{root}/", "").splitlines()


def test_the_control_plane_comes_first_and_then_the_locations_that_it_serves(root: Path) -> None:
    assert deploy(root, "dev").exit_code == 0
    files = "-f tenants.yaml -f environments/dev/values.yaml -f environments/dev/images.yaml"
    waiting = "--rollback-on-failure --wait --wait-for-jobs --timeout 10m"
    helm = "--kube-context laptop upgrade --install"
    assert run(root) == [
        f"{helm} platform helm/platform --namespace dagster --create-namespace {files} {waiting}",
        f"{helm} fleet-aircraft helm/code-location --namespace fleet --set location=fleet-aircraft {files} {waiting}",
        f"{helm} fleet-airports helm/code-location --namespace fleet --set location=fleet-airports {files} {waiting}",
    ]


def test_what_is_named_is_deployed_with_the_files_that_are_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELM_VERSION", "v3.18.4+g0")
    more, images = root / "more.yaml", root / "mine.yaml"
    more.touch()
    images.touch()
    options = ["--values", str(more), "--images", str(images), "--timeout", "90s"]
    assert deploy(root, "dev", "fleet-airports", *options).exit_code == 0
    (line,) = run(root)
    assert "-f environments/dev/values.yaml -f mine.yaml -f more.yaml --atomic" in line
    assert line.endswith("--timeout 90s")


def test_a_release_that_cannot_come_up_is_ended_and_the_others_go_on(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAD", "location=fleet-aircraft")
    result = deploy(root, "dev")
    assert result.exit_code == 1
    assert [line.split()[4] for line in run(root) if line != "undone"] == [
        "platform",
        "fleet-aircraft",
        "fleet-airports",
    ]
    assert result.stderr.replace(f"{root}/", "").splitlines() == [
        "fleet-aircraft is not deployed:",
        (
            "images.locations.fleet-aircraft in environments/dev/images.yaml: example/x:1 cannot be pulled: not "
            "found. Is it pushed, to this registry? May the nodes read there (image_pull_secrets)?"
        ),
        "Helm: UPGRADE FAILED: undone",
        "",
        "not deployed: fleet-aircraft",
    ]


def test_without_its_control_plane_no_location_is_deployed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAD", "platform")
    assert deploy(root, "dev").exit_code == 1
    assert len(run(root)) == 2  # and its undoing


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_whoever_ends_it_has_helm_undo_what_it_has_begun(
    root: Path, monkeypatch: pytest.MonkeyPatch, ending: signal.Signals
) -> None:
    monkeypatch.setenv("BAD", "platform")
    (root / "pods.json").write_text('{"items": []}')
    command = [sys.executable, "-m", "tenancy.cli", "--root", str(root), "deploy", "dev"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 30
    while not (root / "notes").exists():
        assert time.monotonic() < until
        time.sleep(0.1)
    process.send_signal(ending)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said == "ended; what was not yet deployed is undone\n"
    assert run(root)[1:] == ["undone"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dev", "fleet-ships"], "there is no release fleet-ships; there are platform, fleet-aircraft, fleet-airports"),
        (["dev", "hr-people"], "there is no release hr-people; there are platform, fleet-aircraft, fleet-airports"),
        (["dev", "--context", "moon"], "kubectl: error: context moon not found; give --context one of"),
        (["prod"], "environments/prod/values.yaml: no such file"),
        (["dev", "--timeout", "10"], "must be as in 90s, 10m or 1h"),
        (["local"], "'local' is not one of 'dev', 'staging', 'prod'"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_run(root: Path, arguments: list[str], message: str) -> None:
    result = deploy(root, *arguments)
    assert result.exit_code in {1, 2}
    assert message in result.stderr.replace(f"{root}/", "")
    assert not (root / "notes").exists()


def test_images_that_are_not_named_are_asked_for(root: Path) -> None:
    (root / "environments/dev/images.yaml").unlink()
    result = deploy(root, "dev")
    assert result.exit_code == 1
    assert "environments/dev/images.yaml is missing: it names the image of each release" in result.stderr


@pytest.mark.parametrize("program", ["helm", "kubectl"])
def test_a_program_that_is_missing_is_named(root: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    (root / "bin" / program).unlink()
    monkeypatch.setenv("PATH", f"{root}/bin")
    result = deploy(root, "dev")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{program} is not on PATH: https://")


def test_a_helm_of_another_time_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELM_VERSION", "v2.17.0+g0")
    result = deploy(root, "dev")
    assert result.stderr == "helm says that it is v2.17.0+g0; Helm 3 or 4 is needed\n"
