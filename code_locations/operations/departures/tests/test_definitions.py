"""The location loads, in its own environment."""

import dagster as dg
from operations_departures.definitions import defs


def test_definitions_load_with_the_source_its_monitor_and_their_lineage() -> None:
    definitions = defs()
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.get_repository_def().asset_graph
    departures, source = dg.AssetKey(["operations", "departures"]), dg.AssetKey(["operations", "flight_files"])
    assert graph.get(departures).parent_keys == {source}
    assert [sensor.name for sensor in definitions.sensors or ()] == ["source_monitor"]


def test_the_asset_says_whose_it_is_and_how_it_is_checked() -> None:
    graph = defs().get_repository_def().asset_graph
    node = graph.get(dg.AssetKey(["operations", "departures"]))
    assert node.owners == ["team:operations"]
    assert node.group_name == "departures"
    assert node.description
    assert node.partitions_def is not None
    assert node.partitions_def.get_first_partition_key() == "2013-01-01"
    assert node.partitions_def.get_last_partition_key() == "2013-12-31"
    assert {key.name for key in graph.get_check_keys_for_assets({node.key})} == {"schema", "completeness"}
