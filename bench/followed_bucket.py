"""The simulated bucket followed by a sensor asset: the real monitor, ledger, runs and sink, in simulated time.

The daemon's part is played here: it evaluates the monitor, keeps its cursor, and makes one run of each run key. Faults
are what a platform does to both: evaluations and runs that are killed, answers that are lost, evaluations that hang
while the next one is made, runs that fail, and a cursor that somebody resets or rolls back.
"""

import os
import random
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from math import inf
from typing import Any, Literal, get_args
from unittest.mock import patch

import dagster as dg
import polars as pl
import psycopg
from sensor_assets import Batch, ItemChanged, Lake, ObjectSource, sensor_asset
from sensor_assets._claims import BATCH_TAG
from sensor_assets._definitions import DEFAULT_MONITOR
from sensor_assets.ledger import Ledger, PostgresLedger, migrate
from sensor_assets.ledger._version import decode
from sensor_assets.testing import Crash, Location, Tick

from bench.bucket import EPOCH, Bucket
from bench.s3_server import NAME, obstore_environment, served

Effect = tuple[str, str]
"""Key and ETag of what was processed."""

Fault = Literal[
    "evaluation killed after a page is recorded",
    "evaluation killed before it commits",
    "answer lost after the commit",
    "evaluation hangs before it records, the next one overtakes it",
    "evaluation hangs before it emits, the next one overtakes it",
    "cursor reset",
    "cursor rolled back",
    "run fails before it writes",
    "run fails after it wrote",
    "run killed before it is marked done",
    "run killed after it is marked done",
]
OF_AN_EVALUATION: Sequence[Fault] = get_args(Fault)[:7]
OF_A_RUN: Sequence[Fault] = get_args(Fault)[7:]

EVALUATION_FAULTS = 0.15
RUN_FAULTS = 0.10
MOST_FAULTS_OF_A_BATCH = 2
"""One less than what makes the library halve a batch and at last suspect an item: the sink is flaky, no item is bad."""

QUIET_POLLS = 3

_CRASHES: Mapping[Fault, Crash] = {
    "evaluation killed after a page is recorded": Crash.at("after recording"),
    "evaluation killed before it commits": Crash.at("before commit"),
    "answer lost after the commit": Crash.at("after commit"),
    "run killed before it is marked done": Crash.at("before commit"),
    "run killed after it is marked done": Crash.at("after commit"),
}
_HANGS: Mapping[Fault, str] = {
    "evaluation hangs before it records, the next one overtakes it": "record",
    "evaluation hangs before it emits, the next one overtakes it": "emit",
}

# Arrivals with the batch that took them and brought them to an end.
_DONE = """
select i.key, i.version, b.id::text
from batch b join slice s on s.batch_id = b.id
join item i on i.source_id = s.source_id and i.arrival between s.first_arrival and s.last_arrival
where b.state = 'done' and (s.arrivals is null or i.arrival = any(s.arrivals))
"""


class FlakySinkError(Exception):
    """The sink did not take what it was given, or did not say so."""


class Hanging:
    """A ledger that one evaluation uses, before one call of which something happens."""

    def __init__(self, ledger: Ledger, call: str, happening: Callable[[], None]) -> None:
        self._ledger = ledger
        self._call: str | None = call
        self._happening = happening

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._ledger, name)
        if name != self._call:
            return found

        def called(*args: Any, **kwargs: Any) -> Any:
            self._call = None
            self._happening()
            return found(*args, **kwargs)

        return called

    @property
    def hung(self) -> bool:
        """Whether it came to the call."""
        return self._call is None


@dataclass
class Played:
    """What came of it.

    Args:
        polls: When those polls began that were not killed while they listed, seconds.
        effects: How often each version is in the sink.
        overtaken: Versions that were recorded but had been overwritten or deleted before a run could read them.
        runs: Number of runs.
        faults: How often each happened.
    """

    polls: list[float] = field(default_factory=list[float])
    effects: Counter[Effect] = field(default_factory=Counter[Effect])
    overtaken: set[Effect] = field(default_factory=set[Effect])
    runs: int = 0
    faults: Counter[str] = field(default_factory=Counter[str])


