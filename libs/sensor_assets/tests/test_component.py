"""Sensor assets in YAML: in a project that Dagster's own `dg` makes, checks and lists, and with runs."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from itertools import count
from pathlib import Path
from textwrap import dedent
from typing import Any

import dagster as dg
import pytest
from obstore.store import MemoryStore
from sensor_assets import (
    Batching,
    DefinitionError,
    FunctionSource,
    HttpSource,
    ObjectEvents,
    ObjectSource,
    QueueSource,
    Retry,
    Settings,
    TableSource,
    with_sources,
)
from sensor_assets._asset import declaration_of
from sensor_assets._joins import Join
from sensor_assets.component._attributes import SCHEMA
from sensor_assets.component._models import written
from sensor_assets.component._schema import schema
from sensor_assets.testing import Location, settings_for

MakeLocation = Callable[..., Location]

_number = count(1)

PYPROJECT = """
[project]
name = "{package}"
version = "0.1.0"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "{package}"
code_location_target_module = "{package}.definitions"
"""

DEFINITIONS = """
from pathlib import Path

import dagster as dg
from sensor_assets import Settings, with_sources


class ShopSettings(Settings):
    landing_url: str
    interval_seconds: float = 5


@dg.definitions
def defs() -> dg.Definitions:
    return with_sources(
        dg.load_from_defs_folder(path_within_project=Path(__file__).parent), settings=ShopSettings.load()
    )
"""

ORDERS = """
import dagster as dg
from sensor_assets import Batch, Item, Router, ScanContext, Send, Waiting, source

seen = {}


def orders(context: dg.AssetExecutionContext, batch: Batch) -> dg.MaterializeResult:
    \"\"\"Orders by day.\"\"\"
    for day, files in batch.by_partition():
        seen[day] = [file.read().decode() for file in files]
    return dg.MaterializeResult(metadata={"days": len(batch.partitions)})


def everything(batch: Batch) -> None:
    for item in batch.items:
        seen.setdefault(batch.route, []).append(item.key)


def without_batch(context: dg.AssetExecutionContext) -> None: ...


@source("tickets")
def tickets(context: ScanContext):
    yield Item(key="t1", version="1")


def all_open(waiting: Waiting) -> Send:
    return Send(to="open")


open_tickets = Router(tickets, all_open, name="tickets", targets=["open"])["open"]


def links(body: bytes) -> list:
    return []
"""

DAILY = """
type: sensor_assets.SensorAsset

attributes:
  sources:
    - objects:
        name: order_files
        url: "{landing_url}/orders"
        key: "{date:%Y-%m-%d}*.csv"
        ignore: ["*.tmp"]
        every: "{interval_seconds}"
        stale_after: "{{ env('STALE_AFTER', '600') }}"
        group_name: outside
  asset:
    key: shop/orders
    group_name: shop
    owners: [team:shop]
    kinds: [polars, parquet]
    tags: {tier: gold}
    deps: [shop/customers]
    automation_condition: "{{ dg.AutomationCondition.eager() }}"
    partitions_def: "{{ dg.DailyPartitionsDefinition(start_date=env.FIRST_DAY) }}"
  batching:
    max_items: "{{ env.MAX_ITEMS }}"
    max_bytes: 64 MiB
    max_wait: "{{ datetime.timedelta(minutes=2) }}"
  retry:
    max_failures: 5
  max_in_flight: 2
  compute: .orders.orders
"""


class ShopSettings(Settings):
    landing_url: str
    interval_seconds: float = 5


SETTINGS = settings_for(ShopSettings, landing_url="file:///landing")


@dataclass(frozen=True)
class Project:
    """A project of dg's shape with one folder of definitions."""

    root: Path
    package: str

    @property
    def defs(self) -> Path:
        return self.root / "src" / self.package / "defs"

    def write(self, yaml_text: str, *, name: str = "orders", module: str = ORDERS) -> Path:
        folder = self.defs / name
        folder.mkdir(exist_ok=True)
        (folder / "defs.yaml").write_text(dedent(yaml_text).lstrip())
        (folder / "orders.py").write_text(module)
        return folder / "defs.yaml"

    def load(self) -> dg.Definitions:
        return dg.load_from_defs_folder(path_within_project=self.root)

    def module(self, name: str = "orders") -> Any:
        return sys.modules[f"{self.package}.defs.{name}.orders"]

    def dg(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.root / "src"),
            "LANDING_URL": "file:///landing",
            "ENVIRONMENT": "local",
            "TEAM": "shop",
            "LOCATION": "shop",
            "LEDGER_URL": "postgresql://nobody@/none",
            "LEDGER_SCHEMA": "shop",
            "FIRST_DAY": "2013-01-01",
            "MAX_ITEMS": "7",
            "DG_CLI_CONFIG": str(self.root / "none.toml"),
            "DAGSTER_TELEMETRY_ENABLED": "false",
            "COLUMNS": "200",
            "NO_COLOR": "1",
        }
        program = str(Path(sys.executable).with_name("dg"))
        return subprocess.run(
            [program, *arguments], cwd=self.root, env=environment, capture_output=True, text=True, check=False
        )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    package = f"shop_{next(_number)}"
    source = tmp_path / "src" / package
    (source / "defs").mkdir(parents=True)
    (source / "__init__.py").touch()
    (source / "defs" / "__init__.py").touch()
    (source / "definitions.py").write_text(DEFINITIONS)
    (tmp_path / "pyproject.toml").write_text(PYPROJECT.format(package=package))
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    monkeypatch.setenv("FIRST_DAY", "2013-01-01")
    monkeypatch.setenv("MAX_ITEMS", "7")
    return Project(tmp_path, package)


