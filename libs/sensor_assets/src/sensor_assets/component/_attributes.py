"""What `defs.yaml` holds under ``attributes`` for a sensor asset, and its JSON schema."""

import json
from importlib.resources import files
from typing import Any

import dagster as dg
from dagster.components.resolved.core_models import AssetSpecKwargs
from pydantic import Field

SCHEMA = "schema.json"


class SensorAssetAttributes(dg.Model):
    """The attributes as written; templates are filled in and details checked when they become objects."""

    sources: list[dict[str, Any]] = Field(min_length=1)
    asset: AssetSpecKwargs.model()  # type: ignore[valid-type]
    compute: str
    batching: dict[str, Any] = Field(default_factory=dict)
    retry: dict[str, Any] = Field(default_factory=dict)
    max_in_flight: int | str | None = None
    wait_for: str = "any"
    max_hold: float | str | None = None
    add_partitions: bool | str = False
    appends: bool | str = False

    @classmethod
    def model_json_schema(cls, *_args: Any, **_options: Any) -> dict[str, Any]:
        """Return the schema that `dg check yaml`, editors and the UI use.

        Every code server is asked for it when it loads. What is ours is a file, so that none has to import every kind
        of source with what it needs; a test holds that it fits the classes.
        """
        schema: dict[str, Any] = json.loads(files("sensor_assets.component").joinpath(SCHEMA).read_text())
        asset = AssetSpecKwargs.model().model_json_schema()
        asset["properties"].pop("skippable", None)  # a sensor asset always is
        schema["$defs"] |= asset.pop("$defs", {}) | {"Asset": asset}
        schema["properties"]["asset"] = {"$ref": "#/$defs/Asset"}
        schema["required"].append("asset")
        return schema
