"""Writing what consumers decide, within the caller's transaction."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

import psycopg
from psycopg.rows import DictRow

from sensor_assets._state import Arrival, BatchRecord, ConsumerState, Decision
from sensor_assets.ledger import _rows, _sql
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
        behind = [row for row in positions if row["consumer"] == consumer.name and row["behind"]]
        pending, more = ((), False) if _is_full(consumer, mine) else _pending(connection, consumer, behind)
        decision = decide(consumer.name, ConsumerState(pending=pending, more=more, open=mine, others=len(wanting)))
        if decision is None:
            continue
        if decision.held is not None:
            held[consumer.name] = decision.held
        _write(connection, consumer.name, decision, now)
        for batch in (*mine, *decision.cut):
            if batch.id in decision.emit:
                launched = replace(batch, state="emitted", attempt=batch.attempt + 1, epoch=epoch)
                values = {"id": batch.id, "attempt": launched.attempt, "epoch": epoch, "monitor": monitor}
                connection.execute(_sql.EMIT_BATCH, values)
                emitted.append(launched)
    return emitted, held


def _write(connection: Connection, consumer: str, decision: Decision, now: datetime) -> None:
    for misfit in decision.misfits:
        quarantine(connection, consumer, misfit.source_id, misfit.arrival, misfit.reason, None, now)
    for source, arrival in decision.positions.items():
        connection.execute(_sql.ADVANCE, {"consumer": consumer, "source": source, "arrival": arrival})
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
        if source not in consumer.sources:
            continue
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
            "route": batch.route,
            "partitions": list(batch.partitions),
            "replaces": list(batch.replaces),
            "items": batch.items,
            "bytes": batch.bytes,
            "now": now,
        },
    )
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
