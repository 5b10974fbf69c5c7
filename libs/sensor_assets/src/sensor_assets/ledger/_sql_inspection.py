"""Statements that show a person what the ledger holds. Names are resolved by the connection's search_path."""

from sensor_assets.ledger._sql_operations import NUMBERS, SELECTED_BATCH, SELECTED_ITEM

# The pieces put together below are constants of these modules, no values.
_STATES = f"""
with placed as materialized (
    select b.consumer_id, l.source_id, n.arrival, b.id, b.state
    from batch b join consumer c on c.id = b.consumer_id join slice l on l.batch_id = b.id
    cross join lateral {NUMBERS} n
    where b.replaced_by is null and b.state <> 'split' and (%(consumer)s::text is null or c.name = %(consumer)s)
), item_state as (
    select s.name as source, i.arrival, i.key, i.version, i.size, i.modified, i.partition, i.metadata, i.seen_at,
           c.name as consumer, b.id::text as batch,
           not exists (select 1 from item n where n.source_id = i.source_id and n.key = i.key
                       and n.arrival > i.arrival) as newest,
           case when q.released_at is null and q.since is not null then 'quarantined'
                when q.pending or b.state = 'waiting' or i.arrival > p.arrival then 'waiting'
                when b.state = 'emitted' then 'running'
                else 'done' end as state
    from item i join source s on s.id = i.source_id
    join consumer_position p on p.source_id = i.source_id join consumer c on c.id = p.consumer_id
    left join placed b on b.consumer_id = p.consumer_id and b.source_id = i.source_id and b.arrival = i.arrival
    left join quarantine q on q.consumer_id = p.consumer_id and q.source_id = i.source_id and q.arrival = i.arrival
    where {SELECTED_ITEM} and (%(consumer)s::text is null or c.name = %(consumer)s)
      and (%(place)s::text is null or i.partition = %(place)s)
)
"""  # noqa: S608

ITEMS = f"""
{_STATES}
select * from item_state where (%(state)s::text is null or state = %(state)s)
order by source, consumer, arrival desc limit %(limit)s offset %(skip)s
"""  # noqa: S608

BATCHES = f"""
select b.id::text, c.name as consumer, b.state, b.origin, b.halved, b.route, b.partitions, b.items, b.rejected, b.bytes,
       b.attempt, b.failures, b.not_before, b.created_at, b.finished_at, b.replaced_by::text, b.run_id, b.error
from batch b join consumer c on c.id = b.consumer_id
where {SELECTED_BATCH} and (%(state)s::text is null or b.state = %(state)s)
order by c.name, b.sequence desc limit %(limit)s offset %(skip)s
"""  # noqa: S608

OPEN = """
select c.name as consumer, c.held, count(b.id) filter (where b.state = 'waiting') as waiting,
       count(b.id) filter (where b.state = 'emitted') as launched
from consumer c left join batch b on b.consumer_id = c.id and b.state in ('waiting', 'emitted')
group by c.id, c.name, c.held order by c.name
"""

VERSIONS = """
select i.source_id, s.name as source, i.arrival, i.version, i.size, i.modified, i.partition, i.metadata, i.seen_at,
       g.noticed_at as gone_at,
       (select min(n.arrival) from item n where n.source_id = i.source_id and n.key = i.key and n.arrival > i.arrival)
           as superseded_by
from item i join source s on s.id = i.source_id
left join gone g on g.source_id = i.source_id and g.arrival = i.arrival
where i.key = %(key)s and (%(source)s::text is null or s.name = %(source)s) order by s.name, i.arrival
"""

STANDING = """
select c.name as consumer, c.held, p.arrival as position, q.reason, q.since, q.released_at, q.batch_id::text as blamed,
       coalesce(q.pending, false) as pending
from consumer_position p join consumer c on c.id = p.consumer_id
left join quarantine q on q.consumer_id = p.consumer_id and q.source_id = p.source_id and q.arrival = %(arrival)s
where p.source_id = %(source)s order by c.name
"""

HISTORY = """
select b.id::text, b.state, b.origin, b.halved, b.route, b.partitions, b.items, b.attempt, b.failures, b.not_before,
       b.created_at, b.finished_at, b.replaced_by::text, b.run_id, b.error
from slice l join batch b on b.id = l.batch_id join consumer c on c.id = b.consumer_id
where c.name = %(consumer)s and l.source_id = %(source)s
  and %(arrival)s between l.first_arrival and l.last_arrival and (l.arrivals is null or %(arrival)s = any(l.arrivals))
order by b.sequence
"""

# Keys that begin or end like the one that was not found; which of them are near is decided by whoever asks.
LIKE_KEYS = """
select distinct s.name as source, i.key from item i join source s on s.id = i.source_id
where (%(source)s::text is null or s.name = %(source)s) and (i.key like %(head)s or i.key like %(tail)s)
limit 2000
"""
