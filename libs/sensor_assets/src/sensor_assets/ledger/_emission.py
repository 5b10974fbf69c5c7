"""Writing what consumers decide, within the caller's transaction."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

import psycopg
from psycopg.rows import DictRow

from sensor_assets._state import Arrival, Ask, BatchRecord, ConsumerState, Decision, Log
from sensor_assets.ledger import _parking, _rows, _sql
from sensor_assets.ledger._api import Decide, Following

Connection: TypeAlias = psycopg.Connection[DictRow]


def decide_all(
    connection: Connection,
    monitor: str,
    epoch: int,
    consumers: Sequence[Following],
    positions: Sequence[DictRow],
    unfinished: Sequence[BatchRecord],
    decide: Decide,
    now: datetime,
) -> tuple[list[BatchRecord], dict[str, str]]:
    """Let every consumer decide and write what it decided; the caller's transaction makes it one step."""
    emitted: list[BatchRecord] = []
    held: dict[str, str] = {}
    wanting = {row["consumer"] for row in positions if row["behind"]}
    wanting |= {batch.consumer for batch in unfinished if batch.state == "waiting"}
    for consumer in consumers:
        wanting.discard(consumer.name)
        mine = tuple(batch for batch in unfinished if batch.consumer == consumer.name)
        logs = [row for row in positions if row["consumer"] == consumer.name and row["source_id"] in consumer.sources]
        consumer_id: int = logs[0]["consumer_id"]
        state = replace(_state(connection, consumer, logs, mine), others=len(wanting))
        decision = _decision(connection, consumer, consumer_id, decide, state)
        if decision is None:
            continue
        if decision.held is not None:
            held[consumer.name] = decision.held
        if decision.held != logs[0]["held"]:
            connection.execute(_sql.NOTE_HELD, {"consumer": consumer_id, "held": decision.held})
        _write(connection, consumer.name, consumer_id, decision, now)
        for batch in (*mine, *decision.cut):
            if batch.id in decision.emit:
                launched = replace(batch, state="emitted", attempt=batch.attempt + 1, epoch=epoch)
                values = {"id": batch.id, "attempt": launched.attempt, "epoch": epoch, "monitor": monitor}
                connection.execute(_sql.EMIT_BATCH, values)
                emitted.append(launched)
    return emitted, held


def _state(
    connection: Connection, consumer: Following, logs: Sequence[DictRow], unfinished: tuple[BatchRecord, ...]
) -> ConsumerState:
    """Return what a consumer has to decide about; without what waits, when nothing of it could be launched."""
    known = {row["source_id"]: _log(row) for row in logs}
    if _is_full(consumer, unfinished):
        return ConsumerState(open=unfinished, logs=known)
    pending, more = _pending(connection, consumer, [row for row in logs if row["behind"]])
    waiting, more_waiting = {}, False
    if logs[0]["parked"]:
        waiting, more_waiting = _parking.waiting(connection, logs[0]["consumer_id"], logs[0]["looked"])
    return ConsumerState(
        pending=pending, more=more, open=unfinished, logs=known, waiting=waiting, more_waiting=more_waiting
    )


def _log(row: DictRow) -> Log:
    # Who has not begun in a log has not seen anything of it.
    begun = row["arrival"] is not None
    return Log(
        source=row["source"], position=row["arrival"] or 0, released=row["released"], end=row["last"] if begun else 0
    )


def _decision(
    connection: Connection, consumer: Following, consumer_id: int, decide: Decide, state: ConsumerState
) -> Decision | None:
    """Let a consumer decide, and answer what it has to know for that."""
    while isinstance(answer := decide(consumer.name, state), Ask):
        if answer.shown is not None:
            state = replace(state, shown=_parking.shown(connection, consumer.sources, answer.shown))
        if answer.parked is not None:
            arrivals, more = _parking.parked(connection, consumer_id, consumer.sources, answer.parked, consumer.limit)
            state = replace(state, parked=arrivals, more_parked=more)
    return answer


def _write(connection: Connection, consumer: str, consumer_id: int, decision: Decision, now: datetime) -> None:
    for misfit in decision.misfits:
        quarantine(connection, consumer, misfit.source_id, misfit.arrival, misfit.reason, None, now)
    for source, arrival in decision.positions.items():
        connection.execute(_sql.ADVANCE, {"consumer": consumer, "source": source, "arrival": arrival})
    for source, arrival in decision.released.items():
        connection.execute(_sql.RELEASE, {"consumer": consumer_id, "source": source, "arrival": arrival})
    if decision.unpark:
        _parking.unpark(connection, consumer_id, decision.unpark)
    if decision.park:
        _parking.park(connection, consumer_id, decision.park)
    for batch in decision.cut:
        insert(connection, batch, now)


def _is_full(consumer: Following, unfinished: Sequence[BatchRecord]) -> bool:
    """Tell whether nothing could be launched, so that it is not worth to read what waits in the log."""
    return sum(batch.state == "emitted" for batch in unfinished) >= consumer.max_in_flight


def _pending(
    connection: Connection, consumer: Following, behind: Sequence[DictRow]
) -> tuple[tuple[Arrival, ...], bool]:
    arrivals: list[Arrival] = []
    more = False
    for position in behind:
        source = position["source_id"]
        asked = {**position, "source": source, "limit": consumer.limit + 1}
        rows = connection.execute(_sql.PENDING, asked, binary=True).fetchall()
        if not rows:
            # All that is left lies before the consumer's start.
            passed = {"consumer": consumer.name, "source": source, "arrival": position["last"]}
            connection.execute(_sql.ADVANCE, passed)
        more = more or len(rows) > consumer.limit
        arrivals += [
            Arrival(source_id=source, item=_rows.item(row), seen_at=row["seen_at"]) for row in rows[: consumer.limit]
        ]
    return tuple(arrivals), more


def insert(connection: Connection, batch: BatchRecord, now: datetime) -> None:
    """Store a new batch with its slices."""
    connection.execute(
        _sql.INSERT_BATCH,
        {
            "id": batch.id,
            "consumer": batch.consumer,
            "state": batch.state,
            "origin": batch.origin,
            "halved": batch.halved,
            "route": batch.route,
            "partitions": list(batch.partitions),
            "replaces": list(batch.replaces),
            "items": batch.items,
            "bytes": batch.bytes,
            "first_failed_at": batch.first_failed_at,
            "reason": batch.reason,
            "now": now,
        },
    )
    insert_slices(connection, batch)


def insert_slices(connection: Connection, batch: BatchRecord) -> None:
    """Store which arrivals a batch takes."""
    for source, arrivals in batch.slices.items():
        whole = arrivals[-1] - arrivals[0] + 1 == len(arrivals)
        connection.execute(
            _sql.INSERT_SLICE,
            {
                "batch": batch.id,
                "source": source,
                "first": arrivals[0],
                "last": arrivals[-1],
                "arrivals": None if whole else list(arrivals),
            },
        )


def quarantine(
    connection: Connection,
    consumer: str,
    source: int,
    arrival: int,
    reason: str | None,
    batch: str | None,
    now: datetime,
) -> None:
    """Set one arrival aside for one consumer; quarantined again, it gets the new reason."""
    values = {"consumer": consumer, "source": source, "arrival": arrival, "batch": batch, "now": now}
    connection.execute(_sql.QUARANTINE, {**values, "reason": reason or "unknown"})
