"""Notifications say where to look; the listing says what is there."""

import json
from collections.abc import Sequence
from datetime import timedelta
from hashlib import md5
from typing import Any

import pytest
from sensor_assets import ObjectEvents, ObjectSource, SourceError
from sensor_assets._listing.s3 import S3Lister
from sensor_assets._sources.object_events import Notice, notices
from sensor_assets.ledger import PostgresLedger

from .object_stores import client, lists
from .scanning import NOW, Scanner

# moto says when an object was written, and that is long after NOW.
LATER = NOW + timedelta(days=365 * 100)


@pytest.fixture
def queue(s3: str) -> str:
    """An SQS queue to which the bucket's notifications go."""
    sqs = client("sqs")
    url: str = sqs.create_queue(QueueName="notifications", Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    client("s3").put_bucket_notification_configuration(
        Bucket="bucket",
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}]
        },
    )
    return url


@pytest.fixture
def many(s3: str, monkeypatch: pytest.MonkeyPatch) -> Sequence[str]:
    """A bucket of many pages, by pages of three keys."""
    monkeypatch.setattr(S3Lister, "page_keys", 3)
    keys = [f"{letter}{digit}" for letter in "abcdefghij" for digit in range(3)]
    for key in keys:
        put(key)
    return keys


def put(key: str, body: bytes = b"") -> None:
    client("s3").put_object(Bucket="bucket", Key=f"landing/{key}", Body=body)


def followed(ledger: PostgresLedger, queue: str, *, resource: Any = None) -> Scanner:
    events = ObjectEvents(queue=queue, resource="sqs" if resource else None)
    source = ObjectSource("objects", url="s3://bucket/landing", events=events, sweep=1)
    scanner = Scanner(ledger, source)
    scanner.now = NOW
    scanner.resources = {"sqs": resource}
    return scanner


def hashed(body: bytes) -> str:
    """Return the ETag of an object."""
    return f'"{md5(body, usedforsecurity=False).hexdigest()}"'


