"""The location loads, in its own environment."""

import dagster as dg
from weather_observations.definitions import defs


def test_definitions_load_with_the_source_its_monitor_and_their_lineage() -> None:
    definitions = defs()
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.get_repository_def().asset_graph
    observations = graph.get(dg.AssetKey(["weather", "observations"]))
    assert observations.parent_keys == {dg.AssetKey(["weather", "hourly_weather"])}
    assert observations.owners == ["team:weather"]
    assert {key.name for key in graph.get_check_keys_for_assets({observations.key})} == {"schema", "completeness"}
    assert [sensor.name for sensor in definitions.sensors or ()] == ["source_monitor"]
