"""Import what a name needs when the name is first used; say which extra brings it when it is not installed."""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from sensor_assets.errors import MissingExtraError

# The packages of each extra in pyproject.toml, and the modules of ours that import them.
EXTRAS: Mapping[str, tuple[str, ...]] = {
    "http": ("httpx",),
    "lake": ("obstore", "polars"),
    "objects": ("arro3-core", "botocore", "obstore"),
    "tables": ("sqlalchemy",),
}
# Packages whose module has another name.
_MODULES: Mapping[str, str] = {"arro3-core": "arro3"}
_NEEDS: Mapping[str, str] = {
    "sensor_assets._lake": "lake",
    "sensor_assets._sources.http": "http",
    "sensor_assets._sources.objects": "objects",
    "sensor_assets._sources.table": "tables",
}


def load(module: str, name: str) -> Any:
    """Return a name of one of this library's modules, which is imported now.

    Raises:
        MissingExtraError: A package is not installed that the module needs; the message names the extra.
    """
    extra = _NEEDS.get(module)
    missing = [package for package in EXTRAS.get(extra or "", ()) if find_spec(_MODULES.get(package, package)) is None]
    if missing:
        raise MissingExtraError(
            f"{name} needs {' and '.join(missing)}, which is not installed: depend on sensor-assets[{extra}], for "
            f"example by `uv add 'sensor-assets[{extra}]'`",
            name=missing[0],
        )
    return getattr(import_module(module), name)
