"""Queues of a real SQS protocol, and of a kind of the team's own."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import httpx
import pytest
from sensor_assets import (
    Batch,
    DefinitionError,
    ItemGone,
    Message,
    QueueSource,
    Receiver,
    Settings,
    SourceError,
    sensor_asset,
)
from sensor_assets._bodies import Bodies
from sensor_assets._items import UNMATCHED
from sensor_assets.errors import LedgerError
from sensor_assets.ledger import PostgresLedger

from .aws_server import CREDENTIALS, running_aws, sqs_client
from .location import SOON, Location, ephemeral, settings
from .scanning import Scanner

VISIBILITY = 1
"""Seconds until a message that was not deleted is delivered again."""


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with running_aws() as url:
        yield url


@dataclass(frozen=True)
class Queue:
    """A queue, and what a test does to it."""

    client: Any
    url: str

    def send(self, *bodies: Any, group: str | None = None) -> list[str]:
        """Send messages, JSON or plain texts; returns their ids."""
        more = {} if group is None else {"MessageGroupId": group}
        texts = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
        return [self.client.send_message(QueueUrl=self.url, MessageBody=text, **more)["MessageId"] for text in texts]

    def left(self) -> int:
        """Return how many messages the queue still has, also those that were delivered."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        return sum(int(value) for value in answer["Attributes"].values())


