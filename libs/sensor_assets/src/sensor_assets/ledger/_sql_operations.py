"""Statements of what people do to the ledger by hand. Names are resolved by the connection's search_path."""

from sensor_assets._items import MESSAGE

PATIENCE = "set local lock_timeout = '30s'"

NAMES = """
select 'source' as kind, name from source union all select 'consumer', name from consumer
"""

ROUTES = """
select distinct b.route as name from batch b join consumer c on c.id = b.consumer_id
where b.route is not null and (%(consumer)s::text is null or c.name = %(consumer)s)
"""

PARTITIONS = """
select distinct unnest(b.partitions) as name from batch b join consumer c on c.id = b.consumer_id
where %(consumer)s::text is null or c.name = %(consumer)s
"""

# Emitting takes the same locks, so whatever cuts batches or takes them over does so alone.
LOCK_CONSUMERS = """
select 1 from consumer_position p join consumer c on c.id = p.consumer_id
where %(consumer)s::text is null or c.name = %(consumer)s
order by p.consumer_id, p.source_id for update of p
"""

NUMBERS = """
(select unnest(l.arrivals) as arrival where l.arrivals is not null
 union all select generate_series(l.first_arrival, l.last_arrival) where l.arrivals is null)
"""

SELECTED_ITEM = """
(%(source)s::text is null or s.name = %(source)s) and (%(key)s::text is null or i.key like %(key)s)
and (%(since)s::timestamptz is null or i.seen_at >= %(since)s)
and (%(until)s::timestamptz is null or i.seen_at < %(until)s)
"""

_BATCH = """
select b.id::text, c.name as consumer, b.state, b.origin, b.halved, b.route, b.partitions, b.replaces::text[],
       b.replaced_by::text, b.bytes, b.attempt, b.failures, b.not_before, b.first_failed_at, b.epoch,
       l.source_id, l.first_arrival, l.last_arrival, l.arrivals
from batch b join consumer c on c.id = b.consumer_id left join slice l on l.batch_id = b.id
"""

SELECTED_BATCH = """
(%(consumer)s::text is null or c.name = %(consumer)s) and (%(route)s::text is null or b.route = %(route)s)
and (%(partition)s::text is null or %(partition)s = any(b.partitions))
"""

# The pieces put together below are constants of this module, no values.
REPLAYABLE = f"""
{_BATCH}
where b.state = 'done' and b.origin <> 'rebuild' and b.replaced_by is null and {SELECTED_BATCH}
  and (not %(by_item)s or exists (
      select 1 from slice l cross join lateral {NUMBERS} n
      join item i on i.source_id = l.source_id and i.arrival = n.arrival join source s on s.id = i.source_id
      where l.batch_id = b.id and {SELECTED_ITEM}))
order by b.sequence, l.source_id for update of b
"""  # noqa: S608

OPEN_REPLAYS = f"""
select count(distinct o.id) as number
from batch b join consumer c on c.id = b.consumer_id
join batch o on b.id = any(o.replaces) and o.state in ('waiting', 'emitted')
where b.state = 'done' and {SELECTED_BATCH}
"""  # noqa: S608

TAKE_OVER = "update batch set replaced_by = %(by)s where id = any(%(replaced)s::uuid[])"

OUTDATED = f"""
select count(*) filter (where exists (
           select 1 from item o where o.source_id = i.source_id and o.key = i.key and o.arrival > i.arrival)
       ) as superseded,
       count(*) filter (where exists (
           select 1 from gone g where g.source_id = i.source_id and g.arrival = i.arrival)
       ) as gone
from slice l cross join lateral {NUMBERS} n
join item i on i.source_id = l.source_id and i.arrival = n.arrival
where l.batch_id = any(%(batches)s::uuid[])
"""  # noqa: S608

# What a router skipped without naming an outlet belongs to none.
RANGES = f"""
select distinct b.route, b.partitions from batch b join consumer c on c.id = b.consumer_id
where {SELECTED_BATCH} and (b.state <> 'skipped' or b.route is not null)
"""  # noqa: S608

WAITING_REBUILDS = """
select b.route, b.partitions from batch b join consumer c on c.id = b.consumer_id
where b.origin = 'rebuild' and b.state = 'waiting' and c.name = %(consumer)s
"""

# What a newer version replaced is left out: it is not to be processed any more.
QUARANTINED = f"""
select q.source_id, q.arrival, q.consumer_id, c.name as consumer, s.name as source, i.key, i.partition, i.seen_at,
       q.reason, q.since, q.batch_id::text, i.metadata,
       b.state = 'quarantined' and b.replaced_by is null as alone, h.id::text as holder, h.state as holder_state
from quarantine q join consumer c on c.id = q.consumer_id
join item i on i.source_id = q.source_id and i.arrival = q.arrival join source s on s.id = i.source_id
left join batch b on b.id = q.batch_id
left join consumer_position p on p.consumer_id = q.consumer_id and p.source_id = q.source_id
left join lateral (
    select b.id, b.state from slice l join batch b on b.id = l.batch_id
    where b.consumer_id = q.consumer_id and b.replaced_by is null
      and b.state in ('waiting', 'emitted', 'done', 'skipped')
      and l.source_id = q.source_id and int8range(l.first_arrival, l.last_arrival, '[]') @> q.arrival
      and (l.arrivals is null or q.arrival = any(l.arrivals)) limit 1) h on true
where q.released_at is null and (%(consumer)s::text is null or c.name = %(consumer)s) and {SELECTED_ITEM}
  and not exists (
      select 1 from item n where n.source_id = i.source_id and n.key = i.key and n.arrival > i.arrival
                             and (n.version = i.version or not coalesce(p.all_versions, false)))
"""  # noqa: S608

