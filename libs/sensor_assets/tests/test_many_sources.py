"""Hundreds of sources in one monitor: intervals, outages, shares, groups, and what a person reads of it."""

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from sensor_assets import (
    Batch,
    Batching,
    DefinitionError,
    Item,
    LedgerError,
    ScanContext,
    SourceError,
    SourceGroup,
    sensor_asset,
    source,
    with_sources,
)
from sensor_assets._monitor import TickError
from sensor_assets._runtime import MOST_HANGING
from sensor_assets._sources.function import FunctionSource
from sensor_assets.ledger import PostgresLedger

from .dagster_internals import TICK_LOGGER
from .location import MONITOR, SOON, Location, StoppedClock, Tick, ephemeral, settings


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with ephemeral() as instance:
        yield instance


class Feed:
    """A source that shows what a test puts into it, fails, or hangs until it is let go."""

    def __init__(self, name: str, **common: Any) -> None:
        self.items: list[Item] = [Item(key="a", version="1")]
        self.error: Exception | None = None
        self.hangs = False
        self.let_go = threading.Event()
        self.scans = 0
        self.hanging = 0

        def show(context: ScanContext) -> Iterator[Item]:
            self.scans += 1
            if self.hangs:
                self.hanging += 1
                self.let_go.wait(60)
                self.hanging -= 1
            if self.error:
                raise self.error
            yield from self.items

        options: Any = {"every": SOON, **common}
        self.source: FunctionSource = source(name, **options)(show)

    def put(self, *keys: str) -> None:
        self.items += [Item(key=key, version="1") for key in keys]


def follow(*feeds: Feed, name: str, **options: Any) -> Any:
    def function(batch: Batch) -> None: ...

    return sensor_asset([feed.source for feed in feeds], name=name, **options)(function)


def feeds(number: int, **common: Any) -> list[Feed]:
    return [Feed(f"s{place:03}", **common) for place in range(number)]


def location_of(feeds: Sequence[Feed], ledger: PostgresLedger, instance: dg.DagsterInstance) -> Location:
    return Location(ledger, [follow(feed, name=f"of_{feed.source.name}") for feed in feeds], instance)


def evaluate_until(location: Location, clock: StoppedClock, seconds: float, tick: float) -> list[Tick]:
    """Evaluate every `tick` seconds of the stopped clock."""
    ticks: list[Tick] = []
    for _ in range(round(seconds / tick)):
        ticks.append(location.evaluate())
        clock.time += timedelta(seconds=tick)
    return ticks


# --- outages


