"""The real daemon over both storages: what a tick costs, and what a crash leaves."""

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import SensorInstigatorData, TickStatus
from lean_postgres import close_pools
from tenancy.local.postgres import Postgres

from .conftest import NewDatabase
from .instances import LEAN, STOCK, counted, execute, opened
from .processes import AT_ONCE, CRASH_POINTS, Daemon, code_server, killed_daemon, running_daemon

IN_THIS_PROCESS = {"module": "dagster._core.launcher.sync_in_memory_run_launcher", "class": "SyncInMemoryRunLauncher"}
SETTINGS = {
    "run_launcher": {**IN_THIS_PROCESS, "config": {}},
    "run_coordinator": AT_ONCE,
}


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
    """An instance and its daemon, which does a round when it is told."""

    home: Path
    instance: dg.DagsterInstance
    daemon: Daemon


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


def settle(daemon: Daemon, instance: dg.DagsterInstance, ticks: int) -> None:
    """Let the daemon do rounds until the sensor has been evaluated that many times more."""
    for _ in range(ticks):
        before = len(of_sensor(instance))
        deadline = time.monotonic() + 30
        while len(of_sensor(instance)) == before:
            assert time.monotonic() < deadline
            time.sleep(0.2)
            daemon.round()


def of_sensor(instance: dg.DagsterInstance) -> list[Any]:
    storage: Any = instance.schedule_storage
    states = instance.all_instigator_state()
    return [] if not states else storage.get_ticks(states[0].instigator_origin_id, states[0].selector_id)


def cost_of_a_tick(kind: str, url: str, home: Path, world: World) -> tuple[float, float]:
    """Return statements and new connections of one round of the daemon in which one sensor finds nothing."""
    ticks = 3
    with opened(kind, url, home, **SETTINGS) as instance, running_daemon(instance, world.socket) as daemon:
        settle(daemon, instance, 2)
        statements = connections = 0
        for _ in range(ticks):
            time.sleep(1.1)
            with counted() as counts:
                daemon.round()
            statements += len(counts.statements)
            connections += counts.connections
        assert len(of_sensor(instance)) == 2 + ticks
    return statements / ticks, connections / ticks


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
        yield Living(home, instance, daemon)
    close_pools()


@pytest.mark.parametrize("crash_point", CRASH_POINTS)
def test_a_daemon_killed_at_any_point_of_a_tick_loses_no_run_and_doubles_none(
    world: World, living: Living, crash_point: str
) -> None:
    instance, daemon = living.instance, living.daemon
    settle(daemon, instance, 1)
    before = len(world.lines.read_text().split())
    world.write(f"{crash_point}-1", f"{crash_point}-2")
    assert killed_daemon(living.home, world.socket, crash_point) == -signal.SIGKILL
    settle(daemon, instance, 1)
    world.write(f"{crash_point}-3")
    settle(daemon, instance, 2)

    runs = [run for run in instance.get_runs() if run.tags["dagster/run_key"].startswith(f"{crash_point}-")]
    assert sorted(run.tags["dagster/run_key"] for run in runs) == [f"{crash_point}-{number}" for number in (1, 2, 3)]
    assert all(run.is_success for run in runs)
    (sensor,) = instance.all_instigator_state()
    assert isinstance(sensor.instigator_data, SensorInstigatorData)
    assert sensor.instigator_data.cursor == str(before + 3)
    assert {each.status for each in of_sensor(instance)} <= {TickStatus.SUCCESS, TickStatus.SKIPPED}
