"""Dagster assets that materialize when something outside Dagster changes, losing nothing and doubling nothing."""

from typing import TYPE_CHECKING, Any

from sensor_assets._asset import SensorAssetDefinition, sensor_asset
from sensor_assets._batch import Batch
from sensor_assets._batching import Batching, Retry
from sensor_assets._definitions import with_sources
from sensor_assets._items import Item
from sensor_assets._monitor import SourceGroup, SourcesDownError
from sensor_assets._on_demand import load
from sensor_assets._routing import Hold, Router, Send, Skip, Waiting
from sensor_assets._sources.base import Page, ScanContext, Source, SourceClient
from sensor_assets._sources.function import FunctionSource, source
from sensor_assets.errors import (
    DefinitionError,
    ItemChanged,
    ItemGone,
    LedgerError,
    MissingExtraError,
    SensorAssetsError,
    SettingsError,
    SourceError,
)

if TYPE_CHECKING:
    from sensor_assets._lake import Lake, LakeFile
    from sensor_assets._settings import Settings
    from sensor_assets._sources.http import HttpSource, Link
    from sensor_assets._sources.object_events import ObjectEvents
    from sensor_assets._sources.objects import ObjectSource
    from sensor_assets._sources.queue import Message, QueueSource, Receiver
    from sensor_assets._sources.table import TableSource
    from sensor_assets.component import SensorAsset

# What these import (httpx, obstore, SQLAlchemy, ...) every process of a location would pay for that never uses them.
_ON_DEMAND = {
    "HttpSource": "sensor_assets._sources.http",
    "Lake": "sensor_assets._lake",
    "LakeFile": "sensor_assets._lake",
    "Link": "sensor_assets._sources.http",
    "Message": "sensor_assets._sources.queue",
    "ObjectEvents": "sensor_assets._sources.object_events",
    "ObjectSource": "sensor_assets._sources.objects",
    "QueueSource": "sensor_assets._sources.queue",
    "Receiver": "sensor_assets._sources.queue",
    "SensorAsset": "sensor_assets.component",
    "Settings": "sensor_assets._settings",
    "TableSource": "sensor_assets._sources.table",
}


def __getattr__(name: str) -> Any:
    if name not in _ON_DEMAND:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return load(_ON_DEMAND[name], name)


def __dir__() -> list[str]:
    # Dagster looks for components in what this returns, and imports every one of these names in every code server.
    return sorted({*globals(), "SensorAsset"})


__all__ = [
    "Batch",
    "Batching",
    "DefinitionError",
    "FunctionSource",
    "Hold",
    "HttpSource",
    "Item",
    "ItemChanged",
    "ItemGone",
    "Lake",
    "LakeFile",
    "LedgerError",
    "Link",
    "Message",
    "MissingExtraError",
    "ObjectEvents",
    "ObjectSource",
    "Page",
    "QueueSource",
    "Receiver",
    "Retry",
    "Router",
    "ScanContext",
    "Send",
    "SensorAsset",
    "SensorAssetDefinition",
    "SensorAssetsError",
    "Settings",
    "SettingsError",
    "Skip",
    "Source",
    "SourceClient",
    "SourceError",
    "SourceGroup",
    "SourcesDownError",
    "TableSource",
    "Waiting",
    "sensor_asset",
    "source",
    "with_sources",
]
