"""One contract that every kind of source keeps, whatever happens to it."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import psycopg
import pytest
from sensor_assets import Batch, Item, ItemChanged, ItemGone, ScanContext, SourceError, sensor_asset, source
from sensor_assets.ledger import PostgresLedger
from tenancy.local.postgres import Postgres

from .aws_server import running_aws, sqs_client
from .faults import OwnLine
from .location import SOON, Location, ephemeral
from .outsides import Directory, Function, Http, Letters, Outside, Queue, Table
from .scanning import Scanner
from .site_server import running_site

VISIBILITY = 1.0
"""Seconds until SQS delivers a message again."""

STEPS = 25

KINDS = [
    "directory",
    "http, index with ETags",
    "http, index without ETags",
    "http, index of several pages",
    "http, index without ETags at all",
    "table by transactions",
    "table with overlap",
    "function",
    "SQS",
    "queue of another kind",
]


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with running_aws() as url:
        yield url


@pytest.fixture(params=KINDS)
def outside(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres
) -> Iterator[tuple[Outside, dict[str, Any]]]:
    """Return an outside world and the resources that its source needs."""
    kind: str = request.param
    resources: dict[str, Any] = {}
    with ExitStack() as stack:

        def line(upstream: Any) -> OwnLine:
            made = OwnLine(upstream)
            stack.callback(made.stop)
            return made

        made: Outside
        match kind.split(",", maxsplit=1)[0].split(maxsplit=1)[0]:
            case "directory":
                made = Directory(tmp_path)
            case "http":
                site = stack.enter_context(running_site())
                made = Http(site, line(("127.0.0.1", site.server_port)), index=kind.split("index ")[1])
            case "table":
                with psycopg.connect(postgres.url(), autocommit=True) as connection:
                    connection.execute("drop database if exists outside with (force)")
                    connection.execute("create database outside")
                declared = {"version": "changed"} if "transactions" in kind else {"version": "revision", "overlap": 100}
                before = line(f"{postgres.socket_dir}/.s.PGSQL.5432")
                made = Table(postgres.url("outside"), before, **declared)
            case "function":
                made = Function()
            case "SQS":
                url: str = request.getfixturevalue("aws")
                httpx.post(f"{url}/moto-api/reset").raise_for_status()
                client = sqs_client(url)
                before = line(("127.0.0.1", int(url.rsplit(":", 1)[1])))
                attributes = {"VisibilityTimeout": str(int(VISIBILITY))}
                queue = client.create_queue(QueueName="things", Attributes=attributes)["QueueUrl"]
                resources["sqs"] = sqs_client(f"http://{before.host}:{before.port}")
                stack.callback(client.close)
                stack.callback(resources["sqs"].close)
                made = Queue(client, queue, before, visibility=VISIBILITY)
            case _:
                made = Letters()
        yield made, resources


Follow = Callable[[], Scanner]


@pytest.fixture
def things(outside: tuple[Outside, dict[str, Any]]) -> Outside:
    return outside[0]


@pytest.fixture
def follow(outside: tuple[Outside, dict[str, Any]], ledger: PostgresLedger) -> Iterator[Follow]:
    """Return a function that makes a scanner as a new process has it."""
    made: list[Scanner] = []

    def make() -> Scanner:
        made.append(Scanner(ledger, outside[0].source))
        made[-1].resources = outside[1]
        return made[-1]

    yield make
    for scanner in made:
        scanner.close()


def log(ledger: PostgresLedger) -> list[Item]:
    """Return every arrival, oldest first."""
    with ledger.transaction() as connection:
        rows = connection.execute("select key, arrival from item order by arrival").fetchall()
    return [Item(key=row["key"], version="?", arrival=row["arrival"]) for row in rows]


def test_each_version_is_detected_once_and_nothing_on_an_idle_pass(follow: Follow, things: Outside) -> None:
    scanner = follow()
    for key in ("a", "b", "c"):
        things.put(key, "1")
    assert [scanner.scan(), scanner.scan(), follow().scan()] == [3, 0, 0]
    things.put("b", "2")
    things.put("d", "1")
    assert [scanner.scan(), scanner.scan(), follow().scan()] == [2, 0, 0]
    assert {item.key: things.read(scanner, item) for item in scanner.items()} == {
        "a": "1",
        "b": "2",
        "c": "1",
        "d": "1",
    }


def test_a_thing_that_is_as_it_was_has_changed_twice(follow: Follow, things: Outside) -> None:
    scanner = follow()
    news: list[int] = []
    for text in ("one", "other", "one", "one"):
        things.put("a", text)
        news.append(scanner.scan())
    # The same again is a change where versions count writings, and none where they tell contents apart.
    assert news[:3] == [1, 1, 1]
    assert things.read(scanner, scanner.item("a")) == "one"
    assert scanner.scan() == 0


def test_of_several_overwrites_between_two_scans_the_last_is_there_in_the_end(follow: Follow, things: Outside) -> None:
    scanner = follow()
    for text in ("1", "2", "3"):
        things.put("a", text)
    assert 1 <= scanner.scan() <= 3
    assert scanner.scan() == 0
    assert things.read(scanner, scanner.item("a")) == "3"


@pytest.mark.parametrize("key", ["with space", "quote'\"", "ümlaut-日本", "a%2Fb", "percent%", "{brace}", "x" * 200])
def test_a_key_may_be_any_text(key: str, follow: Follow, things: Outside) -> None:
    scanner = follow()
    things.put(key, "1")
    assert [scanner.scan(), scanner.scan()] == [1, 0]
    [item] = scanner.items()
    assert things.read(scanner, item) == "1"
    things.put(key, "2")
    assert scanner.scan() == 1
    assert len(scanner.items()) == 1


def test_a_scan_that_stops_after_a_page_goes_on_and_misses_nothing(follow: Follow, things: Outside) -> None:
    number = 2 * things.per_page + 2
    things.put_many(number)
    total = follow().scan(pages=1) + follow().scan(pages=2)
    for _ in range(number):
        if not (new := follow().scan()):
            break
        total += new
    assert total == number
    assert len(follow().keys()) == number


def test_a_crash_before_a_page_is_recorded_loses_nothing(follow: Follow, things: Outside) -> None:
    things.put("a", "1")
    things.put("b", "1")
    crashed = follow()
    assert crashed.look()
    things.wait()
    scanner = follow()
    assert [scanner.scan(), scanner.scan()] == [2, 0]


def test_a_crash_after_a_page_is_recorded_doubles_nothing(follow: Follow, things: Outside) -> None:
    things.put("a", "1")
    things.put("b", "1")
    crashed = follow()
    crashed.acknowledges = False
    assert crashed.scan(pages=1) >= 1
    things.wait()
    scanner = follow()
    while scanner.scan():
        pass
    assert len(log(scanner.ledger)) == 2
    assert things.left() == 0


def test_an_outage_is_told_and_what_came_meanwhile_is_seen_afterwards(follow: Follow, things: Outside) -> None:
    scanner = follow()
    things.put("a", "1")
    assert scanner.scan() == 1
    with things.outage():
        for _ in range(2):
            with pytest.raises(SourceError, match="source 'things'"):
                scanner.scan()
    things.put("a", "2")
    things.put("b", "1")
    assert 2 <= scanner.scan() <= 3
    assert [scanner.scan(), follow().scan()] == [0, 0]
    assert scanner.keys() == ["a", "b"]


def test_an_outage_does_not_reach_another_source(
    outside: tuple[Outside, dict[str, Any]], ledger: PostgresLedger
) -> None:
    things, resources = outside
    shown: list[Item] = []

    @source("others", every=SOON)
    def others(context: ScanContext) -> Iterator[Item]:
        yield from shown

    @sensor_asset(things.source)
    def of_things(batch: Batch) -> None: ...

    @sensor_asset(others)
    def of_others(batch: Batch) -> None: ...

    with ephemeral() as instance:
        location = Location(ledger, [of_things, of_others], instance, resources=resources)
        with things.outage():
            shown.append(Item(key="x", version="1"))
            answer = location.evaluate()
            assert [request.asset_selection for request in answer.run_requests] == [[dg.AssetKey("of_others")]]
            [check] = [event for event in answer.asset_events if isinstance(event, dg.AssetCheckEvaluation)]
            assert (check.asset_key, check.passed) == (dg.AssetKey("things"), False)
            location.run(answer.run_requests[0])
        things.put("a", "1")
        for _ in range(200):
            if location.work():
                break
        assert location.status()["of_things"]["done"] == 1
        location.close()


def test_what_is_read_is_the_recorded_version_or_nothing(follow: Follow, things: Outside) -> None:
    scanner = follow()
    things.put("a", "recorded")
    things.put("b", "recorded")
    scanner.scan()
    first = {item.key: item for item in scanner.items()}
    things.put("a", "newer")
    if not things.forgets:
        things.delete("b")
    read: dict[str, str] = {}
    for key, item in first.items():
        with suppress(ItemChanged, ItemGone):
            read[key] = things.read(scanner, item)
    assert set(read.values()) <= {"recorded"}
    assert not things.keeps or read == {"a": "recorded", "b": "recorded"}


def test_a_deletion_is_told_where_the_source_looks_for_it_and_the_thing_may_return(
    follow: Follow, things: Outside
) -> None:
    if things.forgets:
        pytest.skip("messages are not deleted by anyone else")
    scanner = follow()
    things.put("a", "1")
    things.put("b", "1")
    scanner.scan()
    seen = scanner.item("a")
    things.delete("a")
    assert scanner.scan() == (1 if things.tells_deletions else 0)
    assert scanner.scan() == 0
    assert scanner.keys() == (["b"] if things.tells_deletions else ["a", "b"])
    if not things.tells_deletions:
        scanner.ledger.finish("nobody", None, "run", rejected=[], gone=[seen], now=datetime.now(UTC))
    things.put("a", "1")
    assert [scanner.scan(), scanner.scan()] == [1, 0]
    assert things.read(scanner, scanner.item("a")) == "1"


def test_runs_process_every_version_once(outside: tuple[Outside, dict[str, Any]], ledger: PostgresLedger) -> None:
    things, resources = outside
    processed: list[str] = []

    @sensor_asset(things.source)
    def loaded(batch: Batch) -> None:
        processed.extend(item.key for item in batch.items)

    with ephemeral() as instance:
        location = Location(ledger, [loaded], instance, resources=resources)
        things.put("a", "1")
        things.put("b", "1")
        location.work()
        location.work()
        things.put("a", "2")
        location.work()
        location.work()
        location.close()
    assert sorted(processed) == ["a", "a", "b"]


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_lost_or_doubled_in_a_history_of_changes_crashes_and_outages(
    seed: int, follow: Follow, things: Outside
) -> None:
    print(f"seed {seed}")
    history = History(things, follow, random.Random(f"{seed} {type(things).__name__}"))
    for number in range(STEPS):
        history.step(number)
    things.wait()
    scanner = follow()
    while scanner.scan():
        pass
    found = {item.key: item for item in scanner.items()}
    assert {key: things.read(scanner, found[key]) for key in history.written} == history.written
    if things.tells_deletions or things.forgets:
        assert set(found) == set(history.written)
    assert len(log(scanner.ledger)) <= history.writings
    assert things.left() == 0


class History:
    """What happens to an outside and to those who scan it."""

    def __init__(self, things: Outside, follow: Follow, choose: random.Random) -> None:
        self.written: dict[str, str] = {}
        self.writings = 0
        self._things, self._follow, self._choose = things, follow, choose
        self._scanner = follow()

    def step(self, number: int) -> None:
        """Let one thing happen."""
        what = self._choose.choice([self.put, self.put, self.delete, self.scan, self.crash, self.outage])
        print(number, what.__name__)
        what(number)

    def put(self, number: int) -> None:
        key = self._choose.choice("abcdefghijklmno")
        # As it was before, or as it never was.
        self.written[key] = self._choose.choice(["same", f"text {number}"])
        self._things.put(key, self.written[key])
        self.writings += 1

    def delete(self, number: int) -> None:
        if self.written and not self._things.forgets:
            self._things.delete(key := self._choose.choice(sorted(self.written)))
            del self.written[key]
            self.writings += 1

    def scan(self, number: int) -> None:
        self._scanner.scan(pages=self._choose.choice([None, 1]))

    def crash(self, number: int) -> None:
        """Let a process die before it has recorded, or before it has acknowledged; another one follows."""
        if self._choose.random() < 0.5:
            self._scanner.look()
        else:
            self._scanner.acknowledges = False
            self._scanner.scan(pages=1)
        self._scanner = self._follow()

    def outage(self, number: int) -> None:
        with self._things.outage(), pytest.raises(SourceError):
            self._scanner.scan()
