"""The location loads, in its own environment; two sources share one monitor."""

import dagster as dg
from fleet_aircraft.definitions import defs


def test_definitions_load_with_two_sources_and_one_monitor() -> None:
    definitions = defs()
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.get_repository_def().asset_graph
    for asset, source in (("aircraft", "planes"), ("airports", "airports_file")):
        node = graph.get(dg.AssetKey(["fleet", asset]))
        assert node.parent_keys == {dg.AssetKey(["fleet", source])}
        assert node.owners == ["team:fleet"]
    (monitor,) = list(definitions.sensors or ())
    assert monitor.name == "source_monitor"
    assert monitor.minimum_interval_seconds == 4  # a second early, so that no look of the daemon is missed
