"""The commands `quarantine list` and `quarantine release`."""

from datetime import UTC, datetime

import click

from sensor_assets.cli.connection import Connection, connected
from sensor_assets.cli.look import limited
from sensor_assets.cli.output import Column, NothingMatchedError, above, as_json, count, dump, legible, minute, show
from sensor_assets.cli.selecting import is_everything, selected_by
from sensor_assets.ledger._operations import Operations
from sensor_assets.ledger._quarantine import release as release_items
from sensor_assets.ledger._selection import Selection

dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


@click.group(invoke_without_command=True)
@click.pass_context
def quarantine(context: click.Context) -> None:
    """List or release items that were set aside."""
    if context.invoked_subcommand is None:
        context.invoke(list_items)


@quarantine.command("list")
@selected_by("source", "consumer", "key", "since", "until")
@limited
@as_json
@connected
def list_items(connection: Connection, *, selection: Selection, limit: int, as_json: bool) -> None:
    """List what is in quarantine, with the reasons.

    Versions that a newer one replaced are left out.
    """
    with connection.inspection() as ledger:
        rows = ledger.quarantined(selection, limit=limit)
    if as_json:
        kept = ("source", "consumer", "key", "partition", "arrival", "reason", "since", "seen_at", "batch_id")
        dump([{name: row[name] for name in kept} for row in rows])
        return
    if not rows:
        click.echo("nothing is in quarantine" if is_everything(selection) else "nothing that matches is in quarantine")
        return
    show(
        [
            above("SOURCE"),
            above("CONSUMER"),
            Column("KEY", folds=True),
            Column("SINCE (UTC)"),
            Column("REASON", folds=True),
        ],
        [[row["source"], row["consumer"], row["key"], minute(row["since"]), row["reason"]] for row in rows],
    )
    if len(rows) == limit:
        click.echo(f"\nthese are the first {limit}: --limit shows more")


@quarantine.command()
@selected_by("source", "consumer", "key", "since", "until")
@click.option("--all", "everything", is_flag=True, help="All that is in quarantine.")
@dry_run
@as_json
@connected
def release(connection: Connection, *, selection: Selection, everything: bool, dry_run: bool, as_json: bool) -> None:
    """Let items be processed after all.

    What is still bad comes back. What a function rejected, or what belonged to no partition, is decided on anew.
    What had failed until it was given up gets a batch of its own. A key that fitted no template is looked for anew,
    and leaves the quarantine when the source still shows it.
    """
    if is_everything(selection) and not everything:
        raise click.UsageError("release what? choose by --source, --key, --consumer, --since, --until, or --all")
    with connection.ledger() as ledger:
        done = release_items(Operations(ledger, now=datetime.now(UTC), dry_run=dry_run), selection)
    if as_json:
        dump(
            {
                "dry_run": dry_run,
                "batches": [batch.id for batch in done.batches],
                **{
                    name: [{"source": row["source"], "key": row["key"], "consumer": row["consumer"]} for row in rows]
                    for name, rows in (
                        ("tried", done.tried),
                        ("decided", done.decided),
                        ("looked_at", done.looked_at),
                        ("busy", done.busy),
                        ("forgotten", done.forgotten),
                    )
                },
            }
        )
        return
    if not any((done.tried, done.decided, done.looked_at, done.busy, done.forgotten)):
        raise NothingMatchedError("nothing that matches is in quarantine")
    for row in done.busy:
        click.echo(f"stays for now, a batch that holds it is not done: {row['consumer']}, {legible(row['key'])}")
    for row in done.forgotten:
        click.echo(f"stays, its queue has forgotten the message; send it anew: {row['source']}, {legible(row['key'])}")
    will = "would be" if dry_run else "will be"
    for rows, what in (
        (done.tried, f"tried again in {count(len(done.batches), 'batch', 'batches')}"),
        (done.decided, "decided on anew by the monitor"),
        (done.looked_at, "looked for anew by the next scan, because no template fitted their key"),
    ):
        if rows:
            click.echo(f"{count(len(rows), 'item')} {will} {what}")
