"""Commands that keep a ledger in order: `migrate`, `prune`."""

from datetime import UTC, datetime

import click

from sensor_assets.cli.connection import Connection, connected
from sensor_assets.cli.output import as_json, count, dump, moment
from sensor_assets.cli.quarantine import dry_run
from sensor_assets.cli.selecting import Moment
from sensor_assets.ledger import migrate as migrate_ledger
from sensor_assets.ledger._operations import Operations


@click.command()
@connected
def migrate(connection: Connection) -> None:
    """Create or upgrade the ledger's tables.

    Safe to run twice and at once.
    """
    url, schema = connection.place
    migrate_ledger(url, schema)
    click.echo(f"the ledger in schema {schema} is up to date")


@click.command()
@click.option("--done-before", "before", type=Moment(), required=True, help="2013-01-31 (UTC), or 90d for 90 days ago.")
@dry_run
@as_json
@connected
def prune(connection: Connection, *, before: datetime, dry_run: bool, as_json: bool) -> None:
    """Delete old batches, and old versions of items.

    Batches go that ended before a time, and then the versions that no batch holds any more. The newest version of
    every key stays, so that nothing is processed twice. What is deleted cannot be replayed, and `explain` says no
    more about it.
    """
    with connection.ledger() as ledger:
        pruned = Operations(ledger, now=datetime.now(UTC), dry_run=dry_run).prune(before)
    if as_json:
        dump({"dry_run": dry_run, "before": before, **vars(pruned)})
        return
    gone = f"{count(pruned.batches, 'batch', 'batches')} and {count(pruned.items, 'old version')}"
    click.echo(f"{gone} from before {moment(before)} UTC {'would be ' if dry_run else ''}deleted")
