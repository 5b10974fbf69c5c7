"""The workflows run with the least rights, on pinned actions, and only call what runs on a laptop too."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.y*ml"))
PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")

every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def loaded(path: Path) -> dict[Any, Any]:
    """Return a workflow; YAML 1.1 reads its key `on` as True."""
    return yaml.safe_load(path.read_text())


def steps(workflow: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    """Yield every step of every job."""
    for job in workflow["jobs"].values():
        yield from job.get("steps", [])


def run(*command: str) -> None:
    """Run a linter in the repository; fail with what it says."""
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_there_are_workflows() -> None:
    assert [path.name for path in WORKFLOWS] != []


@every_workflow
def test_every_action_is_pinned_by_commit_with_its_version(path: Path) -> None:
    uses = [line.strip().removeprefix("- ") for line in path.read_text().splitlines() if "uses:" in line]
    assert uses
    assert [line for line in uses if not PINNED.fullmatch(line) and not line.startswith("uses: ./")] == []


@every_workflow
def test_a_workflow_has_no_rights_and_a_job_only_those_that_it_names(path: Path) -> None:
    workflow = loaded(path)
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert "permissions" in job, name
        assert job["permissions"] not in ("write-all", "read-all"), name


@every_workflow
def test_every_job_ends_and_a_newer_commit_takes_over(path: Path) -> None:
    workflow = loaded(path)
    assert "group" in workflow["concurrency"]
    for name, job in workflow["jobs"].items():
        assert 0 < job["timeout-minutes"] <= 60, name


@every_workflow
def test_no_checkout_leaves_its_token_behind(path: Path) -> None:
    for step in steps(loaded(path)):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_ci_calls_the_make_targets_that_people_call() -> None:
    commands = [step["run"] for step in steps(loaded(ROOT / ".github/workflows/ci.yml")) if "run" in step]
    assert commands == ["make lint", "make test"]


def test_zizmor_finds_nothing() -> None:
    run("zizmor", "--offline", "--no-progress", "--persona", "pedantic", ".github")


def test_actionlint_finds_nothing() -> None:
    if shutil.which("actionlint") is None:
        pytest.skip("actionlint is not on PATH (https://github.com/rhysd/actionlint)")
    run("actionlint", *map(str, WORKFLOWS))


def test_yamllint_finds_nothing() -> None:
    run("yamllint", "--strict", ".")
