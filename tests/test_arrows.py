"""One direction of knowledge: code_locations -> sensor_assets; nothing of ours points back."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tenancy import register

ROOT = Path(__file__).parents[1]
REGISTER = register.load(ROOT / "tenants.yaml")
LOCATIONS = {location.package: ROOT / location.directory / "src" / location.package for location in REGISTER.locations}
OURS = {"lean_postgres", "sensor_assets", "tenancy", "demo", *LOCATIONS}


def imported(source: str) -> Iterator[str]:
    """Yield the full name of every module that a source imports, also within functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports_below(folder: Path) -> dict[Path, set[str]]:
    """Return what each Python file below a folder imports."""
    files = sorted(folder.rglob("*.py"))
    assert files, f"no Python files below {folder}"
    return {file.relative_to(ROOT): set(imported(file.read_text())) for file in files}


def ours_in(imports: set[str]) -> set[str]:
    """Return the packages of this repository among imports."""
    return {name.partition(".")[0] for name in imports} & OURS


def test_an_import_is_seen_wherever_it_stands() -> None:
    source = (
        "import tenancy.cli as t\ndef f():\n    from demo import feeds\nfrom . import x\nfrom dagster import _core\n"
    )
    assert ours_in(set(imported(source))) == {"tenancy", "demo"}
    assert "dagster._core" in set(imported(source))


def test_sensor_assets_imports_nothing_of_ours() -> None:
    for file, imports in imports_below(ROOT / "libs/sensor_assets/src").items():
        assert ours_in(imports) <= {"sensor_assets"}, file


def test_lean_postgres_imports_nothing_of_ours() -> None:
    for file, imports in imports_below(ROOT / "libs/lean_postgres/src").items():
        assert ours_in(imports) <= {"lean_postgres"}, file


MAY_KNOW = {"local": {"sensor_assets"}, "cluster": {"sensor_assets", "lean_postgres"}, "": set[str]()}
"""What each part of tenancy may import of ours beside tenancy: the two platforms, and the base that both stand on."""

BASE_NEEDS = {"click", "pydantic", "pydantic_core", "ruamel", "yaml"}


def part_of_tenancy(file: Path) -> str:
    """Return "local", "cluster" or "" for the base."""
    part = file.relative_to("libs/tenancy/src/tenancy").parts[0]
    return part if part in MAY_KNOW else ""


def test_tenancy_imports_no_team_s_code_and_only_its_platforms_know_the_libraries() -> None:
    for file, imports in imports_below(ROOT / "libs/tenancy/src").items():
        assert ours_in(imports) <= {"tenancy"} | MAY_KNOW[part_of_tenancy(file)], file


def test_the_platform_on_a_cluster_and_the_local_one_do_not_know_each_other() -> None:
    other = {"local": "tenancy.cluster", "cluster": "tenancy.local"}
    for file, imports in imports_below(ROOT / "libs/tenancy/src").items():
        wrong = other.get(part_of_tenancy(file), "tenancy.cluster")
        assert not [name for name in imports if f"{name}.".startswith(f"{wrong}.")], file


def test_the_base_of_tenancy_needs_neither_dagster_nor_a_database() -> None:
    """Charts, schemas and the register are made wherever there is Python."""
    for file, imports in imports_below(ROOT / "libs/tenancy/src").items():
        if part_of_tenancy(file) == "":
            roots = {name.partition(".")[0] for name in imports}
            assert roots - set(sys.stdlib_module_names) <= BASE_NEEDS | {"tenancy"}, file


@pytest.mark.parametrize("package", LOCATIONS)
def test_a_location_imports_sensor_assets_and_itself(package: str) -> None:
    for file, imports in imports_below(LOCATIONS[package]).items():
        assert ours_in(imports) <= {"sensor_assets", package}, file


def test_dagster_s_private_modules_are_imported_in_one_module_of_a_library() -> None:
    for library in (ROOT / "libs").iterdir():
        for file, imports in imports_below(library / "src").items():
            private = {name for name in imports if name.startswith("dagster._")}
            assert not private or file.name == "_dagster.py", f"{file} imports {', '.join(sorted(private))}"