def only_asset(definitions: dg.Definitions) -> dg.AssetsDefinition:
    [asset] = [asset for asset in definitions.assets or () if isinstance(asset, dg.AssetsDefinition)]
    return asset


def minimal(sources: str, *, asset: str = "{key: orders}", rest: str = "") -> str:
    lines = ["type: sensor_assets.SensorAsset", "attributes:", f"  sources: {sources}", f"  asset: {asset}"]
    return "\n".join([*lines, rest or "  compute: .orders.everything", ""])


# What dg makes


def test_what_dg_scaffolds_passes_its_checks_and_is_listed_with_source_and_sensor(project: Project) -> None:
    for arguments in (["orders"], ["rates", "--source", "http"], ["planes", "--source", "table"]):
        made = project.dg("scaffold", "defs", "sensor_assets.SensorAsset", *arguments)
        assert made.returncode == 0, made.stdout + made.stderr
    python = project.dg("scaffold", "defs", "sensor_assets.SensorAsset", "in_python", "--format", "python")
    assert python.returncode == 0, python.stdout + python.stderr
    checked = project.dg("check", "yaml")
    assert "All component YAML validated successfully." in checked.stdout, checked.stdout + checked.stderr
    listed = project.dg("list", "defs", "--json")
    assert listed.returncode == 0, listed.stdout + listed.stderr
    found = json.loads(listed.stdout[listed.stdout.index("{") :])
    sources = {asset["asset_key"]: asset["dependency_keys"] for asset in found["assets"]}
    assert sources["orders"] == ["orders_files"]
    assert sources["rates"] == ["rates_page"]
    assert sources["planes"] == ["planes_rows"]
    assert sources["in_python"] == ["in_python_files"]
    assert [sensor["name"] for sensor in found["sensors"]] == ["source_monitor"]
    written = {asset["asset_key"]: asset.get("source") for asset in found["assets"]}
    assert written["orders"] == f"src/{project.package}/defs/orders/defs.yaml:1"


def test_dg_shows_the_component_with_its_description_and_its_options(project: Project) -> None:
    listed = project.dg("list", "components")
    assert "sensor_assets.SensorAsset" in listed.stdout, listed.stdout + listed.stderr
    shown = project.dg("utils", "inspect-component", "sensor_assets.SensorAsset", "--defs-yaml-schema")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "max_items: <one of: integer, string>  # Optional: Most items in a batch." in shown.stdout
    assert re.search(r"url: <string>  # Required: ``s3://bucket/prefix``", shown.stdout)


def test_dg_check_yaml_names_file_line_and_key_of_each_mistake(project: Project) -> None:
    file = project.write(
        """
        type: sensor_assets.SensorAsset
        attributes:
          sources:
            - objects:
                name: order_files
                ulr: s3://bucket/orders
            - ftp: {name: events}
          asset:
            key: orders
            grup_name: shop
          batching:
            max_itms: 3
          compute: .orders.orders
        """
    )
    checked = project.dg("check", "yaml")
    assert checked.returncode == 1
    for line, key in (
        (5, "attributes.sources.0.objects.ulr"),
        (7, "attributes.sources.1.ftp"),
        (10, "attributes.asset.grup_name"),
        (12, "attributes.batching.max_itms"),
    ):
        assert re.search(
            rf"{re.escape(str(file))}:\d+ - sensor_assets.SensorAsset {re.escape(key)} ", checked.stdout
        ), (
            line,
            checked.stdout,
        )
    assert f"{file}:12 - sensor_assets.SensorAsset attributes.batching.max_itms" in checked.stdout


