"""The ledger's statements. Names are resolved by the connection's search_path: the team's schema."""

from sensor_assets.ledger._starting import BEFORE_START

REGISTER_SOURCES = """
insert into source (name) select unnest(%(names)s::text[]) on conflict (name) do nothing
"""

SOURCES = """
select id, name, arrivals, gone, position, failures, failing_since, error, scanned_at, due_at, listed_at
from source where name = any(%(names)s)
"""

# Rows are locked in the order of their ids, so that two evaluations at once do not wait for each other.
BEGIN_SCANS = """
with begun as (select id from source where id = any(%(sources)s) order by id for update)
update source s set scans = s.scans + 1 from begun where s.id = begun.id
returning s.id, s.scans, s.position, s.arrivals, s.gone
"""

# The newest version of each key; none for one that was gone when a run looked for it.
KNOWN = """
select key, version from (
    select distinct on (key) key, version, arrival from item where source_id = %(source)s order by key, arrival desc
) i where not exists (select 1 from gone g where g.source_id = %(source)s and g.arrival = i.arrival)
"""

KNOWN_OF_KEYS = """
select asked.key, newest.version
from json_array_elements_text(%(keys)s::json) as asked (key)
cross join lateral (
    select i.version, i.arrival from item i where i.source_id = %(source)s and i.key = asked.key collate "C"
    order by i.arrival desc limit 1) newest
where not exists (select 1 from gone g where g.source_id = %(source)s and g.arrival = newest.arrival)
"""

# Whether an item says that the thing is no longer there. The case keeps all others from being read as JSON.
_DELETED = """
case when i.metadata like '%%sensor_assets/deleted%%'
     then coalesce((i.metadata::jsonb ->> 'sensor_assets/deleted')::boolean, false) else false end
"""

# The same for keys of several sources, asked as [number of the page, source, key].
KNOWN_OF_PAGES = """
select (asked.part ->> 0)::int, asked.part ->> 2, newest.version
from json_array_elements(%(asked)s::json) as asked (part)
cross join lateral (
    select i.version, i.arrival from item i
    where i.source_id = (asked.part ->> 1)::int and i.key = (asked.part ->> 2) collate "C"
    order by i.arrival desc limit 1) newest
where not exists (
    select 1 from gone g where g.source_id = (asked.part ->> 1)::int and g.arrival = newest.arrival)
"""

# The newest of each key, in order of key. The comparison is one that the index item_newest answers.
LIVE = f"""
select i.*, (select name from source where id = %(source)s) as source from (
    select distinct on (key) source_id, arrival, key, version, size, modified, partition, metadata from item
    where source_id = %(source)s and key > coalesce(%(after)s::text, '') collate "C"
    order by key, arrival desc
) i
where not {_DELETED}
  and not exists (select 1 from gone g where g.source_id = i.source_id and g.arrival = i.arrival)
order by i.key limit %(limit)s
"""  # noqa: S608

KEEP_MESSAGES = """
insert into message (source_id, id, body, received_at)
select %(source)s, id, body, %(now)s from unnest(%(ids)s::text[], %(bodies)s::bytea[]) as t (id, body)
on conflict do nothing returning id
"""

MESSAGES = """
select m.id, m.body from message m join source s on s.id = m.source_id
where s.name = %(source)s and m.id = any(%(ids)s)
"""

# Newest first within a key; a version that is gone counts as none.
KNOWN_BETWEEN = """
select i.key, case when not exists (
    select 1 from gone g where g.source_id = %(source)s and g.arrival = i.arrival) then i.version end
from item i
where i.source_id = %(source)s and i.key >= %(first)s::text collate "C" and i.key <= %(last)s::text collate "C"
order by i.key, i.arrival desc limit %(limit)s
"""

# The lock is what makes commit order arrival order, and what makes comparing and appending one step.
LOCK_SCAN = """
select arrivals, position from source where id = %(source)s and scans = %(number)s for update
"""

MOVE_SOURCE = """
update source set arrivals = arrivals + %(new)s, position = %(position)s where id = %(source)s
"""

APPEND = """
copy item (source_id, arrival, size, modified, seen_at, key, version, partition, metadata) from stdin (format binary)
"""
APPEND_TYPES = ("int4", "int8", "int8", "timestamptz", "timestamptz", "text", "bytea", "text", "text")

