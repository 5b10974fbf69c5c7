"""The protocol on real Postgres under histories of faults, and kept mutants that the histories must kill."""

import dataclasses
import os
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy
from sensor_assets import Item, LedgerError, Page
from sensor_assets import _evaluate as evaluate_module
from sensor_assets import _processing as processing_module
from sensor_assets._evaluate import Answer
from sensor_assets._scan import Familiar
from sensor_assets._state import BatchRecord
from sensor_assets.ledger import PostgresLedger, Scan, _parking, _quarantine, _replay, _scans, _sql, _sql_operations

from .conftest import LedgerSchema
from .protocol_histories import HISTORIES, KNOWN, OPERATED, A, B, C, Event, Execute, Put, Tick, play
from .protocol_simulation import POISONED, Simulation

# `make histories HISTORIES=10000` plays more.
EXAMPLES = int(os.environ.get("HISTORIES", "60"))
# A mutant that survives that many histories fails the suite.
MOST_EXAMPLES_FOR_A_MUTANT = 50

NewSimulation = Callable[[], Simulation]


@pytest.fixture
def database(ledger_schema: LedgerSchema) -> Iterator[psycopg.Connection[Any]]:
    options = f"-c search_path={ledger_schema.schema}"
    with psycopg.connect(ledger_schema.url, autocommit=True, options=options) as connection:
        yield connection


@pytest.fixture
def new_simulation(ledger: PostgresLedger, database: psycopg.Connection[Any]) -> NewSimulation:
    return lambda: Simulation(ledger, database)


def hunt(new_simulation: NewSimulation, histories: SearchStrategy[list[Event]]) -> None:
    """Play the histories that are kept, then drawn ones, as long as none fails."""
    for history in KNOWN.values():
        play(history, new_simulation())
    hold(new_simulation, histories, examples=MOST_EXAMPLES_FOR_A_MUTANT, hunting=True)


