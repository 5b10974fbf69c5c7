"""A code location without a daemon: the test evaluates its monitor and executes its runs, on a real ledger."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import dagster as dg

from sensor_assets._dagster import evaluated
from sensor_assets._definitions import DEFAULT_MONITOR, with_sources
from sensor_assets._monitor import SourceGroup
from sensor_assets._runtime import RESOURCE_KEY, Clock, Runtime
from sensor_assets._settings import Settings
from sensor_assets.errors import DefinitionError
from sensor_assets.ledger import Ledger
from sensor_assets.testing._crash import Crash, Crashed
from sensor_assets.testing._settings import settings_for

if TYPE_CHECKING:
    from obstore.store import ObjectStore

QUIET_TICKS = 3
"""After so many evaluations without a run, an hour apart, what still waits is held by a router."""

Assets = dg.AssetsDefinition | Sequence[dg.AssetsDefinition] | dg.Definitions


class TurnedClock(Clock):
    """A clock that stands still until it is turned."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def now(self) -> datetime:
        return self.time

    def forward(self, duration: timedelta | float) -> None:
        """Turn it forward, by seconds or a timedelta."""
        self.time += duration if isinstance(duration, timedelta) else timedelta(seconds=duration)


@dataclass(frozen=True, kw_only=True)
class Tick:
    """What the daemon learns from one evaluation of a monitor."""

    run_requests: Sequence[dg.RunRequest] = ()
    asset_events: Sequence[Any] = ()
    skip_message: str | None = None
    cursor: str | None = None


class Location:
    """Sensor assets with a ledger and a Dagster instance of their own, and what the daemon would do with them.

    Time stands still: every evaluation is the tick after the last one, one interval later.

    Args:
        assets: A sensor asset, several, or a location's `Definitions` with or without its sources.
        ledger: The ledger, from the fixture ``ledger``.
        settings: Fill the placeholders of the sources; unless told, those of a location without fields of its own.
        store: Takes the place of what an `ObjectSource` follows: one for all, or by name of the source. Its keys are
            those below the source's URL.
        resources: The resources of the assets and of the sources; they replace those of `Definitions` that have some.
        groups: As for `with_sources`.
        instance: A Dagster instance; unless told, one in memory that ends with the location.

    Example:
        >>> def test_a_file_becomes_a_row(ledger):
        ...     store = MemoryStore()
        ...     store.put("a.csv", b"1,2")
        ...     with Location(orders, ledger=ledger, store=store) as location:
        ...         [run] = location.work()
        ...         assert run.success
        ...         assert location.work() == []
    """

    def __init__(
        self,
        assets: Assets,
        *,
        ledger: Ledger,
        settings: Settings | None = None,
        store: "ObjectStore | Mapping[str, ObjectStore] | None" = None,
        resources: Mapping[str, Any] | None = None,
        groups: Sequence[SourceGroup] = (),
        instance: dg.DagsterInstance | None = None,
    ) -> None:
        self.definitions = _definitions(assets, ledger, settings, resources, groups)
        self.runtime: Runtime = (self.definitions.resources or {})[RESOURCE_KEY]
        self.runtime.ledger = ledger
        self.clock = TurnedClock()
        self.runtime.clock = self.clock
        self.cursors: dict[str, str | None] = {}
        self._replace_stores(store)
        self._own_instance = instance is None
        self.instance = instance or dg.DagsterInstance.ephemeral()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the sources, and the instance unless it was given."""
        for client in self.runtime.clients.values():
            client.close()
        if self._own_instance:
            self.instance.dispose()

    def _replace_stores(self, store: "ObjectStore | Mapping[str, ObjectStore] | None") -> None:
        if store is None:
            return
        from sensor_assets._sources.object_client import ObjectClient  # noqa: PLC0415 - obstore

        followed = {name: each for name, each in self.runtime.clients.items() if isinstance(each, ObjectClient)}
        given = store if isinstance(store, Mapping) else dict.fromkeys(followed, store)
        if not followed:
            raise DefinitionError("nothing follows an ObjectSource, so there is none to give a store")
        if unknown := sorted(set(given) - set(followed)):
            raise DefinitionError(f"no ObjectSource is called {', '.join(unknown)}; there are {', '.join(followed)}")
        for name, each in given.items():
            followed[name].use(each)

    def evaluate(self, monitor: str = DEFAULT_MONITOR, *, crash: Crash | None = None) -> Tick:
        """Evaluate a monitor as the daemon does, and keep its cursor.

        Args:
            monitor: Name of the sensor.
            crash: Kill the evaluation at that point; the daemon then learns nothing, and the cursor stays.
        """
        if monitor in self.cursors:
            self.clock.forward(self.definitions.resolve_sensor_def(monitor).minimum_interval_seconds or 0)
        before = self.cursors.setdefault(monitor, None)
        try:
            with self._crashing(crash):
                answer = evaluated(self.definitions, monitor, self.instance, before)
        except Crashed:
            return Tick(skip_message=f"killed {crash}", cursor=before)
        self.cursors[monitor] = answer.cursor
        return Tick(
            run_requests=answer.run_requests or (),
            asset_events=answer.asset_events,
            skip_message=answer.skip_message,
            cursor=answer.cursor,
        )

    def run(self, request: dg.RunRequest, *, crash: Crash | None = None) -> dg.ExecuteInProcessResult:
        """Execute a run that the monitor asked for; one that fails is a result, not an error.

        Args:
            request: One of a tick's run requests.
            crash: Kill the run at that point; Dagster finds it failed.
        """
        return self._execute(
            list(request.asset_selection or ()),
            partition=request.partition_key,
            tags={**request.tags, "dagster/run_key": request.run_key or ""},
            crash=crash,
        )

    def launch(
        self, *assets: dg.AssetsDefinition, partition: str | None = None, crash: Crash | None = None
    ) -> dg.ExecuteInProcessResult:
        """Execute a run as a person launches it, without a batch: it gets everything that is recorded."""
        return self._execute([asset.key for asset in assets], partition=partition, tags={}, crash=crash)

    def work(self, *, crash: Crash | None = None) -> list[dg.ExecuteInProcessResult]:
        """Evaluate the location's monitor once and execute every run that it asks for.

        Args:
            crash: Kill each of the runs at that point.
        """
        return [self.run(request, crash=crash) for request in self.evaluate().run_requests]

    def settle(self, *, ticks: int = 100) -> list[dg.ExecuteInProcessResult]:
        """Evaluate and execute until nothing is left to do; time is turned on where something waits for it.

        Raises:
            AssertionError: Something was still to do after so many ticks.
        """
        done: list[dg.ExecuteInProcessResult] = []
        quiet = 0
        for _ in range(ticks):
            now = self.work()
            done += now
            quiet = 0 if now else quiet + 1
            if quiet and (quiet == QUIET_TICKS or not self._busy()):
                return done
            if quiet:
                self.clock.forward(timedelta(hours=1))
        raise AssertionError(f"after {ticks} ticks there is still something to do: {self.status()}")

    def status(self) -> dict[str, dict[str, Any]]:
        """Return the ledger's counts by consumer: seen, waiting, in_flight, done, quarantined."""
        return {row["consumer"]: row for row in self.runtime.ledger.status()}

    def _busy(self) -> bool:
        return any(row["waiting"] or row["in_flight"] for row in self.status().values())

    def _execute(
        self, keys: list[dg.AssetKey], *, partition: str | None, tags: Mapping[str, str], crash: Crash | None
    ) -> dg.ExecuteInProcessResult:
        with self._crashing(crash):
            return self.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
                instance=self.instance,
                asset_selection=keys,
                partition_key=partition,
                tags=dict(tags),
                raise_on_error=False,
            )

    @contextmanager
    def _crashing(self, crash: Crash | None) -> Generator[None]:
        ledger = self.runtime.ledger
        self.runtime.ledger = crash.inside(ledger) if crash else ledger
        try:
            yield
        finally:
            self.runtime.ledger = ledger


