"""The command `explain`: why a key was processed, or was not."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from textwrap import indent, wrap
from typing import Any

import click
import dagster as dg

from sensor_assets._claims import BATCH_TAG
from sensor_assets.cli.connection import Connection, connected
from sensor_assets.cli.definitions import NotLoadableError, sources_in
from sensor_assets.cli.output import NothingMatchedError, as_json, console, dump, legible, moment, size
from sensor_assets.cli.verdict import outcome, verdict
from sensor_assets.ledger._inspection import BatchRow, Version

Runs = Mapping[str, Sequence[tuple[str, str]]]


@click.command()
@click.argument("key")
@click.option("--source", help="Only this source.")
@as_json
@connected
def explain(connection: Connection, *, key: str, source: str | None, as_json: bool) -> None:
    """Say why KEY was processed, or was not.

    It shows every version, and what each consumer did with each. Where DAGSTER_HOME is set, the runs are shown with
    their status. Of a key that was never seen it says what the sources of the location in the folder would make of
    it.
    """
    with connection.inspection() as ledger:
        versions = ledger.versions(key, source)
        near = ledger.keys_like(key, source) if not versions else []
    if not versions:
        for line in _unseen(connection, key, source, near):
            _say(0, line)
        raise NothingMatchedError(f"{source or 'no source'} has {'not ' if source else ''}shown '{legible(key)}'")
    runs = _runs(connection, versions)
    now = datetime.now(UTC)
    if as_json:
        dump([_plain(version, runs, now) for version in versions])
        return
    for number, version in enumerate(versions, start=1):
        if number > 1:
            click.echo()
        _print(key, version, runs, now, place=f"{number} of {len(versions)}")


def _unseen(connection: Connection, key: str, source: str | None, near: Sequence[str]) -> Iterator[str]:
    """Say of a key that was never seen what the location's sources would make of it, and which keys are like it."""
    folder = connection.folder or Path()
    if connection.folder is None and not (folder / ".env").is_file():
        yield "name the folder of the location by --location, and its sources say what they make of such a key"
    else:
        try:
            for name, declared in sources_in(folder.resolve(), connection.variables).items():
                if source in (None, name):
                    objection = declared.objection(key) or "a scan takes such a key, so it was not there when it looked"
                    yield f"{name}: {legible(objection)}"
        except NotLoadableError as error:
            yield f"what the sources make of it is not known: {error}"
    if near:
        yield f"keys like it: {', '.join(legible(each) for each in near)}"


def _runs(connection: Connection, versions: Sequence[Version]) -> Runs:
    """Return id and status of the runs of each batch, as Dagster knows them, oldest first."""
    home = connection.variables.get("DAGSTER_HOME")
    ids = {batch.id for version in versions for standing in version.consumers for batch in standing.batches}
    if not home or not ids:
        return {}
    found: dict[str, list[tuple[str, str]]] = {}
    try:
        with dg.DagsterInstance.from_config(home) as instance:
            for run in reversed(instance.get_runs(filters=dg.RunsFilter(tags={BATCH_TAG: sorted(ids)}))):
                found.setdefault(run.tags[BATCH_TAG], []).append((run.run_id, run.status.value))
    except Exception as error:  # noqa: BLE001 - whatever the storage that DAGSTER_HOME configures raises
        click.echo(f"sensor-assets: the runs cannot be looked up in {home}: {str(error).splitlines()[0]}", err=True)
    return found


def _print(key: str, version: Version, runs: Runs, now: datetime, *, place: str) -> None:
    item = version.item
    _say(0, f"{item.source}: {legible(key)}, version {place}")
    _say(2, f"first seen {moment(version.seen_at)} UTC as arrival {item.arrival}, {size(item.size)}")
    _say(2, f"version {legible(item.version)}")
    if item.partition is not None:
        _say(2, f"partition {legible(item.partition)}")
    if item.metadata:
        _say(2, f"metadata {json.dumps(dict(item.metadata), ensure_ascii=False, default=str)}")
    if version.superseded_by is not None:
        kept = any(standing.all_versions for standing in version.consumers)
        left_out = "" if kept else "; a run that had not read it yet leaves it out"
        _say(2, f"{'followed' if kept else 'replaced'} by arrival {version.superseded_by}{left_out}")
    if version.gone_at is not None:
        _say(2, f"not there any more, or to be looked for anew, since {moment(version.gone_at)} UTC")
    for standing in version.consumers:
        _say(2, f"{standing.consumer}: {verdict(version, standing, now)}")
        for batch in standing.batches:
            _print_batch(batch, runs.get(batch.id, ()))


def _print_batch(batch: BatchRow, runs: Sequence[tuple[str, str]]) -> None:
    _say(4, f"{batch.id[:8]} {outcome(batch)}")
    for run, status in runs or ([(batch.run_id, "SUCCESS")] if batch.run_id else []):
        _say(6, f"run {run} {status}")
    if batch.error:
        _say(6, legible(batch.error))


def _say(level: int, text: str) -> None:
    """Print a paragraph, wrapped and indented; what follows its first line stands a little further in."""
    lines = wrap(text, width=max(console().width - level, 20), subsequent_indent="  ", break_long_words=False)
    click.echo(indent("\n".join(lines), " " * level))


def _plain(version: Version, runs: Runs, now: datetime) -> dict[str, Any]:
    item = version.item
    return {
        **{
            name: getattr(item, name)
            for name in ("source", "key", "arrival", "version", "size", "partition", "metadata")
        },
        **{name: getattr(version, name) for name in ("seen_at", "superseded_by", "gone_at")},
        "consumers": [
            {
                **{name: getattr(standing, name) for name in ("consumer", "held", "reason", "since", "released_at")},
                "verdict": verdict(version, standing, now),
                "batches": [
                    {**vars(batch), "runs": [{"id": run, "status": status} for run, status in runs.get(batch.id, ())]}
                    for batch in standing.batches
                ],
            }
            for standing in version.consumers
        ],
    }
