"""Make objects of what YAML says; an error names file, line and key."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, TypeVar

import dagster as dg
from dagster.components.resolved.base import resolve_fields
from dagster.components.resolved.core_models import AssetSpecKwargs
from pydantic import BaseModel, TypeAdapter, ValidationError

from sensor_assets import _on_demand
from sensor_assets._consumers import Follows
from sensor_assets._routing import Target
from sensor_assets._sources.base import Source
from sensor_assets.component._models import is_function, options_of, values
from sensor_assets.errors import DefinitionError, SensorAssetsError

T = TypeVar("T")

# The key under which YAML writes a source, with the place of its class.
KINDS: Mapping[str, tuple[str, str]] = {
    "objects": ("sensor_assets._sources.objects", "ObjectSource"),
    "http": ("sensor_assets._sources.http", "HttpSource"),
    "queue": ("sensor_assets._sources.queue", "QueueSource"),
    "table": ("sensor_assets._sources.table", "TableSource"),
}
PYTHON = "python"


def error_at(context: dg.ResolutionContext, message: str) -> DefinitionError:
    """Return an error that points at the context's place in the YAML file."""
    tree = context.source_position_tree
    if tree is None:
        return DefinitionError(f"{_path(context)}: {message}")
    found = tree.source_error(yaml_path=context.path, inline_error_message=message, value_error=False)
    return DefinitionError(f"{found.file_name}:{found.start_line_no} - {found.location}: {message}\n{found.snippet}")


def _path(context: dg.ResolutionContext) -> str:
    return ".".join(str(part) for part in context.path)


def resolve(context: dg.ResolutionContext, kind: Any, value: Any) -> Any:
    """Fill in the templates of a value and check its type."""
    filled = context.resolve_value(value)
    try:
        return None if filled is None else TypeAdapter(kind).validate_python(filled)
    except ValidationError as error:
        raise _errors(context, error) from None


def asset_arguments(context: dg.ResolutionContext, model: BaseModel) -> Mapping[str, Any]:
    """Return the arguments of ``@dagster.asset``."""
    arguments = dict(resolve_fields(model, AssetSpecKwargs, context))
    # Every sensor asset is skippable: a batch whose items all have newer versions materializes nothing.
    arguments.pop("skippable", None)
    return arguments


def followed(context: dg.ResolutionContext, written: Sequence[Mapping[str, Any]]) -> Follows:
    """Return the sources, or the outlet of a router."""
    found = [_source(context.at_path(index), each) for index, each in enumerate(written)]
    targets = [each for each in found if isinstance(each, Target)]
    if targets and len(found) > 1:
        raise error_at(context, "the outlet of a router stands alone: the router has the sources")
    return targets[0] if targets else [each for each in found if isinstance(each, Source)]


def _source(context: dg.ResolutionContext, written: Mapping[str, Any]) -> Source | Target:
    kinds = [*KINDS, PYTHON]
    if len(written) != 1 or (kind := next(iter(written))) not in kinds:
        raise error_at(context, f"a source has one key, its kind ({', '.join(kinds)}), not {', '.join(written)}")
    here = context.at_path(kind)
    if kind == PYTHON:
        value = imported(here, written[kind])
        if not isinstance(value, Source | Target):
            raise error_at(
                here, f"'{written[kind]}' is a {type(value).__name__}, not a source or an outlet of a router"
            )
        return value
    try:
        source = _on_demand.load(*KINDS[kind])
    except SensorAssetsError as error:
        raise error_at(here, str(error)) from None
    return made(here, source, written[kind])


def made(context: dg.ResolutionContext, kind: type[T], written: Any) -> T:
    """Return an object of a class, from the arguments that YAML gives it."""
    if not isinstance(written, Mapping):
        raise error_at(context, f"needs keys and values, not '{written}'")
    model = values(kind)
    given = {
        name: _given(context.at_path(name), kind, name, value)
        if name in model.model_fields
        else context.at_path(name).resolve_value(value)
        for name, value in written.items()
    }
    try:
        checked = model.model_validate(given)
        return kind(**{name: getattr(checked, name) for name in checked.model_fields_set})
    except ValidationError as error:
        raise _errors(context, error) from None
    except DefinitionError as error:
        raise error_at(context, str(error)) from None


def _given(context: dg.ResolutionContext, kind: type, parameter: str, value: Any) -> Any:
    """Return the value of one parameter, before its type is checked."""
    options = options_of(kind, parameter)
    if is_function(kind, parameter):
        return imported(context, value)
    return made(context, options, value) if isinstance(value, Mapping) and options else context.resolve_value(value)


def _errors(context: dg.ResolutionContext, error: ValidationError) -> DefinitionError:
    """Return one error for all that a model does not accept."""
    messages: dict[str, str] = {}
    for detail in error.errors(include_url=False):
        key = detail["loc"][:1]
        place = context.at_path(key[0]) if key else context
        message = detail["msg"] if detail["input"] is not None else "is empty; is the environment variable set?"
        if detail["type"] == "missing":
            message = "is required"
        messages.setdefault(_path(place), str(error_at(place, message)))
    return DefinitionError("\n".join(messages.values()))


def imported(context: dg.ResolutionContext, path: Any) -> Any:
    """Return what an import path names; one that begins with a dot is beside the YAML file."""
    name = context.resolve_value(path)
    if not isinstance(name, str):
        return name
    load_context = dg.ComponentLoadContext.from_resolution_context(context)
    module, _, attribute = load_context.normalize_component_type_str(name).rpartition(".")
    if not module or not attribute:
        raise error_at(context, f"'{name}' is not an import path such as my_package.module.name, or .module.name")
    try:
        return getattr(import_module(module), attribute)
    except AttributeError:
        raise error_at(context, f"module {module} has no '{attribute}'") from None
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise error_at(context, f"there is no module {error.name}") from None
