"""The monitor's answers to Dagster, and what is refused when definitions load."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sensor_assets import (
    Batch,
    DefinitionError,
    Item,
    ObjectSource,
    Router,
    ScanContext,
    Send,
    Settings,
    SettingsError,
    SourceError,
    SourceGroup,
    SourcesDownError,
    TableSource,
    Waiting,
    sensor_asset,
    source,
    with_sources,
)
from sensor_assets._sources.function import FunctionSource
from sensor_assets.ledger import PostgresLedger

from . import future_location
from .location import MONITOR, SOON, Location, Tick, ephemeral, settings

DAILY = dg.DailyPartitionsDefinition("2013-01-01", end_date="2014-01-01")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with ephemeral() as instance:
        yield instance


class Outside:
    """A source that shows what a test puts into it, or fails with what it is told."""

    def __init__(self, name: str, **common: Any) -> None:
        self.items: list[Item] = []
        self.error: Exception | None = None
        self.scans = 0

        def show(context: ScanContext) -> Iterator[Item]:
            self.scans += 1
            if self.error:
                raise self.error
            yield from self.items

        options: Any = {"every": SOON, **common}
        self.source: FunctionSource = source(name, **options)(show)

    def put(self, *keys: str) -> None:
        self.items += [Item(key=key, version="1") for key in keys]


def follow(outside: Outside, name: str) -> Any:
    def function(batch: Batch) -> None: ...

    return sensor_asset(outside.source, name=name)(function)


def checks(answer: Tick) -> list[tuple[str, bool]]:
    """Return the check events of an answer: source and whether it passed."""
    found = [event for event in answer.asset_events if isinstance(event, dg.AssetCheckEvaluation)]
    assert all(event.check_name == "reachable" for event in found)
    return [(event.asset_key.to_user_string(), event.passed) for event in found]


def test_an_outage_is_told_once_and_the_other_sources_go_on(
    ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    sick, well = Outside("sick"), Outside("well")
    location = Location(ledger, [follow(sick, "of_sick"), follow(well, "of_well")], instance)
    sick.error = SourceError("source 'sick' cannot be reached")
    well.put("a")

    first = location.evaluate()
    assert checks(first) == [("sick", False)]
    [event] = [event for event in first.asset_events if isinstance(event, dg.AssetCheckEvaluation)]
    assert event.metadata["error"].value == "source 'sick' cannot be reached"
    assert [request.asset_selection for request in first.run_requests] == [[dg.AssetKey("of_well")]]
    location.queue(first.run_requests[0])

    well.put("b")
    second = location.evaluate()
    assert checks(second) == []
    assert location.status()["of_well"]["seen"] == 2
    assert second.skip_message == "2 of 2 sources checked; 1 new; 1 failing: sick"

    sick.error = None
    assert checks(until(location, lambda answer: bool(checks(answer)))) == [("sick", True)]


def until(location: Location, reached: Callable[[Tick], bool]) -> Tick:
    """Evaluate until an answer is as wished; a sick source is asked at a slower pace."""
    for _ in range(200):
        answer = location.evaluate()
        if reached(answer):
            return answer
    raise AssertionError("not reached in 200 evaluations")


def test_an_error_that_nobody_foresaw_in_one_source_does_not_stop_the_others(
    ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    sick, well = Outside("sick"), Outside("well")
    sick.error = ZeroDivisionError("oh")
    well.put("a")
    location = Location(ledger, [follow(sick, "of_sick"), follow(well, "of_well")], instance)
    answer = location.evaluate()
    assert len(answer.run_requests) == 1
    assert "ZeroDivisionError: oh" in (ledger.sources(["sick"])["sick"].error or "")


def test_the_tick_fails_when_every_source_is_down_and_there_is_nothing_else_to_say(
    ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    one, other = Outside("one"), Outside("other")
    location = Location(ledger, [follow(one, "of_one"), follow(other, "of_other")], instance)
    one.error = other.error = SourceError("no route to host")

    told = location.evaluate()
    assert sorted(checks(told)) == [("one", False), ("other", False)]
    assert "2 of 2 sources are down" in (told.skip_message or "")
    with pytest.raises(SourcesDownError, match=r"2 of 2 sources are down: no route to host .*since .* UTC"):
        location.evaluate()

    one.error = None
    answer = until_ok(location)
    assert checks(answer) == [("one", True)]
    location.evaluate()


def test_the_tick_fails_when_one_source_is_down_for_longer_than_it_may(
    ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    sick, well = Outside("sick", stale_after=0.0), Outside("well")
    sick.error = SourceError("no route to host")
    location = Location(ledger, [follow(sick, "of_sick"), follow(well, "of_well")], instance)
    location.evaluate()
    with pytest.raises(SourcesDownError, match="1 of 2 sources are down"):
        location.evaluate()
    well.put("a")
    assert until_ok(location).run_requests, "what the other source brought goes on all the same"


def until_ok(location: Location) -> Tick:
    for _ in range(200):
        try:
            return location.evaluate()
        except SourcesDownError:
            continue
    raise AssertionError("every evaluation failed")


def test_after_a_cursor_reset_the_health_of_sick_sources_is_told_again(
    ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    sick, well = Outside("sick"), Outside("well")
    sick.error = SourceError("no route to host")
    location = Location(ledger, [follow(sick, "of_sick"), follow(well, "of_well")], instance)
    location.evaluate()
    assert checks(location.evaluate()) == []
    for broken in ("", "not a cursor", '{"v": 1, "sick": "nonsense"}'):
        location.cursors[MONITOR] = broken
        assert checks(location.evaluate()) == [("sick", False)]


def test_a_sick_source_is_asked_less_and_less_often(ledger: PostgresLedger, instance: dg.DagsterInstance) -> None:
    sick, well = Outside("sick", every=60), Outside("well", every=60)
    sick.error = SourceError("no route to host")
    location = Location(ledger, [follow(sick, "of_sick"), follow(well, "of_well")], instance)
    clock = location.stop_the_clock()
    paces: list[float] = []
    for scans in range(1, 7):
        location.evaluate()
        location.evaluate()
        assert (sick.scans, well.scans) == (scans, scans), "neither is scanned again before it is due"
        due = ledger.sources(["sick"])["sick"].due_at
        assert due is not None
        paces.append((due - clock.time).total_seconds())
        clock.time = due
    assert paces == [60, 120, 240, 480, 480, 480]


def test_new_arrivals_are_told_as_an_observation_of_the_source(
    ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    outside = Outside("letters")
    outside.put("a", "b")
    answer = Location(ledger, [follow(outside, "read")], instance).evaluate()
    [event] = [event for event in answer.asset_events if isinstance(event, dg.AssetObservation)]
    assert event.asset_key == dg.AssetKey("letters")
    values = {name: value.value for name, value in event.metadata.items()}
    assert values["new"] == 2
    assert values["read: in_flight"] == 2


def test_a_source_group_has_a_sensor_of_its_own(ledger: PostgresLedger, instance: dg.DagsterInstance) -> None:
    apart, common = Outside("apart"), Outside("common")
    assets = [follow(apart, "of_apart"), follow(common, "of_common")]
    location = Location(ledger, assets, instance, groups=[SourceGroup("apart_monitor", [apart.source])])
    apart.put("a")
    common.put("a")
    assert {sensor.name for sensor in location.definitions.sensors or ()} == {MONITOR, "apart_monitor"}
    keys = [request.asset_selection for request in location.evaluate("apart_monitor").run_requests]
    assert keys == [[dg.AssetKey("of_apart")]]
    assert (apart.scans, common.scans) == (1, 0)
    keys = [request.asset_selection for request in location.evaluate().run_requests]
    assert keys == [[dg.AssetKey("of_common")]]


def test_the_check_launched_by_hand_tells_the_health_that_the_ledger_holds(
    ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    sick, well = Outside("sick"), Outside("well")
    sick.error = SourceError("no route to host")
    location = Location(ledger, [follow(sick, "of_sick"), follow(well, "of_well")], instance)
    location.evaluate()
    job = dg.define_asset_job("health", selection=dg.AssetSelection.all_asset_checks())
    repository = dg.Definitions.merge(location.definitions, dg.Definitions(jobs=[job])).get_repository_def()
    result = repository.get_job("health").execute_in_process(instance=instance)
    told = {check.asset_key.to_user_string(): check.passed for check in result.get_asset_check_evaluations()}
    assert told == {"sick": False, "well": True}


def test_assets_with_and_without_partitions_share_one_monitor(tmp_path: Path, ledger: PostgresLedger) -> None:
    files = ObjectSource("files", url="{outside}", key="{date:%Y-%m-%d}*", every=SOON)
    hourly = ObjectSource("hour_files", url="{outside}", key="{date:%Y-%m-%dT%H}*", every=SOON)

    @sensor_asset(files, partitions_def=DAILY)
    def days(batch: Batch) -> None: ...

    @sensor_asset(files)
    def everything(batch: Batch) -> None: ...

    @sensor_asset(hourly, partitions_def=dg.HourlyPartitionsDefinition("2013-01-01-00:00"))
    def hours(batch: Batch) -> None: ...

    with ephemeral() as instance:
        location = Location(ledger, [days, everything, hours], instance, outside=tmp_path)
        dg.Definitions.validate_loadable(location.definitions)
        (tmp_path / "2013-01-01T05.csv").write_text("a")
        (tmp_path / "2013-01-02T06.csv").write_text("b")
        asked = sorted(
            (str(request.asset_selection), request.partition_key, request.tags.get("dagster/asset_partition_range_end"))
            for request in location.evaluate().run_requests
        )
    assert [row[1:] for row in asked] == [
        (None, "2013-01-02"),
        (None, None),
        ("2013-01-01-05:00", None),
        ("2013-01-02-06:00", None),
    ]


def test_annotations_of_a_module_with_future_annotations_are_understood(
    ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    location = Location(ledger, future_location.assets, instance, resources={"greeting": "hello"})
    assert [result.success for result in location.work()] == [True]
    assert future_location.greeted == ["hello a"]


def test_sources_are_nodes_of_the_graph_above_the_assets_that_follow_them(
    ledger: PostgresLedger, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    files = ObjectSource("files", url="{outside}", description="What the bank sends", group_name="bank")

    @sensor_asset(files, key_prefix=["accounts"], group_name="accounts")
    def statements(batch: Batch) -> None: ...

    graph = Location(ledger, [statements], instance, outside=tmp_path).definitions.resolve_asset_graph()
    node = graph.get(dg.AssetKey(["accounts", "files"]))
    assert graph.get(dg.AssetKey(["accounts", "statements"])).parent_keys == {node.key}
    assert (node.description, node.group_name, node.owners) == ("What the bank sends", "bank", ["team:tested"])
    assert node.metadata["url"] == f"file://{tmp_path}"
    assert "dagster/kind/objects" in node.tags


def test_every_variable_that_is_missing_or_wrong_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class MySettings(Settings):
        landing_url: str
        interval_seconds: float

    for name in ("TEAM", "LOCATION", "LEDGER_URL", "LEDGER_SCHEMA", "LANDING_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("INTERVAL_SECONDS", "often")
    monkeypatch.setenv("LEDGER_URL", "postgresql://user:secret@host/ledger")
    with pytest.raises(SettingsError) as caught:
        MySettings.load()
    message = str(caught.value)
    for name in ("TEAM: is missing", "LOCATION: is missing", "LEDGER_SCHEMA: is missing", "LANDING_URL: is missing"):
        assert name in message
    assert "ENVIRONMENT: Input should be 'local', 'dev', 'staging' or 'prod'" in message
    assert "INTERVAL_SECONDS: Input should be a valid number" in message
    assert "LEDGER_URL" not in message
    assert "secret" not in message


def named(name: str) -> FunctionSource:
    return Outside(name).source


def empty(batch: Batch) -> None: ...


def by_nothing(waiting: Waiting) -> Send:
    return Send(to="left")


def define_unknown_placeholder() -> Sequence[Any]:
    return [sensor_asset(ObjectSource("files", url="{landing}/x"), name="a")(empty)]


def define_duplicate_source() -> Sequence[Any]:
    return [sensor_asset(named("twice"), name="a")(empty), sensor_asset(named("twice"), name="b")(empty)]


def define_partitions_without_date() -> Sequence[Any]:
    return [sensor_asset(ObjectSource("files", url="{outside}", key="*.csv"), name="a", partitions_def=DAILY)(empty)]


def define_table_with_partitions() -> Sequence[Any]:
    table = TableSource("rows", url="postgresql://nobody@/none", table="t", key="k", version="v")
    return [sensor_asset(table, name="a", partitions_def=DAILY)(empty)]


def define_router_without_asset() -> Sequence[Any]:
    router = Router(named("waiting"), by_nothing, name="router", targets=("left", "right"))
    return [sensor_asset(router["left"], name="a")(empty)]


def define_outlet_twice() -> Sequence[Any]:
    router = Router(named("waiting"), by_nothing, name="router", targets=("left",))
    return [sensor_asset(router["left"], name=name)(empty) for name in ("a", "b")]


def define_two_prefixes() -> Sequence[Any]:
    shared = named("shared")
    return [sensor_asset(shared, name="a", key_prefix=prefix)(empty) for prefix in ("x", "y")]


def define_multi_partitions() -> Sequence[Any]:
    both = dg.MultiPartitionsDefinition({"day": DAILY, "kind": dg.StaticPartitionsDefinition(["x"])})
    return [sensor_asset(named("cube"), name="a", partitions_def=both)(empty)]


def define_every_zero() -> Sequence[Any]:
    return [sensor_asset(Outside("never", every=0).source, name="a")(empty)]


def define_not_a_url() -> Sequence[Any]:
    return [sensor_asset(ObjectSource("files", url="/some/directory"), name="a")(empty)]


def define_time_column_without_lag() -> Sequence[Any]:
    table = TableSource("rows", url="sqlite:///x.db", table="t", key="k", version="v")
    return [sensor_asset(table, name="a")(empty)]


@pytest.mark.parametrize(
    ("define", "message"),
    [
        (
            define_unknown_placeholder,
            r"source 'files', url: no setting 'landing' for '\{landing\}/x'; the settings are",
        ),
        (define_duplicate_source, "two sources are called 'twice'"),
        (define_partitions_without_date, "asset a has partitions, but source 'files' gives its items none"),
        (define_table_with_partitions, "asset a has partitions, but source 'rows' gives its items none"),
        (define_router_without_asset, "router 'router': no asset follows right"),
        (define_outlet_twice, "'router': two assets follow the outlet 'left'"),
        (
            define_two_prefixes,
            "source 'shared' would be x/shared for one asset and y/shared for y/a: give .* key_prefix",
        ),
        (define_every_zero, "source 'never': every must be a positive number of seconds, not '0'"),
        (define_not_a_url, "source 'files': '/some/directory' is not a URL; a directory is file:///directory"),
        (define_time_column_without_lag, "source 'rows': only Postgres has transaction ids; give lag="),
        pytest.param(
            define_multi_partitions,
            "asset a: MultiPartitionsDefinition is not supported for a sensor asset",
        ),
    ],
)
def test_a_declaration_that_cannot_work_is_refused_when_definitions_load(
    define: Callable[[], Sequence[Any]], message: str
) -> None:
    with pytest.raises(DefinitionError, match=message):
        with_sources(dg.Definitions(assets=define()), settings=settings())


def test_a_function_without_a_batch_is_refused_at_its_declaration() -> None:
    with pytest.raises(DefinitionError, match="function 'no_batch' needs a parameter 'batch: Batch'"):

        @sensor_asset(named("letters"))
        def no_batch(context: dg.AssetExecutionContext) -> None: ...


def test_an_asset_named_as_its_source_is_refused_at_its_declaration() -> None:
    with pytest.raises(DefinitionError, match="mail/letters follows a source of the same name"):
        sensor_asset(named("letters"), name="letters", key_prefix="mail")(empty)


def test_something_that_is_no_source_is_refused_at_its_declaration() -> None:
    with pytest.raises(DefinitionError, match="needs a source, a sequence of sources, or a router's outlet"):
        sensor_asset([])
    with pytest.raises(DefinitionError, match="a name has letters, digits and underscores"):
        named("my-source")
    with pytest.raises(DefinitionError, match=r"Router 'r' has no target 'right'; it has left"):
        Router(named("letters"), by_nothing, name="r", targets=("left",))["right"]


def test_a_group_may_not_take_the_name_of_the_locations_own_monitor() -> None:
    letters = named("letters")
    with pytest.raises(DefinitionError, match="may not be called 'source_monitor'"):
        with_sources(
            dg.Definitions(assets=[sensor_asset(letters, name="a")(empty)]),
            settings=settings(),
            groups=[SourceGroup(MONITOR, [letters])],
        )
