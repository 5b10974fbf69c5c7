"""Commands that let work be done again: `replay`, `rebuild`, `retry`."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import click

from sensor_assets._state import BatchRecord
from sensor_assets.cli.connection import Connection, connected
from sensor_assets.cli.output import Column, NothingMatchedError, above, as_json, count, dump, moment, show
from sensor_assets.cli.quarantine import dry_run
from sensor_assets.cli.selecting import is_everything, selected_by
from sensor_assets.ledger._operations import Operations
from sensor_assets.ledger._replay import Replay
from sensor_assets.ledger._selection import Selection

_PLACE = (above("CONSUMER"), above("ROUTE"), Column("PARTITIONS", folds=True))


@click.command()
@selected_by("consumer", "source", "route", "partition", "key", "since", "until")
@click.option("--all", "everything", is_flag=True, help="Everything that was ever processed.")
@dry_run
@as_json
@connected
def replay(connection: Connection, *, selection: Selection, everything: bool, dry_run: bool, as_json: bool) -> None:
    """Process batches again that are done.

    They get new runs, and the effect of each takes the place of the old one. Whole batches are taken: every batch
    that holds one of the chosen items. Their items are read in the newest version; an asset that appends also gets
    older versions that the source can still show.
    """
    if is_everything(selection) and not everything:
        raise click.UsageError(
            "replay what? choose by --consumer, --source, --route, --partition, --key, --since, --until, or --all"
        )
    with connection.ledger() as ledger:
        done = Operations(ledger, now=datetime.now(UTC), dry_run=dry_run).replay(selection)
    if as_json:
        dump({"dry_run": dry_run, **vars(done), "batches": [_shown(batch) for batch in done.batches]})
        return
    if not done.batches:
        raise NothingMatchedError(
            f"nothing to replay: what matches is being replayed, {_batches(done.underway)} not done yet"
            if done.underway
            else "nothing to replay: no done batch matches"
        )
    _explain_replay(done, dry_run=dry_run)


def _explain_replay(done: Replay, *, dry_run: bool) -> None:
    show([*_PLACE, Column("ITEMS", number=True), Column("BATCHES", number=True)], _lines(done.batches))
    items = sum(batch.items for batch in done.batches)
    replaced = sum(len(batch.replaces) for batch in done.batches)
    click.echo(
        f"\n{_waiting(len(done.batches), dry_run=dry_run)} for the monitor, "
        f"in the place of {_batches(replaced)} with {count(items, 'item')}"
    )
    if done.superseded:
        click.echo(
            f"{count(done.superseded, 'item')} with a newer version, which has a batch of its own: an asset that\n"
            "appends keeps the older one as long as the source can still show it"
        )
    if done.gone:
        click.echo(
            f"{count(done.gone, 'item')} gone from the source: what an asset that appends has of them is removed"
        )
    if done.underway:
        click.echo(f"{count(done.underway, 'replay')} of what matches not done yet; they stay as they are")


@click.command()
@click.argument("consumer")
@click.option("--partition", "partitions", multiple=True, help="Only this partition; may be given several times.")
@click.option("--route", help="Only the asset at this outlet of a router.")
@dry_run
@as_json
@connected
def rebuild(
    connection: Connection,
    *,
    consumer: str,
    partitions: Sequence[str],
    route: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Write the asset of CONSUMER anew, or partitions of it.

    The content is the newest version of everything. It is what a launch by hand does, but by the monitor: with its
    bounds and its attempts. A replay repeats batches; a rebuild asks what there is now. An asset that appends is
    its batches, so to rebuild it is to replay them all.
    """
    with connection.ledger() as ledger:
        operations = Operations(ledger, now=datetime.now(UTC), dry_run=dry_run)
        found = operations.rebuild(consumer, route=route, partitions=partitions)
    if as_json:
        dump({"dry_run": dry_run, "batches": [_shown(batch) for batch in found]})
        return
    if not found:
        raise NothingMatchedError("nothing to rebuild: nothing was written yet, or its rebuild waits already")
    show(_PLACE, [line[:3] for line in _lines(found)])
    click.echo(f"\n{_waiting(len(found), dry_run=dry_run)} for the monitor")


@click.command()
@click.argument("batch", required=False)
@selected_by("consumer", "source", "partition", "key")
@click.option("--all", "everything", is_flag=True, help="Every batch that waits for its next attempt.")
@dry_run
@as_json
@connected
def retry(
    connection: Connection,
    *,
    batch: str | None,
    selection: Selection,
    everything: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Try failed batches again now, not after their pause.

    BATCH is the beginning of a batch's id, as `batches` shows it.
    """
    if batch is None and is_everything(selection) and not everything:
        raise click.UsageError("retry what? name a batch, choose by --consumer, --source, --partition, --key, or --all")
    with connection.ledger() as ledger:
        found = Operations(ledger, now=datetime.now(UTC), dry_run=dry_run).retry(selection, batch=batch)
    if as_json:
        dump({"dry_run": dry_run, "batches": found})
        return
    if not found:
        raise NothingMatchedError("no batch that matches waits for its next attempt")
    show(
        [
            Column("BATCH"),
            above("CONSUMER"),
            Column("FAILED", number=True),
            Column("WAITED UNTIL (UTC)"),
            Column("ERROR", folds=True),
        ],
        [[row.id[:8], row.consumer, row.failures, moment(row.not_before), row.error or ""] for row in found],
    )
    click.echo(f"\n{_batches(len(found))} {'would' if dry_run else 'will'} be tried again with the next tick")


def _batches(number: int) -> str:
    return count(number, "batch", "batches")


def _waiting(number: int, *, dry_run: bool) -> str:
    return f"{_batches(number)} {'would wait' if dry_run else 'waits' if number == 1 else 'wait'}"


def _lines(batches: Sequence[BatchRecord]) -> list[list[object]]:
    """Return a line for each place that batches write to."""
    items: Counter[tuple[str, str, str]] = Counter()
    replaced: Counter[tuple[str, str, str]] = Counter()
    for batch in batches:
        place = (batch.consumer, batch.route or "-", _span(batch.partitions))
        items[place] += batch.items
        replaced[place] += len(batch.replaces)
    return [[*place, items[place], replaced[place]] for place in items]


def _span(partitions: Sequence[str]) -> str:
    match len(partitions):
        case 0:
            return "-"
        case 1:
            return partitions[0]
        case number:
            return f"{partitions[0]} to {partitions[-1]} ({number})"


def _shown(batch: BatchRecord) -> dict[str, object]:
    return {
        "id": batch.id,
        "consumer": batch.consumer,
        "route": batch.route,
        "partitions": batch.partitions,
        "items": batch.items,
        "bytes": batch.bytes,
        "replaces": batch.replaces,
    }
