"""Everything around the protocol, simulated: an outside world, Dagster's daemon, its runs, and sinks.

The ledger, the evaluation and what a run does around the function are the real ones. There is one thread: whatever
happens "at the same time" happens at a chosen call of the ledger, or while a function works.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any, LiteralString, cast

import dagster as dg
import psycopg
from pydantic import SecretStr
from sensor_assets import (
    Batch,
    Batching,
    Hold,
    Item,
    ItemChanged,
    ItemGone,
    Page,
    Retry,
    Router,
    ScanContext,
    Send,
    Settings,
    Source,
    SourceClient,
    SourceError,
    Waiting,
)
from sensor_assets import _evaluate as evaluate_module
from sensor_assets import _processing as processing_module
from sensor_assets._claims import BATCH_TAG
from sensor_assets._consumers import Consumer, Declaration, Outlet
from sensor_assets._cursor import MAX_BYTES, Cursor
from sensor_assets._dagster import RANGE_END_TAG, RANGE_START_TAG
from sensor_assets._evaluate import Answer
from sensor_assets._monitor import run_request
from sensor_assets._routing import Target
from sensor_assets._runs import RunReport
from sensor_assets._runtime import Clock, Runtime
from sensor_assets._scan import Familiar
from sensor_assets._state import BatchRecord
from sensor_assets.ledger import Ledger, PostgresLedger
from sensor_assets.ledger._operations import Operations
from sensor_assets.ledger._version import decode

POISONED = "2013-01-02/bad"
KEYS = ("2013-01-01/a", "2013-01-01/b", "2013-01-02/a", POISONED, "2013-01-03/c")
TICK_SECONDS = 10
PAGE_ITEMS = 2
# In the end nothing is to wait for: longer than any backoff, hold, or the slowest pace at which a sick source is asked.
DRAIN_SECONDS = 200
MOST_DRAIN_ROUNDS = 40

DAILY = dg.DailyPartitionsDefinition("2013-01-01", end_date="2013-01-05")
RETRY = Retry(max_failures=3, backoff=5, max_backoff=60, give_up=6)

LOG = logging.getLogger("protocol simulation")
LOG.setLevel(logging.CRITICAL + 1)

_numbers = count(1)


class Killed(BaseException):
    """The process that did this is gone."""


class TurnedClock(Clock):
    """A clock that stands still until it is turned."""

    def __init__(self) -> None:
        self.moment = datetime(2013, 2, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def turn(self, by: float) -> None:
        self.moment += timedelta(seconds=by)


class World:
    """Things outside, by key; `history` keeps every version that a key ever had."""

    def __init__(self) -> None:
        self.things: dict[str, str] = {}
        self.history: dict[str, list[str]] = {}
        self.generation = 0
        self.sick = False

    def put(self, key: str, content: str) -> None:
        # What comes again after it was deleted has another version here: see the test about the same one.
        version = f"{content}{self.generation}"
        if self.things.get(key) != version:
            self.things[key] = version
            self.history.setdefault(key, []).append(version)

    def delete(self, key: str) -> None:
        if self.things.pop(key, None) is not None:
            self.generation += 1


class WorldSource(Source):
    """Shows the world."""

    def __init__(self, name: str, world: World) -> None:
        super().__init__(name, every=TICK_SECONDS)
        self.world = world

    def open(self, settings: Settings) -> SourceClient:
        return WorldClient(self.name, self.world)

    def describe(self, settings: Settings) -> dict[str, Any]:
        return {}


class WorldClient(SourceClient):
    """Lists a few keys at a time, as they are when the page is made."""

    def __init__(self, name: str, world: World) -> None:
        self._name = name
        self._world = world

    def scan(self, context: ScanContext) -> Iterable[Page]:
        keys = sorted(self._world.things)
        for first in range(0, len(keys) + 1, PAGE_ITEMS):
            if self._world.sick:
                raise SourceError("the world is dark")
            page = [key for key in keys[first : first + PAGE_ITEMS] if key in self._world.things]
            yield Page(items=[self._item(key) for key in page])

    def _item(self, key: str) -> Item:
        return Item(
            key=key, version=self._world.things[key], size=1, partition=key.partition("/")[0], source=self._name
        )

    def read(self, item: Item) -> bytes:
        version = self._world.things.get(item.key)
        if version is None:
            raise ItemGone(item, f"{item.key} was deleted")
        if version != item.version:
            raise ItemChanged(item, f"{item.key} was overwritten")
        return version.encode()


Moment = int | str
"""The n-th call of the ledger, or the first call of that name."""


class Interrupted:
    """A ledger before one call of which something happens."""

    def __init__(self, ledger: Ledger, moment: Moment, happening: Callable[[], None]) -> None:
        self._ledger = ledger
        self._moment: Moment | None = moment
        self._calls = 0
        self._happening = happening

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._ledger, name)

        def called(*arguments: Any, **named: Any) -> Any:
            self._calls += 1
            if self._moment in (self._calls, name):
                self._moment = None
                self._happening()
            return method(*arguments, **named)

        return called


@dataclass
class Run:
    """A run as Dagster knows it."""

    id: str
    key: str
    asset: dg.AssetKey
    tags: Mapping[str, str]
    partitions: tuple[str, ...]
    status: str = "queued"
    parent: str | None = None
    step_retries: int = 0

    @property
    def batch(self) -> str:
        return self.tags[BATCH_TAG]


@dataclass
class Sinks:
    """Effects: partitions that are rebuilt, and files that are named after their batch."""

    partitions: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    files: dict[str, list[tuple[str, str, int]]] = field(default_factory=dict[str, list[tuple[str, str, int]]])


def route(waiting: Waiting) -> Hold | Sequence[Send]:
    """Wait for two items; then send those of keys named a to the left."""
    if waiting.count < 2 and not waiting.forced:
        return Hold("alone")
    left = [item for item in waiting.items if item.key.endswith("a")]
    right = [item for item in waiting.items if not item.key.endswith("a")]
    return [Send(to=to, items=items) for to, items in (("left", left), ("right", right)) if items]


class Simulation:
    """One history. `rebuilt` rebuilds partitions; `appended` writes each batch to a file, on one of two routes.

    Args:
        ledger: The ledger under test; names are new in each simulation, so it need not be empty.
        database: A connection to look into the ledger, with autocommit.
        rejects: Whether `rebuilt` rejects the poisoned item; else it raises, as `appended` does.
        withholds: Whether faults are withheld that would rightly lead to halving or quarantine of sound items.
    """

    def __init__(
        self,
        ledger: PostgresLedger,
        database: psycopg.Connection[Any],
        *,
        rejects: bool = True,
        withholds: bool = True,
    ) -> None:
        number = next(_numbers)
        self.rejects = rejects
        self.logs_reject = False
        self.cured = False
        self.withholds = withholds
        self.ledger: Ledger = ledger
        self.postgres = ledger
        self.database = database
        self.clock = TurnedClock()
        self.world = World()
        self.sinks = Sinks()
        self.monitor = f"monitor{number}"
        self.settings = Settings(
            environment="local", team="t", location="l", ledger_url=SecretStr("postgresql://"), ledger_schema="t"
        )
        self.source = WorldSource(f"world{number}", self.world)
        self.consumers, self.declarations = self._declare(number)
        # What the code server's process remembers.
        self.familiar: dict[int, Familiar] = {}
        # What Dagster holds durably.
        self.cursor: str | None = None
        self.cursors: list[str | None] = [None]
        self.runs: dict[str, Run] = {}
        self.ghosts: list[Run] = []
        # What the checks remember.
        self.contents: dict[str, object] = {}
        self.ended: set[str] = set()
        self.epoch = 0

    def _declare(self, number: int) -> tuple[list[Consumer], dict[dg.AssetKey, Declaration]]:
        """Return who follows the world; the first of them rebuilds partitions."""
        return _consumers(number, self.source)

    def follow_another_world(self) -> World:
        """Let `rebuilt` follow a second source too, with a world of its own, and nobody follow anything else."""
        world = World()
        other = WorldSource(f"other_{self.source.name}", world)
        rebuilt = self.consumers[0]
        keys = {**rebuilt.source_keys, other.name: dg.AssetKey(other.name)}
        self.consumers = [replace(rebuilt, sources=(self.source, other), source_keys=keys)]
        return world

    # --- the monitor's ticks

    def tick(self, fate: str = "taken", *, killed_at: Moment = 0) -> None:
        """Evaluate once. The answer is taken, lost, or half taken (some runs, not the cursor); or a kill ends it."""
        self.clock.turn(TICK_SECONDS)
        ledger = self.ledger
        if killed_at:
            ledger = cast("Ledger", Interrupted(self.ledger, killed_at, _kill))
        try:
            answer = self._evaluate(ledger)
        except Killed:
            return
        assert answer.cursor.epoch >= self.epoch, "the epoch went back"
        self.epoch = answer.cursor.epoch
        self._check_emission(answer)
        if fate == "lost":
            return
        taken = answer.batches[: len(answer.batches) // 2] if fate == "half" else answer.batches
        for batch in taken:
            self._launch(batch)
        if fate == "taken":
            self.cursor = answer.cursor.dump()
            self.cursors.append(self.cursor)
            assert len(self.cursor) <= MAX_BYTES

    def late_tick(self, paused_at: Moment, meanwhile: Callable[[], None]) -> None:
        """Begin an evaluation that stands still at a call of the ledger; Dagster has given it up when it goes on."""
        self.clock.turn(TICK_SECONDS)
        self._evaluate(cast("Ledger", Interrupted(self.ledger, paused_at, meanwhile)))

    def scans_after_a_tick(self) -> int:
        """Evaluate, and return how many scans of the source have begun."""
        self.tick()
        return self._select("select scans from source where name = %s", self.source.name)[0][0]

    def _evaluate(self, ledger: Ledger) -> Answer:
        runtime = self._runtime(ledger)
        return evaluate_module.evaluate(
            runtime,
            self.monitor,
            consumers=self.consumers,
            cursor=Cursor.parse(self.cursor),
            runs=self,
            policies={consumer.name: consumer.policy(lambda name: []) for consumer in self.consumers},
            resources={},
            log=LOG,
        )

    def _runtime(self, ledger: Ledger) -> Runtime:
        runtime = Runtime(settings=self.settings, consumers=self.consumers, ledger=ledger, clock=self.clock)
        runtime.familiar = self.familiar
        return runtime

    def report(self, batches: Mapping[str, str]) -> Mapping[str, RunReport]:
        """Say how the run of each batch stands, as `InstanceRuns` does."""
        return {batch: self._report(self.runs.get(key)) for batch, key in batches.items()}

    def _report(self, run: Run | None) -> RunReport:
        if run is None:
            return RunReport("vanished")
        outcome: Any = {"queued": "active"}.get(run.status, run.status)
        return RunReport(outcome, "broken" if outcome == "failed" else None)

    def _check_emission(self, answer: Answer) -> None:
        for batch in answer.batches:
            content = (batch.id, batch.attempt, dict(batch.slices), batch.partitions, batch.route)
            assert self.contents.setdefault(batch.run_key, content) == content, "a run key was used for something else"
            keys = [key for key, other in self.contents.items() if other == content]
            assert keys == [batch.run_key], "an attempt has two run keys"
            before = f"{batch.id}:a{batch.attempt - 1}"
            assert batch.attempt == 1 or before in self.ended, "an attempt has no reason"
        for consumer in self.consumers:
            flying = self.ledger.launched([consumer.name], self.monitor, 10**9)
            assert len(flying) <= (consumer.max_in_flight or 4), "too much is in flight"
            lanes = [(batch.route, key) for batch in flying for key in batch.partitions]
            assert len(lanes) == len(set(lanes)), "two batches in flight share a partition"

    # --- runs

    def _launch(self, batch: BatchRecord) -> None:
        request = run_request(batch, next(c for c in self.consumers if c.name == batch.consumer))
        assert request.run_key is not None
        assert request.asset_selection is not None
        if request.run_key in self.runs:
            return
        partitions = (request.partition_key,) if request.partition_key else ()
        if RANGE_START_TAG in request.tags:
            ends = dg.PartitionKeyRange(request.tags[RANGE_START_TAG], request.tags[RANGE_END_TAG])
            partitions = tuple(DAILY.get_partition_keys_in_range(ends))
        assert partitions == batch.partitions
        self.runs[request.run_key] = Run(
            id=f"run {len(self.runs)} {request.run_key}",
            key=request.run_key,
            asset=dg.AssetKey.from_coercible(request.asset_selection[0]),
            tags=request.tags,
            partitions=partitions,
        )

    @property
    def queue(self) -> list[Run]:
        return [run for run in self.runs.values() if run.status == "queued"]

    def run(
        self, run: Run, fate: str = "succeeds", *, killed_at: int = 0, meanwhile: Callable[[], object] = int
    ) -> None:
        """Execute a run. It succeeds, raises before its effect, or is killed: before, midway, after, at a ledger call.

        A run that raises and "will retry" is repeated by Dagster itself.
        """
        if self.withholds and not self._may_fail(run):
            fate, killed_at = "succeeds", 0
        ledger = self.ledger
        if killed_at:
            ledger = cast("Ledger", Interrupted(self.ledger, killed_at, _kill))
        context = cast("dg.AssetExecutionContext", _context(run))
        was_done = self._is_done(run)

        def call(batch: Batch) -> None:
            assert not was_done or run.parent, "a batch that was done ran again"
            self._work(run, batch, fate, meanwhile)

        try:
            list(process_now(context, self._runtime(ledger), self.declarations[run.asset], call))
        except dg.RetryRequested:
            run.step_retries += 1
            return
        except (Killed, RuntimeError, dg.Failure):
            if fate == "will retry":
                run.parent = run.id
            else:
                run.status = "failed"
                self.ended.add(run.key)
            return
        run.status = "succeeded"

    def launch_by_hand(self, outlet: int, day: str) -> None:
        """Launch an asset as the UI does: the first rebuilds a day, the others add to what is there."""
        asset = list(self.declarations)[outlet % len(self.declarations)]
        partitions = () if self.declarations[asset].appends else (day,)
        run = Run(f"by hand {next(_numbers)}", "", asset, tags={}, partitions=partitions)

        def call(batch: Batch) -> None:
            assert not self.declarations[asset].appends, "a launch by hand added to a log"
            self._work(run, batch, "succeeds", int)

        with suppress(dg.RetryRequested):
            list(process_now(cast("Any", _context(run)), self._runtime(self.ledger), self.declarations[asset], call))

    def reexecute(self, which: int) -> None:
        """Execute a run that succeeded once more, as a person does in the UI."""
        if succeeded := [run for run in self.runs.values() if run.status == "succeeded"]:
            again = replace(succeeded[which % len(succeeded)], parent="a person", step_retries=0)
            self.run(again, "succeeds")

    # --- what people do to the ledger

    def operations(self) -> Operations:
        return Operations(self.postgres, now=self.clock.now())

    def _may_fail(self, run: Run) -> bool:
        record = self.ledger.batch(run.batch)
        return record is not None and record.failures + 1 < RETRY.max_failures and run.batch not in self.sinks.files

    def _is_done(self, run: Run) -> bool:
        return self._select("select state from batch where id = %s", run.batch) == [("done",)]

    def _work(self, run: Run, batch: Batch, fate: str, meanwhile: Callable[[], object]) -> None:
        rebuilt = [(day, self._content(batch, items)) for day, items in batch.by_partition()]
        self._check_none_is_quarantined(self._consumer_of(run), batch.items)
        appended = [] if batch.partitions else self._rows(batch)
        meanwhile()
        if fate in ("raises", "will retry"):
            raise RuntimeError("broken")
        if fate == "killed before":
            raise Killed
        for day, content in rebuilt:
            self.sinks.partitions[day] = content
            if fate == "killed midway":
                raise Killed
        if not batch.partitions:
            for replaced in batch.replaces:
                self.sinks.files.pop(replaced, None)
            self.sinks.files[batch.id] = appended
        if fate == "killed after":
            raise Killed

    def _content(self, batch: Batch, items: Sequence[Item]) -> dict[str, str]:
        self._check_none_is_quarantined(self.consumers[0], items)
        return {item.key: body for item, body in self._sound(batch, items, rejects=self.rejects)}

    def _rows(self, batch: Batch) -> list[tuple[str, str, int]]:
        sound = self._sound(batch, batch.items, rejects=self.logs_reject)
        return [(item.key, body, item.arrival) for item, body in sound]

    def _sound(self, batch: Batch, items: Sequence[Item], *, rejects: bool) -> list[tuple[Item, str]]:
        sound: list[tuple[Item, str]] = []
        for item in items:
            body = item.read().decode()
            if item.key != POISONED or self.cured:
                sound.append((item, body))
            elif rejects:
                batch.reject(item, "poisoned")
            else:
                raise RuntimeError("poisoned")
        return sound

    def _consumer_of(self, run: Run) -> Consumer:
        name = self.declarations[run.asset].consumer(run.asset)
        return next(consumer for consumer in self.consumers if consumer.name == name)

    def _check_none_is_quarantined(self, consumer: Consumer, items: Iterable[Item]) -> None:
        quarantined = self._quarantined(consumer)
        assert not [item for item in items if (item.key, item.arrival) in quarantined], "a quarantined item came again"

    def purge(self, run: Run, *, lives_on: bool) -> None:
        """Delete a run from Dagster; its process may live on and work later."""
        del self.runs[run.key]
        self.ended.add(run.key)
        if lives_on and run.status == "queued":
            self.ghosts.append(run)

    # --- the end

    def drain(self) -> None:
        """Let everything go well until nothing is left to do.

        Raises:
            AssertionError: It never ends.
        """
        self.world.sick = False
        for ghost in self.ghosts:
            self.run(ghost)
        for _ in range(MOST_DRAIN_ROUNDS):
            self.clock.turn(DRAIN_SECONDS)
            launched = len(self.contents)
            self.tick()
            for run in self.queue:
                self.run(run)
            if launched == len(self.contents) and self._is_quiet():
                return
        raise AssertionError("it never comes to rest")

    def _is_quiet(self) -> bool:
        left = self._select("select waiting + in_flight from source_status where source = %s", self.source.name)
        unfinished = self.database.execute(
            "select count(*) from batch b join consumer c on c.id = b.consumer_id "
            "where b.state in ('waiting', 'emitted') and c.name = any(%s)",
            ([consumer.name for consumer in self.consumers],),
        ).fetchone()
        return bool(left) and not self.queue and not any(number for (number,) in left) and unfinished == (0,)

    def check(self) -> None:
        """Compare the effects with the world, the log with its history, and the quarantine with the poison."""
        log = self._log(self.source)
        wanted = {key: version for key, version in self.world.things.items() if key != POISONED}
        present = {key: version for content in self.sinks.partitions.values() for key, version in content.items()}
        assert {key: present.get(key) for key in wanted} == wanted, "a partition does not show the world"
        appended = [row for rows in self.sinks.files.values() for row in rows]
        arrivals = [arrival for _, _, arrival in appended]
        assert len(arrivals) == len(set(arrivals)), "an arrival was appended twice"
        newest = {key: (key, version, arrival) for key, version, arrival in log}
        assert {newest[key] for key in wanted} <= set(appended), "an arrival was not appended"
        if self.withholds:
            self._check_replaced()
        self._check_quarantine(newest)
        self._check_holders()

    def _check_holders(self) -> None:
        """Of the batches that hold an arrival for a consumer, all but one have a successor."""
        for consumer in self.consumers:
            doubled = self._select(
                "select n.arrival from batch b join consumer c on c.id = b.consumer_id "
                "join slice l on l.batch_id = b.id cross join lateral (select unnest(coalesce("
                "l.arrivals, array(select generate_series(l.first_arrival, l.last_arrival)))) as arrival) n "
                "where b.state <> 'split' and b.replaced_by is null and c.name = %s "
                "group by l.source_id, n.arrival having count(*) > 1",
                consumer.name,
            )
            assert not doubled, "two batches hold an arrival"

    def _check_replaced(self) -> None:
        replaced = self._select(
            "select unnest(b.replaces)::text from batch b join consumer c on c.id = b.consumer_id "
            "where b.state = 'done' and c.name = %s",
            self.consumers[-1].name,
        )
        assert set(self.sinks.files).isdisjoint(batch for (batch,) in replaced), "what was replaced is still there"

    def _log(self, source: WorldSource) -> list[tuple[str, str, int]]:
        """Return the log of a source, after it was compared with its world's history.

        Nothing was seen that was not there, or backwards, and what is there now was.
        """
        rows = self._select(
            "select key, version, arrival from item where source_id = (select id from source where name = %s) "
            "order by arrival",
            source.name,
        )
        log = [(key, decode(version), arrival) for key, version, arrival in rows]
        versions: dict[str, list[str]] = {}
        for key, version, _ in log:
            versions.setdefault(key, []).append(version)
        for key, seen in versions.items():
            history: Iterator[str] = iter(source.world.history[key])
            assert all(version in history for version in seen), f"{key} did not go through {seen}"
        for key, version in source.world.things.items():
            assert key in versions, f"{key} was not seen"
            assert versions[key][-1] == version, f"the present version of {key} was not seen"
        return log

    def _check_quarantine(self, newest: Mapping[str, tuple[str, str, int]]) -> None:
        for consumer in self.consumers:
            quarantined = self._quarantined(consumer)
            assert {key for key, _ in quarantined} <= {POISONED}, "a sound item is in quarantine"
            if POISONED not in self.world.things:
                continue
            present = self._is_there(consumer, newest[POISONED])
            assert present or (POISONED, newest[POISONED][2]) in quarantined, "the poison is not in quarantine"

    def _is_there(self, consumer: Consumer, item: tuple[str, str, int]) -> bool:
        if consumer.partitions_def is None:
            return any(item in rows for rows in self.sinks.files.values())
        return any(content.get(item[0]) == item[1] for content in self.sinks.partitions.values())

    def _quarantined(self, consumer: Consumer) -> set[tuple[str, int]]:
        rows = self._select(
            "select i.key, i.arrival from quarantine q join consumer c on c.id = q.consumer_id "
            "join item i on i.source_id = q.source_id and i.arrival = q.arrival "
            "where q.released_at is null and c.name = %s",
            consumer.name,
        )
        return {(key, arrival) for key, arrival in rows}

    def _select(self, query: LiteralString, name: str) -> list[tuple[Any, ...]]:
        return self.database.execute(query, (name,)).fetchall()


def process_now(context: Any, runtime: Runtime, declaration: Declaration, call: Callable[[Batch], None]) -> Any:
    """Process as the module does at this moment: a test may have replaced it by a mutant."""
    return processing_module.process(context, runtime, declaration, call)


def _kill() -> None:
    raise Killed


def _context(run: Run) -> SimpleNamespace:
    return SimpleNamespace(
        asset_key=run.asset,
        run=SimpleNamespace(run_id=run.id, tags=run.tags, parent_run_id=run.parent),
        has_partition_key=len(run.partitions) == 1,
        has_partition_key_range=len(run.partitions) > 1,
        partition_keys=run.partitions,
        instance=SimpleNamespace(get_dynamic_partitions=lambda name: []),
        log=LOG,
        retry_number=run.step_retries,
    )


def _consumers(number: int, source: Source) -> tuple[list[Consumer], dict[dg.AssetKey, Declaration]]:
    batching = Batching(max_items=3)
    router = Router(source, route, name=f"appended{number}", targets=("left", "right"), max_hold=30)
    rebuilt, left, right = (dg.AssetKey(["t", f"{name}{number}"]) for name in ("rebuilt", "left", "right"))
    common: dict[str, Any] = {"batching": batching, "retry": RETRY}
    declarations = {
        rebuilt: Declaration(follows=source, max_in_flight=None, **common),
        left: Declaration(follows=Target(router, "left"), max_in_flight=3, appends=True, **common),
        right: Declaration(follows=Target(router, "right"), max_in_flight=3, appends=True, **common),
    }
    shared: dict[str, Any] = {"sources": (source,), "source_keys": {source.name: dg.AssetKey(source.name)}, **common}
    consumers = [
        Consumer(
            name=declarations[rebuilt].consumer(rebuilt),
            outlets={None: Outlet(asset=rebuilt, definition=DAILY)},
            max_in_flight=None,
            partitions_def=DAILY,
            backfill_policy=dg.BackfillPolicy.single_run(),
            **shared,
        ),
        Consumer(
            name=router.name,
            outlets={name: Outlet(asset=asset, definition=None) for name, asset in (("left", left), ("right", right))},
            max_in_flight=3,
            partitions_def=None,
            backfill_policy=None,
            router=router,
            **shared,
        ),
    ]
    return consumers, declarations
