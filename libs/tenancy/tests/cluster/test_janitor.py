"""Which Jobs are removed, and which stay: the decision, over a real instance, and in the daemon's own process."""

import logging
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.client import BatchV1Api
from tenancy.cluster._dagster import enqueue_again
from tenancy.cluster.janitor import GRACE_SECONDS, RunJob, left_over, unfinished
from tenancy.cluster.launcher import TeamRunLauncher
from tenancy.cluster.sole import LOCK
from tenancy.cluster.sweeping import Janitor
from tenancy.local.ports import any_free

from . import plane as planes
from .plane import LATE, Plane
from .test_health import ask

NOW = 1_000_000.0
LONG, SHORT = GRACE_SECONDS + 1, GRACE_SECONDS - 1


# The decision.


def of_run(run_id: str, age: float) -> RunJob:
    return RunJob("a", f"dagster-run-{run_id}", run_id, NOW - age, "1")


@pytest.mark.parametrize(
    ("age", "over_for", "goes"),
    [(9999, LONG, True), (9999, SHORT, False), (SHORT, LONG, False), (LONG, 9999, True), (9999, -60, False)],
    ids=["long over", "just over", "of a moment ago", "older than its grace", "over in the future: a clock goes wrong"],
)
def test_a_job_goes_when_it_and_the_end_of_its_run_are_older_than_the_grace(
    age: float, over_for: float, goes: bool
) -> None:
    assert bool(left_over([of_run("x", age)], {"x": NOW - over_for}, NOW)) is goes


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 1e5))),
    st.dictionaries(st.sampled_from("abcd"), st.floats(0, 1e5)),
)
def test_no_job_of_a_run_that_goes_on_is_left_over(made: list[tuple[str, float]], ages: dict[str, float]) -> None:
    over = {run_id: NOW - age for run_id, age in ages.items()}
    for job in left_over([of_run(*each) for each in made], over, NOW):
        assert job.run_id in over
        assert min(NOW - job.made, ages[job.run_id]) > GRACE_SECONDS


