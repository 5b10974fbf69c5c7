"""The real daemon over both storages: what a tick costs, and what a crash leaves.

The daemon's clock is the test's: nothing waits for a sensor to be due.
"""

import datetime
import inspect
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import InstigatorType, SensorInstigatorData, TickStatus
from dagster._core.storage.tags import SCHEDULED_EXECUTION_TIME_TAG
from dagster._daemon import sensor as sensor_loop
from dagster._scheduler import scheduler as schedule_loop
from lean_postgres import close_pools
from tenancy.local.postgres import Postgres

from .conftest import NewDatabase
from .instances import LEAN, STOCK, counted, execute, opened
from .processes import AT_ONCE, CRASH_POINTS, SCHEDULE, SENSOR, Daemon, code_server, killed_daemon, running_daemon

IN_THIS_PROCESS = {"module": "dagster._core.launcher.sync_in_memory_run_launcher", "class": "SyncInMemoryRunLauncher"}
SETTINGS = {
    "run_launcher": {**IN_THIS_PROCESS, "config": {}},
    "run_coordinator": AT_ONCE,
}
BEGINNING = datetime.datetime(2013, 3, 1, 12, 30, tzinfo=datetime.UTC)
SECOND, HOUR = datetime.timedelta(seconds=1), datetime.timedelta(hours=1)

OF_AUTOMATION = {"AUTOMATION_EVALUATIONS_ADDED", "RUN_IDS_ADDED_TO_EVALUATIONS"}
"""Crash points that only the evaluation of automation conditions passes: `dagster_suites` has them."""


@dataclass
class World:
    """One code server, and a sensor's outside world: a file whose lines ask for a run each."""

    socket: Path
    lines: Path

    def write(self, *keys: str) -> None:
        with self.lines.open("a") as file:
            file.writelines(f"{key}\n" for key in keys)


@dataclass
class Living:
    """An instance and its daemon, and what time it is for them."""

    home: Path
    world: World
    instance: dg.DagsterInstance
    daemon: Daemon
    now: datetime.datetime = BEGINNING

    def look(self, loop: str, after: datetime.timedelta) -> None:
        """Let some time go by and the daemon do a round."""
        self.now += after
        self.daemon.round(loop, self.now)

    def crash(self, loop: str, after: datetime.timedelta, crash_point: str) -> None:
        """Let some time go by and another daemon be killed in its round."""
        self.now += after
        assert killed_daemon(self.home, self.world.socket, loop, self.now, crash_point) == -signal.SIGKILL

    def ticks(self, kind: InstigatorType) -> list[Any]:
        (state,) = self.instance.all_instigator_state(instigator_type=kind)
        return [*self.instance.get_ticks(state.instigator_origin_id, state.selector_id)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("w")
    world = World(home / "code.sock", home / "lines")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINES", str(world.lines))
        world.lines.touch()
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}")
        with code_server(world.socket, home):
            yield world


def cost_of_a_tick(kind: str, url: str, home: Path, world: World) -> tuple[float, float]:
    """Return statements and new connections of one round of the daemon in which one sensor finds nothing."""
    rounds = 3
    with opened(kind, url, home, **SETTINGS) as instance, running_daemon(instance, world.socket) as daemon:
        living = Living(home, world, instance, daemon)
        for _ in range(2):
            living.look(SENSOR, 2 * SECOND)
        with counted() as counts:
            for _ in range(rounds):
                living.look(SENSOR, 2 * SECOND)
        assert [tick.status for tick in living.ticks(InstigatorType.SENSOR)] == [TickStatus.SKIPPED] * (2 + rounds)
    return len(counts.statements) / rounds, counts.connections / rounds


def test_a_tick_takes_seven_statements_and_no_new_connection_where_stock_takes_more_than_thirty(
    new_database: NewDatabase, tmp_path: Path, world: World
) -> None:
    statements, connections = cost_of_a_tick(LEAN, new_database(), tmp_path / "lean", world)
    of_stock = cost_of_a_tick(STOCK, new_database(), tmp_path / "stock", world)
    assert (statements, connections) == (7, 0)
    assert of_stock[0] > 30
    assert of_stock[1] > 25


@pytest.fixture(scope="module")
def living(
    postgres: Postgres, template: str, tmp_path_factory: pytest.TempPathFactory, world: World
) -> Iterator[Living]:
    """An instance over the lean storage that lives through all the crashes."""
    execute(postgres.url(), f"create database crashes template {template}")
    home = tmp_path_factory.mktemp("h")
    with (
        opened(LEAN, postgres.url("crashes"), home, **SETTINGS) as instance,
        running_daemon(instance, world.socket) as daemon,
    ):
        yield Living(home, world, instance, daemon)
    close_pools()


@pytest.mark.parametrize(("loop", "module"), [(SENSOR, sensor_loop), (SCHEDULE, schedule_loop)])
def test_the_daemon_has_no_crash_point_that_is_not_tried(loop: str, module: Any) -> None:
    found = re.findall(r'check_for_debug_crash\(\s*\w+,\s*"(\w+)"', inspect.getsource(module))
    assert {*found} - OF_AUTOMATION == {*CRASH_POINTS[loop]}


@pytest.mark.parametrize("crash_point", CRASH_POINTS[SENSOR])
def test_a_daemon_killed_at_any_point_of_a_sensor_s_tick_loses_no_run_and_doubles_none(
    living: Living, crash_point: str
) -> None:
    living.look(SENSOR, 2 * SECOND)
    before = len(living.world.lines.read_text().split())
    living.world.write(f"{crash_point}-1", f"{crash_point}-2")
    living.crash(SENSOR, 2 * SECOND, crash_point)
    living.look(SENSOR, 2 * SECOND)
    living.world.write(f"{crash_point}-3")
    living.look(SENSOR, 2 * SECOND)

    runs = [run for run in living.instance.get_runs() if run.tags.get("dagster/run_key", "").startswith(crash_point)]
    assert sorted(run.tags["dagster/run_key"] for run in runs) == [f"{crash_point}-{number}" for number in (1, 2, 3)]
    assert all(run.is_success for run in runs)
    (sensor,) = living.instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    assert isinstance(sensor.instigator_data, SensorInstigatorData)
    assert sensor.instigator_data.cursor == str(before + 3)
    assert {tick.status for tick in living.ticks(InstigatorType.SENSOR)} <= {TickStatus.SUCCESS, TickStatus.SKIPPED}


@pytest.mark.parametrize("crash_point", CRASH_POINTS[SCHEDULE])
def test_a_daemon_killed_at_any_point_of_a_schedule_s_tick_loses_no_run_and_doubles_none(
    living: Living, crash_point: str
) -> None:
    living.look(SCHEDULE, HOUR)
    first = living.now
    living.crash(SCHEDULE, HOUR, crash_point)
    living.look(SCHEDULE, SECOND)
    living.look(SCHEDULE, HOUR)

    hours = [(first + number * HOUR).replace(minute=0, second=0).isoformat() for number in (1, 2)]
    runs = {hour: living.instance.get_runs(dg.RunsFilter(tags={SCHEDULED_EXECUTION_TIME_TAG: hour})) for hour in hours}
    done = [dg.DagsterRunStatus.SUCCESS]
    assert {hour: [run.status for run in found] for hour, found in runs.items()} == dict.fromkeys(hours, done)
    assert {tick.status for tick in living.ticks(InstigatorType.SCHEDULE)} == {TickStatus.SUCCESS}
