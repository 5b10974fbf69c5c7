"""The outside systems: files, the weather service, the progress of the play, and the planes table on real Postgres."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import polars as pl
import psycopg
import pytest
from tenancy.local.postgres import Postgres

from demo import feeds as player
from demo import progress
from demo.data import Year
from demo.feeds import Feeds
from demo.landing import Landing
from demo.plan import MOMENTS, Plan, make_plan
from demo.planes import PlanesFeed
from demo.progress import Progress
from demo.weather import WeatherServer, etag


@pytest.fixture
def server() -> Iterator[WeatherServer]:
    server = WeatherServer(0)
    server.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def client(server: WeatherServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    folder = tmp_path_factory.mktemp("pg")
    with Postgres(folder / "data", folder / "socket", durable=False) as postgres:
        with psycopg.connect(postgres.url(), autocommit=True) as connection:
            connection.execute("create role feeds login")
            connection.execute("create role fleet_reader login")
            connection.execute("create database outside owner feeds")
        yield postgres


def test_the_index_names_each_document_with_its_etag(server: WeatherServer, client: httpx.Client) -> None:
    server.publish("b.csv", b"2")
    server.publish("a.csv", b"1")
    answer = client.get("/weather/index.json")
    assert answer.json() == [{"href": "a.csv", "etag": etag(b"1")}, {"href": "b.csv", "etag": etag(b"2")}]
    assert client.get("/weather/a.csv").headers["etag"] == etag(b"1")
    assert client.get("/weather/c.csv").status_code == client.get("/a.csv").status_code == 404


def test_an_unchanged_document_is_not_sent_again(server: WeatherServer, client: httpx.Client) -> None:
    server.publish("a.csv", b"1")
    for path in ("/weather/a.csv", "/weather/index.json"):
        tag = client.get(path).headers["etag"]
        answer = client.get(path, headers={"If-None-Match": tag})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    server.publish("a.csv", b"2")
    assert client.get("/weather/a.csv", headers={"If-None-Match": etag(b"1")}).content == b"2"
    assert client.get("/weather/a.csv", headers={"If-Match": etag(b"1")}).status_code == 412
    assert client.get("/weather/a.csv", headers={"If-Match": etag(b"2")}).content == b"2"


def test_an_outage_can_be_ordered_and_ends(server: WeatherServer, client: httpx.Client) -> None:
    server.publish("a.csv", b"1")
    assert client.post("/outage?seconds=60").status_code == 200
    assert client.get("/weather/a.csv").status_code == 503
    assert client.post("/outage?seconds=0").status_code == 200
    assert client.get("/weather/a.csv").status_code == 200
    assert client.post("/outage?seconds=long").status_code == 404


def test_a_stopped_play_goes_on_where_it_was(plan: Plan, tmp_path: Path) -> None:
    assert progress.load(tmp_path) is None
    start = progress.resume(None, plan)
    assert (start.next, start.items) == (0, plan.items)
    progress.save(tmp_path, Progress(plan.days, plan.seed, next=9, items=plan.items, started=5.0))
    resumed = progress.resume(progress.load(tmp_path), plan)
    assert (resumed.next, resumed.started) == (9, 5.0)


def test_a_play_extended_to_more_days_goes_back_to_the_end_of_its_last_day() -> None:
    ended = Progress(7, 2013, next=make_plan(2013, 7).moments, done=True, started=5.0)
    resumed = progress.resume(ended, make_plan(2013, 14))
    assert (resumed.days, resumed.next, resumed.done, resumed.started) == (14, 7 * MOMENTS, False, 5.0)


@pytest.mark.parametrize("recorded", [Progress(8, 2013), Progress(7, 1)])
def test_another_seed_or_fewer_days_are_refused(recorded: Progress, plan: Plan) -> None:
    with pytest.raises(ValueError, match="empty state directory"):
        progress.resume(recorded, plan)


def test_a_whole_play_survives_a_restart_of_the_database_and_of_itself(
    plan: Plan, year: Year, planes: pl.DataFrame, postgres: Postgres, server: WeatherServer, tmp_path: Path
) -> None:
    url = postgres.url("outside", "feeds")

    def start() -> Feeds:
        table = PlanesFeed(url, year, plan)
        table.create()
        return Feeds(plan, year, Landing(tmp_path), table, server)

    first = start()
    for moment in range(10):
        first.play(moment)
    postgres.stop()
    postgres.start()
    for moment in range(10, 13):
        first.play(moment)
    first.planes.close()  # killed: its open transactions are rolled back, moment 12 is played a second time

    player.play(start(), tmp_path, Progress(plan.days, plan.seed, next=12), pause=0, stop=threading.Event())

    with psycopg.connect(postgres.url("outside", "fleet_reader")) as connection:
        names = ", ".join(planes.columns)
        rows = connection.execute(f"select {names} from planes".encode()).fetchall()
        assert set(rows) == set(planes.rows())
        changed = {row[0] for row in connection.execute("select changed from planes")}
        assert len(changed) > 10
    landed = {file.name for file in (tmp_path / "store/landing/flights").iterdir()}
    assert landed == {file.name for file in plan.files}
    assert json.loads((tmp_path / "feeds.json").read_text())["done"] is True
    assert server.document("index.json") is not None


def test_a_port_in_use_is_one_message(server: WeatherServer, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "demo.feeds", "--state", str(tmp_path), "--database-url", "postgresql://"]
    ended = subprocess.run(
        [*command, "--port", str(server.server_port)], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 1
    (message,) = ended.stderr.splitlines()
    assert "Address already in use" in message
    assert f"port {server.server_port}" in message
