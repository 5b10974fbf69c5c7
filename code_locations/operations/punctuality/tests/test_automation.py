"""The automation, evaluated tick by tick as the daemon does it, over stand-ins for the assets of other locations."""

import dagster as dg
import pytest
from operations_punctuality.automation import follow_complete_days, follow_updates

DAYS = dg.DailyPartitionsDefinition("2013-01-01", end_date="2014-01-01")
EARLY, LATE = "2013-01-05", "2013-11-30"


@dg.asset(partitions_def=DAYS)
def departures() -> None: ...


@dg.asset(partitions_def=DAYS)
def observations() -> None: ...


@dg.asset(partitions_def=DAYS, deps=[departures, observations], automation_condition=follow_complete_days)
def punctuality() -> None: ...


@dg.asset(deps=[punctuality], automation_condition=follow_updates)
def delays() -> None: ...


DEFINITIONS = dg.Definitions(assets=[departures, observations, punctuality, delays])


class Daemon:
    """Evaluate ticks; `update` materializes an asset in between, as runs of other locations do."""

    def __init__(self) -> None:
        self.instance = dg.DagsterInstance.ephemeral()
        self.cursor: dg.AutomationConditionSensorDefinition | None = None

    def update(self, asset: dg.AssetsDefinition, day: str | None = None) -> None:
        self.instance.report_runless_asset_event(dg.AssetMaterialization(asset.key, partition=day))

    def tick(self) -> set[tuple[str, str | None]]:
        result = dg.evaluate_automation_conditions(DEFINITIONS, self.instance, cursor=self.cursor)  # pyright: ignore
        self.cursor = result.cursor  # pyright: ignore
        days = result.get_requested_partitions(punctuality.key)
        return {("punctuality", day) for day in days} | (
            {("delays", None)} if result.get_num_requested(delays.key) else set()
        )


@pytest.fixture
def daemon() -> Daemon:
    daemon = Daemon()
    assert daemon.tick() == set()
    return daemon


def test_a_day_runs_once_both_sides_are_there_and_not_again(daemon: Daemon) -> None:
    daemon.update(departures, EARLY)
    assert daemon.tick() == set()
    daemon.update(observations, EARLY)
    assert daemon.tick() == {("punctuality", EARLY)}
    daemon.update(punctuality, EARLY)
    assert daemon.tick() == {("delays", None)}
    assert daemon.tick() == set()


@pytest.mark.parametrize("upstream", [departures, observations])
def test_a_correction_of_an_old_day_runs_that_day_again(daemon: Daemon, upstream: dg.AssetsDefinition) -> None:
    for day in (EARLY, LATE):
        for asset in (departures, observations, punctuality):
            daemon.update(asset, day)
    daemon.tick()
    daemon.tick()
    daemon.update(upstream, EARLY)
    assert ("punctuality", EARLY) in daemon.tick()


def test_history_that_was_there_before_the_location_is_caught_up() -> None:
    daemon = Daemon()
    for asset in (departures, observations):
        daemon.update(asset, EARLY)
    assert ("punctuality", EARLY) in daemon.tick() | daemon.tick()


def test_an_update_that_comes_while_the_asset_runs_is_not_forgotten(daemon: Daemon) -> None:
    for asset in (departures, observations):
        daemon.update(asset, EARLY)
    assert ("punctuality", EARLY) in daemon.tick()
    daemon.update(departures, EARLY)  # the requested run may have read before this
    daemon.update(punctuality, EARLY)
    assert ("punctuality", EARLY) in daemon.tick()


def test_the_summary_follows_though_most_days_are_missing(daemon: Daemon) -> None:
    daemon.update(punctuality, EARLY)
    assert ("delays", None) in daemon.tick()
