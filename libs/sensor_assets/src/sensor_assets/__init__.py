"""Dagster assets that materialize when something outside Dagster changes, losing nothing and doubling nothing."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sensor_assets._asset import SensorAsset, sensor_asset
from sensor_assets._batch import Batch
from sensor_assets._batching import Batching, Retry
from sensor_assets._definitions import with_sources
from sensor_assets._items import Item
from sensor_assets._lake import Lake, LakeFile
from sensor_assets._monitor import SourceGroup, SourcesDownError
from sensor_assets._routing import Hold, Router, Send, Waiting
from sensor_assets._settings import Settings
from sensor_assets._sources.base import Page, ScanContext, Source, SourceClient
from sensor_assets._sources.function import FunctionSource, source
from sensor_assets._sources.objects import ObjectSource
from sensor_assets.errors import (
    DefinitionError,
    ItemChanged,
    ItemGone,
    LedgerError,
    SensorAssetsError,
    SettingsError,
    SourceError,
)

if TYPE_CHECKING:
    from sensor_assets._sources.http import HttpSource, Link
    from sensor_assets._sources.queue import Message, QueueSource, Receiver
    from sensor_assets._sources.table import TableSource

# These import httpx and SQLAlchemy, which every process of a location would pay for that never uses them.
_ON_DEMAND = {
    "HttpSource": "sensor_assets._sources.http",
    "Link": "sensor_assets._sources.http",
    "Message": "sensor_assets._sources.queue",
    "QueueSource": "sensor_assets._sources.queue",
    "Receiver": "sensor_assets._sources.queue",
    "TableSource": "sensor_assets._sources.table",
}


def __getattr__(name: str) -> Any:
    if name not in _ON_DEMAND:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(_ON_DEMAND[name]), name)


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
    "ObjectSource",
    "Page",
    "QueueSource",
    "Receiver",
    "Retry",
    "Router",
    "ScanContext",
    "Send",
    "SensorAsset",
    "SensorAssetsError",
    "Settings",
    "SettingsError",
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
