"""When sources are due: the grid, the breaker, the order, the budget, the launches. No clock."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_assets._due import Budget, breaker, budget, due, next_due, retry_at, share, tick_seconds
from sensor_assets._state import SourceState

NOW = datetime(2013, 1, 1, tzinfo=UTC)
NAMES = st.text("abcdefgh_", min_size=1, max_size=12)
INTERVALS = st.floats(0.5, 86400.0)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def scans(name: str, interval: float, ticks: list[float], tick: float | None = None) -> list[float]:
    """Return the ticks in which a healthy source is scanned, whose ticks come at these seconds."""
    tick = tick or tick_seconds([interval])
    scanned: list[float] = []
    state = SourceState(id=1, name=name)
    for moment in ticks:
        if due({name: state}, at(moment), tick):
            scanned.append(moment)
            state = SourceState(id=1, name=name, due_at=next_due(name, interval, at(moment), state.due_at))
    return scanned


@given(NAMES, INTERVALS, st.lists(st.floats(0.0, 0.2), min_size=30, max_size=60))
def test_an_interval_holds_on_average_however_much_the_ticks_come_late(
    name: str, interval: float, delays: list[float]
) -> None:
    """Each delay puts off one tick alone, so the ticks keep the interval on average; so must the scans."""
    ticks = [(number + delay) * interval for number, delay in enumerate(delays)]
    scanned = scans(name, interval, ticks)
    assert len(ticks) - 2 <= len(scanned) <= len(ticks)


def test_an_interval_holds_while_ticks_take_so_long_that_others_are_left_out() -> None:
    """What sources that hang do to a monitor with two ticks in an interval: the others come late, but they come."""
    interval, tick = 10.0, 5.0
    ticks = [0.0, *accumulate([5.2, 10.2, 5.1, 10.3, 4.9] * 40)]
    counts = [len(scans(f"source_{number}", interval, ticks, tick)) for number in range(200)]
    assert min(counts) >= ticks[-1] / interval - 1


@given(NAMES, st.floats(1.0, 3600.0), st.integers(3, 40))
def test_a_source_is_not_scanned_more_often_than_its_interval_by_frequent_ticks(
    name: str, tick: float, ticks_in_an_interval: int
) -> None:
    interval = tick * ticks_in_an_interval
    state, gaps, last = SourceState(id=1, name=name), [], 0.0
    for number in range(ticks_in_an_interval * 10):
        moment = number * tick
        if due({name: state}, at(moment), tick):
            gaps.append(moment - last)
            last = moment
            state = SourceState(id=1, name=name, due_at=next_due(name, interval, at(moment), state.due_at))
    first, second, *others = gaps
    assert first == 0
    assert interval / 2 - tick <= second <= 1.5 * interval + tick
    assert all(abs(gap - interval) <= 1.001 * tick for gap in others)
    assert len(gaps) in (10, 11)


@given(NAMES, INTERVALS, st.floats(0, 1e9))
def test_the_second_scan_is_half_to_one_and_a_half_intervals_after_the_first(
    name: str, interval: float, offset: float
) -> None:
    moment = at(offset)
    gap = (next_due(name, interval, moment) - moment).total_seconds()
    assert interval / 2 - 1e-3 <= gap <= 1.5 * interval + 1e-3


def test_what_was_missed_while_no_ticks_came_is_not_made_up_for() -> None:
    after_a_day = at(86400)
    gap = (next_due("a", 30.0, after_a_day, NOW) - after_a_day).total_seconds()
    assert 15 <= gap <= 45


def test_two_hundred_sources_of_one_interval_do_not_fall_due_at_one_tick() -> None:
    intervals = dict.fromkeys([f"source_{number}" for number in range(200)], 30.0)
    tick = tick_seconds(list(intervals.values()))
    states = {name: SourceState(id=1, name=name, due_at=next_due(name, 30.0, NOW)) for name in intervals}
    crowds: list[int] = []
    scanned: Counter[str] = Counter()
    for number in range(1, 41):
        moment = at(number * tick)
        now_due = [state.name for state in due(states, moment, tick)]
        crowds.append(len(now_due))
        scanned.update(now_due)
        states |= {
            name: SourceState(id=1, name=name, due_at=next_due(name, 30.0, moment, states[name].due_at))
            for name in now_due
        }
    assert tick < 30.0
    assert max(crowds) < 140
    assert set(scanned.values()) <= {round(40 * tick / 30) + step for step in (-1, 0, 1)}


def test_a_few_sources_are_checked_by_one_tick_in_an_interval() -> None:
    assert tick_seconds([30.0] * 20) == 30.0
    assert tick_seconds([5.0, 30.0, 3600.0]) == 5.0
    assert tick_seconds([30.0] * 1000) == 30.0 / 4
    assert tick_seconds([30.0, *[3600.0] * 1000]) == 30.0, "sources that are seldom due spread by themselves"


@given(st.integers(1, 200), INTERVALS)
def test_a_source_that_fails_is_left_alone_for_longer_and_longer_but_never_for_good(
    failures: int, interval: float
) -> None:
    delay = (retry_at(failures, interval, NOW) - NOW).total_seconds()
    before = (retry_at(max(failures - 1, 1), interval, NOW) - NOW).total_seconds()
    assert before <= delay <= max(8 * interval, 60)
    assert delay <= max(interval, 900) + 1e-3
    assert delay >= min(interval, 60) - 1e-3


def test_a_source_that_is_asked_once_a_day_is_asked_again_within_a_minute_when_it_fails() -> None:
    delays = [(retry_at(failures, 86400, NOW) - NOW).total_seconds() for failures in range(1, 13)]
    assert delays[:4] == [60, 120, 240, 480]
    assert delays[-1] == 86400


def test_the_breaker_is_closed_open_or_half_open() -> None:
    healthy = SourceState(id=1, name="a", due_at=at(60))
    sick = SourceState(id=1, name="a", due_at=at(60), failures=2)
    assert [breaker(healthy, NOW), breaker(sick, NOW), breaker(sick, at(60))] == ["closed", "open", "half-open"]


@given(st.lists(st.none() | st.floats(-1e6, 1e6), max_size=20), st.floats(1, 60))
def test_what_is_longest_overdue_comes_first_and_what_is_not_due_not_at_all(
    dues: list[float | None], tick: float
) -> None:
    states = {
        f"s{number}": SourceState(id=number, name=f"s{number}", due_at=None if offset is None else at(offset))
        for number, offset in enumerate(dues)
    }
    found = due(states, NOW, tick)
    assert {state.name for state in found} == {
        f"s{number}" for number, offset in enumerate(dues) if offset is None or at(offset) <= at(tick / 2)
    }
    moments = [state.due_at.timestamp() if state.due_at else 0.0 for state in found]
    assert moments == sorted(moments)


def test_sources_that_fail_stand_behind_the_others_but_not_for_ever() -> None:
    states = {
        "long sick": SourceState(id=1, name="long sick", due_at=at(-60), failures=3),
        "sick": SourceState(id=2, name="sick", due_at=at(-20), failures=1),
        "well": SourceState(id=3, name="well", due_at=at(-5)),
    }
    assert [state.name for state in due(states, NOW, 10)] == ["long sick", "well", "sick"]


def test_a_person_can_have_failing_sources_asked_at_once() -> None:
    states = {
        "sick": SourceState(id=1, name="sick", due_at=at(900), failures=9),
        "well": SourceState(id=2, name="well", due_at=at(900)),
    }
    assert due(states, NOW, 30) == []
    assert [state.name for state in due(states, NOW, 30, retry=True)] == ["sick"]


@given(st.floats(0.1, 7200), st.lists(st.floats(0.1, 25.0), max_size=3))
def test_a_tick_gives_every_source_its_patience_and_ends_before_the_daemon_gives_up(
    tick: float, patiences: list[float]
) -> None:
    time = budget(tick, patiences)
    assert all(time.may_start(0.0, patience) for patience in [time.patience, *patiences])
    assert time.seconds <= 30
    if tick > 7.5 and not patiences:
        assert time.seconds <= tick


def test_a_scan_is_not_begun_that_could_not_be_given_its_patience() -> None:
    time = Budget(seconds=24, patience=12)
    assert time.may_start(11.9, 12)
    assert not time.may_start(12.1, 12)


@given(st.lists(st.integers(0, 10), min_size=1, max_size=40), st.integers(0, 40))
def test_launches_are_shared_fairly(wishes: list[int], launches: int) -> None:
    left, taken = launches, []
    for place, wish in enumerate(wishes):
        others = sum(wish > 0 for wish in wishes[place + 1 :])
        taken.append(min(wish, share(left, others)) if wish else 0)
        left -= taken[-1]
    assert sum(taken) <= launches
    if launches >= len(wishes):
        assert all(got > 0 for got, wish in zip(taken, wishes, strict=True) if wish)
    least = launches // max(sum(wish > 0 for wish in wishes), 1)
    assert all(got >= min(wish, least) for got, wish in zip(taken, wishes, strict=True))


@pytest.mark.parametrize("wanting", [1, 7, 60])
def test_everyone_is_served_within_a_few_ticks(wanting: int) -> None:
    """As the evaluation does: the order turns by the number of launches with each emission."""
    served: set[int] = set()
    for epoch in range(-(-wanting // 25)):
        turn = epoch * 25 % wanting
        order = [*range(turn, wanting), *range(turn)]
        left = list(accumulate(order, lambda left, _: left - 1 if left else 0, initial=25))[:-1]
        served |= {consumer for consumer, some in zip(order, left, strict=True) if some}
    assert served == set(range(wanting))
