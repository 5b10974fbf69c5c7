"""One direction of knowledge: code_locations -> sensor_assets; nothing of ours points back."""

import ast
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


def test_tenancy_imports_no_team_s_code_and_only_its_local_platform_knows_sensor_assets() -> None:
    for file, imports in imports_below(ROOT / "libs/tenancy/src").items():
        local = "local" in file.parts
        assert ours_in(imports) <= ({"tenancy", "sensor_assets"} if local else {"tenancy"}), file


@pytest.mark.parametrize("package", LOCATIONS)
def test_a_location_imports_sensor_assets_and_itself(package: str) -> None:
    for file, imports in imports_below(LOCATIONS[package]).items():
        assert ours_in(imports) <= {"sensor_assets", package}, file


def test_dagster_s_private_modules_are_imported_in_one_module_of_a_library() -> None:
    for library in (ROOT / "libs").iterdir():
        for file, imports in imports_below(library / "src").items():
            private = {name for name in imports if name.startswith("dagster._")}
            assert not private or file.name == "_dagster.py", f"{file} imports {', '.join(sorted(private))}"
