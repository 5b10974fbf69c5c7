"""What a person released from quarantine and no batch holds: the monitor decides on it as if it had just arrived."""

from collections.abc import Sequence
from typing import TypeAlias

import psycopg
from psycopg.rows import DictRow

from sensor_assets._state import Arrival, Decision
from sensor_assets.ledger import _rows
from sensor_assets.ledger._api import Following

Connection: TypeAlias = psycopg.Connection[DictRow]

_PENDING = """
select i.source_id, i.arrival, i.key, i.version, i.size, i.modified, i.partition, i.metadata, i.seen_at,
       s.name as source
from quarantine q join consumer c on c.id = q.consumer_id
join item i on i.source_id = q.source_id and i.arrival = q.arrival join source s on s.id = i.source_id
where q.pending and c.name = %(consumer)s and q.source_id = any(%(sources)s)
order by q.source_id, q.arrival limit %(limit)s
"""

_DECIDED = """
update quarantine q set pending = false from consumer c
where c.id = q.consumer_id and c.name = %(consumer)s and q.pending and q.source_id = %(source)s
  and q.arrival = any(%(arrivals)s)
"""


def pending(connection: Connection, consumer: Following, positions: Sequence[DictRow]) -> tuple[Arrival, ...]:
    """Return the released arrivals of the sources that are followed, at most as many as one decision may see."""
    sources = [row["source_id"] for row in positions if row["released"] and row["source_id"] in consumer.sources]
    if not sources:
        return ()
    asked = {"consumer": consumer.name, "sources": sources, "limit": consumer.limit}
    rows = connection.execute(_PENDING, asked).fetchall()
    return tuple(Arrival(source_id=row["source_id"], item=_rows.item(row), seen_at=row["seen_at"]) for row in rows)


def decided(connection: Connection, consumer: str, decision: Decision) -> None:
    """Note that what the decision put into batches waits no longer; what it set aside again was noted with that."""
    for batch in decision.cut:
        for source, arrivals in batch.slices.items():
            values = {"consumer": consumer, "source": source, "arrivals": list(arrivals)}
            connection.execute(_DECIDED, values)