@contextmanager
def followed(
    bucket: Bucket, url: str, schema: str, sink: str, *, faults: bool, seed: str, every: float
) -> Generator["Play"]:
    """Let a sensor asset follow a bucket, with a new ledger in a schema of a database, and files in a directory.

    Args:
        bucket: Which is served over HTTP meanwhile; its clock becomes that of the monitor.
        url: The database.
        schema: Name of the ledger's schema, which is made.
        sink: URL of the directory.
        faults: Whether faults happen.
        seed: Which faults happen when.
        every: Seconds between two polls.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"create schema {schema}".encode())
    migrate(url, schema)
    ledger = PostgresLedger(url, schema)
    chance = random.Random(seed) if faults else None  # noqa: S311 - repeatable on purpose
    with served(bucket) as endpoint, patch.dict(os.environ, obstore_environment(endpoint)):
        play = Play(bucket, ledger, sink, chance, every)
        try:
            yield play
        finally:
            play.location.close()
            play.instance.dispose()
            ledger.close()


class Play:
    """One asset, its location, and what the daemon remembers of it."""

    def __init__(
        self, bucket: Bucket, ledger: PostgresLedger, sink: str, chance: random.Random | None, every: float
    ) -> None:
        self.bucket = bucket
        self.played = Played()
        self._ledger = ledger
        self._chance = chance
        self._lake = Lake(url=sink)
        source = ObjectSource("landing", url=f"s3://{NAME}", every=every)

        @sensor_asset(source, max_in_flight=4)
        def landed(batch: Batch, lake: Lake) -> None:
            """What each object of the bucket holds, in a file for each batch."""
            self._process(batch, lake)

        self.instance = dg.DagsterInstance.ephemeral(settings={"python_logs": {"python_log_level": "CRITICAL"}})
        self.location = Location(landed, ledger=ledger, resources={"lake": self._lake}, instance=self.instance)
        self._requests: list[dg.RunRequest] = []
        self._launched: set[str] = set()
        self._cursors: list[str | None] = [None]
        self._faults_of: Counter[str] = Counter()
        self._fault_now: Fault | None = None
        self._ran_at: dict[str, float] = {}

    def begin(self, moment: float) -> None:
        """Turn the clock to the first poll; from then on it goes with the polls."""
        self.location.clock.time = EPOCH + timedelta(seconds=moment)
        self.bucket.now = self.now

    def now(self) -> float:
        """Return the time in seconds."""
        return (self.location.clock.now() - EPOCH).total_seconds()

    def until(self, moment: float) -> Played:
        """Poll, and run what is asked for, until a moment and until nothing is left to do."""
        quiet = 0
        while quiet < QUIET_POLLS:
            if self.now() > moment:
                self._chance = None
            self.poll()
            worked = self._run_requested()
            quiet = quiet + 1 if self.now() > moment and not worked and not self._busy() else 0
        self._look()
        return self.played

    def poll(self) -> None:
        """Evaluate the monitor once, perhaps with a fault."""
        fault = self._happens(OF_AN_EVALUATION, EVALUATION_FAULTS)
        cursors = self.location.cursors
        if fault in ("cursor reset", "cursor rolled back") and len(self._cursors) > 1:
            old = self._chance.choice(self._cursors) if self._chance and fault == "cursor rolled back" else None
            cursors[DEFAULT_MONITOR] = old
            self.played.faults[fault] += 1
        if fault is not None and fault in _HANGS:
            self._hang(fault)
            return
        crash = _CRASHES.get(fault) if fault else None
        listed = self.bucket.listings
        tick = self.location.evaluate(crash=crash)
        killed = crash is not None and (tick.skip_message or "").startswith("killed")
        if killed:
            self.played.faults[str(fault)] += 1
        if self.bucket.listings > listed and not (killed and fault == OF_AN_EVALUATION[0]):
            self.played.polls.append(self.now())
        self._take(tick)

    def _take(self, tick: Tick) -> None:
        """Keep what the daemon keeps of a tick."""
        self._requests += tick.run_requests
        self._cursors.append(tick.cursor)

    def _hang(self, fault: Fault) -> None:
        """Let an evaluation hang until the daemon has given it up and made the next one; its answer is then lost."""
        began: list[float] = []

        def next_one() -> None:
            self.location.runtime.ledger = self._ledger
            began.append(self.now())
            self.poll()
            self._run_requested()

        hanging = Hanging(self._ledger, _HANGS[fault], next_one)
        self.location.runtime.ledger = hanging  # type: ignore[assignment]
        try:
            tick = self.location.evaluate()
        finally:
            self.location.runtime.ledger = self._ledger
        if not hanging.hung:
            self.played.polls.append(self.now())
            self._take(tick)
            return
        self.played.faults[fault] += 1
        if _HANGS[fault] == "emit":
            self.played.polls += began
        self.location.cursors[DEFAULT_MONITOR] = self._cursors[-1]

    def _run_requested(self) -> int:
        """Make one run of each run key that is new, as the daemon does; returns how many were made."""
        made = 0
        while self._requests:
            request = self._requests.pop(0)
            if (run_key := request.run_key or "") in self._launched:
                continue
            self._launched.add(run_key)
            batch = request.tags[BATCH_TAG]
            fault = None
            if self._faults_of[batch] < MOST_FAULTS_OF_A_BATCH:
                fault = self._happens(OF_A_RUN, RUN_FAULTS)
            if fault:
                self._faults_of[batch] += 1
                self.played.faults[fault] += 1
            record = self._ledger.batch(batch)
            self._fault_now = fault
            self.location.run(request, crash=_CRASHES.get(fault) if fault else None)
            self._fault_now = None
            if record is not None and record.state != "done":
                self._ran_at[batch] = self.bucket.moment
            made += 1
        self.played.runs += made
        return made

    def _process(self, batch: Batch, lake: Lake) -> None:
        """Note what is read of each object in the batch's file."""
        if self._fault_now == "run fails before it writes":
            raise FlakySinkError
        try:
            read = [(item.key, item.read().decode()) for item in batch.items]
        except ItemChanged:
            # The step is repeated after the next poll, which has to come meanwhile.
            self.poll()
            raise
        frame = pl.DataFrame(read, schema={"key": pl.String, "etag": pl.String}, orient="row")
        lake.append("landed", batch, frame)
        if self._fault_now == "run fails after it wrote":
            raise FlakySinkError

    def _happens(self, faults: Sequence[Fault], share: float) -> Fault | None:
        if self._chance is None or self._chance.random() > share:
            return None
        return self._chance.choice(faults)

    def _busy(self) -> bool:
        return any(row["waiting"] or row["in_flight"] for row in self.location.status().values())

    def _look(self) -> None:
        """See what is in the sink, and which recorded versions nobody could read any more."""
        for file in self._lake.list("landed"):
            frame = self._lake.read(file.path)
            self.played.effects.update((key, etag) for key, etag in ([] if frame is None else frame.iter_rows()))
        ends = {version.identity: version.ends for version in self.bucket.versions}
        with self._ledger.transaction() as connection:
            rows = connection.execute(_DONE).fetchall()
        for row in rows:
            effect = (str(row["key"]), decode(bytes(row["version"])))
            if effect not in self.played.effects and ends.get(effect, inf) <= self._ran_at[row["id"]]:
                self.played.overtaken.add(effect)