@pytest.fixture
def client(aws: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    httpx.post(f"{aws}/moto-api/reset").raise_for_status()
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": aws}.items():
        monkeypatch.setenv(name, value)
    client = sqs_client(aws)
    yield client
    client.close()


@pytest.fixture
def queue(client: Any) -> Queue:
    attributes = {"VisibilityTimeout": str(VISIBILITY)}
    return Queue(client, client.create_queue(QueueName="orders", Attributes=attributes)["QueueUrl"])


@pytest.fixture
def fifo(client: Any) -> Queue:
    attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    return Queue(client, client.create_queue(QueueName="orders.fifo", Attributes=attributes)["QueueUrl"])


Follow = Callable[..., Scanner]


@pytest.fixture
def follow(ledger: PostgresLedger) -> Iterator[Follow]:
    """Return a function that makes a scanner of a source, closed in the end."""
    made: list[Scanner] = []

    def make(*, given: Settings | None = None, **source: Any) -> Scanner:
        declared: Any = {"wait": 0, **source}
        made.append(Scanner(ledger, QueueSource("orders", **declared), given=given))
        return made[-1]

    yield make
    for scanner in made:
        scanner.close()


def redelivered() -> None:
    time.sleep(VISIBILITY + 0.2)


def test_a_message_is_deleted_when_it_is_recorded_and_can_be_read_afterwards(follow: Follow, queue: Queue) -> None:
    orders = follow(queue=queue.url)
    [first, second] = queue.send({"id": 1}, "plain text, äöü")
    assert [orders.scan(), orders.scan()] == [2, 0]
    assert queue.left() == 0
    assert (orders.read(first), orders.read(second)) == (b'{"id": 1}', "plain text, äöü".encode())
    item = orders.item(first)
    assert item.size == 9
    assert item.modified is not None
    assert abs(item.modified - datetime.now(UTC)).total_seconds() < 60


def test_a_queue_may_be_given_by_name(follow: Follow, queue: Queue) -> None:
    queue.send("a")
    assert follow(queue="{team}", given=settings().model_copy(update={"team": "orders"})).scan() == 1


@pytest.mark.parametrize("number", [1, 9, 10, 11, 35])
def test_all_messages_of_a_queue_are_taken_by_one_scan(number: int, follow: Follow, queue: Queue) -> None:
    orders = follow(queue=queue.url)
    queue.send(*(str(each) for each in range(number)))
    assert orders.scan() == number
    assert queue.left() == 0


def test_a_message_that_was_recorded_but_not_deleted_is_recorded_once(follow: Follow, queue: Queue) -> None:
    orders = follow(queue=queue.url)
    queue.send("a", "b")
    orders.acknowledges = False
    assert orders.scan() == 2
    assert queue.left() == 2
    redelivered()
    orders.acknowledges = True
    assert orders.scan() == 0
    assert queue.left() == 0


def test_a_message_that_could_not_be_recorded_stays_in_the_queue(
    follow: Follow, queue: Queue, ledger: PostgresLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = follow(queue=queue.url)
    queue.send("a")

    def away(*_: Any) -> int:
        raise LedgerError("the ledger's database cannot be reached")

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "record", away)
        with pytest.raises(LedgerError):
            orders.scan()
    assert queue.left() == 1
    redelivered()
    assert orders.scan() == 1


def test_messages_that_cannot_be_deleted_are_told_and_recorded_once(follow: Follow, queue: Queue, client: Any) -> None:
    def broken(params: dict[str, Any], **_: Any) -> None:
        for entry in params["Entries"]:
            entry["ReceiptHandle"] = f"broken {entry['Id']}"

    event = "provide-client-params.sqs.DeleteMessageBatch"
    orders = follow(queue=queue.url, resource="sqs")
    orders.resources = {"sqs": client}
    queue.send("a", "b")
    client.meta.events.register(event, broken)
    with pytest.raises(SourceError, match=r"2 of 2 messages could not be deleted from queue .*They are recorded"):
        orders.scan()
    client.meta.events.unregister(event, broken)
    redelivered()
    assert len(orders.items()) == 2
    assert orders.scan() == 0
    assert queue.left() == 0


def test_of_a_thing_that_messages_name_the_newest_one_counts(follow: Follow, queue: Queue) -> None:
    orders = follow(queue=queue.url, key="order.id")
    a, b = {"order": {"id": 7}, "state": "a"}, {"order": {"id": 7}, "state": "b"}
    news: list[int] = []
    for body in (a, a, b, a):
        queue.send(body)
        news.append(orders.scan())
    assert news == [1, 0, 1, 1]
    assert json.loads(orders.read("7")) == a


def test_an_old_message_that_is_delivered_again_after_a_newer_one_is_not_taken_for_news(
    follow: Follow, queue: Queue
) -> None:
    orders = follow(queue=queue.url, key="id")
    queue.send({"id": 7, "state": "a"})
    orders.acknowledges = False
    orders.scan()
    orders.acknowledges = True
    queue.send({"id": 7, "state": "b"})
    assert orders.scan() == 1
    redelivered()
    assert orders.scan() == 0
    assert json.loads(orders.read("7"))["state"] == "b"
    assert queue.left() == 0


def test_fields_of_the_body_become_partition_and_metadata(follow: Follow, queue: Queue) -> None:
    orders = follow(queue=queue.url, key="id", partition="day", metadata=["kind", "none", "customer.country"])
    assert orders.source.gives_partition
    queue.send({"id": "x", "day": "2013-01-01", "kind": "return", "customer": {"country": "DE"}})
    orders.scan()
    item = orders.item("x")
    assert item.partition == "2013-01-01"
    assert {name: item.metadata[name] for name in ("kind", "none", "customer.country")} == {
        "kind": "return",
        "none": None,
        "customer.country": "DE",
    }


def test_functions_may_read_key_and_partition_of_a_message(follow: Follow, queue: Queue, client: Any) -> None:
    orders = follow(
        queue=queue.url,
        key=lambda message: message.body.decode().split(";")[0],
        partition=lambda message: message.attributes["day"],
    )
    day = {"day": {"DataType": "String", "StringValue": "2013-01-01"}}
    client.send_message(QueueUrl=queue.url, MessageBody="7;a", MessageAttributes=day)
    [other] = queue.send("8;b")
    orders.scan()
    assert orders.item("7").partition == "2013-01-01"
    assert "the function for its partition failed: KeyError: 'day'" in orders.item(other).metadata[UNMATCHED]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("no JSON", r"its body is no JSON (Expecting value: line 1 column 1 (char 0)): b'no JSON'"),
        ("[]", "field 'id', its key, is null, not a text"),
        ('{"id": null}', "field 'id', its key, is null, not a text"),
        ('{"id": true}', "field 'id', its key, is true, not a text"),
        ('{"id": {"a": 1}}', """field 'id', its key, is {"a": 1}, not a text"""),
        ('{"id": ""}', """field 'id', its key, is "", not a text"""),
    ],
)
def test_a_message_without_what_is_wanted_is_quarantined_and_the_others_go_on(
    body: str, reason: str, follow: Follow, queue: Queue
) -> None:
    orders = follow(queue=queue.url, key="id")
    [poison] = queue.send(body)
    queue.send({"id": 1})
    assert [orders.scan(), orders.scan()] == [2, 0]
    assert orders.item(poison).metadata[UNMATCHED] == f"message {poison}: {reason}"
    assert orders.read(poison) == body.encode()
    assert UNMATCHED not in orders.item("1").metadata
    assert queue.left() == 0


