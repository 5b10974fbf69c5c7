"""`@sensor_asset`: an asset whose runs process what arrived at a source."""

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Generic, Literal, ParamSpec, TypeVar, cast

import dagster as dg

from sensor_assets._batch import Batch
from sensor_assets._batching import Batching, Retry
from sensor_assets._consumers import Declaration, Follows
from sensor_assets._dagster import attached
from sensor_assets._joins import Join
from sensor_assets._processing import process
from sensor_assets._routing import Target
from sensor_assets._runtime import RESOURCE_KEY, Runtime
from sensor_assets._sources.base import Source
from sensor_assets.errors import DefinitionError

P = ParamSpec("P")
R = TypeVar("R")

_DECLARATION = "__sensor_asset__"
SOURCE_TAG = "sensor_assets/source"


class SensorAssetDefinition(dg.AssetsDefinition, Generic[P, R]):
    """An asset definition that is called like the function it was made of.

    Dagster's copies of it (with another group, say) are plain `AssetsDefinition`s again; nothing but the direct call
    depends on the class.
    """

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:  # type: ignore[override]
        """Run the plain function."""
        found = attached(self, _DECLARATION, _Attached)
        if found is None:
            raise DefinitionError(f"{self.key.to_user_string()} was not made by @sensor_asset")
        return found.function(*args, **kwargs)


class _Attached:
    """What hangs on the compute function: the declaration and the plain function."""

    def __init__(self, declaration: Declaration, function: Callable[..., Any]) -> None:
        self.declaration = declaration
        self.function = function


def declaration_of(asset: dg.AssetsDefinition) -> Declaration | None:
    """Return what `@sensor_asset` was told, or None for any other asset."""
    found = attached(asset, _DECLARATION, _Attached)
    return found.declaration if found else None


def sensor_asset(
    follows: Follows,
    *,
    batching: Batching | None = None,
    retry: Retry | None = None,
    max_in_flight: int | None = None,
    wait_for: Literal["any", "all"] = "any",
    max_hold: timedelta | float | None = None,
    add_partitions: bool = False,
    appends: bool = False,
    **asset: Any,
) -> "Callable[[Callable[P, R]], SensorAssetDefinition[P, R]]":
    """Make an asset that materializes when its source shows something new.

    The function has a parameter ``batch: Batch``; everything else is as in ``@dagster.asset``, and so are the remaining
    arguments. The result is an `AssetsDefinition` that can still be called as the plain function.

    Args:
        follows: A source, several sources, or a router's outlet such as ``router["severe"]``.
        batching: How much one run takes; see `Batching`.
        retry: How failures are treated; see `Retry`.
        max_in_flight: Most unfinished runs. An asset without partitions runs one batch at a time unless a number is
            given, which promises that batches do not disturb each other.
        wait_for: ``"all"`` lets a partition wait until every one of several sources has shown something for it; what
            arrives for it later goes at once. An asset without partitions waits until every source has shown something
            since the last time.
        max_hold: How long ``wait_for="all"`` waits, seconds or timedelta; then it goes on without the source that is
            late. For ever unless told.
        add_partitions: Add a dynamic partition when an item names one that does not exist, up to 1,000 in all.
        appends: The asset adds each batch to what is there, as a file or rows named after the batch, and removes what
            the batches in ``batch.replaces`` left, as `Lake.append` does. A launch by hand or a backfill then processes
            its batches again, each in the place of the old one, instead of adding everything once more. Its batches
            also keep versions that a newer one replaced, as long as the source can show them. One of which nothing is
            left to add is empty, and still removes what it replaces.
        asset: Arguments of ``@dagster.asset``. ``backfill_policy`` is ``BackfillPolicy.single_run()`` unless told: then
            neighbouring partitions share a run.

    Raises:
        DefinitionError: The function has no parameter ``batch``, or nothing is followed, or `wait_for` cannot work.

    Example:
        >>> @sensor_asset(flight_files, partitions_def=daily)
        ... def departures(context: dg.AssetExecutionContext, batch: Batch, lake: Lake) -> dg.MaterializeResult: ...
    """
    if isinstance(follows, Source | Target):
        chosen: Follows = follows
    else:
        chosen = tuple(follows)
        if not chosen:
            raise DefinitionError("@sensor_asset needs a source, a sequence of sources, or a router's outlet")
    declaration = Declaration(
        follows=chosen,
        batching=batching or Batching(),
        retry=retry or Retry(),
        max_in_flight=max_in_flight,
        join=_join(chosen, wait_for, max_hold),
        add_partitions=add_partitions,
        appends=appends,
        prefix=_prefix(asset),
    )

    def decorate(function: Callable[P, R]) -> "SensorAssetDefinition[P, R]":
        compute = _compute(function)
        setattr(compute, _DECLARATION, _Attached(declaration, function))
        definition = _asset(compute, declaration, asset)
        definition.__class__ = SensorAssetDefinition
        return cast("SensorAssetDefinition[P, R]", definition)

    return decorate


