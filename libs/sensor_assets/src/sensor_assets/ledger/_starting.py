"""Where consumers start in the history of a source, within the caller's transaction."""

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import DictRow

from sensor_assets._start import Start

Connection: TypeAlias = psycopg.Connection[DictRow]

# Whether an item lies before the day from which a consumer starts: its partition does, where that looks like a date;
# else it was changed before that day.
BEFORE_START = """
coalesce(case when i.partition like '____-__-__%%' then i.partition < {day}
              else i.modified < ({day}::timestamp at time zone 'UTC') end, false)
"""

# Where a consumer that does not want all of the history begins: behind what is there, or before the first item of it
# that does not lie before its start. Once, when the source has shown all that it holds.
_BEGIN = f"""
update consumer_position p set
    history = s.arrivals, arrival = begins.behind, before_start = begins.behind
from source s cross join lateral (
    select case when w.start_from is null then s.arrivals else coalesce((
               select i.arrival from item i
               where i.source_id = s.id and not {BEFORE_START.format(day="w.start_from")}
               order by i.arrival limit 1) - 1, s.arrivals) end as behind, w.consumer_id
    from consumer_position w where w.source_id = s.id and w.arrival is null) begins
where s.id = any(%(sources)s) and s.listed_at is not null
  and p.source_id = s.id and p.consumer_id = begins.consumer_id and p.arrival is null
"""  # noqa: S608


def begin(connection: Connection, source_ids: Collection[int]) -> None:
    """Give consumers of listed sources that have no position yet the one where they start."""
    connection.execute(_BEGIN, {"sources": list(source_ids)})


def positions(starts: Mapping[tuple[str, int], Start], all_versions: Collection[tuple[str, int]]) -> dict[str, Any]:
    """Return the columns of new positions, by consumer and source: those without all of the history begin later."""
    return {
        "names": [name for name, _ in starts],
        "sources": [source for _, source in starts],
        "histories": [start == "all" for start in starts.values()],
        "versions": [position in all_versions for position in starts],
        "starts": [start.isoformat() if isinstance(start, date) else None for start in starts.values()],
    }