# Keys of a listing are kept as bytes: they sort as stores sort, and may hold what no text in Postgres can.
FORGET_PAGES = """
delete from listing_page
where source_id = %(source)s and last >= %(start)s::bytea
  and (%(until)s::bytea is null or last <= %(until)s::bytea)
"""

REMEMBER_PAGES = """
insert into listing_page (source_id, last, keys, digest)
select %(source)s, * from unnest(%(lasts)s::bytea[], %(keys)s::int[], %(digests)s::bytea[])
"""

PAGES_FROM = """
select last, keys, digest from listing_page
where source_id = %(source)s and last >= %(start)s::bytea order by last limit %(limit)s
"""

PAGES_BEFORE = """
select last, keys, digest from listing_page
where source_id = %(source)s and last < %(key)s::bytea order by last desc limit %(limit)s
"""

LAST_PAGES = """
select last, keys, digest from listing_page where source_id = %(source)s order by last desc limit %(limit)s
"""

DOUBTFUL_PAGES = """
select last from listing_page where source_id = %(source)s and digest = '' order by last limit %(limit)s
"""

DOUBT_PAGE = """
update listing_page p set digest = ''
where p.source_id = %(source)s and p.last = (
    select min(n.last) from listing_page n where n.source_id = %(source)s and n.last >= %(key)s::bytea)
"""

RECORDED = """
select distinct i.key, i.version from json_array_elements_text(%(keys)s::json) as asked (key)
join item i on i.source_id = %(source)s and i.key = asked.key collate "C"
where not exists (select 1 from gone g where g.source_id = i.source_id and g.arrival = i.arrival)
"""

END_SCANS = """
with ended as (
    select * from unnest(%(sources)s::int[], %(numbers)s::bigint[], %(dues)s::timestamptz[], %(errors)s::text[],
                         %(listed)s::bool[])
             as t (id, number, due_at, error, listed)
), newest as (
    select s.id from source s join ended e on e.id = s.id and e.number = s.scans order by s.id for update of s
)
update source s set
    scanned_at = case when e.error is null then %(now)s else s.scanned_at end,
    failures = case when e.error is null then 0 else s.failures + 1 end,
    failing_since = case when e.error is null then null else coalesce(s.failing_since, %(now)s) end,
    error = e.error, due_at = e.due_at,
    listed_at = case when e.listed then coalesce(s.listed_at, %(now)s) else s.listed_at end
from ended e join newest n on n.id = e.id
where s.id = e.id and s.scans = e.number
returning s.id, s.name, s.arrivals, s.gone, s.position, s.failures, s.failing_since, s.error, s.scanned_at, s.due_at,
          s.listed_at
"""

RETRY_SOURCES = """
update source set due_at = null where name = any(%(names)s) and failures > 0
"""

REGISTER_CONSUMERS = """
with asked as (
    select * from unnest(%(names)s::text[], %(sources)s::int[], %(histories)s::bool[], %(starts)s::text[],
                         %(versions)s::bool[]) as t (name, source_id, history, start_from, all_versions)
),
made as (insert into consumer (name) select distinct name from asked on conflict (name) do nothing returning id, name),
have as (select id, name from made union select c.id, c.name from consumer c join asked a on a.name = c.name)
insert into consumer_position (consumer_id, source_id, arrival, start_from, all_versions)
select h.id, a.source_id, case when a.history then 0 end, a.start_from, a.all_versions
from asked a join have h on h.name = a.name
on conflict (consumer_id, source_id) do update set all_versions = excluded.all_versions
where consumer_position.all_versions <> excluded.all_versions
"""

REGISTER_MONITOR = """
insert into monitor (name) values (%(monitor)s) on conflict do nothing
"""

# Whether there is anything to decide or to repeat. What is in flight needs no decision.
IDLE = """
select not exists (
    select 1 from consumer_position p join consumer c on c.id = p.consumer_id join source s on s.id = p.source_id
    where c.name = any(%(consumers)s)
      and (s.arrivals > p.arrival or (p.arrival is null and s.listed_at is not null))
) and not exists (
    select 1 from batch b join consumer c on c.id = b.consumer_id
    where c.name = any(%(consumers)s) and b.state = 'waiting'
) and not exists (
    select 1 from parked k join consumer c on c.id = k.consumer_id where c.name = any(%(consumers)s)
) as idle from monitor where name = %(monitor)s and epoch = %(epoch)s
"""

LOCK_MONITOR = """
select epoch from monitor where name = %(monitor)s for update
"""

SET_EPOCH = """
update monitor set epoch = %(epoch)s where name = %(monitor)s
"""

