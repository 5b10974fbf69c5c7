"""What the kubelet is told of the daemon."""

import time
import urllib.error
import urllib.request
from collections.abc import Mapping

import pytest
from tenancy.cluster.errors import ControlPlaneError
from tenancy.cluster.health import Health, answering, judge_life


def ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return response.status, response.read().decode().strip()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode().strip()


@pytest.mark.parametrize(
    ("beats", "since", "expected"),
    [
        ({"SENSOR": 990.0, "QUEUE": 950.0}, 100.0, (True, "works")),
        ({"SENSOR": 990.0, "QUEUE": 800.0}, 100.0, (False, "no sign of life for more than 120 s: QUEUE")),
        ({"SENSOR": None, "QUEUE": 800.0}, 100.0, (False, "no sign of life for more than 120 s: QUEUE, SENSOR")),
        ({"SENSOR": None, "QUEUE": 100.0}, 900.0, (True, "works")),
    ],
    ids=["all of late", "one is silent", "one never spoke", "those of the daemon before do not count"],
)
def test_a_part_that_gives_no_sign_of_life_hangs(
    beats: Mapping[str, float | None], since: float, expected: tuple[bool, str]
) -> None:
    assert judge_life(beats, now=1000.0, since=since, stale_seconds=120) == expected


def test_a_daemon_that_waits_for_its_turn_is_alive_and_not_ready() -> None:
    with answering(Health(120), 0) as port:
        assert ask(port, "/healthz") == (200, "waits for its turn")
        assert ask(port, "/readyz")[0] == 503


def test_a_daemon_is_ready_once_every_part_has_given_a_sign_of_life_since_it_began() -> None:
    health = Health(120)
    beats: dict[str, float | None] = {"SENSOR": time.time() - 10, "QUEUE": None}
    with answering(health, 0) as port:
        health.works(lambda: beats)
        assert ask(port, "/healthz") == (200, "works")
        assert ask(port, "/readyz") == (503, "no sign of life yet: QUEUE, SENSOR")
        beats.update(SENSOR=time.time(), QUEUE=time.time())
        assert ask(port, "/readyz") == (200, "works")


def test_a_daemon_that_hangs_is_neither() -> None:
    health = Health(0.0)
    with answering(health, 0) as port:
        health.works(lambda: {"SENSOR": time.time() - 5})
        time.sleep(0.01)
        assert ask(port, "/healthz") == (503, "no sign of life for more than 0 s: SENSOR")
        assert ask(port, "/readyz")[0] == 503


def test_a_database_that_is_away_is_no_reason_to_restart() -> None:
    health = Health(120)

    def away() -> dict[str, float | None]:
        raise ConnectionError("no route to host")

    with answering(health, 0) as port:
        health.works(away)
        assert ask(port, "/healthz") == (200, "the signs of life cannot be read: no route to host")
        assert ask(port, "/readyz") == (503, "the signs of life cannot be read: no route to host")


def test_another_path_is_answered_with_those_that_there_are() -> None:
    with answering(Health(120), 0) as port:
        assert ask(port, "/") == (404, "ask /healthz or /readyz")


def test_a_port_that_is_taken_is_named() -> None:
    with answering(Health(120), 0) as port:
        refused = pytest.raises(
            ControlPlaneError, match=f"port {port} cannot be used for health checks: Address already"
        )
        with refused, answering(Health(120), port):
            pass
