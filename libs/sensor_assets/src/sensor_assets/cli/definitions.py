"""The sources of a location, as its code declares them, for questions that the ledger cannot answer."""

import os
import sys
import tomllib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from sensor_assets._runtime import RESOURCE_KEY, Runtime
from sensor_assets._sources.base import Source


class NotLoadableError(Exception):
    """The location's code cannot be loaded here."""


def sources_in(folder: Path, variables: Mapping[str, str]) -> Mapping[str, Source]:
    """Load the definitions in a location's folder and return its sources by name.

    Args:
        folder: The location's project, in whose environment this process runs.
        variables: Environment variables of the location.

    Raises:
        NotLoadableError: It has no definitions, or they do not load; with the reason.
    """
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text())
        module = str(project["tool"]["dg"]["project"]["root_module"])
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise NotLoadableError(f"{folder} is no dg project") from error
    os.environ.update(variables)
    sys.path.insert(0, str(folder / "src"))
    try:
        loaded: Any = import_module(f"{module}.definitions").defs
        definitions: Any = loaded() if callable(loaded) else loaded
        runtime: Runtime = definitions.resources[RESOURCE_KEY]
    except Exception as error:  # whatever a location's code raises
        raise NotLoadableError(f"{module} does not load here: {type(error).__name__}: {error}") from error
    return runtime.sources
