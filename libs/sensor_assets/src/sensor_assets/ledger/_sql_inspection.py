"""Statements that show a person what the ledger holds. Names are resolved by the connection's search_path."""

from sensor_assets.ledger._sql_operations import NUMBERS, SELECTED_BATCH, SELECTED_ITEM
from sensor_assets.ledger._starting import BEFORE_START

# The pieces put together below are constants of these modules, no values. Whether an item was there when its consumer
# began, and lies before its start; of one that has not begun yet, whether it will.
_PASSED = f"""
case when p.arrival is null then p.start_from is null or {BEFORE_START.format(day="p.start_from")}
     when p.history is null or i.arrival > p.history then false
     else p.start_from is null or {BEFORE_START.format(day="p.start_from")} end
"""

_STATES = f"""
with placed as materialized (
    select b.consumer_id, l.source_id, n.arrival, b.id, b.state
    from batch b join consumer c on c.id = b.consumer_id join slice l on l.batch_id = b.id
    cross join lateral {NUMBERS} n
    where b.replaced_by is null and b.state <> 'split' and (%(consumer)s::text is null or c.name = %(consumer)s)
), item_state as (
    select s.name as source, i.arrival, i.key, i.version, i.size, i.modified, i.partition, i.metadata, i.seen_at,
           c.name as consumer, b.id::text as batch,
           p.all_versions or not exists (select 1 from item n where n.source_id = i.source_id and n.key = i.key
                                         and n.arrival > i.arrival) as newest,
           case when q.released_at is null and q.since is not null then 'quarantined'
                when b.state = 'waiting' or k.arrival is not null then 'waiting'
                when b.state = 'emitted' then 'running'
                when b.state is not null then b.state
                when {_PASSED} then 'before-start'
                when i.arrival > coalesce(p.arrival, 0) then 'waiting'
                else 'done' end as state
    from item i join source s on s.id = i.source_id
    join consumer_position p on p.source_id = i.source_id join consumer c on c.id = p.consumer_id
    left join placed b on b.consumer_id = p.consumer_id and b.source_id = i.source_id and b.arrival = i.arrival
    left join quarantine q on q.consumer_id = p.consumer_id and q.source_id = i.source_id and q.arrival = i.arrival
    left join parked k on k.consumer_id = p.consumer_id and k.source_id = i.source_id and k.arrival = i.arrival
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
       b.attempt, b.failures, b.not_before, b.created_at, b.finished_at, b.replaced_by::text, b.run_id, b.error,
       b.reason
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

STANDING = f"""
select c.name as consumer, c.held, coalesce(p.arrival, 0) as position, q.reason, q.since, q.released_at,
       q.batch_id::text as blamed, k.seen_at as parked_at, p.all_versions, {_PASSED} as passed
from consumer_position p join consumer c on c.id = p.consumer_id
join item i on i.source_id = p.source_id and i.arrival = %(arrival)s
left join parked k on k.consumer_id = p.consumer_id and k.source_id = p.source_id and k.arrival = %(arrival)s
left join quarantine q on q.consumer_id = p.consumer_id and q.source_id = p.source_id and q.arrival = %(arrival)s
where p.source_id = %(source)s order by c.name
"""  # noqa: S608

HISTORY = """
select b.id::text, b.state, b.origin, b.halved, b.route, b.partitions, b.items, b.attempt, b.failures, b.not_before,
       b.created_at, b.finished_at, b.replaced_by::text, b.run_id, b.error, b.reason
from slice l join batch b on b.id = l.batch_id join consumer c on c.id = b.consumer_id
where c.name = %(consumer)s and l.source_id = %(source)s
  and int8range(l.first_arrival, l.last_arrival, '[]') @> %(arrival)s::bigint
  and (l.arrivals is null or %(arrival)s = any(l.arrivals))
order by b.sequence
"""

# Keys that begin or end like the one that was not found; which of them are near is decided by whoever asks.
LIKE_KEYS = """
select distinct s.name as source, i.key from item i join source s on s.id = i.source_id
where (%(source)s::text is null or s.name = %(source)s) and (i.key like %(head)s or i.key like %(tail)s)
limit 2000
"""
