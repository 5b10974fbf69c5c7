"""What becomes of a batch whose run fails, vanishes, is repeated or lies; see `docs/explanation/failures.md`."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from math import ceil, log2
from typing import Any
from uuid import UUID

import dagster as dg
import pytest
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import should_retry
from sensor_assets import Batch, Batching, Item, Retry, Router, ScanContext, Send, sensor_asset, source
from sensor_assets._claims import BATCH_TAG
from sensor_assets._dagster import WILL_RETRY_TAG
from sensor_assets._decide import Policy, decide
from sensor_assets._partitions import NoPartitions
from sensor_assets._reconcile import settle
from sensor_assets._runs import RETRY_SECONDS, RUN_KEY_TAG, SUBMIT_SECONDS, InstanceRuns
from sensor_assets._state import Ask, BatchRecord, ConsumerState, Decision
from sensor_assets.ledger import Following, PostgresLedger
from sensor_assets.ledger._operations import Operations
from sensor_assets.ledger._selection import Selection

from .core_cases import new_ids
from .dagster_internals import reexecute
from .ledger_crashes import NOW, items, record, source_of
from .location import SOON, Location, ephemeral

SOON_AGAIN = Retry(backoff=SOON, max_backoff=SOON)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with ephemeral() as instance:
        yield instance


# --- halving


@dataclass
class Halving:
    """Counts of a batch that was halved until the bad item stood alone."""

    failed: int = 0
    """Runs that failed until a batch of the bad item alone had failed once."""
    failed_in_all: int = 0
    succeeded: int = 0
    stored: Counter[str] = field(default_factory=Counter[str])


def halve(ledger: PostgresLedger, poison: str, retry: Retry, *, max_in_flight: int = 4) -> Halving:
    """Let 500 things be processed by pure decisions and a real ledger, in memory; one of them is poison."""
    counts, now, epoch = Halving(), NOW, 0
    numbers = count(1)
    policy = Policy(
        name="consumer", batching=Batching(max_items=500), max_in_flight=max_in_flight, partitions=NoPartitions()
    )

    def new_id() -> str:
        return str(UUID(int=next(numbers)))

    def decide_now(name: str, state: ConsumerState) -> Decision | Ask:
        return decide(policy, state, now, new_id)

    record(ledger, items(500))
    following = Following(name="consumer", sources=(source_of(ledger).id,), limit=2000)
    isolated = False
    for _ in range(200):
        for batch in ledger.launched(["consumer"], "monitor", epoch):
            since = batch.first_failed_at
            settlement = settle(
                batch,
                "failed",
                retry=retry,
                error="poison",
                sink_works=since is not None and ledger.succeeded_since("consumer", since),
                now=now,
                new_id=new_id,
            )
            assert settlement is not None
            ledger.settle(settlement, now)
        emission = ledger.emit("monitor", epoch, [following], decide_now, now)
        epoch = emission.epoch
        for batch in emission.batches:
            keys = [item.key for item in ledger.batch_items(batch)]
            if poison in keys:
                counts.failed_in_all += 1
                counts.failed += not isolated
                isolated = isolated or keys == [poison]
            else:
                now += timedelta(seconds=1)
                counts.succeeded += 1
                counts.stored.update(keys)
                ledger.finish("consumer", batch.id, "run", rejected=[], gone=[], now=now)
        now += timedelta(seconds=3600)
        [row] = ledger.status()
        if row["quarantined"] and not row["waiting"] and not row["in_flight"]:
            return counts
    raise AssertionError("it never comes to rest")


@pytest.mark.parametrize("place", [0, 1, 249, 250, 333, 499])
def test_one_bad_item_in_500_stands_alone_after_log2_of_500_runs_and_one_and_499_are_done(
    place: int, ledger: PostgresLedger
) -> None:
    counts = halve(ledger, f"thing{place}", Retry(max_failures=1))
    assert counts.failed <= ceil(log2(500)) + 1
    assert counts.succeeded <= ceil(log2(500)) + 1
    assert len(counts.stored) == 499
    assert set(counts.stored.values()) == {1}


def test_only_the_first_batch_must_fail_several_times_before_it_is_halved(ledger: PostgresLedger) -> None:
    """Its siblings' success shows that the sink works, so that halves need not be tried again as they are."""
    retry = Retry()
    counts = halve(ledger, "thing333", retry)
    assert counts.failed <= (retry.max_failures - 1) + ceil(log2(500)) + 1
    assert counts.failed_in_all <= counts.failed + retry.give_up - 1, "nothing else shows that the sink works"
    assert len(counts.stored) == 499


