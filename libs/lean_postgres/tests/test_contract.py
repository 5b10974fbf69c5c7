"""The lean storage against stock's: the same operations give the same answers and leave the same rows."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import InstigatorStatus, InstigatorType, TickStatus
from dagster._core.test_utils import freeze_time

from .conftest import NewDatabase
from .instances import LEAN, STOCK, counted, opened, rows
from .story import CHAPTERS, DAY, NOW, Step, attempted, state, tick


def told(kind: str, url: str, home: Path) -> tuple[list[Step], list[str]]:
    """Tell the whole story to a storage; returns its answers, and what it asked of the catalog meanwhile."""
    with opened(kind, url, home) as instance, freeze_time(NOW), counted() as counts:
        answers = [step for chapter in CHAPTERS for step in chapter(instance)]
    return answers, counts.of_catalog


def test_every_operation_gives_stock_s_answers_and_leaves_stock_s_rows_without_asking_the_catalog(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    stock_url, lean_url = new_database(), new_database()
    expected, asked_by_stock = told(STOCK, stock_url, tmp_path / "stock")
    answers, asked_by_lean = told(LEAN, lean_url, tmp_path / "lean")

    for (step, mine), (_, stock_s) in zip(answers, expected, strict=True):
        assert mine == stock_s, step
    mine, stock_s = rows(lean_url, NOW.replace(tzinfo=None)), rows(stock_url, NOW.replace(tzinfo=None))
    for table in stock_s:
        assert mine[table] == stock_s[table], table
    assert mine.keys() == stock_s.keys()
    assert asked_by_stock
    assert not asked_by_lean


@pytest.mark.parametrize("seed", range(8))
def test_random_histories_of_sensors_leave_the_same_rows(new_database: NewDatabase, tmp_path: Path, seed: int) -> None:
    left: dict[str, Any] = {}
    for kind in (STOCK, LEAN):
        url = new_database()
        with opened(kind, url, tmp_path / kind) as instance, freeze_time(NOW):
            left[kind] = (list(history(instance, random.Random(seed))), rows(url, NOW.replace(tzinfo=None)))
    assert left[LEAN] == left[STOCK]


def history(instance: dg.DagsterInstance, choose: random.Random) -> Iterator[Any]:
    """Do at random what a daemon and a person do with sensors, and yield what comes back.

    A purge reaches at least an hour further than the one before, as the lean storage leaves closer ones for later.
    """
    states = [state(name, location=place) for name in "abc" for place in ("here", "there")]
    states.append(state("schedule", InstigatorType.SCHEDULE))
    ticks: list[Any] = []
    purges = {each.selector_id: 40.0 for each in states}
    for _ in range(60):
        one = choose.choice(states)
        match choose.choice(["add", "update", "get", "delete", "create", "create", "change", "change", "purge"]):
            case "add":
                yield attempted(lambda one=one: instance.add_instigator_state(one))
            case "update":
                changed = one.with_status(choose.choice([*InstigatorStatus]))
                yield attempted(lambda changed=changed: instance.update_instigator_state(changed))
            case "get":
                yield instance.get_instigator_state(one.instigator_origin_id, one.selector_id)
            case "delete" if choose.random() < 0.2:
                yield attempted(
                    lambda one=one: instance.delete_instigator_state(one.instigator_origin_id, one.selector_id)
                )
            case "create":
                age, status = choose.uniform(0, 40) * DAY, choose.choice([*TickStatus])
                ticks.append(instance.create_tick(tick(one, age, status, selector=choose.random() < 0.8)))
                yield ticks[-1]
            case "change" if ticks:
                status = choose.choice([TickStatus.STARTED, TickStatus.SKIPPED, TickStatus.SUCCESS])
                changed_tick = choose.choice(ticks).with_status(status, error=None, end_timestamp=1.5)
                yield instance.update_tick(changed_tick)
            case "purge":
                purges[one.selector_id] -= choose.uniform(0.05, 10)
                statuses = choose.choice([None, [TickStatus.SKIPPED], [TickStatus.SUCCESS, TickStatus.FAILURE]])
                before = NOW.timestamp() - purges[one.selector_id] * DAY
                yield instance.purge_ticks(one.instigator_origin_id, one.selector_id, before, statuses)
            case _:
                yield instance.get_ticks(one.instigator_origin_id, one.selector_id, limit=3)


def test_a_purge_that_reaches_less_than_an_hour_further_is_left_for_later(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    sensor = state("sensor")
    origin, selector = sensor.instigator_origin_id, sensor.selector_id
    with opened(LEAN, new_database(), tmp_path) as instance:
        for age in (3 * DAY, 2 * DAY + 1800, 2 * DAY - 1800):
            instance.create_tick(tick(sensor, age, TickStatus.SKIPPED))
        left: list[int] = []
        for age in (2 * DAY + 3600, 2 * DAY + 1, 2 * DAY):
            instance.purge_ticks(origin, selector, NOW.timestamp() - age, [TickStatus.SKIPPED])
            left.append(len(instance.get_ticks(origin, selector)))
    assert left == [2, 2, 1]
