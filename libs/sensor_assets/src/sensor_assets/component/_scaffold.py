"""What `dg scaffold defs sensor_assets.SensorAsset my_asset` writes: the component and the function beside it."""

from dataclasses import dataclass
from string import Template
from typing import Any, Literal

import dagster as dg
from pydantic import BaseModel, Field

from sensor_assets.errors import DefinitionError


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """A kind of source as it is first written."""

    yaml: str
    python: str
    imports: str
    work: str = 'return dg.MaterializeResult(metadata={"bytes": sum(len(item.read()) for item in batch.items)})'


_KINDS = {
    "objects": _Kind(
        imports="ObjectSource, SensorAsset",
        python='ObjectSource("${name}_files", url="s3://my-bucket/$name", key="*.csv")',
        yaml="""\
    - objects:
        name: ${name}_files
        url: s3://my-bucket/$name # gs://, az://, file:///; "{a_setting}" is filled from the location's settings
        key: "*.csv" # a date in it, as in {date:%Y-%m-%d}*.csv, is the item's partition
""",
    ),
    "http": _Kind(
        imports="HttpSource, SensorAsset",
        python='HttpSource("${name}_page", url="https://example.com/$name.json")',
        yaml="""\
    - http:
        name: ${name}_page
        url: https://example.com/$name.json # "{a_setting}" is filled from the location's settings
""",
    ),
    "queue": _Kind(
        imports="QueueSource, SensorAsset",
        python='QueueSource("${name}_messages", queue="$name")',
        yaml="""\
    - queue:
        name: ${name}_messages
        queue: $name # name or URL of an SQS queue; "{a_setting}" is filled from the location's settings
""",
    ),
    "table": _Kind(
        imports="SensorAsset, TableSource",
        python='TableSource("${name}_rows", url="{ledger_url}", table="$name", key="id", version="changed", lag=60)',
        work='return dg.MaterializeResult(metadata={"rows": len(batch.rows())})',
        yaml="""\
    - table:
        name: ${name}_rows
        url: "{ledger_url}" # filled from the location's settings; name one of your own
        table: $name
        key: id # the column that identifies a row
        version: changed # the column that grows with every change
        lag: 60 # seconds from setting a time to its commit; leave it out for transaction ids of Postgres
""",
    ),
}

_YAML = Template(
    """\
type: $type

attributes:
  sources:
$source\
  asset:
    key: $name
  batching:
    max_items: 1000
    max_wait: 0 # seconds that arrivals may wait for company
  compute: .$name.$name # the function in $name.py beside this file
"""
)

_COMPONENT = Template(
    """\
import dagster as dg
from sensor_assets import $imports

from .$name import $name


@dg.component_instance
def load(context: dg.ComponentLoadContext) -> SensorAsset:
    return SensorAsset(
        sources=$source,
        asset={"key": "$name"},
        compute=$name,
    )
"""
)

_FUNCTION = Template(
    '''\
"""What the sensor asset $name does with a batch."""

import dagster as dg
from sensor_assets import Batch


def $name(context: dg.AssetExecutionContext, batch: Batch) -> dg.MaterializeResult:
    """Process what arrived. The UI shows this text as the asset's description."""
    context.log.info(f"{len(batch.items)} items")
    $work
'''
)


class ScaffoldOptions(BaseModel):
    """Options of `dg scaffold`."""

    source: Literal["objects", "http", "queue", "table"] = Field(
        default="objects", description="What the asset follows: objects (a bucket, a directory), http, queue or table."
    )


class SensorAssetScaffolder(dg.Scaffolder[ScaffoldOptions]):
    """Write the component and the module of the function beside it."""

    @classmethod
    def get_scaffold_params(cls) -> type[ScaffoldOptions]:
        return ScaffoldOptions

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        directory = request.target_path.parent if request.append else request.target_path
        name = directory.name
        if not name.isidentifier():
            raise DefinitionError(f"'{name}': the folder is named like the function, with underscores, as in my_asset")
        kind = _KINDS[request.params.source]
        names = {"name": name, "type": request.type_name, "work": kind.work, "imports": kind.imports}

        def fill(text: str) -> str:
            return Template(text).substitute(names)

        (directory / f"{name}.py").write_text(_FUNCTION.substitute(names))
        if request.scaffold_format == "python":
            written = _COMPONENT.substitute(names, source=fill(kind.python))
            (directory / "component.py").write_text(written)
            return
        written = _YAML.substitute(names, source=fill(kind.yaml))
        if request.append:
            with request.target_path.open("a") as existing:
                existing.write(f"---\n{written}")
        else:
            (directory / "defs.yaml").write_text(written)