def test_where_batches_run_one_after_the_other_a_half_may_wait_for_its_sibling(ledger: PostgresLedger) -> None:
    counts = halve(ledger, "thing0", Retry(), max_in_flight=1)
    assert counts.failed <= 2 + 2 * ceil(log2(500)) + 1
    assert len(counts.stored) == 499


def test_in_an_outage_of_the_sink_no_half_is_halved_at_its_first_failure() -> None:
    half = BatchRecord(id="half", consumer="c", state="emitted", halved=True, slices={1: (1, 2)}, first_failed_at=NOW)
    settled = settle(half, "failed", retry=Retry(), error="down", sink_works=False, now=NOW, new_id=new_ids("child"))
    assert settled is not None
    assert (settled.batch.state, settled.batch.failures, settled.children) == ("waiting", 1, ())


class Letters:
    """A source of items without bytes, and what was stored of them."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.stored: Counter[str] = Counter()
        self.runs = 0

    @property
    def source(self) -> Any:
        @source("letters", every=SOON)
        def letters(context: ScanContext) -> Iterator[Item]:
            yield from (Item(key=key, version="1") for key in self.keys)

        return letters

    def location(
        self,
        ledger: PostgresLedger,
        instance: dg.DagsterInstance,
        during: Callable[[Batch], object] = lambda batch: None,
        **declared: Any,
    ) -> Location:
        """Return a location whose one asset stores letters, after it did something that a test wants."""

        arguments: dict[str, Any] = {"retry": SOON_AGAIN, **declared}

        @sensor_asset(self.source, **arguments)
        def stored(batch: Batch) -> None:
            self.runs += 1
            during(batch)
            self.stored.update(item.key for item in batch.items)

        return Location(ledger, [stored], instance)


def refuse(*bad: str) -> Callable[[Batch], None]:
    def during(batch: Batch) -> None:
        if any(item.key in bad for item in batch.items):
            raise ValueError("poison")

    return during


def test_the_same_with_runs_that_dagster_executes(ledger: PostgresLedger, instance: dg.DagsterInstance) -> None:
    letters = Letters()
    letters.keys = [str(number) for number in range(500)]
    retry = Retry(max_failures=1, backoff=SOON, give_up=1)
    location = letters.location(ledger, instance, refuse("123"), batching=Batching(max_items=500), retry=retry)
    location.work_off()
    assert letters.stored == {key: 1 for key in letters.keys if key != "123"}
    assert letters.runs <= 2 * ceil(log2(500)) + 1
    counts = location.status()["stored"]
    assert (counts["done"], counts["quarantined"]) == (499, 1)


# --- what Dagster says about runs


@dataclass(frozen=True)
class Happened:
    """Runs of one attempt in the order in which they were made: status, and what each is to the first."""

    runs: tuple[tuple[str, str], ...]
    outcome: str
    will_retry: bool = False


S = dg.DagsterRunStatus
HAPPENED = {
    "no run is there": Happened((), "vanished"),
    "it has not begun": Happened((("NOT_STARTED", "launched"),), "active"),
    "it works": Happened((("STARTED", "launched"),), "active"),
    "it is being cancelled": Happened((("CANCELING", "launched"),), "active"),
    "it succeeded": Happened((("SUCCESS", "launched"),), "succeeded"),
    "it failed": Happened((("FAILURE", "launched"),), "failed"),
    "it was cancelled, by a person or for its length": Happened((("CANCELED", "launched"),), "failed"),
    "Dagster will retry it": Happened((("FAILURE", "launched"),), "active", will_retry=True),
    "Dagster retries it": Happened((("FAILURE", "launched"), ("STARTED", "retry")), "active"),
    "Dagster's retry succeeded": Happened((("FAILURE", "launched"), ("SUCCESS", "retry")), "succeeded"),
    "Dagster's retry failed": Happened((("FAILURE", "launched"), ("FAILURE", "retry")), "failed"),
    "a person repeats it": Happened((("FAILURE", "launched"), ("STARTED", "by hand")), "active"),
    "a person's repetition was cancelled": Happened((("FAILURE", "launched"), ("CANCELED", "by hand")), "failed"),
    "only an earlier attempt is there": Happened((("FAILURE", "earlier"),), "vanished"),
    "an earlier attempt still works": Happened((("STARTED", "earlier"), ("FAILURE", "launched")), "failed"),
    "its first run was deleted, the retry is there": Happened((("SUCCESS", "orphan"),), "vanished"),
}


@pytest.mark.parametrize("what", HAPPENED)
def test_an_attempt_is_judged_by_all_of_its_runs(what: str, instance: dg.DagsterInstance) -> None:
    happened, batch = HAPPENED[what], "b"
    first: str | None = None
    for status, kind in happened.runs:
        tags = {BATCH_TAG: batch}
        if kind in ("launched", "earlier"):
            tags[RUN_KEY_TAG] = f"{batch}:a{2 if kind == 'launched' else 1}"
        if happened.will_retry:
            tags[WILL_RETRY_TAG] = "true"
        root = {"launched": None, "earlier": None, "orphan": str(UUID(int=1))}.get(kind, first)
        run = create_run(instance, S(status), tags, root)
        first = first or run
    report = InstanceRuns(instance).report({batch: f"{batch}:a2"})[batch]
    assert report.outcome == happened.outcome


def create_run(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus, tags: Mapping[str, str], root: str | None
) -> str:
    @dg.job
    def nothing() -> None: ...

    run = instance.create_run_for_job(nothing, status=status, tags=dict(tags), root_run_id=root, parent_run_id=root)
    return run.run_id


def test_a_retry_that_dagster_promised_and_never_made_is_not_waited_for_longer_than_ten_minutes(
    instance: dg.DagsterInstance,
) -> None:
    create_run(instance, S.FAILURE, {BATCH_TAG: "b", RUN_KEY_TAG: "b:a1", WILL_RETRY_TAG: "true"}, None)
    now = datetime.now(UTC).timestamp()
    outcomes = [
        InstanceRuns(instance, now=lambda at=at: now + at).report({"b": "b:a1"})["b"].outcome
        for at in (0, RETRY_SECONDS - 60, RETRY_SECONDS + 60)
    ]
    assert outcomes == ["active", "active", "failed"]


def test_a_run_that_was_created_and_never_submitted_is_cancelled_and_does_not_hold_its_batch(
    instance: dg.DagsterInstance,
) -> None:
    run = create_run(instance, S.NOT_STARTED, {BATCH_TAG: "b", RUN_KEY_TAG: "b:a1"}, None)
    now = datetime.now(UTC).timestamp()
    seen = []
    for at in (0, SUBMIT_SECONDS - 10, SUBMIT_SECONDS + 10):
        outcome = InstanceRuns(instance, now=lambda at=at: now + at).report({"b": "b:a1"})["b"].outcome
        found = instance.get_run_by_id(run)
        assert found is not None
        seen.append((outcome, found.status))
    assert seen == [("active", S.NOT_STARTED), ("active", S.NOT_STARTED), ("vanished", S.CANCELED)]


# --- Dagster's own run retries


@pytest.fixture
def retrying_instance() -> Iterator[dg.DagsterInstance]:
    settings = {"run_retries": {"enabled": True, "max_retries": 1}}
    with dg.DagsterInstance.ephemeral(settings=settings) as instance:
        yield instance


@pytest.mark.parametrize("cured", [True, False])
def test_dagsters_own_retry_of_a_run_belongs_to_the_same_attempt(
    cured: bool, ledger: PostgresLedger, retrying_instance: dg.DagsterInstance
) -> None:
    letters, broken, instance = Letters(), [True], retrying_instance

    def during(batch: Batch) -> None:
        if broken:
            raise ValueError("broken")

    location = letters.location(ledger, instance, during)
    letters.keys = ["a"]
    [request] = location.evaluate().run_requests
    run = location.run(request, raise_on_error=False).dagster_run
    assert should_retry(load(instance, run), instance)
    assert not location.evaluate().run_requests, "the retry is Dagster's, and is waited for"

    if cured:
        broken.clear()
    job = location.definitions.resolve_implicit_global_asset_job_def()
    assert reexecute(job, load(instance, run), instance, tags={"dagster/retry_number": "1"}) is cured
    requests = location.evaluate().run_requests or location.evaluate().run_requests
    assert [request.run_key for request in requests] == ([] if cured else [f"{request.tags[BATCH_TAG]}:a2"])
    assert letters.stored == ({"a": 1} if cured else {})
    [batch] = batches(ledger)
    assert (batch["state"], batch["failures"]) == (("done", 0) if cured else ("emitted", 1))


def load(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


def batches(ledger: PostgresLedger) -> list[dict[str, Any]]:
    with ledger.transaction() as connection:
        return connection.execute("select *, id::text as id from batch order by sequence").fetchall()


# --- runs that are deleted, repeated by hand, or marked wrongly


def test_deleting_the_runs_of_done_batches_launches_nothing(
    ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    letters = Letters()
    location = letters.location(ledger, instance)
    letters.keys = ["a"]
    location.work_off()
    for run in instance.get_runs():
        instance.delete_run(run.run_id)
    assert location.work_off() == 0
    letters.keys.append("b")
    assert location.work_off() == 1
    assert letters.stored == {"a": 1, "b": 1}


def test_deleting_the_run_of_an_attempt_gives_a_new_run_key_and_blames_nobody(
    ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    letters = Letters()
    location = letters.location(ledger, instance)
    letters.keys = ["a"]
    keys: list[str | None] = []
    for _ in range(4):
        [request] = location.evaluate().run_requests
        keys.append(request.run_key)
        instance.delete_run(location.queue(request).run_id)
    location.work_off()
    assert letters.stored == {"a": 1}
    assert [str(key).rpartition(":")[2] for key in keys] == ["a1", "a2", "a3", "a4"]
    assert batches(ledger)[0]["failures"] == 0


def test_a_failed_run_that_a_person_repeats_finishes_its_batch_and_the_next_attempt_is_not_made(
    ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    letters, broken = Letters(), [True]

    def during(batch: Batch) -> None:
        if broken:
            raise ValueError("broken")

    location = letters.location(ledger, instance, during, retry=Retry(backoff=3600))
    letters.keys = ["a"]
    [request] = location.evaluate().run_requests
    run = location.run(request, raise_on_error=False).dagster_run
    location.evaluate()
    broken.clear()
    job = location.definitions.resolve_implicit_global_asset_job_def()
    assert reexecute(job, load(instance, run), instance)
    Operations(ledger, now=datetime.now(UTC)).retry(Selection())
    assert location.work_off() == 0
    assert letters.stored == {"a": 1}
    assert batches(ledger)[0]["state"] == "done"


def test_a_person_who_repeats_a_run_of_a_batch_that_was_halved_given_up_or_replayed_does_no_harm(
    ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    letters = Letters()
    retry = Retry(max_failures=1, backoff=SOON, give_up=1)
    location = letters.location(ledger, instance, refuse("b"), retry=retry)
    letters.keys = ["a", "b"]
    location.work_off()
    Operations(ledger, now=datetime.now(UTC)).replay(Selection())
    location.work_off()
    assert letters.stored == {"a": 2}, "once, and once in its replay"
    assert sorted((batch["state"], batch["replaced_by"] is not None) for batch in batches(ledger)) == [
        ("done", False),
        ("done", True),
        ("quarantined", False),
        ("split", False),
    ]
    job = location.definitions.resolve_implicit_global_asset_job_def()
    replayed = next(
        batch["id"] for batch in batches(ledger) if batch["replaced_by"] is None and batch["state"] == "done"
    )
    for run in instance.get_runs():
        if run.tags[BATCH_TAG] != replayed:
            assert reexecute(job, run, instance), "it has nothing to do, and says so"
    assert letters.stored == {"a": 2}


def test_a_run_that_was_marked_as_failed_and_still_works_stores_its_batch_once(
    ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    """Run monitoring gives a run up whose process it does not reach; the process does not know."""
    letters = Letters()
    working, go_on = threading.Event(), threading.Event()

    def during(batch: Batch) -> None:
        working.set()
        assert go_on.wait(30)

    location = letters.location(ledger, instance, during)
    letters.keys = ["a"]
    [request] = location.evaluate().run_requests
    lost = threading.Thread(target=lambda: execute(location, request))
    lost.start()
    assert working.wait(30)
    given_up = location.queue(request)
    instance.report_run_failed(given_up, "run monitoring: the worker does not answer")
    [second] = location.evaluate().run_requests or location.evaluate().run_requests
    assert second.run_key == f"{second.tags[BATCH_TAG]}:a2"
    waiting = threading.Thread(target=lambda: execute(location, second))
    waiting.start()
    go_on.set()
    lost.join(60)
    waiting.join(60)
    assert letters.stored == {"a": 1}
    assert batches(ledger)[0]["state"] == "done"
    assert location.work_off() == 0


def execute(location: Location, request: dg.RunRequest) -> None:
    """Execute a run that the location's own instance does not see, as in a process that it has lost."""
    with ephemeral() as lost:
        assert location.launch(*(request.asset_selection or ()), tags=request.tags, instance=lost).success