LIST_QUARANTINED = QUARANTINED + " order by s.name, c.name, q.arrival limit %(limit)s"
LOCK_QUARANTINED = QUARANTINED + " order by q.source_id, q.arrival, q.consumer_id for update of q"

_THESE = """
unnest(%(sources)s::int[], %(arrivals)s::bigint[], %(consumers)s::int[]) as t (source_id, arrival, consumer_id)
"""

RELEASE = f"""
update quarantine q set released_at = %(now)s from {_THESE}
where (q.source_id, q.arrival, q.consumer_id) = (t.source_id, t.arrival, t.consumer_id)
"""  # noqa: S608

# What a consumer has not come to yet waits in the log anyway, and what it parked is parked.
PARK = f"""
insert into parked (consumer_id, source_id, arrival, partition, seen_at)
select t.consumer_id, t.source_id, t.arrival, coalesce(i.partition, ''), %(now)s
from {_THESE} join item i on (i.source_id, i.arrival) = (t.source_id, t.arrival)
join consumer_position p on (p.consumer_id, p.source_id) = (t.consumer_id, t.source_id)
where t.arrival <= p.arrival
on conflict do nothing
"""  # noqa: S608

BATCHES = f"{_BATCH} where b.id = any(%(batches)s::uuid[]) order by b.sequence, l.source_id"

FORGET_SLICES = "delete from slice where batch_id = %(batch)s"

SET_ITEMS = "update batch set items = %(items)s where id = %(batch)s"

# The scan that runs now, if one does, would store what it has seen over what is forgotten here. Whose listing has pages
# in doubt need not begin anew.
LOOK_AGAIN = """
update source s set due_at = null, scans = scans + 1,
    position = case when exists (select 1 from listing_page p where p.source_id = s.id) then s.position end
where s.id = any(%(sources)s)
"""

RETRY = f"""
update batch b set not_before = null
from batch w join consumer c on c.id = w.consumer_id
where w.id = b.id and b.state = 'waiting' and b.not_before > %(now)s
  and {SELECTED_BATCH} and (%(batch)s::text is null or starts_with(b.id::text, %(batch)s))
  and (not %(by_item)s or exists (
      select 1 from slice l cross join lateral {NUMBERS} n
      join item i on i.source_id = l.source_id and i.arrival = n.arrival join source s on s.id = i.source_id
      where l.batch_id = b.id and {SELECTED_ITEM}))
returning b.id::text, c.name as consumer, b.attempt, b.failures, w.not_before, b.error
"""  # noqa: S608

# A router's batches say which asset an item went to, or why to none, so they stay as long as one of their items is the
# newest of its key. A batch that another one replaces must outlive that one.
PRUNE_BATCHES = """
delete from batch b
where b.state in ('done', 'split', 'quarantined', 'skipped') and b.finished_at < %(before)s
  and not exists (
      select 1 from batch o where b.id = any(o.replaces) and o.state in ('waiting', 'emitted', 'quarantined'))
  and not (b.state = 'quarantined'
           and exists (select 1 from quarantine q where q.batch_id = b.id and q.released_at is null))
  and ((b.route is null and b.state <> 'skipped') or not exists (
      select 1 from slice l join item i on i.source_id = l.source_id
                            and i.arrival between l.first_arrival and l.last_arrival
      where l.batch_id = b.id and (l.arrivals is null or i.arrival = any(l.arrivals)) and not exists (
          select 1 from item n where n.source_id = i.source_id and n.key = i.key and n.arrival > i.arrival)))
"""

# What a batch that is still there holds stays, so that every batch can be processed again as a whole; so does every
# version of a source that shows old ones again. Of a message only the body goes: by its id it is known when its queue
# delivers it once more.
PRUNE_ITEMS = f"""
with held as materialized (
    select l.source_id, n.arrival from slice l cross join lateral {NUMBERS} n
), doomed as (
    select i.source_id, i.arrival, substring(i.metadata from '"{MESSAGE}": "([^"]*)"') as message from item i
    where i.seen_at < %(before)s
      and exists (select 1 from item n where n.source_id = i.source_id and n.key = i.key and n.arrival > i.arrival)
      and not exists (
          select 1 from consumer_position p
          where p.source_id = i.source_id and (coalesce(p.arrival, 0) < i.arrival or p.all_versions))
      and not exists (select 1 from parked k where k.source_id = i.source_id and k.arrival = i.arrival)
      and not exists (select 1 from held h where h.source_id = i.source_id and h.arrival = i.arrival)
), notes as (
    delete from gone g using doomed d where d.source_id = g.source_id and d.arrival = g.arrival
), bodies as (
    update message m set body = '' from doomed d where d.source_id = m.source_id and d.message = m.id
), reasons as (
    delete from quarantine q using doomed d where d.source_id = q.source_id and d.arrival = q.arrival
)
delete from item i using doomed d where d.source_id = i.source_id and d.arrival = i.arrival
"""  # noqa: S608