def _join(follows: Follows, wait_for: str, max_hold: timedelta | float | None) -> Join | None:
    if wait_for not in ("any", "all"):
        raise DefinitionError(f"@sensor_asset: wait_for is 'any' or 'all', not '{wait_for}'")
    if wait_for == "any":
        if max_hold is not None:
            raise DefinitionError("@sensor_asset: max_hold is for wait_for='all'; a Router has a max_hold of its own")
        return None
    if isinstance(follows, Target):
        raise DefinitionError("@sensor_asset: wait_for='all' is not for a router's outlet; its function decides")
    sources = (follows,) if isinstance(follows, Source) else tuple(follows)
    if len(sources) == 1:
        raise DefinitionError(f"@sensor_asset: wait_for='all' needs several sources, not only '{sources[0].name}'")
    return Join(sources=tuple(source.name for source in sources), max_hold=max_hold)


def _prefix(asset: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the path above the asset's name, which its sources share."""
    if (key := asset.get("key")) is not None:
        return tuple(dg.AssetKey.from_coercible(key).path[:-1])
    prefix = asset.get("key_prefix") or ()
    return (prefix,) if isinstance(prefix, str) else tuple(prefix)


def _asset(compute: Callable[..., Any], declaration: Declaration, asset: Mapping[str, Any]) -> dg.AssetsDefinition:
    arguments = dict(asset)
    key = dg.AssetKey.from_coercible(
        asset.get("key") or [*declaration.prefix, asset.get("name") or compute.__name__],
    )
    if key in map(declaration.source_key, declaration.sources):
        raise DefinitionError(f"@sensor_asset: {key.to_user_string()} follows a source of the same name; rename one")
    arguments["tags"] = {SOURCE_TAG: declaration.sources[0].name, **(asset.get("tags") or {})}
    arguments["deps"] = [*(asset.get("deps") or ()), *(declaration.source_key(s) for s in declaration.sources)]
    if asset.get("partitions_def") is not None:
        arguments.setdefault("backfill_policy", dg.BackfillPolicy.single_run())
    make: Any = dg.asset
    with warnings.catch_warnings():
        # Backfill policies are marked beta; that we choose one is no news for whoever loads the definitions.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return make(**arguments, output_required=False)(compute)


def _compute(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what Dagster runs: the function with ``batch`` taken out of its parameters and the runtime put in.

    It is a generator, because what follows a ``yield`` runs after the output was stored by the IO manager: only then is
    the batch done.
    """
    # eval_str, so that annotations of a module with `from __future__ import annotations` are types, as Dagster wants
    # them.
    signature = inspect.signature(function, eval_str=True)
    parameters = dict(signature.parameters)
    if "batch" not in parameters:
        raise DefinitionError(f"@sensor_asset: function '{function.__name__}' needs a parameter 'batch: Batch'")
    takes_context = "context" in parameters
    kept = [parameter for name, parameter in parameters.items() if name not in ("batch", "context")]
    context_type = parameters["context"].annotation if takes_context else inspect.Parameter.empty
    if context_type is inspect.Parameter.empty:
        context_type = dg.AssetExecutionContext
    standard = inspect.Parameter.POSITIONAL_OR_KEYWORD
    shown = [
        inspect.Parameter("context", standard, annotation=context_type),
        inspect.Parameter(RESOURCE_KEY, standard, annotation=dg.ResourceParam[Runtime]),
        *(parameter.replace(kind=standard) for parameter in kept),
    ]

    def compute(context: dg.AssetExecutionContext, **arguments: Any) -> Iterator[Any]:
        runtime: Runtime = arguments.pop(RESOURCE_KEY)
        given = {"context": context, **arguments} if takes_context else arguments

        def call(batch: Batch) -> Any:
            return function(batch=batch, **given)

        declaration: Declaration = getattr(compute, _DECLARATION).declaration
        yield from process(context, runtime, declaration, call)

    compute.__name__ = compute.__qualname__ = function.__name__
    compute.__module__ = function.__module__
    compute.__doc__ = function.__doc__
    compute.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    compute.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return compute
