"""The location loads, in its own environment."""

import dagster as dg
from weather_alerts.definitions import defs


def test_definitions_load_with_one_source_for_both_logs() -> None:
    definitions = defs()
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.get_repository_def().asset_graph
    for name in ("severe", "routine"):
        log = graph.get(dg.AssetKey(["weather", name]))
        assert log.parent_keys == {dg.AssetKey(["weather", "storm_reports"])}
        assert log.owners == ["team:weather"]
    assert [sensor.name for sensor in definitions.sensors or ()] == ["source_monitor"]