# What it makes


def test_everything_that_the_yaml_says_is_what_the_decorator_would_be_told(project: Project) -> None:
    project.write(DAILY)
    asset = only_asset(project.load())
    spec = next(iter(asset.specs))
    assert spec.key == dg.AssetKey(["shop", "orders"])
    assert (spec.group_name, spec.owners, spec.kinds) == ("shop", ["team:shop"], {"polars", "parquet"})
    assert spec.tags["tier"] == "gold"
    assert spec.description == "Orders by day."
    assert spec.automation_condition == dg.AutomationCondition.eager()
    assert {dep.asset_key for dep in spec.deps} == {
        dg.AssetKey(["shop", "customers"]),
        dg.AssetKey(["shop", "order_files"]),
    }
    assert asset.partitions_def == dg.DailyPartitionsDefinition("2013-01-01")
    assert asset.backfill_policy == dg.BackfillPolicy.single_run()
    declared = declaration_of(asset)
    assert declared is not None
    assert declared.batching == Batching(max_items=7, max_bytes="64 MiB", max_wait=declared.batching.max_wait)
    assert str(declared.batching.max_wait) == "0:02:00"
    assert (declared.retry, declared.max_in_flight) == (Retry(max_failures=5), 2)
    [source] = declared.sources
    assert isinstance(source, ObjectSource)
    assert (source.name, source.url, source.ignore) == ("order_files", "{landing_url}/orders", ("*.tmp",))
    assert source.key is not None
    assert source.key.text == "{date:%Y-%m-%d}*.csv"
    assert source.interval(SETTINGS) == 5
    assert (source.common.stale_after, source.common.group_name) == (600, "outside")


WAITING = """  wait_for: all
  max_hold: 3600
  add_partitions: true
  appends: "{{ env('APPENDS', 'true') }}"
  compute: .orders.everything"""


def test_how_an_asset_waits_and_writes_can_be_said_as_well(project: Project) -> None:
    two = "[{objects: {name: a, url: 'file:///a'}}, {objects: {name: b, url: 'file:///b'}}]"
    project.write(minimal(two, rest=WAITING))
    declared = declaration_of(only_asset(project.load()))
    assert declared is not None
    assert declared.join == Join(sources=("a", "b"), max_hold=3600)
    assert (declared.add_partitions, declared.appends) == (True, True)


@pytest.mark.parametrize(
    ("sources", "kind", "attributes"),
    [
        ("[{http: {name: rates, url: 'http://x/', timeout: 2, headers: {A: b}}}]", HttpSource, {"timeout": 2.0}),
        ("[{http: {name: rates, url: 'http://x/', links: .orders.links}}]", HttpSource, {"index": None}),
        (
            "[{table: {name: rows, url: 'postgresql://x@/y', table: t, key: id, version: v}}]",
            TableSource,
            {"table": "t", "lag": None},
        ),
        ("[{queue: {name: events, queue: 'q', key: order.id}}]", QueueSource, {"queue": "q", "key": "order.id"}),
        (
            "[{objects: {name: files, url: 's3://b/x', strategy: append_only, open_for: 86400, sweep: 5}}]",
            ObjectSource,
            {"strategy": "append_only", "open_for": timedelta(days=1), "sweep": 5, "versions": False, "events": None},
        ),
        (
            "[{objects: {name: files, url: 's3://b/x', versions: true, events: {queue: '{q}', grace: 60}}}]",
            ObjectSource,
            {"strategy": None, "versions": True, "events": ObjectEvents(queue="{q}", grace=60)},
        ),
        ("[{python: .orders.tickets}]", FunctionSource, {"name": "tickets"}),
    ],
)
def test_every_kind_of_source_can_be_written(
    project: Project, sources: str, kind: type, attributes: dict[str, Any]
) -> None:
    project.write(minimal(sources))
    declared = declaration_of(only_asset(project.load()))
    assert declared is not None
    [source] = declared.sources
    assert isinstance(source, kind)
    assert {name: getattr(source, name) for name in attributes} == attributes


def test_a_function_of_a_source_is_named_by_its_import_path(project: Project) -> None:
    project.write(minimal("[{http: {name: rates, url: 'http://x/', links: .orders.links}}]"))
    declared = declaration_of(only_asset(project.load()))
    assert declared is not None
    [source] = declared.sources
    assert isinstance(source, HttpSource)
    assert source.links is project.module().links