def test_while_fifty_of_two_hundred_sources_hang_the_others_keep_their_interval(
    ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    """Six minutes of a stopped clock: a source every 30 s is scanned twelve times, whatever its neighbours do."""
    all_feeds = feeds(200, every=30, patience=0.3)
    hanging, healthy = all_feeds[::4], [feed for place, feed in enumerate(all_feeds) if place % 4]
    for feed in hanging:
        feed.hangs = True
    for feed in healthy:
        feed.items = []
    location = location_of(all_feeds, ledger, instance)
    clock = location.stop_the_clock()
    try:
        ticks = evaluate_until(location, clock, 360, 15)
        assert {feed.scans for feed in healthy} <= {12, 13}
        assert max(feed.hanging for feed in hanging) <= MOST_HANGING
        assert max(feed.scans for feed in hanging) <= MOST_HANGING
        told = Counter(
            (event.asset_key.to_user_string(), event.passed)
            for tick in ticks
            for event in tick.asset_events
            if isinstance(event, dg.AssetCheckEvaluation)
        )
        assert told == Counter({(feed.source.name, False): 1 for feed in hanging})
        assert "50 failing: s000, s004, s008, s012, s016, and 45 more" in (ticks[-1].skip_message or "")
    finally:
        for feed in hanging:
            feed.let_go.set()
    states = ledger.sources([feed.source.name for feed in hanging])
    assert {state.arrivals for state in states.values()} == {0}, "what was left behind records nothing"


def test_a_source_that_hung_answers_again_through_a_new_client(
    ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    feed, other = Feed("hung", every=30, patience=0.1), Feed("other", every=30)
    location = location_of([feed, other], ledger, instance)
    clock = location.stop_the_clock()
    feed.hangs = True
    location.evaluate()
    assert ledger.sources(["hung"])["hung"].error == "source 'hung' did not answer within 0.1 s"
    feed.hangs = False
    evaluate_until(location, clock, 90, 30)
    assert feed.scans > 1
    assert feed.hanging == 1, "the first scan still hangs"
    assert ledger.sources(["hung"])["hung"].failures == 0
    assert location.status()["of_hung"]["seen"] == 1
    feed.let_go.set()


def test_a_source_whose_scans_all_hang_is_not_asked_again_until_one_has_ended(
    ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    feed, other = Feed("hung", every=30, patience=0.05), Feed("other", every=30)
    location = location_of([feed, other], ledger, instance)
    clock = location.stop_the_clock()
    feed.hangs = True
    evaluate_until(location, clock, 3600, 30)
    assert feed.scans == MOST_HANGING
    assert "3 scans of it still hang" in (ledger.sources(["hung"])["hung"].error or "")
    feed.hangs = False
    feed.let_go.set()
    evaluate_until(location, clock, 600, 30)
    assert ledger.sources(["hung"])["hung"].failures == 0


@pytest.mark.parametrize("by", ["cursor", "check"])
def test_after_a_repair_a_person_can_have_a_source_asked_at_once(
    by: str, ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    feed, other = Feed("sick", every=60), Feed("well", every=60)
    location = location_of([feed, other], ledger, instance)
    clock = location.stop_the_clock()
    feed.error = SourceError("no route to host")
    evaluate_until(location, clock, 1800, 30)
    feed.error = None
    before = feed.scans
    location.evaluate()
    assert feed.scans == before, "its breaker is open"
    if by == "cursor":
        location.cursors[MONITOR] = None
    else:
        job = dg.define_asset_job("health", selection=dg.AssetSelection.all_asset_checks())
        repository = dg.Definitions.merge(location.definitions, dg.Definitions(jobs=[job])).get_repository_def()
        repository.get_job("health").execute_in_process(instance=instance)
    location.evaluate()
    assert feed.scans == before + 1
    assert ledger.sources(["sick"])["sick"].failures == 0


def test_the_failed_check_says_what_the_breaker_does(ledger: PostgresLedger, instance: dg.DagsterInstance) -> None:
    feed, other = Feed("sick", every=60), Feed("well", every=60)
    location = location_of([feed, other], ledger, instance)
    clock = location.stop_the_clock()
    feed.error = SourceError("no route to host")
    [event] = [event for event in location.evaluate().asset_events if isinstance(event, dg.AssetCheckEvaluation)]
    values = {name: value.value for name, value in event.metadata.items()}
    assert (values["error"], values["failures"], values["breaker"]) == ("no route to host", 1, "open")
    assert values["asked again"] == (clock.time + timedelta(seconds=60)).timestamp()


def test_a_ledger_that_cannot_be_used_fails_the_tick_with_one_message_and_the_next_goes_on(
    ledger: PostgresLedger, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = Feed("letters")
    location = location_of([feed], ledger, instance)

    def away(*arguments: Any) -> Any:
        raise LedgerError("the ledger's database cannot be reached (host=nowhere)")

    for call in ("sources", "begin_scans", "record", "end_scans", "emit"):
        feed.put(call)
        with monkeypatch.context() as patch:
            patch.setattr(ledger, call, away)
            with pytest.raises(TickError) as raised:
                location.evaluate()
        assert str(raised.value) == "the ledger's database cannot be reached (host=nowhere)"
        assert raised.value.__suppress_context__
        for request in location.evaluate().run_requests:
            location.run(request)
    location.evaluate()
    assert location.status()["of_letters"]["done"] == len(feed.items)


# --- shares


def test_a_backlog_leaves_launches_for_the_others(ledger: PostgresLedger, instance: dg.DagsterInstance) -> None:
    """Forty assets with four batches each, and 25 launches in a tick: after two ticks each has launched."""
    all_feeds = feeds(40)
    for feed in all_feeds:
        feed.put("b", "c", "d")
    assets = [
        follow(feed, name=f"of_{feed.source.name}", batching=Batching(max_items=1), max_in_flight=4)
        for feed in all_feeds
    ]
    location = Location(ledger, assets, instance)
    launched: Counter[str] = Counter()
    for tick in range(2):
        for request in location.evaluate().run_requests:
            location.queue(request)
            launched.update(key.to_user_string() for key in request.asset_selection or ())
        assert launched.total() == 25 * (tick + 1)
    assert len(launched) == 40
    assert max(launched.values()) == 2


def test_one_consumer_alone_may_take_all_launches(ledger: PostgresLedger, instance: dg.DagsterInstance) -> None:
    busy, *idle = feeds(40)
    busy.put(*(f"k{number}" for number in range(40)))
    for feed in idle:
        feed.items = []
    assets = [
        follow(feed, name=f"of_{feed.source.name}", batching=Batching(max_items=1), max_in_flight=100)
        for feed in [busy, *idle]
    ]
    assert len(Location(ledger, assets, instance).evaluate().run_requests) == 25


# --- one listing for several assets, and groups


def test_a_source_that_several_assets_follow_is_scanned_once(
    ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    shared, own = Feed("shared"), Feed("own")
    assets = [follow(shared, name="first"), follow(shared, name="second"), follow(shared, own, name="third")]
    requests = Location(ledger, assets, instance).evaluate().run_requests
    assert (shared.scans, own.scans) == (1, 1)
    assert sorted(str(request.asset_selection) for request in requests) == [
        f"[AssetKey(['{name}'])]" for name in ("first", "second", "third")
    ]


def test_assets_that_share_a_source_of_a_group_are_decided_about_by_the_groups_monitor(
    ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    shared, alone = Feed("shared"), Feed("alone")
    assets = [follow(shared, name="first"), follow(shared, name="second"), follow(alone, name="third")]
    location = Location(ledger, assets, instance, groups=[SourceGroup("apart", [shared.source])])
    assert len(location.evaluate("apart").run_requests) == 2
    assert len(location.evaluate().run_requests) == 1
    assert (shared.scans, alone.scans) == (1, 1)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (
            {"apart": ["a"]},
            "of_both follows sources of different monitors: a in apart, b in source_monitor.* into one SourceGroup",
        ),
        ({"apart": ["a"], "other": ["b"]}, "of_both follows sources of different monitors: a in apart, b in other"),
        ({"apart": ["a", "b"], "other": ["b"]}, "source 'b' is in the SourceGroups 'apart' and 'other'"),
        ({"apart": []}, "SourceGroup 'apart' has no sources"),
    ],
)
def test_groups_that_would_give_a_source_two_monitors_are_refused(groups: dict[str, list[str]], message: str) -> None:
    sources = {name: Feed(name) for name in "ab"}
    with pytest.raises(DefinitionError, match=message):
        with_sources(
            dg.Definitions(assets=[follow(*sources.values(), name="of_both")]),
            settings=settings(),
            groups=[
                SourceGroup(name, [sources[member].source for member in members]) for name, members in groups.items()
            ],
        )


def test_two_groups_of_one_name_are_refused() -> None:
    one, other = Feed("one"), Feed("other")
    with pytest.raises(DefinitionError, match="two SourceGroups are called 'apart'"):
        with_sources(
            dg.Definitions(assets=[follow(one, name="of_one"), follow(other, name="of_other")]),
            settings=settings(),
            groups=[SourceGroup("apart", [one.source]), SourceGroup("apart", [other.source])],
        )


@pytest.mark.parametrize("patience", [0, -1, 26])
def test_a_patience_that_a_tick_cannot_have_is_refused(patience: float) -> None:
    with pytest.raises(DefinitionError, match="source 'slow': patience must be more than 0 and at most 25 seconds"):
        Feed("slow", patience=patience)


def test_a_group_of_two_hundred_sources_loads_and_selects_two_hundred_assets(
    ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    many, few = feeds(200, every=30), Feed("few", every=30)
    assets = [follow(feed, name=f"of_{feed.source.name}") for feed in [*many, few]]
    group = SourceGroup("many", [feed.source for feed in many])
    location = Location(ledger, assets, instance, groups=[group])
    dg.Definitions.validate_loadable(location.definitions)
    sensors = {sensor.name: sensor for sensor in location.definitions.sensors or ()}
    monitor = sensors["many"]
    assert isinstance(monitor, dg.SensorDefinition)
    selection = monitor.asset_selection
    assert selection is not None
    assert len(selection.resolve(location.definitions.resolve_asset_graph())) == 200
    assert len(monitor.description or "") < 500
    assert (sensors["many"].minimum_interval_seconds, sensors[MONITOR].minimum_interval_seconds) == (14, 29)


# --- what a person reads


def test_a_tick_says_in_one_line_what_it_found(ledger: PostgresLedger, instance: dg.DagsterInstance) -> None:
    waiting, sick, quiet = Feed("waiting", every=60), Feed("sick", every=60), Feed("quiet", every=60)
    quiet.items = []
    sick.error = SourceError("no route to host")
    assets = [
        follow(waiting, name="patient", batching=Batching(max_wait=600)),
        follow(sick, quiet, name="other"),
    ]
    location = Location(ledger, assets, instance)
    location.stop_the_clock()
    first, second = location.evaluate().skip_message or "", location.evaluate().skip_message or ""
    holds = "patient holds: 1 item waits for company, 600 s at most"
    assert first.startswith(f"3 of 3 sources checked; 1 new; 1 failing: sick; {holds}; next due ")
    assert second.startswith(f"no source was due; nothing new; 1 failing: sick; {holds}; next due ")


def test_every_outcome_is_one_line_with_fields_and_nothing_is_none(
    ledger: PostgresLedger, instance: dg.DagsterInstance, lines: list[logging.LogRecord]
) -> None:
    feed, other = Feed("letters"), Feed("other")
    other.items = []
    location = location_of([feed, other], ledger, instance)
    for request in location.evaluate().run_requests:
        location.run(request)
    news, launch = _told(lines)
    assert news == {
        "monitor": MONITOR,
        "source": "letters",
        "outcome": "complete",
        "new": 1,
        "shown": 1,
        "seconds": news["seconds"],
        "calls": {},
    }
    assert (launch["consumer"], launch["items"], len(launch["batches"])) == ("of_letters", 1, 1)

    lines.clear()
    location.evaluate()
    assert _told(lines) == [], "nothing happened, nothing is said"

    feed.error = SourceError("no route to host")
    for _ in range(4):
        location.cursors[MONITOR] = None
        location.evaluate()
    [outage] = _told(lines)
    assert (outage["source"], outage["outcome"], outage["failures"]) == ("letters", "failed", 1)

    lines.clear()
    feed.error = None
    location.cursors[MONITOR] = None
    location.evaluate()
    [recovery] = _told(lines)
    assert (recovery["source"], recovery["outcome"], recovery["new"]) == ("letters", "complete", 0)
    assert "answers again" in lines[0].getMessage()


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[logging.LogRecord]:
    """Return the records that Dagster's logger of a tick is given."""
    records: list[logging.LogRecord] = []
    monkeypatch.setattr(TICK_LOGGER, "handle", lambda logger, record: records.append(record))
    return records


def _told(lines: Sequence[logging.LogRecord]) -> list[dict[str, Any]]:
    prefix = "sensor_assets_"
    fields = [vars(record) for record in lines]
    return [
        {name.removeprefix(prefix): value for name, value in record.items() if name.startswith(prefix)}
        for record in fields
        if any(name.startswith(prefix) for name in record)
    ]
