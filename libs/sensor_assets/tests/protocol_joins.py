"""A second world beside the first: who waits for both, and a route that lets some things go while others wait."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from hypothesis import strategies as st
from sensor_assets import Batching, Hold, Router, Send, Skip, Waiting
from sensor_assets._consumers import Consumer, Declaration, Outlet
from sensor_assets._joins import Join
from sensor_assets._routing import Target

from .protocol_histories import (
    BAD,
    EVENTS,
    OPERATIONS,
    A,
    B,
    C,
    Deploy,
    Event,
    Execute,
    Put,
    Release,
    Replay,
    Tick,
)
from .protocol_simulation import DAILY, POISONED, RETRY, Moment, Simulation, World, WorldSource

# Of these days the first world shows things of the first three, the other one things of all but the third.
OTHER_KEYS = ("2013-01-01/x", "2013-01-02/x", "2013-01-02/s", "2013-01-04/x")
MOST_WAITING = 3


def by_pairs(waiting: Waiting) -> Sequence[Send | Skip | Hold]:
    """Send keys named a at once, skip those named s, and let the others go in pairs of a day."""
    named = {name: [item for item in waiting.items if item.key.endswith(f"/{name}")] for name in "as"}
    others = [item for item in waiting.items if item not in named["a"] and item not in named["s"]]
    days = [item.partition for item in others]
    pairs = [item for item in others if days.count(item.partition) > 1]
    return [
        Send(to="left", items=named["a"]),
        Skip("of no use", named["s"], to="right"),
        Send(to="right", items=pairs),
        Hold("alone on its day"),
    ]


class JoinedSimulation(Simulation):
    """One history of two worlds. `joined` rebuilds days that both have shown; `paired` writes each batch to a file."""

    def _declare(self, number: int) -> tuple[list[Consumer], dict[dg.AssetKey, Declaration]]:
        self.other = World()
        self.other_source = WorldSource(f"second{number}", self.other)
        sources = (self.source, self.other_source)
        join = Join(sources=tuple(source.name for source in sources))
        router = Router(
            sources,
            by_pairs,
            name=f"paired{number}",
            targets=("left", "right"),
            max_hold=30,
            otherwise="right",
            max_waiting=MOST_WAITING,
        )
        joined, left, right = (dg.AssetKey(["t", f"{name}{number}"]) for name in ("joined", "left", "right"))
        common: dict[str, Any] = {"batching": Batching(max_items=2), "retry": RETRY}
        declarations = {
            joined: Declaration(follows=sources, max_in_flight=2, join=join, **common),
            left: Declaration(follows=Target(router, "left"), max_in_flight=3, appends=True, **common),
            right: Declaration(follows=Target(router, "right"), max_in_flight=3, appends=True, **common),
        }
        keys = {source.name: dg.AssetKey(source.name) for source in sources}
        shared: dict[str, Any] = {"sources": sources, "source_keys": keys, **common}
        consumers = [
            Consumer(
                name=declarations[joined].consumer(joined),
                outlets={None: Outlet(asset=joined, definition=DAILY)},
                max_in_flight=2,
                partitions_def=DAILY,
                backfill_policy=dg.BackfillPolicy.single_run(),
                join=join,
                **shared,
            ),
            Consumer(
                name=router.name,
                outlets={to: Outlet(asset=asset, definition=None) for to, asset in (("left", left), ("right", right))},
                max_in_flight=3,
                partitions_def=None,
                backfill_policy=None,
                router=router,
                **shared,
            ),
        ]
        return consumers, declarations

    def _is_quiet(self) -> bool:
        """Days of one world may wait for ever, what a route leaves only for a while."""
        waiting = sum(self._number_waiting(source) for source in (self.source, self.other_source))
        joined, paired = (len(self._parked(consumer)) for consumer in self.consumers)
        return waiting == joined and not paired and not self.queue

    def _number_waiting(self, source: WorldSource) -> int:
        rows = self._select("select sum(waiting + in_flight) from source_status where source = %s", source.name)
        return int(rows[0][0] or 0)

    def _parked(self, consumer: Consumer) -> set[tuple[str, int]]:
        rows = self._select(
            "select s.name, p.arrival from parked p join consumer c on c.id = p.consumer_id "
            "join source s on s.id = p.source_id where c.name = %s",
            consumer.name,
        )
        return {(name, arrival) for name, arrival in rows}

    def tick(self, fate: str = "taken", *, killed_at: Moment = 0) -> None:
        super().tick(fate, killed_at=killed_at)
        released = self._select(
            "select s.name, q.arrival from quarantine q join consumer c on c.id = q.consumer_id "
            "join source s on s.id = q.source_id where q.released_at is not null and c.name = %s",
            self.consumers[1].name,
        )
        left = self._parked(self.consumers[1]) - set(released)
        assert len(left) <= MOST_WAITING, "a route leaves more waiting than may"

    def check(self) -> None:
        """Compare what was done for days of both worlds, and that nothing was for others."""
        log = {source: self._log(source) for source in (self.source, self.other_source)}
        things = {**self.world.things, **self.other.things}
        days = [{key.partition("/")[0] for key, _, _ in log[source]} for source in log]
        complete = days[0] & days[1]
        for day in days[0] | days[1]:
            wanted = {key: version for key, version in things.items() if key.startswith(day) and key != POISONED}
            present = self.sinks.partitions.get(day, {})
            if day in complete:
                assert {key: present.get(key) for key in wanted} == wanted, "a day of both does not show the worlds"
            else:
                assert not present, "a day was processed before both worlds had shown something"
        waits = {
            (source.name, arrival)
            for source, rows in log.items()
            for key, _, arrival in rows
            if key.partition("/")[0] not in complete
        }
        assert self._parked(self.consumers[0]) == waits, "not exactly the incomplete days wait"
        assert not self._parked(self.consumers[1]), "something that was held for too long still waits"
        self._check_files(log)
        self._check_holders()

    def _check_files(self, log: dict[WorldSource, list[tuple[str, str, int]]]) -> None:
        rows = [row for rows in self.sinks.files.values() for row in rows]
        assert len(rows) == len(set(rows)), "an arrival was appended twice"
        newest = {key: (key, version, arrival) for rows in log.values() for key, version, arrival in rows}
        things = {**self.world.things, **self.other.things}
        wanted = {newest[key] for key in things if key != POISONED and not key.endswith("/s")}
        assert wanted <= set(rows), "an arrival was not appended"
        assert not [key for key, _, _ in rows if key.endswith("/s")], "what was skipped was appended"
        skipped = self._select(
            "select l.arrivals, l.first_arrival, l.last_arrival from batch b join slice l on l.batch_id = b.id "
            "join consumer c on c.id = b.consumer_id where b.state = 'skipped' and b.reason = 'of no use' "
            "and c.name = %s",
            self.consumers[1].name,
        )
        numbers = sorted(n for arrivals, first, last in skipped for n in (arrivals or range(first, last + 1)))
        assert numbers == sorted(arrival for key, _, arrival in log[self.other_source] if key.endswith("/s"))


@dataclass(frozen=True)
class PutOther:
    """A thing appears in the other world."""

    key: str
    content: str

    def play(self, simulation: Simulation) -> None:
        assert isinstance(simulation, JoinedSimulation)
        simulation.other.put(self.key, self.content)


X, Y = "2013-01-02/x", "2013-01-04/x"

KNOWN_JOINS: dict[str, tuple[Event | PutOther, ...]] = {
    "one world is late": (Put(A, "A"), Tick(), Put(C, "A"), Tick(), PutOther(X, "A"), Tick(), Execute(0), Execute(0)),
    "a day that both have shown is corrected": (Put(A, "A"), PutOther(X, "A"), Tick(), Execute(0), Put(A, "B"), Tick()),
    "days that never come to pass": (Put(C, "A"), PutOther(Y, "A"), Tick(), Tick(), Put(C, "B"), Tick()),
    "what waits is overwritten": (Put(A, "A"), Tick(), Put(A, "B"), Tick(), PutOther(X, "A"), Tick(), Execute(0)),
    "the daemon is killed while things are parked": (
        *(event for n in range(8, 20) for event in (Put(A, "AB"[n % 2]), Put(C, "AB"[n % 2]), Tick(killed_at=n))),
        PutOther(X, "A"),
    ),
    "an answer is lost in which a parked thing went": (Put(A, "A"), Tick(), PutOther(X, "A"), Tick("lost"), Tick()),
    "pairs come together over several ticks": (Put(B, "A"), Tick(), PutOther("2013-01-01/x", "A"), Tick(), Execute(0)),
    "useless things among useful ones": (PutOther("2013-01-02/s", "A"), PutOther(X, "A"), Put(A, "A"), Tick()),
    "poison is released on a day that both have shown": (
        *(Put(BAD, "A"), Put(A, "A"), PutOther(X, "A"), *3 * (Tick(), *4 * (Execute(0),)), Release(), Tick()),
        *(Deploy(cures=True), Release(), *3 * (Tick(), *4 * (Execute(0),)), Replay(), Release(), Tick()),
    ),
    "all is replayed while things wait": (
        *(Put(A, "A"), Put(C, "A"), PutOther(X, "A"), PutOther(Y, "A"), *3 * (Tick(), *4 * (Execute(0),))),
        *(Replay(), Put(B, "A"), Tick(), *4 * (Execute(0),), Replay()),
    ),
    "more wait than may": tuple(
        event for n in range(5) for event in (Put(C, "AB"[n % 2]), PutOther(Y, "AB"[n % 2]), Tick())
    ),
}

_OTHERS = st.builds(PutOther, st.sampled_from(OTHER_KEYS), st.sampled_from("AB"))
JOINED_HISTORIES = st.lists(st.one_of(EVENTS, EVENTS, EVENTS, _OTHERS), min_size=20, max_size=40)
OPERATED_JOINS = st.lists(st.one_of(EVENTS, EVENTS, _OTHERS, OPERATIONS), min_size=20, max_size=40)
