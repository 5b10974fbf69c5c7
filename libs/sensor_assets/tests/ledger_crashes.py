"""Processes that are killed after the n-th message to the database, and what the ledger holds then.

The children are forked, so that one costs milliseconds; each opens its own connections.
"""

import os
import signal
import traceback
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import psycopg
from sensor_assets import Batching, Item, Page
from sensor_assets._decide import decide
from sensor_assets._partitions import NoPartitions
from sensor_assets._placing import Partitions
from sensor_assets._policy import Policy
from sensor_assets._state import Ask, ConsumerState, Decision, SourceState
from sensor_assets.ledger import Emission, Following, PostgresLedger

from .conftest import LedgerSchema
from .core_cases import DAYS

NOW = datetime(2013, 2, 1, tzinfo=UTC)
CONSUMER = "consumer"
MONITOR = "monitor"
MOST_MESSAGES = 200

# Everything that the ledger says, without numbers that only count attempts to write.
CONTENT = (
    "select name, arrivals, position, failures from source",
    "select source_id, arrival, key, version from item",
    "select consumer_id, source_id, arrival, released from consumer_position",
    "select consumer_id, source_id, arrival, partition from parked",
    "select name, epoch from monitor",
    "select id, state, items, rejected, attempt, failures, epoch, monitor, run_id, error from batch",
    "select batch_id, source_id, first_arrival, last_arrival, arrivals from slice",
    "select source_id, arrival, consumer_id, reason, batch_id from quarantine",
)


def items(count: int, version: str = "1") -> list[Item]:
    """Return that many things, of which each has the same version; they belong to the first two days."""
    return [
        Item(key=f"thing{number}", version=version, size=1, source="world", partition=DAYS[number % 2])
        for number in range(count)
    ]


def identities(first: int = 1) -> Callable[[], str]:
    """Return a function that gives the same sequence of batch ids each time."""
    numbers = count(first)
    return lambda: str(UUID(int=next(numbers)))


def source_of(ledger: PostgresLedger) -> SourceState:
    return ledger.sources(["world"])["world"]


def record(ledger: PostgresLedger, seen: list[Item], position: Any = None) -> int:
    """Scan one page."""
    return ledger.record(ledger.begin_scan(source_of(ledger)), Page(items=seen, position=position), NOW)


def emit(
    ledger: PostgresLedger,
    epoch: int,
    *,
    new_id: Callable[[], str],
    max_items: int = 2,
    monitor: str = MONITOR,
    partitions: Partitions | None = None,
    while_deciding: Callable[[], object] = int,
) -> Emission:
    """Decide for the one consumer and launch up to three batches."""
    batching, places = Batching(max_items=max_items), partitions or NoPartitions()
    policy = Policy(name=CONSUMER, batching=batching, max_in_flight=3, partitions=places)

    def decide_now(name: str, state: ConsumerState) -> Decision | Ask:
        while_deciding()
        return decide(policy, state, NOW, new_id)

    following = Following(name=CONSUMER, sources=(source_of(ledger).id,), limit=max_items * 3)
    return ledger.emit(monitor, epoch, [following], decide_now, NOW)


def content(schema: LedgerSchema) -> list[list[Any]]:
    """Return what the ledger holds."""
    with psycopg.connect(schema.url, options=f"-c search_path={schema.schema}") as connection:
        return [sorted(connection.execute(query).fetchall(), key=repr) for query in CONTENT]  # type: ignore[arg-type]


Arm = Callable[[], None]


def in_child(work: Callable[[Arm], object], *, killed_after: int) -> bool:
    """Do something in a child that is killed so many messages after it is armed; tell whether it finished before."""
    child = os.fork()
    if child == 0:
        try:
            work(lambda: _kill_after(killed_after))
        except BaseException:  # noqa: BLE001 - a forked child must never return into pytest
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ended in (0, -signal.SIGKILL), "the child failed; see its traceback"
    return ended == 0


def _kill_after(messages: int) -> None:
    """Count every exchange with the database, also BEGIN and COMMIT, which are no calls of `execute`."""
    left = count(messages - 1, -1)
    wait = psycopg.Connection.wait

    def counting(self: Any, generator: Generator[Any, Any, Any], *arguments: Any, **named: Any) -> Any:
        result = wait(self, generator, *arguments, **named)
        if next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    psycopg.Connection.wait = counting  # type: ignore[method-assign]


def killed_everywhere(work: Callable[[Arm], object]) -> Iterator[int]:
    """Do something in children that are killed after 1, 2, 3, ... messages; yields after each, until one finishes."""
    for messages in range(1, MOST_MESSAGES):
        finished = in_child(work, killed_after=messages)
        yield messages
        if finished:
            return
    raise AssertionError(f"not finished after {MOST_MESSAGES} messages")


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)
