"""The pure core by properties, and kept mutants that the properties must kill."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sensor_assets import Batching, DefinitionError, Hold, Item, Router, Send, Waiting, source
from sensor_assets import _cutting as cutting_module
from sensor_assets import _decide as decide_module
from sensor_assets import _reconcile as reconcile_module
from sensor_assets import _template as template_module
from sensor_assets._decide import decide
from sensor_assets._joins import Join
from sensor_assets._partitions import MOST_ADDED_PARTITIONS, NamedPartitions, NoPartitions, partitions_of
from sensor_assets._placing import Unplaceable
from sensor_assets._policy import Policy
from sensor_assets._readiness import Sifted
from sensor_assets._routing import Routed, RouteError, Way
from sensor_assets._state import Arrival, Ask, BatchRecord, ConsumerState, Decision, Log
from sensor_assets._template import KeyTemplate
from sensor_assets._time_windows import TimePartitions

from . import core_cases as cases
from . import core_properties as properties
from . import core_waiting as waiting
from .core_cases import NOW, Days, new_ids

Property = tuple[Callable[[Any], None], st.SearchStrategy[Any]]

DECIDING: Property = (properties.deciding_loses_nothing_and_keeps_the_bounds, cases.cases())
PARKING: Property = (waiting.what_is_parked_goes_when_it_may, waiting.histories())
HALVING: Property = (properties.halving_keeps_every_arrival_once, cases.batches(least=2))
SETTLING: Property = (properties.every_ending_has_its_fate, cases.endings())
WAITING: Property = (properties.waits_grow_up_to_their_limit, properties.RETRIES)
PLACING: Property = (properties.an_item_belongs_to_the_window_of_its_partition, properties.placings())
MATCHING: Property = (properties.a_key_gives_the_date_that_was_written_into_it, properties.keys_of_templates())
SIZING: Property = (properties.sizes_are_read_as_written, properties.SIZES)

PROPERTIES = (DECIDING, PARKING, HALVING, SETTLING, WAITING, PLACING, MATCHING, SIZING)


def hold(checked: Property, *, examples: int, hunting: bool = False) -> None:
    """Check a property on drawn cases; `hunting` a mutant neither shrinks nor varies."""
    check, strategy = checked
    chosen = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=hunting,
        phases=[Phase.generate] if hunting else list(Phase),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        report_multiple_bugs=False,
    )

    def checking(case: Any) -> None:
        check(case)

    chosen(given(strategy)(checking))()


@pytest.mark.parametrize("checked", PROPERTIES, ids=lambda checked: checked[0].__name__)
def test_the_core_keeps_what_it_promises(checked: Property) -> None:
    hold(checked, examples=500 if checked in (DECIDING, PARKING) else 150)


# --- mutants: (what is wrong, where, its replacement, the property that must notice)

Original = Any
Mutant = Callable[[Original], Any]


def losing_the_last(parts: Original) -> Any:
    def mutant(arrivals: Sequence[Arrival], batching: Batching) -> Iterator[list[Arrival]]:
        for part in parts(arrivals, batching):
            yield part[:-1] if len(part) > 1 else part

    return mutant


def positions(change: int) -> Mutant:
    def make(cut: Original) -> Any:
        def mutant(*arguments: Any) -> Decision:
            decision: Decision = cut(*arguments)
            moved = {source: arrival + change for source, arrival in decision.positions.items()}
            return replace(decision, positions=moved)

        return mutant

    return make


def launching(**ignored: int) -> Mutant:
    return lambda launch: (
        lambda policy, candidates, emitted, free: launch(policy, candidates, emitted, ignored.get("free", free))
    )


def at_another_time(seconds: float) -> Mutant:
    """Return a mutant of a function whose last argument is the time."""
    return lambda original: (
        lambda *arguments, **named: original(*arguments[:-1], arguments[-1] + timedelta(seconds=seconds), **named)
    )


def launching_beside_what_flies(launch: Original) -> Any:
    return lambda policy, candidates, emitted, free: launch(policy, candidates, (), free)


def without(**changed: Any) -> Mutant:
    """Return a mutant of `_may_launch` that sees a batch otherwise than it is."""
    return lambda may: lambda batch, available, now: may(replace(batch, **changed), available, now)


def deciding(**changed: Callable[[Decision], Any]) -> Mutant:
    """Return a mutant of `_cut` whose decisions differ in these fields."""

    def make(cut: Original) -> Any:
        def mutant(*arguments: Any) -> Decision:
            decision: Decision = cut(*arguments)
            return replace(decision, **{name: change(decision) for name, change in changed.items()})

        return mutant

    return make


def routing(**changed: Any) -> Mutant:
    """Return a mutant of `route` for which routers have other settings."""

    def make(route: Original) -> Any:
        def mutant(router: Router, *arguments: Any, **named: Any) -> Any:
            other = copy.copy(router)
            other.__dict__.update(changed)
            return route(other, *arguments, **named)

        return mutant

    return make


def swallowing_route_errors(route: Original) -> Any:
    def mutant(router: Router, arrivals: list[Arrival], *arguments: Any, **named: Any) -> Any:
        try:
            return route(router, arrivals, *arguments, **named)
        except RouteError:
            return Routed(ways={Way("left"): arrivals[1:]}, left=[])

    return mutant


def forgetting_what_is_left(route: Original) -> Any:
    return lambda *arguments, **named: replace(route(*arguments, **named), left=[])


def sifting(**changed: Callable[[Sifted], Any]) -> Mutant:
    def make(sift: Original) -> Any:
        def mutant(*arguments: Any) -> Any:
            sifted = sift(*arguments)
            if not isinstance(sifted, Sifted):
                return sifted
            return replace(sifted, **{name: change(sifted) for name, change in changed.items()})

        return mutant

    return make


def asking_for_the_oldest_partition_only(sift: Original) -> Any:
    def mutant(*arguments: Any) -> Any:
        answer = sift(*arguments)
        if isinstance(answer, Ask) and answer.parked:
            return Ask(parked=answer.parked[:1])
        return answer

    return mutant


def releasing(change: int) -> Mutant:
    def make(release: Original) -> Any:
        def mutant(*arguments: Any) -> Any:
            released, reason = release(*arguments)
            return {source: last + change for source, last in released.items()}, reason

        return mutant

    return make


def releasing_what_is_seen(release: Original) -> Any:
    def mutant(self: Join, logs: dict[int, Log], pending: Sequence[Arrival], now: datetime) -> Any:
        released, reason = release(self, logs, pending, now)
        seen = {
            source: max(a.item.arrival for a in pending if a.source_id == source)
            for source in {a.source_id for a in pending}
        }
        return {source: min(last, seen.get(source, last)) for source, last in released.items()}, reason

    return mutant


def settling(**changed: Any) -> Mutant:
    def make(settle: Original) -> Any:
        def mutant(batch: BatchRecord, outcome: str, **arguments: Any) -> Any:
            outcomes = changed.get("outcomes", {})
            rest = {name: value for name, value in changed.items() if name != "outcomes"}
            return settle(batch, outcomes.get(outcome, outcome), **{**arguments, **rest})

        return mutant

    return make


def overlapping(halves: Original) -> Any:
    def mutant(batch: BatchRecord, new_id: Callable[[], str]) -> Any:
        first, second = halves(batch, new_id)
        return replace(first, slices=batch.slices), second

    return mutant


def losing_the_middle(halves: Original) -> Any:
    def mutant(batch: BatchRecord, new_id: Callable[[], str]) -> Any:
        first, second = halves(batch, new_id)
        source, numbers = next(iter(second.slices.items()))
        return first, replace(second, slices={**second.slices, source: numbers[1:]})

    return mutant


def joining_everything(ranges: Original) -> Any:
    return lambda self, keys: [tuple(sorted(keys))] if keys else []


def placing_anything(place: Original) -> Any:
    def mutant(self: Any, partition: str | None) -> Any:
        try:
            return place(self, partition)
        except Unplaceable:
            return "2013-01-01"

    return mutant


def believing_any_digits(match: Original) -> Any:
    def mutant(self: KeyTemplate, key: str) -> Any:
        return match(self, key) or template_module.Match("2013-01-01")

    return mutant


MUTANTS: dict[str, tuple[Any, str, Mutant, Property]] = {
    "two batches share a lane": (decide_module, "_lanes", lambda _: lambda policy, batch: set(), DECIDING),
    "launches beside what flies": (decide_module, "_launch", launching_beside_what_flies, DECIDING),
    "launches without bound": (decide_module, "_launch", launching(free=99), DECIDING),
    "launches nothing": (decide_module, "_launch", launching(free=0), DECIDING),
    "launches partitions of the future": (decide_module, "_may_launch", without(partitions=()), DECIDING),
    "launches before the pause is over": (decide_module, "_may_launch", without(not_before=None), DECIDING),
    "launches what already flies": (decide_module, "_may_launch", without(state="waiting"), DECIDING),
    "a part loses its last item": (cutting_module, "parts", losing_the_last, DECIDING),
    "parts have no bound": (
        cutting_module,
        "parts",
        lambda _: lambda arrivals, batching: [arrivals] if arrivals else [],
        DECIDING,
    ),
    "joined partitions have no bound": (cutting_module, "fits", lambda _: lambda arrivals, batching: True, DECIDING),
    "no partitions are joined though each fits": (
        cutting_module,
        "parts",
        lambda _: lambda arrivals, batching: [[arrival] for arrival in arrivals],
        DECIDING,
    ),
    "positions run one ahead": (decide_module, "_cut", positions(+1), DECIDING),
    "positions stay one behind": (decide_module, "_cut", positions(-1), DECIDING),
    "misfits are forgotten": (decide_module, "_cut", deciding(misfits=lambda decision: ()), DECIDING),
    "only one source is cut": (
        decide_module,
        "slices",
        lambda slices: lambda arrivals: dict(list(slices(arrivals).items())[:1]),
        DECIDING,
    ),
    "a route may name an item twice": (decide_module, "route", swallowing_route_errors, DECIDING),
    "a hold is never forced": (decide_module, "route", at_another_time(-1e6), DECIDING),
    "a hold is forced at once": (decide_module, "route", at_another_time(1e6), DECIDING),
    "any number of items may be left waiting": (decide_module, "route", routing(max_waiting=10**9), DECIDING),
    "what a route leaves waiting is forgotten": (decide_module, "route", forgetting_what_is_left, DECIDING),
    "nothing waits for company": (decide_module, "_condition", at_another_time(1e9), DECIDING),
    "what waits is not parked": (decide_module, "_cut", deciding(park=lambda decision: ()), PARKING),
    "what goes stays parked": (decide_module, "_cut", deciding(unpark=lambda decision: ()), PARKING),
    "what comes back and goes is forgotten": (
        decide_module,
        "_cut",
        deciding(cut=lambda decision: () if decision.unpark else decision.cut),
        PARKING,
    ),
    "what waits keeps the position where it is": (
        decide_module,
        "_cut",
        deciding(
            positions=lambda decision: {} if decision.park else decision.positions,
            park=lambda decision: (),
        ),
        PARKING,
    ),
    "partitions of the future are cut": (
        decide_module,
        "sift",
        sifting(ready=lambda sifted: {**sifted.ready, **{a: a.item.partition for a in sifted.unready}}),
        DECIDING,
    ),
    "only the partition that waits longest comes back": (
        decide_module,
        "sift",
        asking_for_the_oldest_partition_only,
        DECIDING,
    ),
    "no source is waited for": (Join, "waits_for", lambda _: lambda self, shown, since, now: (), DECIDING),
    "all sources are waited for though they have shown something": (
        Join,
        "waits_for",
        lambda waits_for: lambda self, shown, since, now: waits_for(self, frozenset(), since, now),
        PARKING,
    ),
    "a source is waited for ever": (Join, "waits_for", at_another_time(-1e6), PARKING),
    "a source is not waited for": (Join, "waits_for", at_another_time(1e6), DECIDING),
    "one arrival goes before the others have come": (Join, "release", releasing(+1), DECIDING),
    "one arrival waits though the others have come": (Join, "release", releasing(-1), DECIDING),
    "what one decision cannot take waits for all sources again": (
        Join,
        "release",
        releasing_what_is_seen,
        PARKING,
    ),
    "how far arrivals may go is forgotten": (decide_module, "_cut", deciding(released=lambda decision: {}), PARKING),
    "what is skipped is launched": (
        decide_module,
        "_cut",
        deciding(cut=lambda decision: tuple(replace(b, state="waiting") for b in decision.cut)),
        DECIDING,
    ),
    "what is skipped has no reason": (
        decide_module,
        "_cut",
        deciding(cut=lambda decision: tuple(replace(b, reason=None) for b in decision.cut)),
        DECIDING,
    ),
    "days with a gap are joined": (Days, "ranges", joining_everything, DECIDING),
    "halves overlap": (reconcile_module, "halves", overlapping, HALVING),
    "halving loses an item": (reconcile_module, "halves", losing_the_middle, HALVING),
    "settling loses an item while halving": (reconcile_module, "halves", losing_the_middle, SETTLING),
    "a vanished run counts as a failure": (
        reconcile_module,
        "settle",
        settling(outcomes={"vanished": "failed"}),
        SETTLING,
    ),
    "a vanished run counts as done": (
        reconcile_module,
        "settle",
        settling(outcomes={"vanished": "succeeded"}),
        SETTLING,
    ),
    "an active run counts as vanished": (
        reconcile_module,
        "settle",
        settling(outcomes={"active": "vanished"}),
        SETTLING,
    ),
    "an item is blamed while the sink is down": (reconcile_module, "settle", settling(sink_works=True), SETTLING),
    "nothing is ever given up": (reconcile_module, "settle", settling(sink_works=False), SETTLING),
    "a pause lasts from another time": (reconcile_module, "settle", settling(now=NOW + timedelta(days=1)), SETTLING),
    "days with a gap are joined in Dagster": (TimePartitions, "ranges", joining_everything, PLACING),
    "any date has a place": (TimePartitions, "place", placing_anything, PLACING),
    "any key fits": (KeyTemplate, "match", believing_any_digits, MATCHING),
}


@pytest.mark.parametrize("wrong", MUTANTS)
def test_the_properties_kill_each_mutant(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, mutant, checked = MUTANTS[wrong]
    monkeypatch.setattr(owner, name, mutant(getattr(owner, name)))
    with pytest.raises(Exception):  # noqa: B017, PT011 - a mutant may also break the code under it
        hold(checked, examples=4000, hunting=True)


def test_a_mutant_that_changes_nothing_survives() -> None:
    """So that the test above is known to fail when the properties overlook a mutant."""
    for checked in PROPERTIES:
        hold(checked, examples=60, hunting=True)


# --- what a property would say less clearly


@source("outside")
def outside(context: object) -> Iterator[Item]:
    yield from ()


def arrival(number: int, *, age: float = 0, partition: str | None = None, source_id: int = 1) -> Arrival:
    item = Item(key=f"k{number}", version="1", arrival=number, partition=partition, source="outside")
    return Arrival(source_id=source_id, item=item, seen_at=NOW - timedelta(seconds=age))


def policy(**changed: Any) -> Policy:
    standard: dict[str, Any] = {
        "name": "consumer",
        "batching": Batching(),
        "max_in_flight": 4,
        "partitions": NoPartitions(),
    }
    return Policy(**{**standard, **changed})


def decided(policy: Policy, state: ConsumerState, *, now: datetime = NOW) -> Decision:
    """Return a decision for which nothing has to be asked."""
    decision = decide(policy, state, now, new_ids("batch"))
    assert isinstance(decision, Decision)
    return decision


def test_what_fits_nowhere_does_not_make_the_others_leave_early() -> None:
    days = Days(frozenset(), join=True)
    waiting = ConsumerState(
        pending=(arrival(1, age=60, partition="someday"), arrival(2, age=1, partition="2013-01-01"))
    )
    decision = decided(policy(partitions=days, batching=Batching(max_wait=10)), waiting)
    assert decision.held is not None
    assert not decision.cut


def test_a_route_function_sees_the_oldest_of_all_sources_first() -> None:
    seen: list[Waiting] = []

    def route(waiting: Waiting) -> Hold:
        seen.append(waiting)
        return Hold("not yet")

    state = ConsumerState(pending=(arrival(1, age=1), arrival(2, age=0), arrival(1, age=5, source_id=2)))
    decide(policy(router=Router(outside, route, name="r", targets=("a",))), state, NOW, new_ids("batch"))
    assert seen[0].oldest_seconds == 5
    assert (seen[0].items[0].arrival, seen[0].items[-1].arrival) == (1, 2)
    assert seen[0].items[0] is state.pending[2].item


def test_a_route_function_may_be_asked_again_after_it_held() -> None:
    answers: list[Any] = [Hold("not yet"), Send(to="a")]
    router = Router(outside, lambda waiting: answers.pop(0), name="r", targets=("a",))
    state = ConsumerState(pending=(arrival(1),))
    first = decided(policy(router=router), state)
    second = decided(policy(router=router), state)
    assert (first.held, first.positions, len(second.cut)) == ("not yet", {}, 1)


@pytest.mark.parametrize(
    "definition",
    [
        dg.WeeklyPartitionsDefinition("2013-01-01", end_date="2013-03-03"),
        dg.DailyPartitionsDefinition("2013-01-01", end_date="2013-03-01", hour_offset=6),
        dg.MonthlyPartitionsDefinition("2013-01-01", end_date="2013-02-15"),
    ],
    ids=["weeks that begin after the start", "days that begin at six", "a month that is cut off by the end"],
)
@pytest.mark.parametrize("moment", ["2013-01-01", "2013-01-05", "2013-02-10", "2013-02-28T23:59:59"])
def test_an_item_at_the_edge_of_the_windows_is_placed_in_one_that_exists_or_set_aside(
    definition: dg.TimeWindowPartitionsDefinition, moment: str
) -> None:
    """Else its batch would wait for ever for a partition that never comes, and nobody would be told."""
    adapter = TimePartitions(definition, join=True)
    try:
        key = adapter.place(moment)
    except Unplaceable:
        return
    assert key is not None
    assert adapter.available([key])


def test_a_time_that_the_clock_shows_twice_belongs_to_the_earlier_hour_and_is_found_there() -> None:
    hours = dg.HourlyPartitionsDefinition("2013-11-03-00:00", end_date="2013-11-04-00:00", timezone="America/New_York")
    adapter = TimePartitions(hours, join=True)
    assert "2013-11-03-01:00-0500" in hours.get_partition_keys()
    assert [adapter.place(f"2013-11-03T0{hour}:30:00") for hour in (0, 1, 2)] == [
        "2013-11-03-00:00",
        "2013-11-03-01:00",
        "2013-11-03-02:00",
    ]
    assert adapter.window("2013-11-03-01:00") == ("2013-11-03T01:00:00", "2013-11-03T02:00:00")
    start, stop = adapter.window("2013-11-03-01:00-0500")
    assert start == stop
    # Dagster would launch the hour between with them, for which there is nothing.
    assert adapter.ranges(["2013-11-03-01:00", "2013-11-03-02:00"]) == [("2013-11-03-01:00",), ("2013-11-03-02:00",)]


def test_a_time_that_the_clock_skips_belongs_to_the_hour_before_the_gap_and_is_found_there() -> None:
    hours = dg.HourlyPartitionsDefinition("2013-03-10-00:00", end_date="2013-03-11-00:00", timezone="America/New_York")
    adapter = TimePartitions(hours, join=True)
    assert adapter.place("2013-03-10T02:30:00") == "2013-03-10-01:00"
    assert adapter.window("2013-03-10-01:00") == ("2013-03-10T01:00:00", "2013-03-10T03:00:00")
    assert adapter.ranges(["2013-03-10-01:00", "2013-03-10-03:00"]) == [("2013-03-10-01:00", "2013-03-10-03:00")]


def test_an_item_in_a_time_that_the_partitions_exclude_is_set_aside_with_that_reason() -> None:
    """Dagster would put it into the day before the gap, whose rebuild would not find it."""
    weekdays = dg.DailyPartitionsDefinition("2013-01-01", end_date="2013-02-01", exclusions=["0 0 * * SAT,SUN"])
    adapter = TimePartitions(weekdays, join=True)
    with pytest.raises(Unplaceable, match="2013-01-05 lies in a time that the asset's partitions leave out"):
        adapter.place("2013-01-05")
    assert adapter.ranges(["2013-01-04", "2013-01-07"]) == [("2013-01-04", "2013-01-07")]


def test_a_date_without_a_time_has_no_place_where_days_begin_at_another_hour() -> None:
    """By its midnight the file of a day would silently go to the day before."""
    adapter = TimePartitions(dg.DailyPartitionsDefinition("2013-01-01", hour_offset=6), join=True)
    with pytest.raises(Unplaceable, match="2013-01-05 is a whole day, and the asset's partitions begin at 06:00"):
        adapter.place("2013-01-05")
    assert adapter.place("2013-01-05T00:00:00") == "2013-01-04"
    assert adapter.place("2013-01-05T06:00:00") == "2013-01-05"


def test_a_key_template_with_an_hour_names_midnight_and_not_the_day() -> None:
    match = KeyTemplate("{date:%Y-%m-%dT%H}.csv").match("2013-01-05T00.csv")
    assert match is not None
    assert match.partition == "2013-01-05T00:00:00"


@pytest.mark.parametrize(
    "text", ["2013-01-01T05", "2013-01-01T05:00", "20130101T050000", "2013-01-01 05:00:00", "2013-01-01T07:00:00+02:00"]
)
def test_a_time_in_any_iso_form_is_found_by_the_rebuild_of_its_partition_or_set_aside(text: str) -> None:
    adapter = TimePartitions(dg.HourlyPartitionsDefinition("2013-01-01-00:00", end_date="2013-02-01-00:00"), join=True)
    try:
        key = adapter.place(text)
    except Unplaceable:
        return
    assert key == "2013-01-01-05:00"
    start, stop = adapter.window(key)
    assert stop is not None
    assert start <= text < stop


def test_named_partitions_take_items_by_their_literal_name() -> None:
    fixed = NamedPartitions(lambda: ["JFK", "LGA"], fixed=True)
    growing = NamedPartitions(lambda: ["JFK"], fixed=False)
    assert (fixed.place("JFK"), growing.place("EWR")) == ("JFK", "EWR")
    assert (fixed.available(["JFK"]), growing.available(["EWR"])) == ({"JFK"}, set())
    assert fixed.ranges(["JFK", "LGA"]) == [("JFK",), ("LGA",)]
    assert fixed.window("JFK") == ("JFK", None)
    for adapter, partition in ((fixed, "EWR"), (fixed, None), (growing, None), (growing, ""), (growing, "a...b")):
        with pytest.raises(Unplaceable):
            adapter.place(partition)


def test_dynamic_partitions_are_added_in_order_until_there_are_too_many() -> None:
    few = NamedPartitions(lambda: ["JFK"], fixed=False, add=True)
    assert few.available(["EWR", "JFK", "LGA"]) == {"EWR", "JFK", "LGA"}
    many = NamedPartitions(lambda: [str(n) for n in range(MOST_ADDED_PARTITIONS - 1)], fixed=False, add=True)
    assert many.available(["EWR", "7", "LGA"]) == {"EWR", "7"}
    assert "'LGA' is not added: there are 999 partitions" in many.absence("LGA")
    assert "add it, or give add_partitions=True" in NamedPartitions(list[str], fixed=False).absence("LGA")


def test_partitions_with_several_dimensions_are_refused_by_name() -> None:
    both = dg.MultiPartitionsDefinition(
        {"day": dg.DailyPartitionsDefinition("2013-01-01"), "airport": dg.StaticPartitionsDefinition(["JFK"])}
    )
    with pytest.raises(DefinitionError, match="MultiPartitionsDefinition is not supported"):
        partitions_of(both, None, lambda name: [])


@pytest.mark.parametrize(
    "text",
    ["{date:%Y-%m-%d}/{hour:%H}", "{date:%A}", "{date:%Y", "plain}", "{Date:%Y}", "{airport}*.csv", "a/?{airport}.csv"],
)
def test_a_template_that_cannot_work_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(DefinitionError, match="key template"):
        KeyTemplate(text)


@pytest.mark.parametrize("bounds", [{"max_items": 0}, {"max_bytes": 0}, {"max_bytes": "many"}, {"max_wait": -1}])
def test_bounds_that_cannot_work_are_refused(bounds: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="Batching"):
        Batching(**bounds)


def test_nothing_is_decided_about_nothing() -> None:
    assert decide(policy(), ConsumerState(), datetime.now(tz=NOW.tzinfo), new_ids("batch")) == Decision(positions={})
