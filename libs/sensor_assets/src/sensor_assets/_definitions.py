"""`with_sources`: everything that a location's sensor assets need besides themselves."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from sensor_assets._asset import declaration_of
from sensor_assets._consumers import Consumer, collect
from sensor_assets._metrics import check_environment
from sensor_assets._monitor import HEALTH_CHECK, SourceGroup, build_monitor
from sensor_assets._runtime import RESOURCE_KEY, Runtime
from sensor_assets._sources.base import Source
from sensor_assets.errors import DefinitionError
from sensor_assets.ledger import Ledger

if TYPE_CHECKING:
    from sensor_assets._settings import Settings

DEFAULT_MONITOR = "source_monitor"


def with_sources(
    definitions: dg.Definitions,
    *,
    settings: "Settings",
    resources: Mapping[str, Any] | None = None,
    groups: Sequence[SourceGroup] = (),
    ledger: Ledger | None = None,
) -> dg.Definitions:
    """Add to a location's definitions what its sensor assets need.

    These are: each outside source as an asset of its own with a check ``reachable``, lineage from it to the assets that
    follow it, the sensor ``source_monitor`` (and one for each group), the resources, and the in-process executor, which
    costs a landing run half of what a process for each step costs.

    Args:
        definitions: What the location has, usually ``load_from_defs_folder(...)``.
        settings: The location's settings; they fill the ``{placeholders}`` of the sources.
        resources: The location's own resources.
        groups: Sources that get a monitor of their own.
        ledger: Another ledger than the one at ``settings.ledger_url``, for tests.

    Raises:
        DefinitionError: Something is declared that cannot work; the message names the asset or source.
    """
    assets = [asset for asset in definitions.assets or () if isinstance(asset, dg.AssetsDefinition)]
    declared = [(declaration, asset) for asset in assets if (declaration := declaration_of(asset)) is not None]
    consumers = collect(declared)
    runtime = Runtime(
        settings=settings,
        consumers=consumers,
        ledger=ledger or _ledger(settings),
    )
    check_environment()
    _ = runtime.clients  # fills in every placeholder now, so that a missing setting fails here and by name
    keys = {name: key for consumer in consumers for name, key in consumer.source_keys.items()}
    known = {key for asset in definitions.assets or () for key in _keys(asset)}
    specs = [_spec(keys[name], source, settings) for name, source in runtime.sources.items() if keys[name] not in known]
    return dg.Definitions.merge(
        definitions,
        dg.Definitions(
            assets=specs,
            asset_checks=[_health_check(keys)] if keys else [],
            sensors=[build_monitor(name, runtime, members) for name, members in _grouped(consumers, groups)],
            resources={**(resources or {}), RESOURCE_KEY: runtime},
            executor=None if definitions.executor else dg.in_process_executor,
        ),
    )


def _ledger(settings: "Settings") -> Ledger:
    from sensor_assets.ledger import PostgresLedger  # noqa: PLC0415 - psycopg, which a test with a ledger of its own saves

    return PostgresLedger(settings.ledger_url.get_secret_value(), settings.ledger_schema)


def _keys(asset: Any) -> set[dg.AssetKey]:
    """Return the keys of anything that `Definitions` takes as an asset."""
    if isinstance(asset, dg.AssetsDefinition):
        return set(asset.keys)
    key = getattr(asset, "key", None)
    return {key} if isinstance(key, dg.AssetKey) else set()


def _spec(key: dg.AssetKey, source: Source, settings: "Settings") -> dg.AssetSpec:
    return dg.AssetSpec(
        key=key,
        description=source.common.description,
        group_name=source.common.group_name,
        kinds={source.kind},
        owners=[f"team:{settings.team}"],
        metadata={**source.describe(settings), "every (s)": source.interval(settings), **source.common.metadata},
    )


def _health_check(keys: Mapping[str, dg.AssetKey]) -> dg.AssetChecksDefinition:
    """Return the checks that the monitor reports when a source's health changes; run by hand they read the ledger."""
    by_key = {key: name for name, key in keys.items()}
    specs = [
        dg.AssetCheckSpec(HEALTH_CHECK, asset=key, description="The last scan of the source succeeded.")
        for key in by_key
    ]

    @dg.multi_asset_check(name="source_health", specs=specs, required_resource_keys={RESOURCE_KEY}, can_subset=True)
    def source_health(context: dg.AssetCheckExecutionContext) -> Any:
        live: Runtime = getattr(context.resources, RESOURCE_KEY)
        states = live.ledger.sources(list(live.sources))
        # Whoever asks by hand has repaired something, or thinks so: do not let the breaker wait any longer.
        live.ledger.retry_sources([by_key[check.asset_key] for check in context.selected_asset_check_keys])
        for check in context.selected_asset_check_keys:
            state = states[by_key[check.asset_key]]
            yield dg.AssetCheckResult(
                asset_key=check.asset_key,
                check_name=check.name,
                passed=state.failures == 0,
                metadata={"failures": state.failures, "error": state.error or ""},
            )

    return source_health


def _grouped(consumers: Sequence[Consumer], groups: Sequence[SourceGroup]) -> list[tuple[str, list[Consumer]]]:
    group_of = _group_of(groups)
    followed = {source.name for consumer in consumers for source in consumer.sources}
    if strangers := sorted(set(group_of) - followed):
        raise DefinitionError(f"a SourceGroup names {', '.join(strangers)}, which no sensor asset follows")
    members: dict[str, list[Consumer]] = {}
    for consumer in consumers:
        monitors = {source.name: group_of.get(source.name, DEFAULT_MONITOR) for source in consumer.sources}
        if len(set(monitors.values())) > 1:
            places = ", ".join(f"{name} in {monitor}" for name, monitor in monitors.items())
            raise DefinitionError(
                f"{consumer.name} follows sources of different monitors: {places}. A source is checked by one monitor, "
                "and a sensor asset is decided about by one: put all of its sources into one SourceGroup"
            )
        members.setdefault(monitors[consumer.sources[0].name], []).append(consumer)
    return list(members.items())


def _group_of(groups: Sequence[SourceGroup]) -> dict[str, str]:
    group_of: dict[str, str] = {}
    for group in groups:
        if group.name == DEFAULT_MONITOR:
            raise DefinitionError(f"a SourceGroup may not be called '{DEFAULT_MONITOR}', the location's own monitor is")
        if not group.sources:
            raise DefinitionError(f"SourceGroup '{group.name}' has no sources")
        if group.name in group_of.values():
            raise DefinitionError(f"two SourceGroups are called '{group.name}'")
        for source in group.sources:
            if source.name in group_of:
                other = group_of[source.name]
                raise DefinitionError(f"source '{source.name}' is in the SourceGroups '{other}' and '{group.name}'")
        group_of |= {source.name: group.name for source in group.sources}
    return group_of
