"""A function of the user's own that says what is there."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from sensor_assets._items import Item
from sensor_assets._sources.base import CommonOptions, Page, ScanContext, Source, SourceClient, pages
from sensor_assets.errors import DefinitionError, SensorAssetsError, SourceError

if TYPE_CHECKING:
    from sensor_assets._settings import Settings

Lister = Callable[..., Iterable[Item]]


class FunctionSource(Source):
    """Follow what a function yields; made by `source`."""

    kind = "python"

    def __init__(self, name: str, function: Lister, **common: Unpack[CommonOptions]) -> None:
        super().__init__(name, **{**common, "description": common.get("description") or inspect.getdoc(function)})
        self.function = function
        parameters = list(inspect.signature(function).parameters)
        if not parameters or parameters[0] != "context":
            raise DefinitionError(f"@source '{name}': the function's first parameter must be 'context'")
        self._resources = tuple(parameters[1:])

    @property
    def required_resource_keys(self) -> frozenset[str]:
        return frozenset(self._resources)

    def open(self, settings: "Settings") -> "FunctionClient":  # noqa: ARG002
        return FunctionClient(self)

    def describe(self, settings: "Settings") -> dict[str, Any]:  # noqa: ARG002
        return {"function": f"{self.function.__module__}.{self.function.__qualname__}"}

    def __call__(self, *args: Any, **kwargs: Any) -> Iterable[Item]:
        """Call the plain function, as a test does."""
        return self.function(*args, **kwargs)


class FunctionClient(SourceClient):
    """Calls the function once a scan."""

    def __init__(self, source: FunctionSource) -> None:
        self._source = source

    def scan(self, context: ScanContext) -> Iterator[Page]:
        arguments = {name: context.resources[name] for name in self._source.required_resource_keys}
        try:
            items = self._source.function(context, **arguments)
            yield from pages(replace(item, source=self._source.name) for item in items)
        except SensorAssetsError:
            raise
        except Exception as error:
            raise SourceError(f"source '{self._source.name}' failed: {type(error).__name__}: {error}") from error


def source(name: str, **common: Unpack[CommonOptions]) -> Callable[[Lister], FunctionSource]:
    """Make a source of a function that yields an `Item` for each thing that is there now.

    The function takes a `ScanContext` and Dagster resources by name. It may yield everything each time: what is
    recorded is not recorded again. ``context.known(None)`` tells the recorded versions, so that it can skip work.

    Example:
        >>> @source("tickets", every=60)
        ... def tickets(context, helpdesk):
        ...     for ticket in helpdesk.changed():
        ...         yield Item(key=ticket.id, version=ticket.etag, metadata={"priority": ticket.priority})
    """

    def decorate(function: Lister) -> FunctionSource:
        return FunctionSource(name, function, **common)

    return decorate
