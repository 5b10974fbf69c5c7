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
    position jsonb,
    failures integer not null default 0,
    failing_since timestamptz,
    error text,
    scanned_at timestamptz,
    due_at timestamptz
);
comment on column source.arrivals is
    'The last arrival number given; grows only under this row''s lock, so commit order is arrival order';
comment on column source.scans is 'Number of scans begun; only the newest may record';

create table item (
    source_id integer not null,
    arrival bigint not null,
    size bigint not null,
    modified timestamptz,
    seen_at timestamptz not null,
    key text collate "C" not null,
    version text collate "C" not null,
    partition text collate "C",
    metadata jsonb,
    primary key (source_id, arrival)
);
comment on table item is 'The log: one row for each version of each thing, never changed';
create index item_newest on item (source_id, key, arrival desc) include (version);
create index item_partition on item (source_id, partition, arrival) where partition is not null;

create table consumer (
    id integer generated always as identity primary key,
    name text not null unique
);

create table consumer_position (
    consumer_id integer not null references consumer,
    source_id integer not null references source,
    arrival bigint not null default 0,
    primary key (consumer_id, source_id)
);
comment on column consumer_position.arrival is 'The last arrival that is in a batch or set aside';

create table monitor (
    name text primary key,
    epoch bigint not null default 0
);

create table batch (
    id uuid primary key,
    sequence bigint generated always as identity,
    consumer_id integer not null references consumer,
    state text not null check (state in ('waiting', 'emitted', 'done', 'split', 'quarantined')),
    route text,
    partitions text[] not null,
    replaces uuid[] not null default '{}',
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
    error text
);
create index batch_open on batch (consumer_id, sequence) where state in ('waiting', 'emitted');
create index batch_finished on batch (consumer_id, finished_at) where state = 'done';

comment on column batch.replaces is 'The batches that were halved on the way to this one, the first of them first';

create table slice (
    batch_id uuid not null references batch on delete cascade,
    source_id integer not null,
    first_arrival bigint not null,
    last_arrival bigint not null,
    arrivals bigint[],
    primary key (batch_id, source_id)
);
comment on column slice.arrivals is 'The numbers taken, or null for all from first to last';

create table listing_page (
    source_id integer not null,
    last text collate "C" not null,
    keys integer not null,
    digest bytea not null,
    primary key (source_id, last)
);
comment on table listing_page is
    'The page map: what the store answered for the keys after the previous page''s last key up to this page''s';

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
with follows as (
    select s.id as source_id, s.name as source, c.id as consumer_id, c.name as consumer, s.arrivals as seen,
           greatest(s.arrivals - p.arrival, 0) as behind, p.arrival as position,
           s.failures = 0 as healthy, s.error
    from consumer_position p join source s on s.id = p.source_id join consumer c on c.id = p.consumer_id
), open_slices as (
    select b.consumer_id, l.source_id, b.state, l.first_arrival, l.last_arrival, l.arrivals,
           coalesce(cardinality(l.arrivals), l.last_arrival - l.first_arrival + 1) as items
    from batch b join slice l on l.batch_id = b.id where b.state in ('waiting', 'emitted')
), counted as (
    select f.*,
           coalesce((select sum(o.items) from open_slices o where o.consumer_id = f.consumer_id
                     and o.source_id = f.source_id and o.state = 'waiting'), 0) as queued,
           coalesce((select sum(o.items) from open_slices o where o.consumer_id = f.consumer_id
                     and o.source_id = f.source_id and o.state = 'emitted'), 0) as in_flight,
           (select count(*) from quarantine q where q.consumer_id = f.consumer_id
            and q.source_id = f.source_id and q.released_at is null and q.arrival <= f.position
            and not exists (
                select 1 from open_slices o where o.consumer_id = f.consumer_id and o.source_id = f.source_id
                and q.arrival between o.first_arrival and o.last_arrival
                and (o.arrivals is null or q.arrival = any(o.arrivals)))) as quarantined,
           least((select min(i.seen_at) from item i join open_slices o on o.source_id = i.source_id
                  and o.first_arrival = i.arrival
                  where o.consumer_id = f.consumer_id and o.source_id = f.source_id),
                 (select i.seen_at from item i
                  where i.source_id = f.source_id and i.arrival = f.position + 1)) as oldest
    from follows f
)
select source, consumer, seen::bigint as seen, (behind + queued)::bigint as waiting, in_flight::bigint as in_flight,
       (seen - behind - queued - in_flight - quarantined)::bigint as done, quarantined::bigint as quarantined,
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
