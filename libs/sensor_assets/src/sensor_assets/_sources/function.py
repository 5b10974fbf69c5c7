"""A function of the user's own that says what is there."""

import inspect
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from sensor_assets._items import Item
from sensor_assets._sources.base import CommonOptions, Page, ScanContext, Source, SourceClient
from sensor_assets._sources.history import History
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
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise DefinitionError(f"@source '{name}': the function must not be async; run a loop in it by asyncio.run")
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
        history = History(context)
        try:
            for item in self._call(context):
                if history.add(self._checked(item)):
                    yield Page(items=history.fresh())
        except Exception as error:
            # What it showed before is there, whatever happened to it afterwards.
            if items := history.rest():
                yield Page(items=items)
            if isinstance(error, SensorAssetsError):
                raise
            raise SourceError(f"source '{self._source.name}' failed: {type(error).__name__}: {error}") from error
        if items := history.rest():
            yield Page(items=items)

    def _call(self, context: ScanContext) -> Iterable[Any]:
        arguments = {name: context.resources[name] for name in self._source.required_resource_keys}
        shown: Any = self._source.function(context, **arguments)
        if not isinstance(shown, Iterable):
            raise self._wrong(f"returned {type(shown).__name__} instead of items: let it yield each item")
        return shown

    def _checked(self, item: Any) -> Item:
        """Return the item as one of this source, after a look at what a ledger could not store."""
        if not isinstance(item, Item):
            raise self._wrong(f"yielded {type(item).__name__} {item!r:.100} instead of an Item")
        for name in ("key", "version"):
            if not isinstance(text := getattr(item, name), str) or not text:
                raise self._wrong(f"yielded an item (key {item.key!r:.100}) whose {name} is {text!r}, not a text")
        if item.partition is not None and not isinstance(item.partition, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise self._wrong(
                f"yielded an item (key {item.key!r:.100}) whose partition is {item.partition!r}, not a text such as "
                "'2013-01-01'"
            )
        if item.metadata:
            try:
                json.dumps(dict(item.metadata), allow_nan=False)
            except (TypeError, ValueError) as error:
                raise self._wrong(
                    f"yielded an item (key {item.key!r:.100}) whose metadata is no JSON: {error}"
                ) from error
        return replace(item, source=self._source.name)

    def _wrong(self, what: str) -> SourceError:
        return SourceError(f"source '{self._source.name}': its function {what}")


def source(name: str, **common: Unpack[CommonOptions]) -> Callable[[Lister], FunctionSource]:
    """Make a source of a function that yields an `Item` for each thing that is there now.

    The function takes a `ScanContext` and Dagster resources by name. It may yield everything each time: what is
    recorded is not recorded again. Where it tells several versions of a key, the oldest comes first.
    ``context.known(None)`` tells the recorded versions, so that it can skip work.

    Example:
        >>> @source("tickets", every=60)
        ... def tickets(context, helpdesk):
        ...     for ticket in helpdesk.changed():
        ...         yield Item(key=ticket.id, version=ticket.etag, metadata={"priority": ticket.priority})
    """

    def decorate(function: Lister) -> FunctionSource:
        return FunctionSource(name, function, **common)

    return decorate
