"""What the hook and the Job of the migration are given, and what they say when the Secrets are not there."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tenancy.cluster.cli import main

from tests.helm import kubelet, releases
from tests.helm.releases import CLUSTERS, by_label, environment, laid_over, without_passwords
from tests.helm.rendering import Object, Values, in_process
from tests.helm.test_variables import container

SOURCES = ("generated", "existing", "external")
HOOK, JOB = "hook", "job"
PASSWORDS = "--passwords="


def pod(values: Values, which: str) -> Object:
    """Return the Job that is the hook, or the one that is not."""
    jobs = {HOOK if "helm.sh/hook" in str(each) else JOB: each for each in _jobs(values)}
    return jobs[which]


def _jobs(values: Values) -> list[Object]:
    return [each for each in releases.platform(values).objects if each["kind"] == "Job"]


def options(values: Values, which: str) -> dict[str, Any]:
    """Return what the program makes of the arguments."""
    arguments = list(container(pod(values, which))["args"])
    command = main.commands["migrate"]
    return command.make_context("migrate", arguments).params


@pytest.mark.parametrize("name", CLUSTERS)
@pytest.mark.parametrize("which", [HOOK, JOB])
def test_the_database_is_marked_with_environment_namespace_and_release(name: str, which: str) -> None:
    assert options(environment(name), which)["owner"] == f"{name}/dagster/platform"


def test_the_job_waits_as_long_as_the_pods_that_wait_for_it_and_the_hook_a_minute() -> None:
    values = laid_over(environment("prod"), {"database": {"migration_seconds": 1234}})
    assert (options(values, JOB)["seconds"], options(values, HOOK)["seconds"]) == (1234, 60)
    (webserver,) = (
        each
        for each in releases.platform(values).objects
        if each["kind"] == "Deployment" and each["metadata"]["name"] == "platform-webserver"
    )
    (wait,) = webserver["spec"]["template"]["spec"]["initContainers"]
    assert wait["args"][:2] == ["--seconds", "1234"]


@pytest.mark.parametrize("source", SOURCES)
def test_the_job_alone_locks_out_teams_and_keeps_newer_schemas(source: str) -> None:
    values = laid_over(environment("prod"), {"database": {"passwords": {"source": source}}})
    of_job, of_hook = (options(values, which) for which in (JOB, HOOK))
    assert of_job["teams"] == "fleet,operations,weather"
    assert (of_job["lock_out_others"], of_job["keep_newer"]) == (True, True)
    assert (of_hook["lock_out_others"], of_hook["keep_newer"]) == (False, False)
    assert of_hook["teams"] == (of_job["teams"] if source == "existing" else None)


@pytest.mark.parametrize("source", SOURCES)
def test_only_passwords_that_come_later_are_waited_for(source: str) -> None:
    values = laid_over(environment("prod"), {"database": {"passwords": {"source": source}}})
    for which in (HOOK, JOB):
        waits = which == JOB and source != "existing"
        spec = pod(values, which)["spec"]["template"]["spec"]
        volume = next(each["secret"] for each in spec["volumes"] if "secret" in each)
        assert (volume["secretName"], volume["optional"]) == ("platform-team-databases", not waits)
        (password,) = (each for each in container(pod(values, which))["env"] if each["name"] == "DATABASE_PASSWORD")
        assert password["valueFrom"]["secretKeyRef"]["optional"] is not waits


ADMIN = {("database-admin", "username"): "master", ("database-admin", "password"): "of-the-master"}
OF_ALL_TEAMS = "keys fleet, operations, weather of Secret dagster/platform-team-databases."
OF_DAGSTER = {("platform-database", "password"): "of-dagster"}


@pytest.mark.parametrize("which", [HOOK, JOB])
@pytest.mark.parametrize(
    ("held", "files", "named"),
    [
        (
            {},
            [],
            f"key password of Secret dagster/platform-database; {OF_ALL_TEAMS}",
        ),
        (OF_DAGSTER, ["fleet", "weather"], "key operations of Secret dagster/platform-team-databases."),
        ({}, ["fleet", "operations", "weather"], "key password of Secret dagster/platform-database."),
    ],
    ids=["none", "no-team-s", "not-dagster-s"],
)
def test_a_secret_to_be_brought_that_is_missing_is_named_at_once(
    tmp_path: Path, which: str, held: dict[tuple[str, str], str], files: list[str], named: str
) -> None:
    values = laid_over(environment("prod"), {"database": {"passwords": {"source": "existing"}}})
    for file in files:
        (tmp_path / file).write_text("of-a-team")
    done = _run(container(pod(values, which)), {**ADMIN, **held}, tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"passwords are missing: {named} With database.passwords.source: existing make these")


def _run(container: Any, held: dict[tuple[str, str], str], directory: Path) -> subprocess.CompletedProcess[str]:
    """Run what a container runs, without a database: it is to end before it looks for one."""
    variables = kubelet.environment(container, lambda name, key: held.get((name, key)))
    arguments = [f"{PASSWORDS}{directory}" if each.startswith(PASSWORDS) else each for each in container["args"]]
    command = [sys.executable, *container["command"][1:], *arguments]
    return subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize("name", CLUSTERS)
def test_an_upgrade_that_changes_nothing_makes_the_job_again_and_nothing_else(name: str) -> None:
    """So one that has failed is tried again, and a password that was changed in its Secret is set."""
    first, second = (
        by_label(
            without_passwords(
                in_process(
                    "platform", environment(name), name="platform", namespace="dagster", revision=revision
                ).objects
            )
        )
        for revision in (1, 2)
    )
    (gone,), (come,) = first.keys() - second.keys(), second.keys() - first.keys()
    assert gone.startswith("Job/dagster/platform-migrate-1-")
    assert come == gone.replace("-migrate-1-", "-migrate-2-")
    assert first[gone]["spec"] == second[come]["spec"]
    assert all(first[label] == second[label] for label in first.keys() & second.keys())
