"""Errors that a user of the library can cause or meet."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sensor_assets._items import Item


class SensorAssetsError(Exception):
    """Base of every error that this library raises on purpose."""


class DefinitionError(SensorAssetsError):
    """A source, router or sensor asset is declared in a way that cannot work; raised when definitions load."""


class MissingExtraError(SensorAssetsError, ImportError):
    """A package is not installed that an optional part needs; the message names the extra that brings it."""


class SettingsError(SensorAssetsError):
    """An environment variable that the location needs is missing or wrong; the message names each one."""


class LedgerError(SensorAssetsError):
    """The ledger cannot be used: not reachable, not migrated, or newer than the library."""


class SourceError(SensorAssetsError):
    """A source could not be read. The message says which place, what it answered and what to do."""


class ItemError(SensorAssetsError):
    """Base of what can be wrong with a recorded item when a run reads it."""

    def __init__(self, item: "Item", message: str) -> None:
        super().__init__(message)
        self.item = item


class ItemChanged(ItemError):  # noqa: N818 - reads as what happened
    """The recorded version was replaced by a newer one, which will be an arrival of its own."""


class ItemGone(ItemError):  # noqa: N818 - reads as what happened
    """The item was deleted from the source after it was recorded."""


class UnknownNameError(SensorAssetsError):
    """A command names something that the ledger does not hold; the message has the nearest names."""
