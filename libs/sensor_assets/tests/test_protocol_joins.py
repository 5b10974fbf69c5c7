"""Waiting for a second world, and what a route leaves waiting, under the same faults; with mutants of their own."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy
from sensor_assets import _decide as decide_module
from sensor_assets._joins import Join
from sensor_assets._state import BatchRecord, Decision
from sensor_assets.ledger import PostgresLedger, _emission, _parking, _sql

from .conftest import LedgerSchema
from .protocol_histories import Event, play
from .protocol_joins import JOINED_HISTORIES, KNOWN_JOINS, OPERATED_JOINS, JoinedSimulation, PutOther

# `make histories HISTORIES=10000` plays more.
EXAMPLES = int(os.environ.get("HISTORIES", "30"))
# A mutant that survives that many histories fails the suite.
MOST_EXAMPLES_FOR_A_MUTANT = 50

NewSimulation = Callable[[], JoinedSimulation]


@pytest.fixture
def database(ledger_schema: LedgerSchema) -> Iterator[psycopg.Connection[Any]]:
    options = f"-c search_path={ledger_schema.schema}"
    with psycopg.connect(ledger_schema.url, autocommit=True, options=options) as connection:
        yield connection


@pytest.fixture
def new_simulation(
    ledger: PostgresLedger, database: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> NewSimulation:
    """Return a function that begins a history, in which more days wait than a decision looks at."""
    monkeypatch.setattr(_parking, "LOOKS", 1)
    return lambda: JoinedSimulation(ledger, database)


def hunt(new_simulation: NewSimulation) -> None:
    """Play the histories that are kept, then drawn ones, as long as none fails."""
    for history in KNOWN_JOINS.values():
        play(history, new_simulation())
    hold(new_simulation, JOINED_HISTORIES, examples=MOST_EXAMPLES_FOR_A_MUTANT, hunting=True)


def hold(
    new_simulation: NewSimulation,
    histories: SearchStrategy[list[Event | PutOther]],
    *,
    examples: int,
    hunting: bool = False,
) -> None:
    """Play drawn histories; `hunting` a mutant neither shrinks nor varies."""

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=hunting,
        phases=[Phase.generate] if hunting else [Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        report_multiple_bugs=False,
    )
    @given(histories)
    def playing(history: list[Event | PutOther]) -> None:
        play(history, new_simulation())

    playing()


@pytest.mark.parametrize("happening", KNOWN_JOINS)
def test_nothing_goes_early_and_nothing_is_forgotten_though(happening: str, new_simulation: NewSimulation) -> None:
    play(KNOWN_JOINS[happening], new_simulation())


@pytest.mark.timeout(900 + EXAMPLES)  # finding the shortest history that fails takes minutes
def test_whatever_happens_days_are_processed_when_both_worlds_have_shown_them(new_simulation: NewSimulation) -> None:
    hold(new_simulation, JOINED_HISTORIES, examples=EXAMPLES)


@pytest.mark.timeout(900 + EXAMPLES)
def test_whatever_people_release_replay_and_rebuild_nothing_goes_early_or_twice(new_simulation: NewSimulation) -> None:
    hold(new_simulation, OPERATED_JOINS, examples=EXAMPLES)


# --- mutants: (what is wrong, where, its replacement)

Original = Any
Mutant = Callable[[Original], Any]


def statement(old: str, new: str) -> Mutant:
    def mutant(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return mutant


def inserting_what_is_skipped_as_waiting(insert: Original) -> Any:
    def mutant(connection: Any, batch: BatchRecord, *arguments: Any) -> None:
        insert(connection, replace(batch, state="waiting") if batch.state == "skipped" else batch, *arguments)

    return mutant


def forgetting_what_is_left(route: Original) -> Any:
    return lambda *arguments, **named: replace(route(*arguments, **named), left=[])


def parking_beside_the_position(cut: Original) -> Any:
    def mutant(*arguments: Any) -> Decision:
        decision: Decision = cut(*arguments)
        return replace(decision, positions={}) if decision.park else decision

    return mutant


MUTANTS: dict[str, tuple[Any, str, Mutant]] = {
    "what waits is not written down": (_parking, "park", lambda _: lambda connection, consumer, arrivals: None),
    "of what waits only the first is written down": (
        _parking,
        "park",
        lambda park: lambda connection, consumer, arrivals: park(connection, consumer, arrivals[:1]),
    ),
    "what goes is not forgotten": (_parking, "UNPARK", statement("p.arrival = t.arrival", "false")),
    "what goes takes all that waits of its source with it": (
        _parking,
        "UNPARK",
        statement("and p.arrival = t.arrival", ""),
    ),
    "nothing comes back": (_parking, "PARKED", statement("where consumer_id = %(consumer)s", "where false")),
    "what waits for another consumer comes back": (
        _parking,
        "PARKED",
        statement("where consumer_id = %(consumer)s", "where consumer_id > 0"),
    ),
    "only a part of what waits comes back": (
        _parking,
        "PARKED",
        statement("where consumer_id = %(consumer)s", "where arrival %% 2 = 0 and consumer_id = %(consumer)s"),
    ),
    "every source is believed to have shown every day": (
        _parking,
        "SHOWN",
        statement("and exists (", "and true or exists ("),
    ),
    "a source has shown a day when it has shown a later one": (
        _parking,
        "SHOWN",
        statement("and i.partition <", "and w.start <"),
    ),
    "only the newest arrival counts as shown": (
        _parking,
        "SHOWN",
        statement("where i.source_id = s.id", "where i.arrival = s.arrivals and i.source_id = s.id"),
    ),
    "nobody is waited for": (Join, "waits_for", lambda _: lambda self, shown, since, now: ()),
    "what is parked keeps the position where it is": (decide_module, "_cut", parking_beside_the_position),
    "what a route leaves is forgotten": (decide_module, "route", forgetting_what_is_left),
    "what is skipped is launched": (_emission, "insert", inserting_what_is_skipped_as_waiting),
    "positions are not moved": (_sql, "ADVANCE", statement("arrival = %(arrival)s,", "arrival = p.arrival,")),
}


@pytest.mark.parametrize("wrong", MUTANTS)
def test_the_histories_kill_each_mutant(
    wrong: str, new_simulation: NewSimulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, mutant = MUTANTS[wrong]
    monkeypatch.setattr(owner, name, mutant(getattr(owner, name)))
    with pytest.raises(Exception):  # noqa: B017, PT011 - a mutant may also break the code around it
        hunt(new_simulation)