# --- no request that could poison a tick


def test_a_request_carries_no_config_and_only_partitions_that_exist(
    ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    keys = {"a": "north", "b": "south", "c": "'; drop", "d": "north"}

    @source("letters", every=SOON)
    def letters(context: ScanContext) -> Iterator[Item]:
        yield from (Item(key=key, version="1", partition=partition) for key, partition in keys.items())

    def location_with(*names: str) -> Location:
        @sensor_asset(letters, partitions_def=dg.StaticPartitionsDefinition(list(names)), max_in_flight=1)
        def stored(batch: Batch) -> None: ...

        return Location(ledger, [stored], instance)

    both = location_with("north", "south")
    [request] = both.evaluate().run_requests
    assert (request.run_config, request.partition_key) == ({}, "north")
    both.run(request)
    north = location_with("north")
    north.cursors = both.cursors
    assert north.work_off() == 0, "south is there no more, so its batch waits and fails no tick"
    assert north.status()["stored"]["waiting"] == 1
    both.cursors = north.cursors
    assert both.work_off() == 1


def test_an_outlet_that_is_there_no_more_stops_neither_the_tick_nor_the_others(
    ledger: PostgresLedger, instance: dg.DagsterInstance
) -> None:
    letters = Letters()
    letters.keys = ["a", "b"]
    done: list[str] = []

    def location_with(*targets: str) -> Location:
        def share(waiting: Any) -> list[Send]:
            return [Send(to=to, items=[item]) for to, item in zip(targets, waiting.items, strict=False)]

        router = Router(letters.source, share, name="router", targets=targets)

        def outlet(name: str) -> Any:
            @sensor_asset(router[name], name=name)
            def asset(batch: Batch) -> None:
                done.append(name)

            return asset

        return Location(ledger, [outlet(name) for name in targets], instance)

    old = location_with("left", "right")
    assert len(old.evaluate().run_requests) == 2
    new = location_with("left")
    # The answer was lost with the deployment, so it is repeated.
    assert [request.asset_selection for request in new.evaluate().run_requests] == [[dg.AssetKey("left")]]
    new.work_off()
    assert done == ["left"]
    assert new.status()["router"]["waiting"] == 1
    old.cursors = new.cursors
    old.work_off()
    assert done == ["left", "right"]
