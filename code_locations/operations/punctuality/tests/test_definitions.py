"""The location loads, in its own environment, and follows assets of other locations."""

import dagster as dg
from operations_punctuality.definitions import defs

PUNCTUALITY = dg.AssetKey(["operations", "punctuality"])
DELAYS = dg.AssetKey(["operations", "delays_by_weather"])


def test_definitions_load_with_lineage_across_locations() -> None:
    definitions = defs()
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.get_repository_def().asset_graph
    upstream = {dg.AssetKey(["operations", "departures"]), dg.AssetKey(["weather", "observations"])}
    assert graph.get(PUNCTUALITY).parent_keys == upstream
    assert graph.get(DELAYS).parent_keys == {PUNCTUALITY}
    assert all(graph.get(key).owners == ["team:operations"] for key in (PUNCTUALITY, DELAYS))


def test_the_automation_runs_from_the_first_start() -> None:
    (sensor,) = list(defs().sensors or ())
    assert isinstance(sensor, dg.AutomationConditionSensorDefinition)
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == 5
