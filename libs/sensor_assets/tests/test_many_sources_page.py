"""The examples of docs/how-to/follow-many-sources.md, run as they stand there."""

import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "follow-many-sources.md"


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """Return the names that the page's blocks define."""
    names: dict[str, Any] = {"__name__": "the_page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), names)
    return names


@pytest.mark.parametrize(
    ("function", "sensors"),
    [
        ("definitions", {"source_monitor"}),
        ("shared", {"source_monitor"}),
        ("grouped", {"source_monitor", "slow_partners"}),
    ],
)
def test_what_the_page_shows_loads(
    function: str, sensors: set[str], page: dict[str, Any], tmp_path: Path, schema_url: str
) -> None:
    settings = page["PartnerSettings"](
        environment="local",
        team="partners",
        location="partners",
        ledger_url=schema_url,
        ledger_schema="team_a",
        landing_url=f"file://{tmp_path}",
    )
    definitions: dg.Definitions = page[function](settings)
    dg.Definitions.validate_loadable(definitions)
    assert {sensor.name for sensor in definitions.sensors or ()} == sensors