def test_a_message_that_is_too_large_is_quarantined_and_left_to_the_queue(follow: Follow, queue: Queue) -> None:
    orders = follow(queue=queue.url, max_bytes=10)
    queue.send("small")
    [large] = queue.send("more than ten bytes")
    assert orders.scan() == 2
    assert "its body has 19 bytes, more than max_bytes=10" in orders.item(large).metadata[UNMATCHED]
    assert queue.left() == 1
    redelivered()
    assert orders.scan() == 0


def test_messages_of_a_group_arrive_in_their_order(follow: Follow, fifo: Queue) -> None:
    orders = follow(queue=fifo.url, metadata=["n"])
    for number in range(25):
        fifo.send({"n": number, "of": "odd" if number % 2 else "even"}, group="odd" if number % 2 else "even")
    assert orders.scan() == 25
    for group in ("odd", "even"):
        numbers = [item.metadata["n"] for item in orders.items() if item.metadata["group"] == group]
        assert numbers == sorted(numbers)
    assert fifo.left() == 0


def test_visibility_that_ends_before_the_scan_does_loses_and_doubles_nothing(
    follow: Follow, queue: Queue, client: Any
) -> None:
    queue.send(*(str(number) for number in range(25)))

    def slow(**_: Any) -> None:
        redelivered()

    event = "before-call.sqs.DeleteMessageBatch"
    orders = follow(queue=queue.url, resource="sqs")
    orders.resources = {"sqs": client}
    client.meta.events.register(event, slow)
    for _ in range(4):
        with suppress(SourceError):
            orders.scan()
        client.meta.events.unregister(event, slow)
    assert (len(orders.items()), queue.left()) == (25, 0)


def test_without_time_nothing_is_taken(follow: Follow, queue: Queue) -> None:
    orders = follow(queue=queue.url, wait=1)
    queue.send("a")
    orders.seconds = 0.5
    assert orders.scan() == 0
    orders.seconds = 10
    assert orders.scan() == 1


def test_a_scan_that_is_stopped_leaves_what_it_has_not_recorded(follow: Follow, queue: Queue) -> None:
    orders = follow(queue=queue.url)
    queue.send(*(str(number) for number in range(15)))
    assert orders.scan(pages=1) == 10
    assert orders.scan() == 5
    assert queue.left() == 0


class Sqs(dg.ConfigurableResource[None]):
    """A resource as dagster-aws has them."""

    url: str

    def get_client(self) -> Any:
        return sqs_client(self.url)


def test_a_resource_of_the_location_gives_the_client(follow: Follow, queue: Queue, aws: str) -> None:
    orders = follow(queue=queue.url, resource="sqs")
    assert orders.source.required_resource_keys == {"sqs"}
    orders.resources = {"sqs": Sqs(url=aws)}
    queue.send("a")
    assert orders.scan() == 1


def test_a_queue_that_is_not_there_is_told(follow: Follow, client: Any) -> None:
    with pytest.raises(SourceError, match=r"cannot use queue nothing: .*NonExistent.* Check that it exists"):
        follow(queue="nothing").scan()


