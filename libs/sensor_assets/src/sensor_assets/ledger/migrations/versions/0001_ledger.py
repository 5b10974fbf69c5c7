"""The ledger: sources, their log of arrivals, consumers, batches, quarantine."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
create table source (
    id integer generated always as identity primary key,
    name text not null unique,
    arrivals bigint not null default 0,
    scans bigint not null default 0,
    gone bigint not null default 0,
    position jsonb,
    failures integer not null default 0,
    failing_since timestamptz,
    error text,
    scanned_at timestamptz,
    due_at timestamptz,
    listed_at timestamptz
);
comment on column source.arrivals is
    'The last arrival number given; grows only under this row''s lock, so commit order is arrival order';
comment on column source.scans is 'Number of scans begun; only the newest may record';
comment on column source.listed_at is 'When scans had shown all that the source held for the first time';
comment on column source.gone is
    'Number of arrivals noticed gone; while this and arrivals stand still, a page without news stays without';

-- Eight bytes a row are eight megabytes a million items, so: wide columns first; no null in the item of an object
-- store, because one null lengthens the row by eight bytes; full pages in the indexes that only grow at their ends; the
-- index of partitions without the arrival, so that equal entries share one.
create table item (
    arrival bigint not null,
    size bigint not null,
    modified timestamptz,
    seen_at timestamptz not null,
    source_id integer not null,
    key text collate "C" not null,
    version bytea not null,
    partition text collate "C",
    metadata text not null default '',
    primary key (source_id, arrival) with (fillfactor = 100)
);
comment on table item is 'The log: one row for each version of each thing, never changed';
comment on column item.version is 'A quoted MD5 (the usual ETag) as its 16 bytes, else UTF-8; see _version.py';
comment on column item.metadata is 'JSON, or the empty text for none';
create index item_newest on item (source_id, key, arrival desc) with (fillfactor = 97);
create index item_partition on item (source_id, partition) with (fillfactor = 100) where partition is not null;

create table consumer (
    id integer generated always as identity primary key,
    name text not null unique,
    looked text collate "C",
    held text
);
comment on column consumer.looked is
    'The last partition that a decision looked at, when more wait than it looks at; the next one goes on after it';
comment on column consumer.held is 'Why the consumer held what waits when it decided last, or null';

create table consumer_position (
    consumer_id integer not null references consumer,
    source_id integer not null references source,
    arrival bigint,
    start_from text collate "C",
    history bigint,
    before_start bigint not null default 0,
    released bigint not null default 0,
    all_versions boolean not null default false,
    primary key (consumer_id, source_id)
);
comment on column consumer_position.arrival is
    'The last arrival in a batch, parked or set aside; null until the source was listed and the consumer can begin';
comment on column consumer_position.start_from is 'The date at which the consumer starts in the history, or null';
comment on column consumer_position.history is 'The last arrival that was there when the consumer began';
comment on column consumer_position.before_start is
    'How many arrivals up to the position were there when the consumer began and lie before its start';
comment on column consumer_position.released is
    'The last arrival that may be processed without waiting for the consumer''s other sources';
comment on column consumer_position.all_versions is 'A newer version replaces nothing: the source can show every one';

create table parked (
    consumer_id integer not null references consumer,
    source_id integer not null,
    arrival bigint not null,
    partition text collate "C" not null,
    seen_at timestamptz not null,
    primary key (consumer_id, source_id, arrival)
);
create index parked_partition on parked (consumer_id, partition, seen_at);
comment on table parked is
    'Arrivals that a consumer''s position has passed and that wait: for a partition, for another source, for a route; or
    that a person let out of quarantine, to be decided on anew';
comment on column parked.seen_at is 'Since when it waits: since it was first seen, or was let out of quarantine';
comment on column parked.partition is 'As in item; empty for an item without one';

create table monitor (
    name text primary key,
    epoch bigint not null default 0
);

create table batch (
    id uuid primary key,
    sequence bigint generated always as identity,
    consumer_id integer not null references consumer,
    state text not null check (state in ('waiting', 'emitted', 'done', 'split', 'quarantined', 'skipped')),
    origin text not null default 'arrivals' check (origin in ('arrivals', 'replay', 'release', 'rebuild')),
    halved boolean not null default false,
    route text,
    partitions text[] not null,
    replaces uuid[] not null default '{}',
    replaced_by uuid,
    items integer not null,
    rejected integer not null default 0,
    bytes bigint not null,
    attempt integer not null default 0,
    failures integer not null default 0,
    monitor text,
    epoch bigint not null default 0,
    not_before timestamptz,
    first_failed_at timestamptz,
    created_at timestamptz not null,
    finished_at timestamptz,
    run_id text,
    error text,
    reason text
);
create index batch_open on batch (consumer_id, sequence) where state in ('waiting', 'emitted');
create index batch_finished on batch (consumer_id, finished_at) where state = 'done';

comment on column batch.reason is 'Why the batch was skipped';
comment on column batch.origin is 'Why the batch was cut; halves have that of the whole';
comment on column batch.halved is 'Half of a batch that kept failing';
comment on column batch.replaces is
    'The batches whose effect this one takes the place of: halved on the way to it, or processed again by it';
comment on column batch.replaced_by is
    'The batch that processes this one''s items again; of the batches that hold an arrival one at most has none';

create table slice (
    batch_id uuid not null references batch on delete cascade,
    source_id integer not null,
    first_arrival bigint not null,
    last_arrival bigint not null,
    items integer not null,
    arrivals bigint[],
    primary key (batch_id, source_id)
);
create index slice_range on slice using gist (int8range(first_arrival, last_arrival, '[]'));
comment on column slice.arrivals is 'The numbers taken, or null for all from first to last';

create table listing_page (
    source_id integer not null,
    last bytea not null,
    keys integer not null,
    digest bytea not null,
    primary key (source_id, last)
);
create index listing_page_doubtful on listing_page (source_id, last) where digest = '';
comment on table listing_page is
    'The page map: what the store answered for the keys after the previous page''s last key up to this page''s';
comment on column listing_page.last is 'The UTF-8 bytes of the key: stores sort by them, and a key may hold a NUL';
comment on column listing_page.digest is 'Empty: the page is in doubt, the next scan lists it again';

create table message (
    source_id integer not null,
    received_at timestamptz not null,
    id text collate "C" not null,
    body bytea not null,
    primary key (source_id, id)
);
comment on table message is
    'Bodies of messages that their queue has forgotten; an item names its message in its metadata';

create table gone (
    source_id integer not null,
    arrival bigint not null,
    noticed_at timestamptz not null,
    primary key (source_id, arrival)
);
comment on table gone is
    'Arrivals that a run did not find any more; when the thing returns it is new, even with the same version';

create table quarantine (
    source_id integer not null,
    arrival bigint not null,
    consumer_id integer not null references consumer,
    reason text not null,
    batch_id uuid,
    since timestamptz not null,
    released_at timestamptz,
    primary key (source_id, arrival, consumer_id)
);
"""

