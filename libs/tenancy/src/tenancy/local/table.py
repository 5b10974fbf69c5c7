"""The two pictures of the running platform: its processes while it comes up, its sources afterwards."""

import time
from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from tenancy.local.status import SourceStatus
from tenancy.local.supervisor import Condition

MINUTE, HOUR = 60.0, 3600.0
MARKS = {
    Condition.STARTING: Text("starting", style="yellow"),
    Condition.READY: Text("ready", style="green"),
    Condition.RESTARTING: Text("restarting", style="red"),
}


def processes(conditions: Mapping[str, Condition], since: float) -> Table:
    """Return the table of processes; `since` is the monotonic time (seconds) at which the start began."""
    table = Table.grid(padding=(0, 2))
    for name, condition in conditions.items():
        table.add_row(name, MARKS[condition])
    table.add_row(Text(f"{time.monotonic() - since:.0f} s", style="dim"))
    return table


def sources(statuses: Sequence[SourceStatus]) -> Table:
    """Return the table of sources, one line for each source that a consumer follows."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in ("team", "source", "followed by"):
        table.add_column(name, overflow="fold")
    for name in ("seen", "waiting", "in flight", "done", "quarantined", "lag"):
        table.add_column(name, justify="right")
    table.add_column("health", overflow="fold")
    for status in statuses:
        counts = (status.seen, status.waiting, status.in_flight, status.done, status.quarantined)
        health = Text("ok", style="green") if status.healthy else Text(first_line(status.error), style="red")
        lag = duration(status.lag_seconds)
        table.add_row(status.team, status.source, status.consumer, *(f"{count:,}" for count in counts), lag, health)
    if not statuses:
        table.add_row(Text("no source has been looked at yet", style="dim"))
    return table


def line(status: SourceStatus) -> str:
    """Return a source's status as one line of plain text."""
    health = "ok" if status.healthy else first_line(status.error)
    return (
        f"{status.team}/{status.source} -> {status.consumer}: seen {status.seen}, waiting {status.waiting}, "
        f"in flight {status.in_flight}, done {status.done}, quarantined {status.quarantined}, "
        f"lag {duration(status.lag_seconds)}, {health}"
    )


def duration(seconds: float | None) -> str:
    """Return seconds as a person would say them: 0 s, 59 s, 12 min, 3.4 h."""
    if not seconds:
        return "0 s"
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < HOUR else f"{seconds / HOUR:.1f} h"


def first_line(error: str | None) -> str:
    """Return the beginning of an error message, as much as a table bears."""
    return (error or "failing").strip().splitlines()[0][:80]
