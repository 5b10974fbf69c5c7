"""Parked arrivals: those that a consumer's position has passed, and that wait for something all the same."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

import psycopg
from psycopg.rows import DictRow

from sensor_assets._placing import Window
from sensor_assets._state import Arrival
from sensor_assets.ledger import _rows

Connection: TypeAlias = psycopg.Connection[DictRow]

# Partitions for which something is parked that one decision looks at; of more, each decision looks at the next ones.
# A partition for which something arrives is looked at in any case.
LOOKS = 100

# The first of each partition in the order of the index, which is the one that waits longest; a jump for each. chr(1)
# makes of a text the next one that there can be, because no text holds a zero byte.
WAITING = """
with recursive look as (
    (select partition, seen_at from parked
     where consumer_id = %(consumer)s and partition >= coalesce(%(after)s::text || chr(1), '') collate "C"
     order by partition, seen_at limit 1)
    union all
    select n.partition, n.seen_at from look cross join lateral (
        select partition, seen_at from parked
        where consumer_id = %(consumer)s and partition > look.partition
        order by partition, seen_at limit 1) n
)
select partition, seen_at from look limit %(limit)s
"""

# A window without an end holds one text. The windows come one after the other until there are enough.
PARKED = """
select i.source_id, i.arrival, i.key, i.version, i.size, i.modified, i.partition, i.metadata, p.seen_at,
       s.name as source
from (
    select p.source_id, p.arrival, p.seen_at
    from unnest(%(starts)s::text[], %(stops)s::text[]) as w (start, stop) cross join lateral (
        select source_id, arrival, seen_at from parked
        where consumer_id = %(consumer)s and source_id = any(%(sources)s) and partition >= w.start collate "C"
          and partition < coalesce(w.stop, w.start || chr(1)) collate "C"
        order by partition, seen_at limit %(limit)s
    ) p limit %(limit)s
) p
cross join lateral (select * from item where source_id = p.source_id and arrival = p.arrival limit 1) i
join source s on s.id = i.source_id
"""

SHOWN = """
select w.key, array(
    select s.name from source s
    where s.id = any(%(sources)s) and exists (
        select 1 from item i
        where i.source_id = s.id and i.partition >= w.start collate "C"
          and i.partition < coalesce(w.stop, w.start || chr(1)) collate "C")
) as sources
from unnest(%(keys)s::text[], %(starts)s::text[], %(stops)s::text[]) as w (key, start, stop)
"""

PARK = """
insert into parked (consumer_id, source_id, arrival, partition, seen_at)
select %(consumer)s, * from unnest(%(sources)s::int[], %(arrivals)s::bigint[], %(partitions)s::text[],
                                   %(seen)s::timestamptz[])
"""

UNPARK = """
delete from parked p using unnest(%(sources)s::int[], %(arrivals)s::bigint[]) as t (source_id, arrival)
where p.consumer_id = %(consumer)s and p.source_id = t.source_id and p.arrival = t.arrival
"""

LOOKED = """
update consumer set looked = %(partition)s where id = %(consumer)s
"""


def waiting(connection: Connection, consumer: int, looked: str | None) -> tuple[dict[str, datetime], bool]:
    """Return the items' partitions that arrivals are parked for, with the time since when, and whether there are more.

    They begin after the one that was looked at last, and go on from the first; the last is remembered if there are
    more.
    """
    found = _look(connection, consumer, looked, LOOKS + 1)
    if looked is not None and len(found) <= LOOKS:
        found = {**found, **_look(connection, consumer, None, LOOKS + 1)}
    turn = dict(list(found.items())[:LOOKS])
    more = len(found) > LOOKS
    reached = list(turn)[-1] if more else None
    if reached != looked:
        connection.execute(LOOKED, {"consumer": consumer, "partition": reached})
    return turn, more


def _look(connection: Connection, consumer: int, after: str | None, limit: int) -> dict[str, datetime]:
    asked = {"consumer": consumer, "after": after, "limit": limit}
    return {row["partition"]: row["seen_at"] for row in connection.execute(WAITING, asked)}


def parked(
    connection: Connection, consumer: int, sources: Sequence[int], windows: Sequence[Window], limit: int
) -> tuple[tuple[Arrival, ...], bool]:
    """Return the sources' arrivals that are parked within the windows, at most so many, and whether there are more."""
    asked = {
        "consumer": consumer,
        "sources": list(sources),
        "starts": [start for start, _ in windows],
        "stops": [stop for _, stop in windows],
        "limit": limit + 1,
    }
    rows = connection.execute(PARKED, asked, binary=True).fetchall()
    arrivals = [
        Arrival(source_id=row["source_id"], item=_rows.item(row), seen_at=row["seen_at"]) for row in rows[:limit]
    ]
    return tuple(arrivals), len(rows) > limit


def shown(connection: Connection, sources: Sequence[int], windows: Mapping[str, Window]) -> dict[str, frozenset[str]]:
    """Return by key the names of those sources that have ever shown an item within the key's window."""
    asked = {
        "sources": list(sources),
        "keys": list(windows),
        "starts": [start for start, _ in windows.values()],
        "stops": [stop for _, stop in windows.values()],
    }
    return {row["key"]: frozenset(row["sources"]) for row in connection.execute(SHOWN, asked)}


def park(connection: Connection, consumer: int, arrivals: Sequence[Arrival]) -> None:
    """Let arrivals wait beside the log."""
    values = _numbers(consumer, arrivals)
    values["partitions"] = [arrival.item.partition or "" for arrival in arrivals]
    values["seen"] = [arrival.seen_at for arrival in arrivals]
    connection.execute(PARK, values)


def unpark(connection: Connection, consumer: int, arrivals: Sequence[Arrival]) -> None:
    """Forget that arrivals wait."""
    connection.execute(UNPARK, _numbers(consumer, arrivals))


def _numbers(consumer: int, arrivals: Sequence[Arrival]) -> dict[str, object]:
    return {
        "consumer": consumer,
        "sources": [arrival.source_id for arrival in arrivals],
        "arrivals": [arrival.item.arrival for arrival in arrivals],
    }
