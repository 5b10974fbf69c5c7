"""Commands that look: `status`, `items`, `batches`."""

from typing import Any

import click

from sensor_assets.cli.connection import Connection, connected
from sensor_assets.cli.output import (
    Column,
    NothingMatchedError,
    above,
    as_json,
    count,
    dump,
    duration,
    minute,
    show,
    size,
)
from sensor_assets.cli.selecting import selected_by
from sensor_assets.ledger._inspection import Inspection, ItemRow, ItemState
from sensor_assets.ledger._selection import Selection

ITEM_STATES = click.Choice(["waiting", "running", "done", "quarantined", "skipped", "before-start"])
BATCH_STATES = click.Choice(["waiting", "emitted", "done", "split", "quarantined", "skipped"])

limited = click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Rows a page.")
paged = click.option("--page", type=click.IntRange(1), default=1, show_default=True, help="Which page, from 1.")


@click.command()
@as_json
@connected
def status(connection: Connection, *, as_json: bool) -> None:
    """Show what was seen, waits, runs, is done or set aside."""
    with connection.ledger() as ledger:
        rows = ledger.status()
        consumers = {row["consumer"]: row for row in Inspection(ledger).consumers()}
    if as_json:
        dump([{**row, "held": consumers[row["consumer"]]["held"]} for row in rows])
        return
    if not rows:
        click.echo("the ledger is empty: no monitor has looked at a source yet")
        return
    show(
        [
            Column("SOURCE", folds=True),
            Column("CONSUMER", folds=True),
            *(Column(head, number=True) for head in ("SEEN", "WAIT", "RUN", "DONE", "QUAR", "LAG")),
        ],
        [
            [
                row["source"],
                row["consumer"],
                row["seen"],
                row["waiting"],
                row["in_flight"],
                row["done"],
                row["quarantined"],
                duration(row["lag_seconds"]) if row["waiting"] or row["in_flight"] else "-",
            ]
            for row in rows
        ],
    )
    for name, error in {row["source"]: row["error"] for row in rows if not row["healthy"]}.items():
        click.echo(f"\n{name} cannot be read: {error}")
    for row in consumers.values():
        if row["held"]:
            click.echo(f"\n{row['consumer']} holds what waits: {row['held']}")
        if row["waiting"]:
            waiting = count(row["waiting"], "batch", "batches")
            click.echo(f"\n{row['consumer']}: {waiting} to be launched, see `sensor-assets batches --state waiting`")


@click.command()
@selected_by("source", "consumer", "key", "since", "until")
@click.option("--partition", help="Only items of this partition, as their source named it.")
@click.option("--state", type=ITEM_STATES, help="Only items that a consumer is so far with.")
@limited
@paged
@as_json
@connected
def items(
    connection: Connection,
    *,
    selection: Selection,
    partition: str | None,
    state: ItemState | None,
    limit: int,
    page: int,
    as_json: bool,
) -> None:
    """List items, newest first, and how far each consumer is."""
    with connection.inspection() as ledger:
        rows = ledger.items(selection, partition=partition, state=state, limit=limit + 1, skip=(page - 1) * limit)
    more, rows = len(rows) > limit, rows[:limit]
    if as_json:
        dump([_plain(row) for row in rows])
        return
    if not rows:
        raise NothingMatchedError("no item matches")
    show(
        [
            above("SOURCE"),
            above("CONSUMER"),
            Column("KEY", folds=True),
            Column("PARTITION"),
            Column("SIZE", number=True),
            Column("SEEN (UTC)"),
            Column("STATE"),
        ],
        [
            [
                row.item.source,
                row.consumer,
                row.item.key,
                row.item.partition,
                size(row.item.size),
                minute(row.seen_at),
                row.state if row.newest else f"{row.state}, replaced",
            ]
            for row in rows
        ],
    )
    if more:
        click.echo(f"\nmore: --page {page + 1}")


@click.command()
@selected_by("consumer", "route", "partition")
@click.option("--state", type=BATCH_STATES, help="Only batches in this state.")
@limited
@paged
@as_json
@connected
def batches(
    connection: Connection, *, selection: Selection, state: str | None, limit: int, page: int, as_json: bool
) -> None:
    """List batches, the latest first.

    OF says why a batch was cut: arrivals, a replay, a release, a rebuild, or as half of one that kept failing.
    """
    with connection.inspection() as ledger:
        rows = ledger.batches(selection, state=state, limit=limit + 1, skip=(page - 1) * limit)
    more, rows = len(rows) > limit, rows[:limit]
    if as_json:
        dump(rows)
        return
    if not rows:
        raise NothingMatchedError("no batch matches")
    show(
        [
            Column("BATCH"),
            above("CONSUMER"),
            above("ROUTE"),
            Column("OF"),
            Column("STATE"),
            *(Column(head, number=True) for head in ("ITEMS", "TRIES", "FAILED")),
            Column("ERROR OR REASON", folds=True),
        ],
        [
            [
                row.id[:8],
                row.consumer,
                row.route,
                "half" if row.halved else row.origin,
                "replaced" if row.replaced_by else row.state,
                row.items,
                row.attempt,
                row.failures,
                row.error or row.reason or "",
            ]
            for row in rows
        ],
    )
    if more:
        click.echo(f"\nmore: --page {page + 1}")


def _plain(row: ItemRow) -> dict[str, Any]:
    item = ("source", "key", "arrival", "version", "size", "modified", "partition", "metadata")
    progress = ("seen_at", "consumer", "state", "batch", "newest")
    return {each: getattr(row.item, each) for each in item} | {each: getattr(row, each) for each in progress}