def test_several_sources_and_the_outlet_of_a_router_can_be_followed(project: Project) -> None:
    project.write(minimal("[{python: .orders.tickets}, {http: {name: rates, url: 'http://x/'}}]"))
    declared = declaration_of(only_asset(project.load()))
    assert declared is not None
    assert [source.name for source in declared.sources] == ["tickets", "rates"]


def test_files_become_partitions_by_a_component(project: Project, make_location: MakeLocation) -> None:
    project.write(DAILY)
    store = MemoryStore()
    for key in ("2013-01-01.csv", "2013-01-02.csv", "2013-01-01-late.csv", "notes.tmp"):
        store.put(key, key.encode())
    location = make_location(project.load(), settings=SETTINGS, store=store)
    assert [run.success for run in location.settle()] == [True]
    assert project.module().seen == {
        "2013-01-01": ["2013-01-01-late.csv", "2013-01-01.csv"],
        "2013-01-02": ["2013-01-02.csv"],
    }


def test_a_router_s_outlet_gets_what_it_was_sent(project: Project, make_location: MakeLocation) -> None:
    project.write(minimal("[{python: .orders.open_tickets}]"))
    location = make_location(project.load(), settings=SETTINGS)
    location.settle()
    assert project.module().seen == {"open": ["t1"]}


def test_two_components_may_follow_the_same_source(project: Project) -> None:
    shared = f"[{{python: {project.package}.defs.orders.orders.tickets}}]"
    project.write(minimal(shared, asset="{key: first}"))
    project.write(minimal(shared, asset="{key: second}"), name="second")
    definitions = with_sources(project.load(), settings=SETTINGS)
    keys = [spec.key for spec in definitions.resolve_all_asset_specs()]
    assert sorted(keys) == [dg.AssetKey("first"), dg.AssetKey("second"), dg.AssetKey("tickets")]
    dg.Definitions.validate_loadable(definitions)


def test_what_post_processing_changes_keeps_its_source(project: Project) -> None:
    project.write(
        minimal("[{python: .orders.tickets}]")
        + "post_processing:\n  assets:\n    - target: '*'\n      attributes: {group_name: moved}\n"
    )
    asset = only_asset(project.load())
    assert next(iter(asset.specs)).group_name == "moved"
    declared = declaration_of(asset)
    assert declared is not None
    assert [source.name for source in declared.sources] == ["tickets"]


# What is wrong with it


def failure(project: Project, text: str) -> str:
    """Return the message of the library's error, without the snippet of the file."""
    project.write(text)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster wraps it; the test looks for ours
        project.load()
    error: BaseException | None = caught.value
    while error is not None and not isinstance(error, DefinitionError):
        error = error.__cause__ or error.__context__
    assert error is not None, caught.value
    return str(error).splitlines()[0]