def test_a_server_that_is_not_there_is_told(follow: Follow, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(SourceError, match=r"cannot use queue orders: Could not connect to the endpoint URL") as error:
        follow(queue="orders").scan()
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("missing", ["AWS_REGION", "AWS_ACCESS_KEY_ID"])
def test_an_environment_that_does_not_say_enough_is_told(
    missing: str, follow: Follow, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(missing)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=missing == "AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/none")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/none")
    with pytest.raises(SourceError, match=r"source 'orders' cannot .* queue .*orders: .*(region|credentials)"):
        follow(queue=queue.url).scan()


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ({}, "give queue= for SQS or receiver= for another queue"),
        ({"queue": "a", "receiver": lambda _: None}, "give queue= for SQS or receiver="),
        ({"receiver": lambda _: None, "resource": "sqs"}, "resource= is for SQS"),
        ({"queue": "a", "wait": 21}, "wait must be 0 to 20 seconds, not 21"),
        ({"queue": "a", "max_bytes": "much"}, "max_bytes 'much' is not a size"),
        ({"queue": ""}, "queue is empty"),
        ({"queue": "{nothing}"}, "queue: no setting 'nothing'"),
    ],
)
def test_what_cannot_work_is_refused_when_definitions_load(
    declared: dict[str, Any], reason: str, follow: Follow
) -> None:
    with pytest.raises(DefinitionError, match=f"source 'orders'.*{reason}"):
        follow(**declared)


class Letters:
    """A queue in memory that delivers everything again until it is acknowledged."""

    def __init__(self) -> None:
        self.messages: dict[str, bytes] = {}
        self.closed = False

    def receive(self, limit: int, wait: float) -> Sequence[Message]:
        return [Message(id=name, body=body) for name, body in list(self.messages.items())[:limit]]

    def acknowledge(self, messages: Sequence[Message]) -> None:
        for message in messages:
            del self.messages[message.id]

    def close(self) -> None:
        self.closed = True


def test_another_kind_of_queue_needs_two_methods(follow: Follow) -> None:
    letters = Letters()

    def opened(given: Settings) -> Receiver:
        assert given.team == "tested"
        return letters

    orders = follow(receiver=opened)
    letters.messages = {f"{number}": b"body %d" % number for number in range(25)}
    assert [orders.scan(), orders.scan()] == [25, 0]
    assert orders.read("7") == b"body 7"
    orders.client.close()
    assert letters.closed


def test_bodies_are_read_many_at_a_time_in_any_order(follow: Follow, ledger: PostgresLedger) -> None:
    letters = Letters()
    orders = follow(receiver=lambda _: letters)
    letters.messages = {f"{number:04}": b"x" * 10_000 + b"%d" % number for number in range(600)}
    orders.scan()
    items = orders.items()
    asked: list[int] = []

    class Counting(PostgresLedger):
        def bodies(self, source: str, messages: Sequence[str]) -> dict[str, bytes]:
            asked.append(len(messages))
            return ledger.bodies(source, messages)

    bodies = Bodies(Counting("postgresql://nobody", "none"), items)
    assert [bodies.read(item)[10_000:] for item in items] == [b"%d" % number for number in range(600)]
    assert len(asked) == 2
    assert bodies.read(items[3])[10_000:] == b"3"
    with ledger.transaction() as connection:
        connection.execute("delete from message where id = '0000'")
    with pytest.raises(ItemGone, match="the ledger no longer keeps the body of message 0000"):
        Bodies(ledger, items).read(items[0])


def test_a_run_reads_messages_that_the_queue_has_long_forgotten(ledger: PostgresLedger, queue: Queue) -> None:
    source = QueueSource("orders", queue=queue.url, key="id", every=SOON, wait=0)
    seen: list[bytes] = []

    @sensor_asset(source)
    def loaded(batch: Batch) -> None:
        seen.extend(item.read() for item in batch.items)

    queue.send({"id": 1}, {"id": 2}, "poison")
    with ephemeral() as instance:
        location = Location(ledger, [loaded], instance)
        assert [result.success for result in location.work()] == [True]
        assert queue.left() == 0
        assert sorted(seen) == [b'{"id": 1}', b'{"id": 2}']
        assert location.status()["loaded"]["quarantined"] == 1
        location.close()
