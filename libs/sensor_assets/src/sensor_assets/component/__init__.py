"""`sensor_assets.SensorAsset`: a sensor asset written in YAML.

The name is short because users type it (``type: sensor_assets.SensorAsset``); what `@sensor_asset` returns, which
nobody types, is a `SensorAssetDefinition`, as Dagster's own classes of that kind are called.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal, Self

import dagster as dg
from pydantic import BaseModel

from sensor_assets._asset import sensor_asset
from sensor_assets._batching import Batching, Retry
from sensor_assets._consumers import Follows
from sensor_assets.component._attributes import SensorAssetAttributes
from sensor_assets.component._scaffold import SensorAssetScaffolder
from sensor_assets.component._values import asset_arguments, error_at, followed, imported, made, resolve
from sensor_assets.errors import DefinitionError


@dg.scaffold_with(SensorAssetScaffolder)
@dataclass(kw_only=True)
class SensorAsset(dg.Component, dg.Resolvable):
    """An asset that materializes when its source shows something new.

    It makes what the decorator `@sensor_asset` makes. The location's `definitions.py` passes what it loads through
    `sensor_assets.with_sources`, which adds the source to the asset graph and the sensor that follows it. Texts of a
    source may hold `{setting}`s of the location's settings as well as Dagster's `{{ templates }}`.

    Args:
        sources: What the asset follows: a source, several sources, or one outlet of a router.
        asset: Arguments of ``@dagster.asset``, such as ``key``, ``group_name`` or ``partitions_def``.
        compute: The function that processes a batch; it has a parameter ``batch``.
        batching: How much one run takes.
        retry: How failures are treated.
        max_in_flight: Most unfinished runs.
        wait_for: ``"all"`` waits for every one of several sources.
        max_hold: How long that waits.
        add_partitions: Add dynamic partitions that items name.
        appends: The asset adds each batch to what is there.
    """

    sources: Follows
    asset: Mapping[str, Any]
    compute: Callable[..., Any]
    batching: Batching = field(default_factory=Batching)
    retry: Retry = field(default_factory=Retry)
    max_in_flight: int | None = None
    wait_for: Literal["any", "all"] = "any"
    max_hold: timedelta | float | None = None
    add_partitions: bool = False
    appends: bool = False

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        return dg.ComponentTypeSpec(produces=["asset"])

    @classmethod
    def model(cls) -> type[BaseModel]:
        return SensorAssetAttributes

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        if attributes is None:
            missing = context.resolution_context.at_path("attributes")
            raise error_at(missing, "sources, asset and compute are required")
        loaded = super().load(attributes, context)
        try:
            _ = loaded.definition
        except DefinitionError as error:
            place = context.resolution_context.at_path("attributes").at_path("compute")
            raise error_at(place, str(error)) from None
        return loaded

    @classmethod
    def resolve_from_model(cls, context: dg.ResolutionContext, model: BaseModel) -> Self:
        if not isinstance(model, SensorAssetAttributes):
            raise TypeError(
                f"attributes of {cls.__name__} are {SensorAssetAttributes.__name__}, not {type(model).__name__}"
            )
        return cls(
            sources=followed(context.at_path("sources"), model.sources),
            asset=asset_arguments(context.at_path("asset"), model.asset),
            compute=imported(context.at_path("compute"), model.compute),
            batching=made(context.at_path("batching"), Batching, model.batching),
            retry=made(context.at_path("retry"), Retry, model.retry),
            max_in_flight=resolve(context.at_path("max_in_flight"), int, model.max_in_flight),
            wait_for=resolve(context.at_path("wait_for"), Literal["any", "all"], model.wait_for),
            max_hold=resolve(context.at_path("max_hold"), timedelta | float, model.max_hold),
            add_partitions=resolve(context.at_path("add_partitions"), bool, model.add_partitions),
            appends=resolve(context.at_path("appends"), bool, model.appends),
        )

    @cached_property
    def definition(self) -> dg.AssetsDefinition:
        """The asset."""
        decorate = sensor_asset(
            self.sources,
            batching=self.batching,
            retry=self.retry,
            max_in_flight=self.max_in_flight,
            wait_for=self.wait_for,
            max_hold=self.max_hold,
            add_partitions=self.add_partitions,
            appends=self.appends,
            **self.asset,
        )
        return decorate(self.compute)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002
        return dg.Definitions(assets=[self.definition])