SOURCE = "[{objects: {name: files, url: 'file:///x'}}]"


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        pytest.param(
            minimal("[{objects: {name: files, url: '{{ env.NO_SUCH }}'}}]"),
            3,
            "sources.0.objects.url",
            "is empty; is the environment variable set?",
            id="unset",
        ),
        pytest.param(minimal("[{objects: {name: files}}]"), 3, "sources.0.objects.url", "is required", id="missing"),
        pytest.param(
            minimal("[{objects: {name: files, url: x, kye: y}}]"),
            3,
            "sources.0.objects.kye",
            "Extra inputs are not permitted",
            id="unknown key",
        ),
        pytest.param(
            minimal("[{http: {name: rates, url: 'http://x', timeout: soon}}]"),
            3,
            "sources.0.http.timeout",
            "Input should be a valid number, unable to parse string as a number",
            id="type",
        ),
        pytest.param(
            minimal("[{objects: {name: files, url: x, key: '{date:%Q}'}}]"),
            3,
            "sources.0.objects",
            "key template '{date:%Q}': %Q is not supported, use one of %Y %m %d %H %M %S %j %y",
            id="template",
        ),
        pytest.param(
            minimal("[{objects: {name: files, url: x, events: {resource: sqs}}}]"),
            3,
            "sources.0.objects.events.queue",
            "is required",
            id="options of an option",
        ),
        pytest.param(
            minimal("[{objects: {name: files, url: x, events: {queue: q, gracee: 60}}}]"),
            3,
            "sources.0.objects.events.gracee",
            "Extra inputs are not permitted",
            id="unknown option of an option",
        ),
        pytest.param(
            minimal("[{objects: {name: files, url: x, strategy: sometimes}}]"),
            3,
            "sources.0.objects.strategy",
            "Input should be 'full', 'window' or 'append_only'",
            id="strategy",
        ),
        pytest.param(
            minimal("[{objects: {name: a-b, url: x}}]"),
            3,
            "sources.0.objects",
            "source 'a-b': a name has letters, digits and underscores, as in flight_files",
            id="name",
        ),
        pytest.param(
            minimal("[{ftp: {name: files}}]"),
            3,
            "sources.0",
            "a source has one key, its kind (objects, http, queue, table, python), not ftp",
            id="kind",
        ),
        pytest.param(
            minimal("[{objects: nothing}]"), 3, "sources.0.objects", "needs keys and values, not 'nothing'", id="shape"
        ),
        pytest.param(
            minimal("[{python: .orders.everything}]"),
            3,
            "sources.0.python",
            "'.orders.everything' is a function, not a source or an outlet of a router",
            id="no source",
        ),
        pytest.param(
            minimal("[{python: .orders.open_tickets}, {python: .orders.tickets}]"),
            3,
            "sources",
            "the outlet of a router stands alone: the router has the sources",
            id="outlet and source",
        ),
        pytest.param(
            minimal(SOURCE, rest="  batching: {max_items: 0}\n  compute: .orders.everything"),
            5,
            "batching",
            "Batching: max_items must be at least 1, not 0",
            id="batching",
        ),
        pytest.param(
            minimal(SOURCE, rest="  wait_for: some\n  compute: .orders.everything"),
            5,
            "wait_for",
            "Input should be 'any' or 'all'",
            id="another way of waiting",
        ),
        pytest.param(
            minimal(SOURCE, rest="  max_in_flight: many\n  compute: .orders.everything"),
            5,
            "max_in_flight",
            "Input should be a valid integer, unable to parse string as an integer",
            id="in flight",
        ),
        pytest.param(
            minimal(SOURCE, rest="  compute: .orders.nothing"),
            5,
            "compute",
            "module {package}.defs.orders.orders has no 'nothing'",
            id="no function",
        ),
        pytest.param(
            minimal(SOURCE, rest="  compute: no_such_package.module.function"),
            5,
            "compute",
            "there is no module no_such_package",
            id="no module",
        ),
        pytest.param(
            minimal(SOURCE, rest="  compute: function"),
            5,
            "compute",
            "'function' is not an import path such as my_package.module.name, or .module.name",
            id="no path",
        ),
        pytest.param(
            minimal(SOURCE, rest="  compute: .orders.without_batch"),
            5,
            "compute",
            "@sensor_asset: function 'without_batch' needs a parameter 'batch: Batch'",
            id="no batch",
        ),
        pytest.param(
            "type: sensor_assets.SensorAsset\n",
            1,
            "attributes",
            "sources, asset and compute are required",
            id="nothing",
        ),
    ],
)
def test_a_mistake_is_one_message_with_file_line_and_key(
    project: Project, text: str, line: int, key: str, message: str
) -> None:
    place = f"{project.defs}/orders/defs.yaml:{line} - "
    where = key if key == "attributes" else f"attributes.{key}"
    assert failure(project, text) == f"{place}{where}: {message.replace('{package}', project.package)}"


def test_a_missing_extra_is_named_where_the_source_is_written(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensor_assets._on_demand.find_spec", lambda _: None)
    message = failure(project, minimal("[{http: {name: rates, url: 'http://x'}}]"))
    assert message.endswith("depend on sensor-assets[http], for example by `uv add 'sensor-assets[http]'`")
    assert "defs.yaml:3 - attributes.sources.0.http: HttpSource needs httpx" in message


def test_an_error_within_the_user_s_module_is_not_hidden(project: Project) -> None:
    project.write(minimal(SOURCE), module="import no_such_dependency\n")
    with pytest.raises(Exception) as caught:  # noqa: PT011
        project.load()
    error: BaseException | None = caught.value
    while error is not None and not isinstance(error, ModuleNotFoundError):
        error = error.__cause__ or error.__context__
    assert error is not None
    assert error.name == "no_such_dependency"


# The schema


def test_the_schema_s_file_fits_the_classes() -> None:
    file = files("sensor_assets.component") / SCHEMA
    assert json.loads(file.read_text()) == schema(), "run: uv run python -m sensor_assets.component._schema"


@pytest.mark.parametrize("kind", [ObjectSource, ObjectEvents, HttpSource, QueueSource, TableSource, Batching, Retry])
def test_every_parameter_is_described_for_who_writes_yaml(kind: type) -> None:
    undescribed = [name for name, field in written(kind).model_fields.items() if not field.description]
    assert undescribed == []