def _definitions(
    assets: Assets,
    ledger: Ledger,
    settings: Settings | None,
    resources: Mapping[str, Any] | None,
    groups: Sequence[SourceGroup],
) -> dg.Definitions:
    if isinstance(assets, dg.Definitions):
        found = assets
    else:
        found = dg.Definitions(assets=[assets] if isinstance(assets, dg.AssetsDefinition) else list(assets))
    if RESOURCE_KEY in (found.resources or {}):
        return _with_resources(found, resources or {})
    chosen = settings or settings_for(Settings)
    return with_sources(found, settings=chosen, resources=resources, groups=groups, ledger=ledger)


def _with_resources(definitions: dg.Definitions, resources: Mapping[str, Any]) -> dg.Definitions:
    """Return the definitions with other resources than they have; Dagster's own ways refuse to replace one."""
    return dg.Definitions(
        assets=definitions.assets,
        asset_checks=definitions.asset_checks,
        schedules=definitions.schedules,
        sensors=definitions.sensors,
        jobs=definitions.jobs,
        executor=definitions.executor,
        loggers=definitions.loggers,
        resources={**(definitions.resources or {}), **resources},
    )


def evaluate(
    assets: Assets,
    *,
    ledger: Ledger,
    store: "ObjectStore | Mapping[str, ObjectStore] | None" = None,
    cursor: str | None = None,
    settings: Settings | None = None,
    resources: Mapping[str, Any] | None = None,
) -> Tick:
    """Evaluate the monitor of some sensor assets once, without a daemon.

    Args:
        assets: A sensor asset, several, or a location's `Definitions`.
        ledger: The ledger, from the fixture ``ledger``.
        store: Takes the place of what an `ObjectSource` follows; see `Location`.
        cursor: The cursor of the tick before, as `Tick.cursor` holds it.
        settings: Fill the placeholders of the sources.
        resources: The resources of the sources.

    Example:
        >>> tick = evaluate(orders, ledger=ledger, store=store)
        >>> [request.asset_selection for request in tick.run_requests]
        [[AssetKey(['orders'])]]
    """
    with Location(assets, ledger=ledger, store=store, settings=settings, resources=resources) as location:
        location.cursors[DEFAULT_MONITOR] = cursor
        return location.evaluate()
