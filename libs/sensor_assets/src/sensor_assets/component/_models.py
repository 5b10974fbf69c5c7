"""Pydantic models of what YAML may say, made from the signatures and docstrings of the classes that it configures.

So a parameter that a source gains is known to YAML without a second declaration that could drift.
"""

import builtins
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from datetime import timedelta
from functools import cache
from inspect import Parameter, getdoc, signature
from types import ModuleType, NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import dagster as dg
from pydantic import BaseModel, ConfigDict, Field, create_model

from sensor_assets._sources.base import Common

_ENTRY = re.compile(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", re.MULTILINE)


class _Unwritable:
    """Stands for a type that is imported for type checkers alone, and that YAML could not write anyway."""

    def __class_getitem__(cls, _: Any) -> "type[_Unwritable]":
        return cls


class _Names(dict[str, Any]):
    """The names of a module, and for any other a type that YAML cannot write."""

    def __init__(self, module: ModuleType) -> None:
        super().__init__({**vars(builtins), **vars(module)})

    def __missing__(self, name: str) -> Any:
        return _Unwritable


class _Closed(dg.Model):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


@cache
def written(kind: type) -> type[BaseModel]:
    """Return the model of a class's parameters as a YAML file writes them: any of them may be a ``{{ template }}``."""
    return _model(kind, "Attributes", lambda annotation: _or_template(_plain(annotation)))


@cache
def values(kind: type) -> type[BaseModel]:
    """Return the model of a class's parameters after templates are filled in and functions imported."""
    return _model(kind, "Values", lambda annotation: annotation)


def is_function(kind: type, parameter: str) -> bool:
    """Tell whether a parameter is a function, which YAML names by import path; where a text will do it writes that."""
    annotation = _parameters(kind)[parameter][0]
    choices = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return any(_is_callable(each) for each in choices) and str not in choices


def options_of(kind: type, parameter: str) -> type | None:
    """Return the class of a parameter that YAML writes as a mapping of that class's own parameters."""
    annotation = _parameters(kind)[parameter][0]
    choices = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return next((each for each in choices if _has_options(each)), None)


def _model(kind: type, suffix: str, translate: Callable[[Any], Any]) -> type[BaseModel]:
    described = descriptions(kind) | (descriptions(Common) if _takes_common(kind) else {})
    given: dict[str, Any] = {}
    for name, (annotation, default) in _parameters(kind).items():
        shown: dict[str, Any] = {"description": described.get(name)}
        if default is not Parameter.empty:
            shown["default"] = default if isinstance(default, str | int | float | bool) else None
        given[name] = (translate(annotation), Field(**shown))
    return create_model(f"{kind.__name__}{suffix}", __base__=_Closed, **given)


def _takes_common(kind: type) -> bool:
    return any(parameter.kind is Parameter.VAR_KEYWORD for parameter in signature(kind).parameters.values())


def _parameters(kind: type) -> dict[str, tuple[Any, Any]]:
    """Return type and default by name of what a class takes, for a source with what every source takes."""
    hints = get_type_hints(kind if is_dataclass(kind) else kind.__init__, localns=_Names(sys.modules[kind.__module__]))
    own = {
        name: (hints[name], parameter.default)
        for name, parameter in signature(kind).parameters.items()
        if parameter.kind is not Parameter.VAR_KEYWORD
    }
    common = _parameters(Common) if _takes_common(kind) else {}
    return {**own, **{name: found for name, found in common.items() if name not in own}}


def descriptions(kind: Any) -> dict[str, str]:
    """Return the descriptions under ``Args:`` in the docstring of a class or a function."""
    _, _, arguments = (getdoc(kind) or "").partition("\nArgs:\n")
    section = re.split(r"\n(?=\S)", arguments)[0]
    return {name: " ".join(text.split()) for name, text in _ENTRY.findall(section)}


def _is_callable(annotation: Any) -> bool:
    return get_origin(annotation) is Callable  # a type alias of one is the same


def _has_options(annotation: Any) -> bool:
    return isinstance(annotation, type) and is_dataclass(annotation)


def _plain(annotation: Any) -> Any:
    """Return what YAML can write for a parameter of that type; a function is an import path."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if _is_callable(annotation) or _has_options(annotation):
        return str if _is_callable(annotation) else written(annotation)
    if origin in (Union, UnionType):
        kept = [_plain(each) for each in arguments if each not in (timedelta, _Unwritable)]
        return Union[tuple(kept)]  # noqa: UP007 - made of a list
    if origin in (list, tuple, Sequence):
        return list[_plain(arguments[0])]
    if origin in (dict, Mapping):
        return dict[str, _plain(arguments[1])]
    if annotation in (str, int, float, bool, NoneType) or origin is Literal:
        return annotation
    return Any


def _or_template(annotation: Any) -> Any:
    return annotation if annotation is Any else annotation | str