OPEN_BATCHES = """
select b.id::text, c.name as consumer, b.state, b.origin, b.halved, b.route, b.partitions, b.replaces::text[],
       b.replaced_by::text, b.bytes, b.attempt, b.failures, b.not_before, b.first_failed_at, b.epoch, b.monitor,
       l.source_id, l.first_arrival, l.last_arrival, l.arrivals
from batch b join consumer c on c.id = b.consumer_id left join slice l on l.batch_id = b.id
where b.state in ('waiting', 'emitted') and c.name = any(%(consumers)s)
order by b.sequence, l.source_id
"""

ONE_BATCH = """
select b.id::text, c.name as consumer, b.state, b.origin, b.halved, b.route, b.partitions, b.replaces::text[],
       b.replaced_by::text, b.bytes, b.attempt, b.failures, b.not_before, b.first_failed_at, b.epoch, b.monitor,
       l.source_id, l.first_arrival, l.last_arrival, l.arrivals
from batch b join consumer c on c.id = b.consumer_id left join slice l on l.batch_id = b.id
where b.id = %(batch)s order by l.source_id
"""

# The lock is for consumers that move from one monitor to another: two monitors never cut one log at the same time.
LOCK_POSITIONS = """
select c.name as consumer, c.id as consumer_id, c.looked, c.held, p.source_id, p.arrival, p.released, s.name as source,
       s.arrivals > p.arrival as behind, s.arrivals as last,
       p.start_from, p.history, p.arrival is null and s.listed_at is not null as begins,
       exists (select 1 from parked k where k.consumer_id = p.consumer_id) as parked
from consumer_position p join consumer c on c.id = p.consumer_id join source s on s.id = p.source_id
where c.name = any(%(consumers)s) order by p.consumer_id, p.source_id for update of p
"""

PENDING = f"""
select i.source_id, i.arrival, i.key, i.version, i.size, i.modified, i.partition, i.metadata, i.seen_at,
       s.name as source
from item i join source s on s.id = i.source_id
where i.source_id = %(source)s and i.arrival > %(arrival)s
  and (%(start_from)s::text is null or i.arrival > %(history)s
       or not {BEFORE_START.format(day="%(start_from)s::text")})
order by i.arrival limit %(limit)s
"""  # noqa: S608

INSERT_BATCH = """
insert into batch
    (id, consumer_id, state, origin, halved, route, partitions, replaces, items, bytes, first_failed_at, created_at,
     reason, finished_at)
select %(id)s, c.id, %(state)s, %(origin)s, %(halved)s, %(route)s, %(partitions)s, %(replaces)s::uuid[], %(items)s,
       %(bytes)s, %(first_failed_at)s, %(now)s, %(reason)s, case when %(state)s = 'skipped' then %(now)s end
from consumer c where c.name = %(consumer)s
"""

INSERT_SLICE = """
insert into slice (batch_id, source_id, first_arrival, last_arrival, arrivals, items)
values (%(batch)s, %(source)s, %(first)s, %(last)s, %(arrivals)s,
        coalesce(cardinality(%(arrivals)s::bigint[]), %(last)s - %(first)s + 1))
"""

EMIT_BATCH = """
update batch set state = 'emitted', attempt = %(attempt)s, epoch = %(epoch)s, monitor = %(monitor)s, not_before = null
where id = %(id)s
"""

NOTE_HELD = "update consumer set held = %(held)s where id = %(consumer)s"

ADVANCE = f"""
update consumer_position p set arrival = %(arrival)s,
    before_start = p.before_start + case when p.start_from is null or p.history <= p.arrival then 0 else (
        select count(*) from item i
        where i.source_id = p.source_id and i.arrival > p.arrival and i.arrival <= least(%(arrival)s, p.history)
          and {BEFORE_START.format(day="p.start_from")}) end
from consumer c
where c.id = p.consumer_id and c.name = %(consumer)s and p.source_id = %(source)s
"""  # noqa: S608

RELEASE = """
update consumer_position set released = %(arrival)s where consumer_id = %(consumer)s and source_id = %(source)s
"""

QUARANTINE = """
insert into quarantine (source_id, arrival, consumer_id, reason, batch_id, since)
select %(source)s, %(arrival)s, c.id, %(reason)s, %(batch)s, %(now)s from consumer c where c.name = %(consumer)s
on conflict (source_id, arrival, consumer_id)
do update set reason = excluded.reason, batch_id = excluded.batch_id, since = excluded.since, released_at = null
"""

