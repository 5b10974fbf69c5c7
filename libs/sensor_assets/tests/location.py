"""A code location without a daemon: the test evaluates its monitor and executes its runs, on a real ledger."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
from sensor_assets import Settings, with_sources
from sensor_assets._dagster import evaluated
from sensor_assets._monitor import SourceGroup
from sensor_assets._runtime import RESOURCE_KEY, Clock, Runtime
from sensor_assets.ledger import PostgresLedger

MONITOR = "source_monitor"
SOON = 0.001
"""Seconds between two scans that are due in every evaluation."""


@dataclass(frozen=True, kw_only=True)
class Tick:
    """What the daemon learns from one evaluation."""

    run_requests: Sequence[dg.RunRequest]
    asset_events: Sequence[Any]
    skip_message: str | None
    cursor: str | None


class OutsideSettings(Settings):
    """Where the outside world of a test is."""

    outside: str = ""
    landing_url: str = ""


class StoppedClock(Clock):
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.time = datetime(2013, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


class Location:
    """Definitions, a ledger and a Dagster instance, and what a daemon would do with them."""

    def __init__(
        self,
        ledger: PostgresLedger,
        assets: Sequence[Any],
        instance: dg.DagsterInstance,
        *,
        outside: str | Path = "",
        resources: Mapping[str, Any] | None = None,
        groups: Sequence[SourceGroup] = (),
    ) -> None:
        self.ledger = ledger
        self.instance = instance
        self.definitions = with_sources(
            dg.Definitions(assets=assets),
            settings=settings(outside),
            resources=resources,
            groups=groups,
            ledger=ledger,
        )
        self.cursors: dict[str, str | None] = {}

    def evaluate(self, monitor: str = MONITOR) -> Tick:
        """Evaluate a monitor as the daemon does: what it answers takes effect, its cursor is kept."""
        answer = evaluated(self.definitions, monitor, self.instance, self.cursors.get(monitor))
        self.cursors[monitor] = answer.cursor
        return Tick(
            run_requests=answer.run_requests or (),
            asset_events=answer.asset_events,
            skip_message=answer.skip_message,
            cursor=answer.cursor,
        )

    def stop_the_clock(self) -> StoppedClock:
        """From now on let the location's time be what the test says."""
        clock = StoppedClock()
        runtime: Runtime = (self.definitions.resources or {})[RESOURCE_KEY]
        runtime.clock = clock
        return clock

    def queue(self, request: dg.RunRequest) -> dg.DagsterRun:
        """Create the run that the monitor asked for and leave it unstarted, so that the batch stays in flight."""
        return self.instance.create_run_for_job(
            job_def=self.definitions.resolve_implicit_global_asset_job_def(),
            tags={**request.tags, "dagster/run_key": request.run_key or ""},
        )

    def run(self, request: dg.RunRequest, *, raise_on_error: bool = True) -> dg.ExecuteInProcessResult:
        """Execute a run that the monitor asked for."""
        return self.launch(
            *(request.asset_selection or ()),
            partition=request.partition_key,
            tags={**request.tags, "dagster/run_key": request.run_key or ""},
            raise_on_error=raise_on_error,
        )

    def launch(
        self,
        *assets: dg.AssetKey | dg.AssetsDefinition,
        partition: str | None = None,
        tags: Mapping[str, str] | None = None,
        raise_on_error: bool = True,
        instance: dg.DagsterInstance | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Execute a run as a person launches it."""
        keys = [asset if isinstance(asset, dg.AssetKey) else asset.key for asset in assets]
        return self.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance or self.instance,
            asset_selection=keys,
            partition_key=partition,
            tags=dict(tags or {}),
            raise_on_error=raise_on_error,
        )

    def work(self) -> list[dg.ExecuteInProcessResult]:
        """Evaluate once and execute every run that is asked for."""
        return [self.run(request) for request in self.evaluate().run_requests]

    def close(self) -> None:
        """Close what the location's sources hold."""
        runtime: Runtime = (self.definitions.resources or {})[RESOURCE_KEY]
        for client in runtime.clients.values():
            client.close()

    def work_off(self) -> int:
        """Evaluate, and execute what is asked for, until nothing is; returns the number of runs."""
        number = 0
        while requests := self.evaluate().run_requests:
            for request in requests:
                self.run(request, raise_on_error=False)
            number += len(requests)
        return number

    def status(self) -> dict[str, dict[str, Any]]:
        """Return the ledger's counts by consumer."""
        return {row["consumer"]: row for row in self.ledger.status()}


def settings(outside: str | Path = "") -> OutsideSettings:
    url = f"file://{outside}" if isinstance(outside, Path) else outside
    return OutsideSettings.model_validate(
        {
            "environment": "local",
            "team": "tested",
            "location": "tested-location",
            "ledger_url": "postgresql://nobody@/none",
            "ledger_schema": "none",
            "outside": url,
            "landing_url": url,
        }
    )


@contextmanager
def ephemeral() -> Generator[dg.DagsterInstance]:
    """Return an instance that lives in memory."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance
