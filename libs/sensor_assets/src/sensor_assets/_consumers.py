"""A consumer: the sensor asset, or the router before several, that follows a source's log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import dagster as dg

from sensor_assets._batching import Batching, Retry
from sensor_assets._joins import Join
from sensor_assets._partitions import partitions_of
from sensor_assets._policy import Policy
from sensor_assets._routing import Router, Target
from sensor_assets._sources.base import Source
from sensor_assets.errors import DefinitionError

# Batches in flight for one consumer when nothing is said.
DEFAULT_IN_FLIGHT = 4

Follows = Source | Target | Sequence[Source]


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What `@sensor_asset` was told besides what Dagster is told."""

    follows: Follows
    batching: Batching
    retry: Retry
    max_in_flight: int | None
    join: Join | None = None
    add_partitions: bool = False
    appends: bool = False
    prefix: tuple[str, ...] = ()

    def source_key(self, source: Source) -> dg.AssetKey:
        """Return the key of a source's node in the asset graph."""
        own = source.common.key_prefix
        prefix = self.prefix if own is None else (own,) if isinstance(own, str) else tuple(own)
        return dg.AssetKey([*prefix, source.name])

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources that are followed."""
        match self.follows:
            case Source() as source:
                return (source,)
            case Target(router=router):
                return router.sources
            case sources:
                return tuple(sources)

    def consumer(self, asset: dg.AssetKey) -> str:
        """Return the consumer's name in the ledger: the router's, or the asset's key."""
        return self.follows.router.name if isinstance(self.follows, Target) else asset.to_user_string()


@dataclass(frozen=True, kw_only=True)
class Outlet:
    """An asset that processes batches of a consumer."""

    asset: dg.AssetKey
    definition: dg.PartitionsDefinition | None


@dataclass(frozen=True, kw_only=True)
class Consumer:
    """A consumer with everything that deciding and launching need."""

    name: str
    sources: tuple[Source, ...]
    source_keys: dict[str, dg.AssetKey]
    outlets: dict[str | None, Outlet]
    batching: Batching
    retry: Retry
    max_in_flight: int | None
    partitions_def: dg.PartitionsDefinition | None
    backfill_policy: dg.BackfillPolicy | None
    router: Router | None = field(default=None)
    join: Join | None = None
    add_partitions: bool = False

    def policy(self, dynamic_keys: Callable[[str], Sequence[str]]) -> Policy:
        """Return the rules for `decide`."""
        return Policy(
            name=self.name,
            batching=self.batching,
            max_in_flight=self.max_in_flight or DEFAULT_IN_FLIGHT,
            partitions=partitions_of(self.partitions_def, self.backfill_policy, dynamic_keys, add=self.add_partitions),
            serial=self.partitions_def is None and self.max_in_flight is None,
            router=self.router,
            join=self.join,
        )


def collect(declared: Sequence[tuple[Declaration, dg.AssetsDefinition]]) -> list[Consumer]:
    """Return the consumers of all declared sensor assets.

    Raises:
        DefinitionError: Two sources share a name; the outlets of a router differ in partitions, or one is missing; an
            asset has partitions but its source gives none.
    """
    _check_names([source for declaration, _ in declared for source in declaration.sources])
    _check_keys(declared)
    grouped: dict[str, list[tuple[Declaration, dg.AssetsDefinition]]] = {}
    for declaration, asset in declared:
        grouped.setdefault(declaration.consumer(asset.key), []).append((declaration, asset))
    return [_consumer(name, members) for name, members in grouped.items()]


def _check_partitions(asset: dg.AssetsDefinition, declaration: Declaration) -> None:
    name = asset.key.to_user_string()
    try:
        partitions_of(asset.partitions_def, asset.backfill_policy, lambda _: ())
    except DefinitionError as error:
        raise DefinitionError(f"asset {name}: {error}") from None
    if declaration.add_partitions and not isinstance(asset.partitions_def, dg.DynamicPartitionsDefinition):
        raise DefinitionError(f"asset {name}: add_partitions=True is for dynamic partitions, the only ones to add to")


def _check_names(sources: Sequence[Source]) -> None:
    by_name: dict[str, Source] = {}
    for source in sources:
        if by_name.setdefault(source.name, source) is not source:
            raise DefinitionError(f"two sources are called '{source.name}': names are unique within a location")


def _check_keys(declared: Sequence[tuple[Declaration, dg.AssetsDefinition]]) -> None:
    keys: dict[str, dg.AssetKey] = {}
    for declaration, asset in declared:
        for source in declaration.sources:
            key = declaration.source_key(source)
            if keys.setdefault(source.name, key) != key:
                raise DefinitionError(
                    f"source '{source.name}' would be {keys[source.name].to_user_string()} for one asset and "
                    f"{key.to_user_string()} for {asset.key.to_user_string()}: give the source a key_prefix"
                )


def _consumer(name: str, members: Sequence[tuple[Declaration, dg.AssetsDefinition]]) -> Consumer:
    declaration, asset = members[0]
    for _, other in members[1:]:
        if other.partitions_def != asset.partitions_def:
            raise DefinitionError(
                f"router '{name}': assets {asset.key.to_user_string()} and {other.key.to_user_string()} must have the "
                "same partitions definition, because one decision places items for all of them"
            )
    _check_partitions(asset, declaration)
    if asset.partitions_def is not None:
        for source in declaration.sources:
            if not source.gives_partition:
                raise DefinitionError(
                    f"asset {asset.key.to_user_string()} has partitions, but source '{source.name}' gives its items "
                    "none: put {date:%Y-%m-%d} into its key template, or yield items with a partition"
                )
    router = declaration.follows.router if isinstance(declaration.follows, Target) else None
    outlets: dict[str | None, Outlet] = {}
    for member, definition in members:
        route = member.follows.name if isinstance(member.follows, Target) else None
        if route in outlets:
            raise DefinitionError(f"'{name}': two assets follow the outlet '{route}'")
        outlets[route] = Outlet(asset=definition.key, definition=definition.partitions_def)
    if router is not None and (missing := set(router.targets) - {route or "" for route in outlets}):
        raise DefinitionError(f"router '{name}': no asset follows {', '.join(sorted(missing))}")
    return Consumer(
        name=name,
        sources=declaration.sources,
        source_keys={source.name: declaration.source_key(source) for source in declaration.sources},
        outlets=outlets,
        batching=declaration.batching,
        retry=declaration.retry,
        max_in_flight=declaration.max_in_flight,
        partitions_def=asset.partitions_def,
        backfill_policy=asset.backfill_policy,
        router=router,
        join=declaration.join,
        add_partitions=declaration.add_partitions,
    )
