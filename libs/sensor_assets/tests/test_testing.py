"""The test kit, used as a team's tests use it: its own fixtures, its own Postgres."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import psycopg
import pytest
from obstore.store import MemoryStore
from sensor_assets import (
    Batch,
    Batching,
    DefinitionError,
    Hold,
    Item,
    Lake,
    ObjectSource,
    Router,
    ScanContext,
    Settings,
    Waiting,
    sensor_asset,
    source,
    with_sources,
)
from sensor_assets.ledger import PostgresLedger
from sensor_assets.testing import Crash, Location, evaluate, set_environment, settings_for
from sensor_assets.testing._ledger import LedgerSchema
from sensor_assets.testing._postgres import URL_VARIABLE, Postgres

from .conftest import LedgerSchema as RepositoryLedger

MakeLocation = Callable[..., Location]

files = ObjectSource("files", url="{landing_url}/files", key="{day}-*.csv")


class LandingSettings(Settings):
    landing_url: str


SETTINGS = settings_for(LandingSettings, landing_url="file:///nowhere")


@sensor_asset(files, partitions_def=dg.StaticPartitionsDefinition(["mon", "tue"]))
def days(batch: Batch, lake: Lake) -> dg.MaterializeResult[Any]:
    """One table a day, rebuilt from all of its files."""
    for day, items in batch.by_partition():
        lake.write(f"{day}.parquet", pl.DataFrame({"text": [item.read().decode() for item in items]}))
    return dg.MaterializeResult()


@sensor_asset(files, batching=Batching(max_items=1))
def appended(batch: Batch, lake: Lake) -> None:
    """A log that is right only if every batch is written once."""
    lake.append("log", batch, pl.DataFrame({"text": [item.read().decode() for item in batch.items]}))


@sensor_asset(files, batching=Batching(max_items=1))
def careless(batch: Batch, lake: Lake) -> None:
    """A log with the mistake that a test with a crash finds: a repeated run appends again."""
    before = lake.list("careless")
    lake.write(
        f"careless/{len(before)}.parquet", pl.DataFrame({"text": [item.read().decode() for item in batch.items]})
    )


def texts(lake: Lake, directory: str) -> list[str]:
    frames = [lake.read(file.path) for file in lake.list(directory)]
    return sorted(text for frame in frames if frame is not None for text in frame["text"])


def store_with(**objects: str) -> MemoryStore:
    store = MemoryStore()
    for key, body in objects.items():
        store.put(f"{key}-a.csv", body.encode())
    return store


def test_one_tick_asks_for_the_runs_that_the_daemon_would_launch(ledger: PostgresLedger) -> None:
    store = store_with(mon="1", tue="2")
    lake = {"lake": Lake(url="memory:///")}
    tick = evaluate(days, ledger=ledger, settings=SETTINGS, store=store, resources=lake)
    assert [request.partition_key for request in tick.run_requests] == ["mon", "tue"]
    assert [request.asset_selection for request in tick.run_requests] == [[days.key], [days.key]]
    lost = evaluate(days, ledger=ledger, settings=SETTINGS, store=store, resources=lake, cursor=None)
    assert [request.run_key for request in lost.run_requests] == [request.run_key for request in tick.run_requests]


def test_work_runs_what_arrived_and_nothing_when_nothing_did(make_location: MakeLocation, lake: Lake) -> None:
    store = store_with(mon="1", tue="2")
    location = make_location(days, settings=SETTINGS, store=store, resources={"lake": lake})
    assert [run.success for run in location.work()] == [True, True]
    assert texts(lake, "") == ["1", "2"]
    assert location.work() == []
    store.put("mon-b.csv", b"3")
    assert len(location.work()) == 1
    assert texts(lake, "") == ["1", "2", "3"]


def test_settle_goes_on_until_failed_runs_have_succeeded(make_location: MakeLocation) -> None:
    store = store_with(mon="1")
    attempts: list[int] = []

    @sensor_asset(files)
    def fails_twice(batch: Batch) -> None:
        attempts.append(batch.attempt)
        if len(attempts) < 3:
            raise ConnectionError("the sink is down")

    location = make_location(fails_twice, settings=SETTINGS, store=store)
    runs = location.settle()
    assert [run.success for run in runs] == [False, False, True]
    assert attempts == [1, 2, 3]
    assert location.status()["fails_twice"]["done"] == 1


def test_settle_ends_where_a_router_holds(make_location: MakeLocation) -> None:
    def hold(waiting: Waiting) -> Hold:
        return Hold("never enough")

    router = Router(files, hold, name="held", targets=["all"])

    @sensor_asset(router["all"])
    def held(batch: Batch) -> None: ...

    location = make_location(held, settings=SETTINGS, store=store_with(mon="1"))
    assert location.settle() == []
    assert location.status()["held"]["waiting"] == 1


def test_settle_says_what_is_still_to_do_when_it_gives_up(make_location: MakeLocation) -> None:
    location = make_location(
        appended, settings=SETTINGS, store=store_with(mon="1", tue="2"), resources={"lake": Lake(url="memory:///")}
    )
    with pytest.raises(AssertionError, match=r"after 1 ticks there is still something to do: .*appended"):
        location.settle(ticks=1)


@pytest.mark.parametrize("crash", Crash.of_a_run(), ids=str)
def test_a_run_that_is_killed_leaves_its_effect_once_where_the_sink_is_idempotent(
    make_location: MakeLocation, lake: Lake, crash: Crash
) -> None:
    location = make_location(appended, settings=SETTINGS, store=store_with(mon="1", tue="2"), resources={"lake": lake})
    killed = location.work(crash=crash)
    assert [run.success for run in killed] == [False]
    location.settle()
    assert texts(lake, "log") == ["1", "2"]


def test_a_run_that_is_killed_shows_that_a_sink_is_not_idempotent(make_location: MakeLocation, lake: Lake) -> None:
    location = make_location(careless, settings=SETTINGS, store=store_with(mon="1", tue="2"), resources={"lake": lake})
    location.work(crash=Crash.at("before commit"))
    location.settle()
    assert texts(lake, "careless") == ["1", "1", "2"]


@pytest.mark.parametrize("point", ["after recording", "before commit", "after commit"])
def test_an_evaluation_that_is_killed_loses_nothing_and_repeats_the_same_run(
    make_location: MakeLocation, lake: Lake, point: Any
) -> None:
    location = make_location(days, settings=SETTINGS, store=store_with(mon="1"), resources={"lake": lake})
    assert location.evaluate(crash=Crash.at(point)).run_requests == ()
    assert len(location.settle()) == 1
    assert texts(lake, "") == ["1"]


def test_a_crash_at_an_unknown_point_says_which_there_are() -> None:
    with pytest.raises(
        ValueError, match="'whenever' is no point to crash at; there are after recording, before commit"
    ):
        Crash.at("whenever")  # type: ignore[arg-type]


def test_a_run_launched_by_hand_gets_everything_that_is_recorded(make_location: MakeLocation, lake: Lake) -> None:
    location = make_location(days, settings=SETTINGS, store=store_with(mon="1", tue="2"), resources={"lake": lake})
    location.evaluate()
    assert location.launch(days, partition="tue").success
    assert texts(lake, "") == ["2"]


def test_a_location_s_own_definitions_are_tested_on_the_test_s_ledger(
    make_location: MakeLocation, ledger: PostgresLedger, lake: Lake
) -> None:
    elsewhere = {"lake": Lake(url="file:///no/lake/in/this/test")}
    definitions = with_sources(dg.Definitions(assets=[days]), settings=SETTINGS, resources=elsewhere)
    location = make_location(definitions, store={"files": store_with(mon="1")}, resources={"lake": lake})
    assert [run.success for run in location.settle()] == [True]
    assert texts(lake, "") == ["1"]
    assert [row["source"] for row in ledger.status()] == ["files"]


def test_a_store_for_a_source_that_is_not_there_is_refused(make_location: MakeLocation) -> None:
    with pytest.raises(DefinitionError, match="no ObjectSource is called filse; there are files"):
        make_location(
            days, settings=SETTINGS, store={"filse": MemoryStore()}, resources={"lake": Lake(url="memory:///")}
        )

    @source("tickets")
    def tickets(context: ScanContext) -> Iterator[Item]:
        yield Item(key="a", version="1")

    @sensor_asset(tickets)
    def of_tickets(batch: Batch) -> None: ...

    with pytest.raises(DefinitionError, match="nothing follows an ObjectSource, so there is none to give a store"):
        make_location(of_tickets, store=MemoryStore())


def test_the_environment_of_a_location_is_set_for_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENVIRONMENT", "TEAM", "LOCATION", "LEDGER_URL", "LEDGER_SCHEMA", "LANDING_URL"):
        monkeypatch.setenv(name, "before")
    set_environment(location="shop-orders", LANDING_URL="memory:///landing")
    loaded = LandingSettings.load()
    assert (loaded.team, loaded.location, loaded.ledger_schema) == ("shop", "shop-orders", "shop")
    assert loaded.landing_url == "memory:///landing"


def test_the_kit_s_postgres_has_a_migrated_ledger_that_can_be_emptied() -> None:
    with Postgres() as postgres, LedgerSchema(postgres.url) as schema:
        ledger = schema.open()
        ledger.sources(["files"])
        schema.empty()
        with psycopg.connect(postgres.url) as connection:
            rows = connection.execute(f"select count(*) from {schema.schema}.source").fetchone()  # type: ignore[arg-type]
        assert rows == (0,)
        ledger.close()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres.url)


def test_a_database_that_the_environment_names_is_used_and_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch, migrated: RepositoryLedger, postgres: Any
) -> None:
    monkeypatch.setenv(URL_VARIABLE, postgres.url())
    with Postgres() as chosen:
        assert chosen.url == postgres.url()
        with LedgerSchema(chosen.url) as schema:
            schema.open().close()
    with psycopg.connect(postgres.url()) as connection:
        found = connection.execute("select 1 from pg_namespace where nspname = %s", [schema.schema]).fetchone()
    assert found is None


def test_no_server_and_no_directory_is_left_behind_by_tests_that_are_killed() -> None:
    program = (
        "import os, signal\n"
        "from sensor_assets.testing._postgres import Postgres\n"
        "print(Postgres().__enter__().url, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    started = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    printed, _ = started.communicate(timeout=60)
    assert started.returncode == -signal.SIGKILL
    directory = Path(psycopg.conninfo.conninfo_to_dict(printed.strip())["host"])  # type: ignore[arg-type]
    assert wait_until(lambda: not directory.exists())


def wait_until(reached: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not reached() and time.monotonic() < deadline:
        time.sleep(0.05)
    return reached()


def test_without_postgres_a_test_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensor_assets.testing._postgres.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(Exception, match=r"depend on sensor-assets\[testing\] .* or set SENSOR_ASSETS_TEST_POSTGRES"):
        Postgres().__enter__()


def test_a_partition_that_a_tick_adds_is_there_for_its_run(ledger: PostgresLedger) -> None:
    @sensor_asset(
        ObjectSource("report_files", url="memory:///reports", key="{airport}/*.csv"),
        partitions_def=dg.DynamicPartitionsDefinition(name="airports"),
        add_partitions=True,
    )
    def reports(batch: Batch) -> None: ...

    store = MemoryStore()
    store.put("JFK/1.csv", b"1")
    with Location(reports, ledger=ledger, store=store) as location:
        assert [run.success for run in location.settle()] == [True]
        assert location.instance.get_dynamic_partitions("airports") == ["JFK"]
        assert location.instance.get_materialized_partitions(reports.key) == {"JFK"}