@pytest.mark.parametrize(
    ("status", "metadata", "stays"),
    [
        ({}, {}, True),
        ({"active": 1}, {}, True),
        ({"failed": 1, "conditions": [{"type": "FailureTarget", "status": "True"}]}, {}, True),
        ({"failed": 1, "conditions": [{"type": "Failed", "status": "True"}]}, {}, False),
        ({"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}, {}, False),
        ({"active": 1}, {"deletionTimestamp": "2026-01-01T00:00:00Z"}, False),
    ],
    ids=["has no pod yet", "works", "is about to fail", "has failed", "has succeeded", "is being deleted"],
)
def test_a_job_that_has_ended_is_none_to_remove(status: Any, metadata: Any, stays: bool) -> None:
    job = {
        "metadata": {
            "name": "dagster-run-x",
            "labels": {"dagster/run-id": "x"},
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "resourceVersion": "7",
            **metadata,
        },
        "status": status,
    }
    found = list(unfinished("a", [job]))
    assert found == ([RunJob("a", "dagster-run-x", "x", 1767225600.0, "7")] if stays else [])


# Over an instance.


class Clock:
    """A clock that can be put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def janitor(plane: Plane, clock: Clock) -> Janitor:
    launcher = plane.instance.run_launcher
    assert isinstance(launcher, TeamRunLauncher)
    return launcher.janitor(clock)


def launched(plane: Plane, *locations: str) -> list[str]:
    run_ids = [plane.submit(location) for location in locations]
    plane.dequeue()
    assert {plane.status(run_id) for run_id in run_ids} == {"STARTING"}
    return run_ids


def names(plane: Plane) -> set[str]:
    return {name.removeprefix("dagster-run-") for _, name in plane.api.jobs}


def time_out(plane: Plane) -> None:
    """Let the run monitor give up what has not begun."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(plane.instance), "run_monitoring_start_timeout_seconds", 0.001)
        list(execute_run_monitoring_iteration(plane.context, planes.logger()))


def test_a_run_that_did_not_begin_leaves_its_team_s_quota_again(plane: Plane, janitor: Janitor, clock: Clock) -> None:
    timed_out, other = launched(plane, planes.WEATHER, LATE)
    plane.begin(other)
    time_out(plane)
    assert (plane.status(timed_out), plane.status(other)) == ("FAILURE", "STARTED")
    assert names(plane) == {timed_out, other}, "Dagster's monitor would see to it: the janitor is not needed any more"
    janitor.sweep()
    clock.ahead = SHORT - 5
    janitor.sweep()
    assert names(plane) == {timed_out, other}
    clock.ahead = LONG
    janitor.sweep()
    assert names(plane) == {other}
    said = (
        f"Job dagster-run-{timed_out} was removed from namespace weather: its pod had not ended 5 minutes after the run"
    )
    assert plane.messages(timed_out)[-1] == f"{said}."
    assert plane.status(timed_out) == "FAILURE"
    events = len(plane.events(timed_out))
    janitor.sweep()
    assert len(plane.events(timed_out)) == events


@pytest.mark.parametrize("end", ["report_run_canceled", "report_run_failed"])
def test_a_run_that_was_given_up_while_its_pod_goes_on_is_ended(
    plane: Plane, janitor: Janitor, clock: Clock, end: str
) -> None:
    (run_id,) = launched(plane, LATE)
    plane.begin(run_id)
    getattr(plane.instance, end)(plane.run(run_id))
    clock.ahead = LONG
    janitor.sweep()
    assert names(plane) == set()


def test_runs_that_go_on_or_wait_keep_their_jobs(plane: Plane, janitor: Janitor, clock: Clock) -> None:
    _, begun, ending, waiting = run_ids = launched(plane, *[LATE] * 4)
    for run_id in (begun, ending):
        plane.begin(run_id)
    plane.instance.report_run_canceling(plane.run(ending))
    enqueue_again(plane.instance, plane.run(waiting))
    statuses = [plane.status(run_id) for run_id in run_ids]
    assert statuses == ["STARTING", "STARTED", "CANCELING", "QUEUED"]
    clock.ahead = 10 * LONG
    janitor.sweep()
    janitor.sweep()
    assert names(plane) == set(run_ids)


def test_a_job_that_has_ended_keeps_its_pod_for_its_log(plane: Plane, janitor: Janitor, clock: Clock) -> None:
    failed, succeeded = launched(plane, LATE, LATE)
    for run_id in (failed, succeeded):
        plane.instance.report_run_failed(plane.run(run_id))
    plane.api.end(failed, failed=1)
    plane.api.end(succeeded, succeeded=1)
    clock.ahead = LONG
    janitor.sweep()
    assert names(plane) == {failed, succeeded}


def test_a_job_that_ends_while_it_is_being_removed_stays(plane: Plane, janitor: Janitor, clock: Clock) -> None:
    (run_id,) = launched(plane, LATE)
    plane.instance.report_run_failed(plane.run(run_id))
    events = len(plane.events(run_id))
    plane.api.before_deletion = lambda: plane.api.end(run_id, failed=1)
    clock.ahead = LONG
    janitor.sweep()
    assert plane.api.before_deletion is None
    assert names(plane) == {run_id}
    assert len(plane.events(run_id)) == events


def test_a_job_that_somebody_else_removes_meanwhile_is_no_trouble(
    plane: Plane, janitor: Janitor, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    (run_id,) = launched(plane, LATE)
    plane.instance.report_run_failed(plane.run(run_id))
    events = len(plane.events(run_id))
    plane.api.before_deletion = plane.api.jobs.clear
    clock.ahead = LONG
    janitor.sweep()
    assert len(plane.events(run_id)) == events
    assert [record for record in caplog.records if record.name == "tenancy.cluster"] == []


def test_a_run_that_nobody_knows_any_more_has_its_grace_from_then_on(
    plane: Plane, janitor: Janitor, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    (run_id,) = launched(plane, LATE)
    plane.api.age(run_id, 10 * LONG)
    janitor.sweep()
    plane.instance.delete_run(run_id)
    janitor.sweep()
    clock.ahead = SHORT
    janitor.sweep()
    assert names(plane) == {run_id}
    clock.ahead = LONG
    with caplog.at_level(logging.INFO, "tenancy.cluster"):
        janitor.sweep()
    assert names(plane) == set()
    assert f"Job dagster-run-{run_id} was removed from namespace night-shift: for 5 minutes no such run" in caplog.text
    assert list(plane.instance.all_logs(run_id)) == []


def test_many_jobs_come_page_by_page(plane: Plane, janitor: Janitor, clock: Clock) -> None:
    run_ids = launched(plane, *[LATE] * 4)
    for run_id in run_ids[1:]:
        plane.instance.report_run_failed(plane.run(run_id))
    plane.api.page = 1
    clock.ahead = LONG
    janitor.sweep()
    assert names(plane) == {run_ids[0]}


def test_a_namespace_that_may_not_be_seen_hinders_no_other(
    plane: Plane, janitor: Janitor, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    late, weather = launched(plane, LATE, planes.WEATHER)
    for run_id in (late, weather):
        plane.instance.report_run_failed(plane.run(run_id))
    plane.api.not_listed.add("night-shift")
    clock.ahead = LONG
    janitor.sweep()
    assert names(plane) == {late}
    assert "the Jobs of namespace night-shift cannot be seen: jobs.batch is forbidden" in caplog.text


def test_an_api_that_does_not_answer_is_told_once_and_asked_again(
    plane: Plane, janitor: Janitor, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    (run_id,) = launched(plane, LATE)
    plane.instance.report_run_failed(plane.run(run_id))
    clock.ahead = LONG
    plane.api.is_down = True
    janitor.sweep()
    told = [each.getMessage() for each in caplog.records if each.name == "tenancy.cluster"]
    assert len(told) == 1
    assert "no Job that is left over is removed now: the Kubernetes API does not answer" in told[0]
    plane.api.is_down = False
    janitor.sweep()
    assert names(plane) == set()


def test_a_look_costs_a_request_for_each_namespace(
    plane: Plane, janitor: Janitor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched(plane, *[LATE] * 3)
    lists: list[str] = []
    real = BatchV1Api.list_namespaced_job

    def counted(self: BatchV1Api, namespace: str, **options: Any) -> Any:
        lists.append(namespace)
        return real(self, namespace, **options)

    monkeypatch.setattr(BatchV1Api, "list_namespaced_job", counted)
    janitor.sweep()
    assert lists == ["night-shift", "weather"]


# In the daemon.


@contextmanager
def daemon(plane: Plane, log: Path) -> Generator[int]:
    """Run the daemon with a janitor that is in a hurry; yields its health port."""
    port = any_free(0)
    hurry = "from tenancy.cluster import janitor, sweeping; sweeping.SWEEP_SECONDS = 0.5; "
    program = f"{hurry}janitor.GRACE_SECONDS = sweeping.GRACE_SECONDS = 1; from tenancy.cluster.cli import main; main()"
    command = [sys.executable, "-c", program, "daemon", "--workspace", str(plane.home.workspace)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--health-port", str(port)], env=plane.home.environment, stdout=output, stderr=output
        )
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def test_the_daemon_that_holds_the_lock_removes_them_and_no_other_does(plane: Plane, tmp_path: Path) -> None:
    (run_id,) = launched(plane, LATE)
    plane.instance.report_run_failed(plane.run(run_id))
    plane.api.age(run_id, LONG)
    with plane.home.database.connect("dagster") as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        with daemon(plane, tmp_path / "daemon.log") as port:
            planes.until(lambda: "waiting until it ends" in (tmp_path / "daemon.log").read_text())
            time.sleep(2)
            assert names(plane) == {run_id}
            holder.execute("SELECT pg_advisory_unlock_all()")
            planes.until(lambda: names(plane) == set())
            plane.api.is_down = True
            planes.until(lambda: "no Job that is left over is removed now" in (tmp_path / "daemon.log").read_text())
            assert ask(port, "/healthz")[0] == 200
    assert "was removed from namespace night-shift" in plane.messages(run_id)[-1]
