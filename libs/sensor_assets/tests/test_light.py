"""Importing the library costs a process of a location almost nothing; what it uses besides, it says and pays for."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import sensor_assets
from sensor_assets import MissingExtraError
from sensor_assets._on_demand import EXTRAS, load

PROJECT = Path(__file__).parents[1] / "pyproject.toml"

REPORT = """
import json, resource, sys
import dagster
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, resident = set(sys.modules), peak()
{program}
packages = lambda names: {{name.partition(".")[0] for name in names}} - set(sys.stdlib_module_names)
added = packages(sys.modules) - packages(before)
ours = [name for name in sys.modules if name.partition(".")[0] == "sensor_assets"]
print(json.dumps({{"packages": sorted(added), "modules": len(ours), "memory": peak() / resident - 1}}))
"""

# What other packages register is not ours to answer for, and must not hide what ours imports.
DISCOVERY = """
import importlib.metadata
all_of = importlib.metadata.entry_points
importlib.metadata.entry_points = lambda **group: [e for e in all_of(**group) if e.name in ("dagster", "sensor_assets")]
from dagster.components.core.package_entry import discover_entry_point_package_objects
from dagster.components.core.snapshot import get_package_entry_snap
found = {key: snap for key, snap in discover_entry_point_package_objects().items() if key.namespace == "sensor_assets"}
assert [key.name for key in found] == ["SensorAsset"], found
for key, snap in found.items():
    get_package_entry_snap(key, snap)
"""


def report(program: str) -> dict[str, Any]:
    """Run a program after `import dagster` in a fresh process; returns what it added."""
    code = REPORT.format(program=program)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_importing_the_library_adds_no_package_and_at_most_a_tenth_of_dagster_s_memory() -> None:
    added = report("import sensor_assets")
    assert added["packages"] == ["sensor_assets"]
    assert added["memory"] <= 0.1
    assert added["modules"] <= 70, "a module costs half a millisecond; what few use is imported on demand"


def test_a_code_server_that_looks_for_components_imports_no_package_for_ours() -> None:
    """Dagster does this in every process that loads definitions from a folder."""
    assert report("import sensor_assets\n" + DISCOVERY)["packages"] == ["sensor_assets"]


def test_a_location_without_objects_tables_or_http_imports_none_of_their_packages() -> None:
    program = "from sensor_assets import Batch, Batching, Router, Settings, sensor_asset, source, with_sources"
    assert report(program)["packages"] == ["dotenv", "pydantic_settings", "sensor_assets"]


@pytest.mark.parametrize("name", sensor_assets.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(sensor_assets, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'sensor_assets' has no attribute 'ObjectSouce'"):
        _ = sensor_assets.ObjectSouce  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("module", "name", "message"),
    [
        ("sensor_assets._sources.http", "HttpSource", r"HttpSource needs httpx, .* sensor-assets\[http\]"),
        (
            "sensor_assets._sources.objects",
            "ObjectSource",
            r"ObjectSource needs arro3-core and botocore and obstore, .* sensor-assets\[objects\]",
        ),
        ("sensor_assets._sources.table", "TableSource", r"TableSource needs sqlalchemy, .* sensor-assets\[tables\]"),
        ("sensor_assets._lake", "Lake", r"Lake needs obstore and polars, .* sensor-assets\[lake\]"),
    ],
)
def test_a_missing_extra_is_named_in_one_message(
    module: str, name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensor_assets._on_demand.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=message) as caught:
        load(module, name)
    assert caught.value.__cause__ is None
    assert isinstance(caught.value, ImportError)


def test_the_extras_are_those_of_the_package() -> None:
    declared = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]
    names = {
        extra: tuple(sorted(requirement.split(">")[0].split("[")[0] for requirement in requirements))
        for extra, requirements in declared.items()
    }
    assert {extra: names[extra] for extra in EXTRAS} == dict(EXTRAS)
