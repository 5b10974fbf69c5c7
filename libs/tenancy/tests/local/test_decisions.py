"""The pure parts: restarts, settledness, log excerpts, paths, durations."""

from pathlib import Path

import pytest
from tenancy.local.layout import Layout
from tenancy.local.postgres import SOCKET_PATH_BYTES
from tenancy.local.restarts import is_hopeless, pause_before_restart
from tenancy.local.settled import Activity, Sensor, outstanding
from tenancy.local.status import SourceStatus
from tenancy.local.table import duration, line
from tenancy.log_excerpt import excerpt


def test_pauses_double_with_each_short_life_up_to_a_minute() -> None:
    assert [pause_before_restart([1.0] * count) for count in (1, 2, 3, 4, 20)] == [0.5, 1.0, 2.0, 4.0, 60.0]


def test_a_calm_life_forgives_the_deaths_before_it() -> None:
    assert pause_before_restart([1.0, 1.0, 1.0, 90.0]) == 0.5
    assert not is_hopeless([1.0, 1.0, 1.0, 1.0, 90.0, 1.0])
    assert is_hopeless([90.0, 1.0, 1.0, 1.0, 1.0, 1.0])


def test_the_excerpt_of_chained_tracebacks_is_the_cause() -> None:
    log = "\n".join(
        [
            "Traceback (most recent call last):",
            "  File definitions.py",
            "SettingsError: LANDING_URL is missing",
            "",
            "The above exception was the direct cause of the following exception:",
            "",
            "DagsterUserCodeLoadError: Error occurred",
        ]
    )
    assert excerpt(log).endswith("SettingsError: LANDING_URL is missing")
    assert excerpt("one\ntwo\nthree", lines=2) == "two\nthree"


def status(*, waiting: int = 0, in_flight: int = 0, healthy: bool = True) -> SourceStatus:
    return SourceStatus("weather", "hourly", "observations", 9, waiting, in_flight, 9, 0, 0.0, healthy, "HTTP 503")


def sensor(*ticks: tuple[float, bool]) -> Sensor:
    return Sensor("weather-observations/source_monitor", ticks)


QUIET = Activity(0, 0, last_end=100.0, sensors=[sensor((111.0, True), (106.0, True))])


def test_it_is_settled_when_nothing_is_outstanding_and_every_sensor_looked_twice_since() -> None:
    assert outstanding(50.0, [status()], lambda: QUIET, 1) == []


@pytest.mark.parametrize(
    ("feeds", "statuses", "doing", "words"),
    [
        (None, [status()], QUIET, "the feeds still play"),
        (50.0, None, QUIET, "the ledgers' database does not answer"),
        (50.0, [], QUIET, "no source has been looked at"),
        (50.0, [status(waiting=3)], QUIET, "weather/hourly: 3 waiting"),
        (50.0, [status(in_flight=2)], QUIET, "2 in flight"),
        (50.0, [status(healthy=False)], QUIET, "failing: HTTP 503"),
        (50.0, [status()], None, "the webserver does not answer"),
        (50.0, [status()], Activity(2, 0, 100.0, QUIET.sensors), "2 runs are queued or running"),
        (50.0, [status()], Activity(0, 1, 100.0, QUIET.sensors), "1 backfills are not over"),
        (50.0, [status()], Activity(0, 0, 100.0, []), "a code location is not loaded"),
        (108.0, [status()], QUIET, "still has to look"),
        (50.0, [status()], Activity(0, 0, 107.0, QUIET.sensors), "still has to look"),
        (50.0, [status()], Activity(0, 0, 100.0, [sensor((111.0, True))]), "still has to look"),
        (50.0, [status()], Activity(0, 0, 100.0, [sensor((111.0, False), (106.0, True))]), "still has to look"),
    ],
)
def test_what_is_outstanding_is_named(
    feeds: float | None, statuses: list[SourceStatus] | None, doing: Activity | None, words: str
) -> None:
    assert words in "; ".join(outstanding(feeds, statuses, lambda: doing, 1))


def test_sockets_of_a_deep_clone_go_to_a_short_private_directory(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 80)
    layout = Layout(deep, deep / ".local")
    layout.make()
    for socket in (layout.socket("x" * 45), layout.postgres_socket / ".s.PGSQL.5432"):
        assert len(str(socket)) <= SOCKET_PATH_BYTES
    assert layout.sockets.stat().st_mode & 0o777 == 0o700
    near = Layout(tmp_path, Path("/c/.local"))
    assert near.sockets == Path("/c/.local/sockets")


def test_durations_are_said_as_a_person_would() -> None:
    assert [duration(seconds) for seconds in (None, 0.0, 59.0, 61.0, 5400.0)] == [
        "0 s",
        "0 s",
        "59 s",
        "1 min",
        "1.5 h",
    ]


def test_a_sick_source_shows_its_error_on_one_line() -> None:
    assert line(status(healthy=False)).endswith("HTTP 503")