def waiting(queue: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return sum(int(number) for number in found.values())


def missed(ledger: PostgresLedger) -> int:
    position: Any = ledger.sources(["objects"])["objects"].position
    return position["missed"]


def swept(source: Scanner) -> None:
    """Let the first scan and the notifications about what was there already pass."""
    source.scan()
    source.scan()


def test_an_object_is_seen_by_the_next_scan_wherever_it_lies(
    many: Sequence[str], queue: str, ledger: PostgresLedger
) -> None:
    source = followed(ledger, queue)
    assert source.scan() == len(many)
    for key in ("h1.5", "b+ä 1", "zz"):
        put(key)
        asked, new = lists(source)
        assert new == 1
        assert asked <= 4  # of eleven pages: the one with the key, in two parts, and a slice of the sweep
        assert waiting(queue) == 0


def test_an_overwrite_is_seen_and_a_deletion_is_no_item(
    many: Sequence[str], queue: str, ledger: PostgresLedger
) -> None:
    source = followed(ledger, queue)
    swept(source)
    put("f1", b"other")
    assert source.scan() == 1
    client("s3").delete_object(Bucket="bucket", Key="landing/f1")
    assert source.scan() == 0
    assert waiting(queue) == 0


def test_many_events_of_one_page_cost_one_look_and_their_order_does_not_matter(
    many: Sequence[str], queue: str, ledger: PostgresLedger
) -> None:
    source = followed(ledger, queue)
    swept(source)
    for body in (b"1", b"2", b"3"):
        for key in ("e2", "e0", "e1"):
            put(key, body)
    asked, new = lists(source)
    assert new == 3
    assert asked <= 3
    assert waiting(queue) == 0


def test_messages_are_deleted_once_their_page_is_recorded_and_not_before(
    many: Sequence[str], queue: str, ledger: PostgresLedger
) -> None:
    source = followed(ledger, queue)
    swept(source)
    put("e9")
    _, context = source.begin()
    pages = iter(source.client.scan(context))
    page = next(pages)
    assert [item.key for item in page.items if item.key == "e9"] == ["e9"]
    assert waiting(queue) == 1  # the process may die now
    assert source.scan() == 1
    assert waiting(queue) == 0


def test_what_no_event_announced_is_found_by_the_sweep_and_counted(
    many: Sequence[str], queue: str, ledger: PostgresLedger
) -> None:
    source = followed(ledger, queue)
    source.now = LATER
    swept(source)
    assert missed(ledger) == 0
    put("c1", b"other")
    client("sqs").purge_queue(QueueUrl=queue)
    put("g1", b"announced")
    told = 0
    for _ in range(15):
        scan, context = source.begin()
        for page in source.client.scan(context):
            told += page.missed
            ledger.record(scan, page, NOW)
    assert {item.version for item in source.items() if item.key in ("c1", "g1")} >= {
        hashed(b"other"),
        hashed(b"announced"),
    }
    assert (told, missed(ledger)) == (1, 1)


def test_a_queue_that_fails_hurries_nothing_and_stops_nothing(
    many: Sequence[str], s3: str, ledger: PostgresLedger
) -> None:
    source = followed(ledger, f"{s3}/123456789012/none")
    with pytest.raises(SourceError, match=r"source 'objects' cannot use queue .*/none: .*NonExistentQueue"):
        source.scan()
    assert len(source.keys()) == len(many)


def test_other_messages_stay_in_the_queue_and_other_objects_are_let_go(
    many: Sequence[str], queue: str, ledger: PostgresLedger
) -> None:
    source = followed(ledger, queue)
    swept(source)
    client("s3").put_object(Bucket="bucket", Key="elsewhere/a", Body=b"")
    client("sqs").send_message(QueueUrl=queue, MessageBody='{"order": 7}')
    assert source.scan() == 0
    assert waiting(queue) == 1


def test_a_dagster_resource_gives_the_client(many: Sequence[str], queue: str, ledger: PostgresLedger) -> None:
    class Resource:
        """As dagster-aws's SQSResource."""

        def get_client(self) -> Any:
            return client("sqs")

    for resource in (Resource(), client("sqs")):
        source = followed(ledger, queue, resource=resource)
        assert source.source.required_resource_keys == {"sqs"}
        source.scan()
        assert waiting(queue) == 0
        put("x" + type(resource).__name__)
        assert source.scan() == 1


def test_an_event_before_everything_was_seen_once_is_no_shortcut(queue: str, ledger: PostgresLedger) -> None:
    put("a")
    source = followed(ledger, queue)
    assert source.scan() == 1
    assert source.scan() == 0
    assert waiting(queue) == 0


RECORD = {"s3": {"bucket": {"name": "bucket"}, "object": {"key": "landing/a+b%2Bc%20%C3%A9.csv"}}}
DIRECT = {"Records": [RECORD]}
FOUND = [Notice("bucket", "landing/a b+c é.csv")]


@pytest.mark.parametrize(
    ("message", "found"),
    [
        (DIRECT, FOUND),
        ({"Type": "Notification", "TopicArn": "arn", "Message": json.dumps(DIRECT)}, FOUND),
        (
            {
                "source": "aws.s3",
                "detail-type": "Object Created",
                "detail": {"bucket": {"name": "bucket"}, "object": {"key": "landing/a b+c é.csv", "size": 1}},
            },
            FOUND,
        ),
        ({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "bucket"}, []),
        ({"Records": [{"eventSource": "aws:sqs"}]}, None),
        ({"Records": "none"}, None),
        ({"Type": "Notification", "Message": "hello"}, None),
        ([1, 2], None),
        ("text", None),
        (None, None),
    ],
)
def test_each_form_of_a_notification_is_understood_and_nothing_else(message: Any, found: Any) -> None:
    assert notices(json.dumps(message).encode()) == found


def test_what_is_not_json_is_no_notification() -> None:
    assert notices(b"{") is None