SUCCEEDED_SINCE = """
select coalesce((select max(b.finished_at) from batch b
                 where b.consumer_id = (select id from consumer where name = %(consumer)s) and b.state = 'done'
                ) > %(moment)s, false) as found
"""

SETTLE = """
update batch set state = %(state)s, failures = %(failures)s, not_before = %(not_before)s,
    first_failed_at = %(first_failed_at)s, error = %(error)s,
    finished_at = case when %(state)s in ('waiting', 'emitted') then null else %(now)s end
where id = %(id)s and state = 'emitted' and attempt = %(attempt)s
"""

_NOT_QUARANTINED = """
not exists (select 1 from quarantine q join consumer c on c.id = q.consumer_id
            where q.source_id = i.source_id and q.arrival = i.arrival and c.name = %(consumer)s
              and q.released_at is null)
"""

# The pieces put together below are constants of this module, no values. "offset 0" keeps the planner from joining the
# slice with the whole log: it guesses that a range takes a ninth of it. What a run did not find any more is left out:
# should it be there again, it arrives anew.
BATCH_ITEMS = f"""
select i.source_id, i.arrival, i.key, i.version, i.size, i.modified, i.partition, i.metadata, s.name as source
from slice l cross join lateral (
    select * from item i where i.source_id = l.source_id and i.arrival between l.first_arrival and l.last_arrival
      and (l.arrivals is null or i.arrival = any(l.arrivals)) offset 0) i
join source s on s.id = i.source_id
where l.batch_id = %(batch)s
  and not exists (select 1 from gone g where g.source_id = i.source_id and g.arrival = i.arrival)
  and (s.name = any(%(all_versions)s::text[]) or not exists (
      select 1 from item n where n.source_id = i.source_id and n.key = i.key and n.arrival > i.arrival))
  and {_NOT_QUARANTINED}
order by i.source_id, i.arrival
"""  # noqa: S608

# A key belongs where its newest version does: one that moved to another partition is left out of the one that it left.
# A batch that failed, or is half of one, may hold the item that is to blame: its items are left out of what others
# rebuild until it is done, so that they do not fail with it.
NEWEST_ITEMS = f"""
select i.source_id, i.arrival, i.key, i.version, i.size, i.modified, i.partition, i.metadata, s.name as source
from item i join source s on s.id = i.source_id
where i.source_id = any(%(sources)s)
  and (%(start)s::text is null or (i.partition >= %(start)s and i.partition < %(stop)s)
       or (%(stop)s::text is null and i.partition = %(start)s))
  and not exists (select 1 from item n where n.source_id = i.source_id and n.key = i.key and n.arrival > i.arrival)
  and {_NOT_QUARANTINED} and not {_DELETED}
  and (%(route)s::text is null or exists (
      select 1 from slice l join batch b on b.id = l.batch_id join consumer c on c.id = b.consumer_id
      where c.name = %(consumer)s and b.route = %(route)s and b.state <> 'split' and l.source_id = i.source_id
        and int8range(l.first_arrival, l.last_arrival, '[]') @> i.arrival
        and (l.arrivals is null or i.arrival = any(l.arrivals))))
  and not exists (select 1 from gone g where g.source_id = i.source_id and g.arrival = i.arrival)
  and not exists (
      select 1 from slice l join batch b on b.id = l.batch_id join consumer c on c.id = b.consumer_id
      where c.name = %(consumer)s and b.state in ('waiting', 'emitted') and (b.failures > 0 or b.halved)
        and b.id is distinct from %(batch)s::uuid and l.source_id = i.source_id
        and i.arrival between l.first_arrival and l.last_arrival
        and (l.arrivals is null or i.arrival = any(l.arrivals)))
order by i.source_id, i.arrival
"""  # noqa: S608

FINISH = """
update batch set state = 'done', finished_at = %(now)s, run_id = %(run)s, rejected = %(rejected)s, error = null
where id = %(batch)s and state in ('waiting', 'emitted')
"""

GONE = """
with noticed as (
    insert into gone (source_id, arrival, noticed_at) values (%(source)s, %(arrival)s, %(now)s) on conflict do nothing
    returning source_id
)
update source s set gone = s.gone + 1 from noticed n where s.id = n.source_id
"""

LOCK_PARTITION = "select pg_advisory_lock(hashtextextended(current_schema() || '/' || %(name)s, 0))"

STATUS = "select * from source_status order by source, consumer"
