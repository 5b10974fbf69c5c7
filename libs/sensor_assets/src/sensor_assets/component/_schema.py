"""The JSON schema of what is ours in the attributes, made from the classes.

    python -m sensor_assets.component._schema    # writes it to schema.json

Sources are written as ``objects: {...}`` rather than with a ``type``: a choice between models has one error for the
whole source, a key of its own has one for the line that is wrong.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import dagster as dg
from pydantic import ConfigDict, Field, create_model

from sensor_assets import _on_demand
from sensor_assets._asset import sensor_asset
from sensor_assets._batching import Batching, Retry
from sensor_assets.component._attributes import SCHEMA
from sensor_assets.component._models import descriptions, written
from sensor_assets.component._values import KINDS, PYTHON


class _OneKey(dg.Model):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1, "maxProperties": 1})


def schema() -> dict[str, Any]:
    """Return the schema as the classes are now."""
    make: Any = create_model  # typed for keys that are written out
    described = descriptions(sensor_asset)
    kinds: dict[str, Any] = {key: _on_demand.load(*place) for key, place in KINDS.items()}
    source = make(
        "Source",
        __base__=_OneKey,
        **{key: (written(kind), Field(default=None, description=_summary(kind))) for key, kind in kinds.items()},
        **{PYTHON: (str, Field(default=None, description=_PYTHON))},
    )
    attributes = make(
        "SensorAsset",
        __base__=dg.Model,
        sources=(Annotated[list[source], Field(min_length=1)], Field(description=_SOURCES, examples=[_EXAMPLE])),
        compute=(str, Field(description=_COMPUTE, examples=[".my_asset.my_asset"])),
        batching=(written(Batching), Field(default=None, description=_summary(Batching))),
        retry=(written(Retry), Field(default=None, description=_summary(Retry))),
        max_in_flight=(int | str, Field(default=None, description=described["max_in_flight"])),
        wait_for=(str, Field(default="any", description=described["wait_for"])),
        max_hold=(float | str, Field(default=None, description=described["max_hold"])),
        add_partitions=(bool | str, Field(default=False, description=described["add_partitions"])),
        appends=(bool | str, Field(default=False, description=described["appends"])),
    )
    return _without_null_defaults(attributes.model_json_schema())


_SOURCES = "What the asset follows: one source or several; the outlet of a router stands alone."
_EXAMPLE = [{"objects": {"name": "my_files", "url": "{landing_url}/my_files", "key": "{date:%Y-%m-%d}*.csv"}}]
_PYTHON = (
    "Import path of a source or of a router's outlet, such as my_package.sources.tickets; with a leading dot from "
    "beside this file. For a function of your own (@source), and for a source that several assets follow."
)
_COMPUTE = (
    "Import path of the function that processes a batch, such as my_package.module.function; with a leading dot from "
    "beside this file. It has a parameter 'batch'."
)


def _summary(kind: type) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def _without_null_defaults(node: Any) -> Any:
    """Leave out defaults of null, which say no more than that a key may be left out."""
    if isinstance(node, dict):
        return {
            name: _without_null_defaults(value) for name, value in node.items() if (name, value) != ("default", None)
        }
    return [_without_null_defaults(each) for each in node] if isinstance(node, list) else node


if __name__ == "__main__":
    Path(__file__).with_name(SCHEMA).write_text(json.dumps(schema(), indent=2) + "\n")