def hold(
    new_simulation: NewSimulation, histories: SearchStrategy[list[Event]], *, examples: int, hunting: bool = False
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
    def playing(history: list[Event]) -> None:
        play(history, new_simulation())

    playing()


@pytest.mark.parametrize("happening", KNOWN)
def test_each_version_takes_effect_once_though(happening: str, new_simulation: NewSimulation) -> None:
    play(KNOWN[happening], new_simulation())


@pytest.mark.timeout(900 + EXAMPLES)  # finding the shortest history that fails takes minutes
def test_whatever_happens_each_version_takes_effect_once(new_simulation: NewSimulation) -> None:
    hold(new_simulation, HISTORIES, examples=EXAMPLES)


@pytest.mark.timeout(900 + EXAMPLES)
def test_whatever_people_do_besides_each_version_takes_effect_once(new_simulation: NewSimulation) -> None:
    """Replays, releases, rebuilds, launches by hand and runs that are executed again, among the same faults."""
    hold(new_simulation, OPERATED, examples=EXAMPLES)


# --- mutants: (what is wrong, where, its replacement)

Original = Any
Mutant = Callable[[Original], Any]


def emit_without_repeating(emit: Original) -> Any:
    def mutant(*arguments: Any) -> Any:
        emission = emit(*arguments)
        return dataclasses.replace(emission, batches=()) if emission.repeated else emission

    return mutant


def emit_deciding_anew(emit: Original) -> Any:
    def mutant(self: PostgresLedger, monitor: str, epoch: int, *arguments: Any) -> Any:
        emission = emit(self, monitor, epoch, *arguments)
        return emit(self, monitor, emission.epoch, *arguments) if emission.repeated else emission

    return mutant


def finish_before_the_work(process: Original) -> Any:
    def mutant(context: Any, runtime: Any, declaration: Any, call: Any) -> Iterator[Any]:
        consumer = declaration.consumer(context.asset_key)

        def late(batch: Any) -> Any:
            runtime.ledger.finish(
                consumer, batch.id, context.run.run_id, rejected=batch.rejections, gone=[], now=runtime.clock.now()
            )
            return call(batch)

        yield from process(context, runtime, declaration, late)

    return mutant


def settle_as(**outcomes: str) -> Mutant:
    return lambda settle: lambda batch, outcome, **rest: settle(batch, outcomes.get(outcome, outcome), **rest)


def acknowledging(epoch_of: Callable[[Answer], int]) -> Mutant:
    def make(evaluate: Original) -> Any:
        def mutant(*arguments: Any, **named: Any) -> Answer:
            answer: Answer = evaluate(*arguments, **named)
            cursor = answer.cursor.model_copy(update={"epoch": epoch_of(answer)})
            return dataclasses.replace(answer, cursor=cursor)

        return mutant

    return make


def forget_what_is_done(batch: Original) -> Any:
    def mutant(self: PostgresLedger, batch_id: str) -> BatchRecord | None:
        record: BatchRecord | None = batch(self, batch_id)
        return record and dataclasses.replace(record, state="emitted")

    return mutant


def look_after_runs_not_taken_yet(launched: Original) -> Any:
    return lambda self, consumers, monitor, epoch: launched(self, consumers, monitor, 10**9)


def recording_once(identity: Callable[[Item], object]) -> Mutant:
    """Return a mutant of `record` for which nothing is new whose identity was recorded at any earlier time."""
    recorded: set[tuple[int, object]] = set()

    def make(record: Original) -> Any:
        def mutant(self: PostgresLedger, scan: Scan, page: Page, *arguments: Any) -> int:
            source = scan.source.id
            fresh = [item for item in page.items if (source, identity(item)) not in recorded]
            number: int = record(self, scan, dataclasses.replace(page, items=fresh), *arguments)
            recorded.update((source, identity(item)) for item in fresh)
            return number

        return mutant

    return make


def statement(old: str, new: str) -> Mutant:
    def mutant(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return mutant


def replacing_nothing(plan: Original) -> Any:
    return lambda batches, new_id: [dataclasses.replace(batch, replaces=()) for batch in plan(batches, new_id)]


def taking_half(plan: Original) -> Any:
    def mutant(batches: Any, new_id: Any) -> Any:
        return [
            dataclasses.replace(batch, slices={source: arrivals[:1] for source, arrivals in batch.slices.items()})
            for batch in plan(batches, new_id)
        ]

    return mutant


def executing_what_is_replaced(nothing_to_do: Original) -> Any:
    return lambda context, record: nothing_to_do(context, dataclasses.replace(record, replaced_by=None))


MUTANTS: dict[str, tuple[Any, str, Mutant]] = {
    "an unacknowledged emission is not repeated": (PostgresLedger, "emit", emit_without_repeating),
    "the monitor believes that every answer was taken": (PostgresLedger, "emit", emit_deciding_anew),
    "each answer has its own run keys": (
        BatchRecord,
        "run_key",
        lambda _: property(lambda batch: f"{batch.id}:{uuid4()}"),
    ),
    "an attempt has the run key of the one before": (
        BatchRecord,
        "run_key",
        lambda _: property(lambda batch: f"{batch.id}"),
    ),
    "a superseded scan goes on recording": (_sql, "LOCK_SCAN", statement("and scans = %(number)s", "")),
    "a page that was ever without news is never looked up again": (
        Familiar,
        "still",
        lambda _: lambda familiar, scan: familiar.digests,
    ),
    "a version that was there before is not new": (
        PostgresLedger,
        "record",
        recording_once(lambda item: (item.key, item.version)),
    ),
    "only new keys are new": (PostgresLedger, "record", recording_once(lambda item: item.key)),
    "a batch is marked done before the work": (processing_module, "process", finish_before_the_work),
    "a done batch is done again": (PostgresLedger, "batch", forget_what_is_done),
    "a vanished run counts as done": (evaluate_module, "settle", settle_as(vanished="succeeded")),
    "a failed run counts as done": (evaluate_module, "settle", settle_as(failed="succeeded")),
    "a vanished run is waited for": (evaluate_module, "settle", settle_as(vanished="active")),
    "the cursor acknowledges nothing": (evaluate_module, "evaluate", acknowledging(lambda answer: 0)),
    "runs that were not taken yet count as vanished": (PostgresLedger, "launched", look_after_runs_not_taken_yet),
    "an older settlement overwrites a newer one": (
        _sql,
        "SETTLE",
        statement("and state = 'emitted' and attempt = %(attempt)s", ""),
    ),
    "positions are not moved": (_sql, "ADVANCE", statement("arrival = %(arrival)s,", "arrival = p.arrival,")),
    "positions are moved to the end of the log": (
        _sql,
        "ADVANCE",
        statement("arrival = %(arrival)s,", "arrival = %(arrival)s + 1,"),
    ),
    "a partition is rebuilt from the oldest versions": (
        _sql,
        "NEWEST_ITEMS",
        statement("n.arrival > i.arrival", "n.arrival < i.arrival"),
    ),
    "a partition is rebuilt from the batch alone": (
        _sql,
        "NEWEST_ITEMS",
        statement("where i.source_id = any", "where i.arrival % 2 = 0 and i.source_id = any"),
    ),
    "quarantined items are processed": (_sql, "NEWEST_ITEMS", statement("and q.released_at is null", "and false")),
    "replaced versions are processed": (_sql, "BATCH_ITEMS", statement("and n.arrival > i.arrival", "and false")),
}


MUTANTS_OF_OPERATIONS: dict[str, tuple[Any, str, Mutant]] = {
    "a replay replaces nothing": (_replay, "replays", replacing_nothing),
    "a replayed batch may be replayed again": (
        _sql_operations,
        "REPLAYABLE",
        statement("and b.replaced_by is null", ""),
    ),
    "a replayed batch may be executed again": (processing_module, "nothing_to_do", executing_what_is_replaced),
    "a replay takes only the items that were asked for": (_replay, "replays", taking_half),
    "what was rejected stays in its batch when it is released": (
        _sql_operations,
        "FORGET_SLICES",
        statement("delete from slice where batch_id", "delete from slice where false and batch_id"),
    ),
    "what was rejected is released and forgotten": (
        _sql_operations,
        "PARK",
        statement("where t.arrival <= p.arrival", "where false"),
    ),
    "what is released before the monitor came to it is decided on twice": (
        _sql_operations,
        "PARK",
        statement("where t.arrival <= p.arrival", "where true"),
    ),
    "what an open batch holds is released": (
        _sql_operations,
        "LOCK_QUARANTINED",
        statement("'waiting', 'emitted', 'done', 'skipped'", "'done', 'skipped'"),
    ),
    "what was given up is released without what was tried with it": (_quarantine, "releases", replacing_nothing),
    "what is released is decided on again and again": (_parking, "UNPARK", statement("p.arrival = t.arrival", "false")),
}


@pytest.mark.parametrize("wrong", [*MUTANTS, *MUTANTS_OF_OPERATIONS])
def test_the_histories_kill_each_mutant(
    wrong: str, new_simulation: NewSimulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, mutant = (MUTANTS | MUTANTS_OF_OPERATIONS)[wrong]
    monkeypatch.setattr(owner, name, mutant(getattr(owner, name)))
    with pytest.raises(Exception):  # noqa: B017, PT011 - a mutant may also break the code around it
        hunt(new_simulation, HISTORIES if wrong in MUTANTS else OPERATED)


# --- single histories that say what is promised at the edges


@pytest.fixture
def simulation(new_simulation: NewSimulation) -> Simulation:
    return new_simulation()


@pytest.mark.parametrize("ticks", [1, 2])
def test_a_thing_that_is_deleted_before_its_run_and_returns_unchanged_is_processed(
    ticks: int, simulation: Simulation
) -> None:
    """On S3 the same bytes have the same ETag, so the version alone does not tell that it was gone."""
    simulation.world.put(A, "same")
    for _ in range(ticks):
        simulation.tick()
    (version,) = simulation.world.things.values()
    del simulation.world.things[A]
    for run in simulation.queue:
        simulation.run(run)
    simulation.world.things[A] = version
    simulation.drain()
    assert simulation.sinks.partitions == {"2013-01-02": {A: version}}


def test_a_page_that_was_without_news_is_looked_up_again_once_something_was_noticed_gone(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the test above is known to notice: here pages are remembered whatever was gone."""
    monkeypatch.setattr(_scans, "begin", forgetting_what_is_gone(_scans.begin))
    with pytest.raises(AssertionError):
        test_a_thing_that_is_deleted_before_its_run_and_returns_unchanged_is_processed(2, simulation)


def forgetting_what_is_gone(begin: Original) -> Any:
    def mutant(*arguments: Any) -> list[Scan]:
        return [
            dataclasses.replace(scan, source=dataclasses.replace(scan.source, gone=0)) for scan in begin(*arguments)
        ]

    return mutant


def test_poison_in_a_partition_that_is_rebuilt_takes_no_sound_item_into_quarantine(
    ledger: PostgresLedger, database: psycopg.Connection[Any]
) -> None:
    """The run of each sound item reads the whole partition, with the poison in it."""
    simulation = Simulation(ledger, database, rejects=False)
    play((Put(C, "A"), Put(A, "A"), Tick(), Put(POISONED, "A"), Tick(), Put(B, "A"), Tick()), simulation)
    assert simulation.sinks.partitions["2013-01-02"] == {A: "A0"}


def test_a_sound_item_that_arrives_beside_poison_is_not_blamed_for_it(
    ledger: PostgresLedger, database: psycopg.Connection[Any]
) -> None:
    simulation = Simulation(ledger, database, rejects=False)
    play((Put(C, "A"), Put(POISONED, "A"), Put(A, "A"), Tick(), Execute(0), Execute(0), Tick()), simulation)
    assert simulation.sinks.partitions["2013-01-02"] == {A: "A0"}


def test_a_batch_that_was_written_before_it_was_halved_is_not_there_twice(
    ledger: PostgresLedger, database: psycopg.Connection[Any]
) -> None:
    """The first attempt wrote the batch's file and was killed; the next ones failed for another reason."""
    simulation = Simulation(ledger, database, withholds=False)
    simulation.world.put(B, "A")
    simulation.world.put(C, "A")
    simulation.tick()
    for fate in ("killed after", "raises", "raises"):
        for run in simulation.queue:
            simulation.run(run, fate if run.asset.path[-1].startswith("right") else "succeeds")
        for _ in range(3):
            simulation.tick()
    simulation.drain()
    simulation.check()


def test_a_late_run_of_a_batch_that_was_halved_does_not_double_its_items(
    ledger: PostgresLedger, database: psycopg.Connection[Any]
) -> None:
    simulation = Simulation(ledger, database, withholds=False)
    simulation.world.put(B, "A")
    simulation.world.put(C, "A")
    simulation.tick()
    (late,) = [run for run in simulation.queue if run.asset.path[-1].startswith("right")]
    simulation.purge(late, lives_on=True)
    for _ in range(4):
        for _ in range(3):
            simulation.tick()
        for run in simulation.queue:
            simulation.run(run, "raises" if run.batch == late.batch else "succeeds")
    simulation.drain()
    simulation.check()


def test_a_thing_that_is_gone_from_one_source_does_not_hide_its_namesake_in_another(
    new_simulation: NewSimulation,
) -> None:
    simulation = new_simulation()
    other = simulation.follow_another_world()
    simulation.world.put(A, "here")
    other.put(A, "there")
    simulation.tick()
    simulation.world.delete(A)
    simulation.drain()
    assert simulation.sinks.partitions == {"2013-01-02": {A: "there0"}}


def test_a_monitor_that_cannot_decide_for_one_consumer_launches_for_the_others(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = simulation.consumers[1]
    assert consumer.router is not None
    monkeypatch.setattr(consumer.router, "decide", lambda waiting: 1 / 0)
    simulation.world.put(A, "A")
    simulation.world.put(B, "A")
    simulation.tick()
    assert {run.asset for run in simulation.queue} == {
        outlet.asset for outlet in simulation.consumers[0].outlets.values()
    }


def test_a_source_that_fails_is_asked_less_and_less_often_and_recovers(simulation: Simulation) -> None:
    simulation.world.sick = True
    begun = [simulation.scans_after_a_tick() for _ in range(30)]
    assert begun[-1] < 10
    simulation.world.sick = False
    simulation.world.put(A, "A")
    simulation.drain()
    simulation.check()


def test_a_ledger_that_breaks_during_a_scan_fails_the_tick_and_does_not_make_the_source_sick(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> int:
        raise LedgerError("the ledger's database cannot be reached")

    simulation.world.put(A, "A")
    with monkeypatch.context() as patch:
        patch.setattr(PostgresLedger, "record", broken)
        with pytest.raises(LedgerError):
            simulation.tick()
    state = simulation.ledger.sources([simulation.source.name])[simulation.source.name]
    assert (state.failures, state.error) == (0, None)
    simulation.drain()
    simulation.check()