STATUS = """
create view source_status as
-- What a newer version replaced is not counted, as nobody has to look after it; nor is what waits all the same.
with aside as (
    select q.consumer_id, q.source_id, q.arrival
    from quarantine q join consumer_position p on (p.consumer_id, p.source_id) = (q.consumer_id, q.source_id)
    join item i on (i.source_id, i.arrival) = (q.source_id, q.arrival)
    where q.released_at is null and q.arrival <= p.arrival
      -- Where all versions count, one is replaced when it arrives once more, with the place that it has by then.
      and not exists (
          select 1 from item n where n.source_id = i.source_id and n.key = i.key and n.arrival > i.arrival
                                 and (n.version = i.version or not p.all_versions))
      and not exists (
          select 1 from parked k where k.consumer_id = q.consumer_id and k.source_id = q.source_id
                                   and k.arrival = q.arrival)
), open_slices as (
    select b.consumer_id, l.source_id, b.state, b.origin, b.created_at, l.first_arrival, l.last_arrival, l.arrivals,
           l.items
    from batch b join slice l on l.batch_id = b.id where b.state in ('waiting', 'emitted')
), in_batches as (
    select o.consumer_id, o.source_id,
           coalesce(sum(o.items) filter (where o.state = 'waiting'), 0) as queued,
           coalesce(sum(o.items) filter (where o.state = 'emitted'), 0) as in_flight,
           -- An arrival that is set aside and in an open batch as well counts as what the batch is.
           coalesce(sum((
               select count(*) from aside q
               where q.source_id = o.source_id and q.consumer_id = o.consumer_id
                 and q.arrival between o.first_arrival and o.last_arrival
                 -- Not "any": that would unpack the array for each row.
                 and (o.arrivals is null or q.arrival in (select unnest(o.arrivals))))), 0) as quarantined,
           -- What is done again waits since that was asked for.
           min(case when o.origin = 'arrivals' then (
                   select i.seen_at from item i where i.source_id = o.source_id and i.arrival = o.first_arrival)
               else o.created_at end) as oldest
    from open_slices o group by o.consumer_id, o.source_id
), set_aside as (
    select consumer_id, source_id, count(*) as quarantined from aside group by consumer_id, source_id
), waiting as (
    select consumer_id, source_id, count(*) as items, min(seen_at) as oldest from parked group by consumer_id, source_id
), counted as (
    select s.name as source, c.name as consumer, s.arrivals as seen,
           greatest(s.arrivals - at.arrival, 0) as behind, at.arrival - at.before_start as taken, at.before_start,
           coalesce(b.queued, 0) + coalesce(w.items, 0) as queued, coalesce(b.in_flight, 0) as in_flight,
           coalesce(a.quarantined, 0) - coalesce(b.quarantined, 0) as quarantined,
           least(b.oldest, w.oldest, (select i.seen_at from item i
                                      where i.source_id = s.id and i.arrival = at.arrival + 1)) as oldest,
           s.failures = 0 as healthy, s.error
    from consumer_position p join source s on s.id = p.source_id join consumer c on c.id = p.consumer_id
    -- Who has not begun yet, and will begin behind what is there then, waits for none of it.
    cross join lateral (select p.arrival is null and p.start_from is null as begins_behind) not_yet
    cross join lateral (
        select case when begins_behind then s.arrivals else coalesce(p.arrival, 0) end as arrival,
               case when begins_behind then s.arrivals else p.before_start end as before_start) at
    left join in_batches b on (b.consumer_id, b.source_id) = (p.consumer_id, p.source_id)
    left join waiting w on (w.consumer_id, w.source_id) = (p.consumer_id, p.source_id)
    left join set_aside a on (a.consumer_id, a.source_id) = (p.consumer_id, p.source_id)
)
select source, consumer, seen, (behind + queued)::bigint as waiting, in_flight::bigint as in_flight,
       (taken - queued - in_flight - quarantined)::bigint as done, quarantined::bigint as quarantined, before_start,
       coalesce(extract(epoch from now() - oldest), 0)::double precision as lag_seconds, healthy, error
from counted
"""


def upgrade() -> None:
    """Create the tables and the view in the schema that the connection works in."""
    op.execute(TABLES)
    op.execute(STATUS)


def downgrade() -> None:
    """Refuse: dropping the ledger would lose what was done."""
    raise NotImplementedError("the ledger is not dropped by a migration; drop its schema by hand if you mean it")
