"""What the hook and the Job of the migration are given, and what they say when the Secrets are not there."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tenancy.cluster.cli import main

from tests.helm import kubelet, releases
from tests.helm.releases import CLUSTERS, environment, laid_over
from tests.helm.rendering import Object, Values
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
