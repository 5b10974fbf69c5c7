"""What the library takes for granted of Dagster without a promise; an upgrade that breaks it breaks here, by name."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage import tags
from sensor_assets import Batch, Item, ScanContext, sensor_asset, source
from sensor_assets import _dagster as relied_on
from sensor_assets._asset import declaration_of
from sensor_assets._runs import RUN_KEY_TAG

DAILY = dg.DailyPartitionsDefinition("2013-01-01", end_date="2014-01-01")
RESOURCES = {"sensor_assets": "whatever it is"}


@source("letters")
def letters(context: ScanContext) -> Iterator[Item]:
    yield from ()


@sensor_asset(letters, name="read", partitions_def=DAILY)
def read(batch: Batch) -> None: ...


@dg.asset
def ordinary() -> None: ...


def test_the_names_of_dagsters_tags_are_the_ones_that_the_library_writes_and_reads() -> None:
    assert relied_on.RANGE_START_TAG == tags.ASSET_PARTITION_RANGE_START_TAG
    assert relied_on.RANGE_END_TAG == tags.ASSET_PARTITION_RANGE_END_TAG
    assert relied_on.WILL_RETRY_TAG == tags.WILL_RETRY_TAG
    assert RUN_KEY_TAG == tags.RUN_KEY_TAG


@pytest.mark.filterwarnings("ignore::dagster.PreviewWarning")
def test_the_declaration_survives_every_copy_that_dagster_makes_of_a_definition() -> None:
    declaration = declaration_of(read)
    assert declaration is not None
    mapped = dg.Definitions(assets=[read], resources=RESOURCES).map_resolved_asset_specs(
        func=lambda spec: spec.merge_attributes(tags={"a": "b"})
    )
    copies = [
        read.with_attributes(group_names_by_key={read.key: "another"}),
        read.with_attributes(asset_key_replacements={read.key: dg.AssetKey(["prefix", "read"])}),
        read.map_asset_specs(lambda spec: spec.replace_attributes(owners=["team:other"])),
        *(mapped.assets or ()),
        *dg.Definitions(assets=[read], resources=RESOURCES).get_repository_def().assets_defs_by_key.values(),
    ]
    for copy in copies:
        assert isinstance(copy, dg.AssetsDefinition)
        assert declaration_of(copy) is declaration


def test_other_assets_carry_no_declaration() -> None:
    @dg.multi_asset(specs=[dg.AssetSpec("a")])
    def several() -> None: ...

    @dg.op
    def one() -> int:
        return 1

    @dg.graph_asset
    def graph() -> int:
        return one()

    for asset in (ordinary, several, graph):
        assert declaration_of(asset) is None


def test_an_asset_without_a_function_carries_no_declaration() -> None:
    repository = dg.Definitions(assets=[dg.AssetSpec("outside")]).get_repository_def()
    [external] = repository.assets_defs_by_key.values()
    assert declaration_of(external) is None


def test_a_generator_is_resumed_only_after_the_io_manager_stored_what_it_yielded() -> None:
    order: list[str] = []

    class Storing(dg.IOManager):
        def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
            order.append("stored")

        def load_input(self, context: dg.InputContext) -> Any:
            raise NotImplementedError

    @dg.asset(output_required=False)
    def value() -> Iterator[Any]:
        order.append("yields")
        yield dg.Output(1)
        order.append("resumed")

    assert dg.materialize([value], resources={"io_manager": Storing()}).success
    assert order == ["yields", "stored", "resumed"]


def test_a_generator_whose_output_could_not_be_stored_is_never_resumed() -> None:
    order: list[str] = []

    class Broken(dg.IOManager):
        def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
            raise OSError("full")

        def load_input(self, context: dg.InputContext) -> Any:
            raise NotImplementedError

    @dg.asset(output_required=False)
    def value() -> Iterator[Any]:
        yield dg.Output(1)
        order.append("resumed")

    assert not dg.materialize([value], resources={"io_manager": Broken()}, raise_on_error=False).success
    assert order == []


def test_an_asset_may_end_without_its_output_and_is_then_not_materialized() -> None:
    @dg.asset(output_required=False)
    def nothing() -> Iterator[Any]:
        yield from ()

    result = dg.materialize([nothing])
    assert result.success
    assert result.get_asset_materialization_events() == []


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
def test_the_two_range_tags_give_one_run_all_partitions_between_them() -> None:
    seen: list[str] = []

    @dg.asset(partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run())
    def days(context: dg.AssetExecutionContext) -> None:
        seen.extend(context.partition_keys)

    tagged = {relied_on.RANGE_START_TAG: "2013-01-30", relied_on.RANGE_END_TAG: "2013-02-01"}
    result = dg.materialize([days], tags=tagged)
    assert seen == ["2013-01-30", "2013-01-31", "2013-02-01"]
    assert [event.partition for event in result.get_asset_materialization_events()] == seen


def test_a_function_may_show_dagster_another_signature_than_it_has() -> None:
    """The batch is not a parameter for Dagster, the other parameters still are inputs and resources."""

    @dg.asset
    def upstream() -> int:
        return 4

    @sensor_asset(letters)
    def joined(batch: Batch, upstream: int, suffix: dg.ResourceParam[str]) -> None: ...

    assert joined.required_resource_keys >= {"suffix", "sensor_assets"}
    assert joined.dependency_keys == {upstream.key, dg.AssetKey("letters")}


def test_a_sensor_with_an_asset_selection_may_ask_for_assets_of_different_partitions() -> None:
    @dg.sensor(asset_selection=[ordinary, read])
    def both(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest]:
        yield dg.RunRequest(asset_selection=[ordinary.key])
        yield dg.RunRequest(asset_selection=[read.key], partition_key="2013-01-01")

    definitions = dg.Definitions(assets=[ordinary, read], sensors=[both], resources=RESOURCES)
    repository = definitions.get_repository_def()
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance=instance, repository_def=repository) as context,
    ):
        requests = repository.get_sensor_def("both").evaluate_tick(context).run_requests or ()
    assert [request.partition_key for request in requests] == [None, "2013-01-01"]
