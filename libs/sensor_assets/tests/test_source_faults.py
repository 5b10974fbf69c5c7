"""Faults on the line to a source: answers that come late, in halves or never, connections that are reset or refused."""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import psycopg
import pytest
from sensor_assets import ItemChanged, ItemGone, SourceError
from sensor_assets._sources import http_client, table_client
from sensor_assets.ledger import PostgresLedger
from tenancy.local.postgres import Postgres

from .aws_server import running_aws, sqs_client
from .faults import Line, disturbed, running_toxiproxy
from .outsides import Http, Outside, Queue, Table
from .scanning import Scanner
from .site_server import running_site

PATIENCE = 4.0
"""Seconds that a scan is given."""

STEPS = 20

FAULTS: dict[str, Callable[[Line], None]] = {
    "answers in halves": lambda line: line.half(30),
    "connections are reset": lambda line: line.reset(),
    "no answer": lambda line: line.hole(),
    "connections are refused": lambda line: line.refuse(),
    "answers come too late": lambda line: line.latency(8.0),
}


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with running_aws() as url:
        yield url


@pytest.fixture(scope="module")
def toxiproxy() -> Iterator[str | None]:
    """Return the URL of toxiproxy, or None where it is not on the PATH: then a proxy of our own works."""
    program = shutil.which("toxiproxy-server")
    if program is None:
        yield None
        return
    with running_toxiproxy(program) as url:
        yield url


@pytest.fixture(params=["http", "table", "SQS"])
def disturbance(
    request: pytest.FixtureRequest, postgres: Postgres, toxiproxy: str | None
) -> Iterator[tuple[Outside, Line, dict[str, Any]]]:
    """Return an outside world, the line to it, and the resources that its source needs."""
    with ExitStack() as stack:
        match request.param:
            case "http":
                site = stack.enter_context(running_site())
                line = stack.enter_context(disturbed(("127.0.0.1", site.server_port), toxiproxy))
                yield Http(site, line, index="without ETags"), line, {}
            case "table":
                with psycopg.connect(postgres.url(), autocommit=True) as connection:
                    connection.execute("drop database if exists outside with (force)")
                    connection.execute("create database outside")
                line = stack.enter_context(disturbed(str(Path(postgres.socket_dir) / ".s.PGSQL.5432"), toxiproxy))
                yield Table(postgres.url("outside"), line, version="changed"), line, {}
            case _:
                url: str = request.getfixturevalue("aws")
                httpx.post(f"{url}/moto-api/reset").raise_for_status()
                line = stack.enter_context(disturbed(("127.0.0.1", int(url.rsplit(":", 1)[1])), toxiproxy))
                direct = sqs_client(url)
                through = sqs_client(f"http://{line.host}:{line.port}", read_timeout=2)
                stack.callback(direct.close)
                stack.callback(through.close)
                queue = direct.create_queue(QueueName="things", Attributes={"VisibilityTimeout": "1"})["QueueUrl"]
                yield Queue(direct, queue, line, visibility=1), line, {"sqs": through}


@pytest.fixture
def things(disturbance: tuple[Outside, Line, dict[str, Any]]) -> Outside:
    return disturbance[0]


@pytest.fixture
def line(disturbance: tuple[Outside, Line, dict[str, Any]]) -> Line:
    return disturbance[1]


@pytest.fixture
def scanner(disturbance: tuple[Outside, Line, dict[str, Any]], ledger: PostgresLedger) -> Iterator[Scanner]:
    scanner = Scanner(ledger, disturbance[0].source)
    scanner.resources = disturbance[2]
    scanner.seconds = PATIENCE
    yield scanner
    scanner.close()


def settled(scanner: Scanner, things: Outside) -> int:
    """Scan until there is nothing new; returns the number of arrivals in the ledger."""
    things.wait()
    while scanner.scan():
        pass
    return scanner.ledger.sources(["things"])["things"].arrivals


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_in_time_and_nothing_is_lost_or_doubled(
    fault: str, scanner: Scanner, things: Outside, line: Line
) -> None:
    things.put("a", "1")
    assert scanner.scan() == 1
    FAULTS[fault](line)
    things.put("b", "1")
    begun = monotonic()
    with pytest.raises(SourceError, match=r"^source 'things'") as error:
        scanner.scan()
    # As long as an evaluation waits for a source at most; what is expected is PATIENCE.
    assert monotonic() - begun < 25
    assert "\n\n" not in str(error.value)
    line.heal()
    assert settled(scanner, things) == 2
    assert scanner.keys() == ["a", "b"]
    assert things.left() == 0


def test_answers_that_come_late_but_in_time_are_waited_for(scanner: Scanner, things: Outside, line: Line) -> None:
    things.put("a", "1")
    line.latency(0.2)
    assert scanner.scan() == 1
    assert things.read(scanner, scanner.item("a")) == "1"


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_read_through_a_fault_is_the_version_or_an_error(
    fault: str, scanner: Scanner, things: Outside, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "READ_SECONDS", PATIENCE)
    monkeypatch.setattr(table_client, "READ_SECONDS", PATIENCE)
    things.put("a", "recorded")
    scanner.scan()
    FAULTS[fault](line)
    if things.keeps:
        assert things.read(scanner, scanner.item("a")) == "recorded"
    else:
        with pytest.raises(SourceError, match="source 'things'"):
            things.read(scanner, scanner.item("a"))
    line.heal()
    assert things.read(scanner, scanner.item("a")) == "recorded"


@pytest.mark.parametrize("seed", range(2))
def test_faults_at_any_moment_lose_and_double_nothing(seed: int, scanner: Scanner, things: Outside, line: Line) -> None:
    print(f"seed {seed}")
    choose = random.Random(f"{seed} {type(things).__name__}")
    scanner.seconds = 2.0
    written: dict[str, str] = {}
    for step in range(STEPS):
        what = choose.choice(["put", "put", "scan", "scan", "half", "reset", "refuse", "heal"])
        print(step, what)
        match what:
            case "put":
                key = choose.choice("abcdefgh")
                written[key] = f"text {step}"
                things.put(key, written[key])
            case "scan":
                with suppress(SourceError):
                    scanner.scan()
            case "half":
                # Somewhere in the answers, so that also what is recorded and not yet acknowledged is cut off.
                line.heal()
                line.half(choose.randrange(4000))
            case "reset" | "refuse" | "heal":
                line.heal()
                getattr(line, what)()
            case _:
                pass
    line.heal()
    scanner.seconds = 30.0  # nothing disturbs any more, but the machine may be slow
    arrivals = settled(scanner, things)
    found = {item.key: item for item in scanner.items()}
    read: dict[str, str] = {}
    for key in written:
        with suppress(ItemChanged, ItemGone):
            read[key] = things.read(scanner, found[key])
    assert read == written
    assert arrivals <= STEPS
    assert things.left() == 0
