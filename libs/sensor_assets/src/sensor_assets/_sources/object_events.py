"""Notifications of S3 about objects, taken from an SQS queue: they say where to look, and nothing else is believed."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import unquote_plus

from sensor_assets._listing.answers import ListingError

# SQS hands out and deletes ten messages at a time: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/
AT_ONCE = 10
# Messages that one scan takes.
MOST_MESSAGES = 1000


@dataclass(frozen=True, kw_only=True)
class ObjectEvents:
    """An SQS queue with the notifications of a bucket, for the objects of one source.

    S3 may send them to the queue, to SNS which sends them to the queue, or to EventBridge. The queue belongs to the
    source: what is about other objects is deleted from it, what is no such notification is left in it.

    Args:
        queue: URL of the queue; may hold ``{setting}``s.
        resource: Name of the Dagster resource to use, such as dagster-aws's ``SQSResource``; without one, boto3 as the
            environment configures it.
        grace: How long the notification of an object may take. What the listing shows later than that without one
            counts as missed.
    """

    queue: str
    resource: str | None = None
    grace: timedelta = timedelta(minutes=5)


@dataclass(frozen=True)
class Notice:
    """An object that changed."""

    bucket: str
    key: str


def notices(body: str) -> Sequence[Notice] | None:
    """Return the objects that a message is about; None for a message that is no notification of S3."""
    try:
        document = json.loads(body)
        return _notices(document)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _notices(document: Mapping[str, Any]) -> Sequence[Notice] | None:
    match document:
        case {"Type": "Notification", "Message": str(message)}:
            return _notices(json.loads(message))
        case {"Records": [*records]}:
            # Keys are quoted as in a form: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
            return [
                Notice(record["s3"]["bucket"]["name"], unquote_plus(record["s3"]["object"]["key"]))
                for record in records
            ]
        case {"source": "aws.s3", "detail": {"bucket": {"name": bucket}, "object": {"key": key}}}:
            return [Notice(bucket, key)]
        case {"Event": "s3:TestEvent"}:
            return []
        case _:
            return None


@dataclass(frozen=True)
class Received:
    """What a queue had, and how to tell it that this is not needed any more."""

    notices: Sequence[Notice]
    acknowledge: Callable[[], None] | None


def client_of(resource: Any) -> Any:
    """Return the boto3 client of a Dagster resource, or the client itself."""
    return resource if hasattr(resource, "receive_message") else resource.get_client()


def default_client() -> Any:
    """Return a client as the environment configures it.

    Raises:
        ListingError: There is no configuration for one, or no boto3.
    """
    try:
        import boto3  # noqa: PLC0415 - only where events are used
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415
    except ImportError as error:
        raise ListingError("events need the extra: pip install 'sensor-assets[s3]'") from error
    try:
        bounded = Config(connect_timeout=5, read_timeout=8, retries={"total_max_attempts": 2})
        return boto3.client("sqs", config=bounded)
    except BotoCoreError as error:
        raise ListingError(str(error)) from error


def receive(client: Any, queue: str) -> Received:
    """Take what is in the queue, up to a bound.

    Raises:
        ListingError: The queue cannot be read.
    """
    found: list[Notice] = []
    handles: list[str] = []
    for _ in range(MOST_MESSAGES // AT_ONCE):
        bounds = {"MaxNumberOfMessages": AT_ONCE, "WaitTimeSeconds": 0}
        messages = _called(queue, client.receive_message, QueueUrl=queue, **bounds).get("Messages", [])
        if not messages:
            break
        for message in messages:
            about = notices(message["Body"])
            if about is not None:
                found += about
                handles.append(message["ReceiptHandle"])
    return Received(found, (lambda: _delete(client, queue, handles)) if handles else None)


def _delete(client: Any, queue: str, handles: Sequence[str]) -> None:
    for first in range(0, len(handles), AT_ONCE):
        entries = [
            {"Id": str(number), "ReceiptHandle": handle}
            for number, handle in enumerate(handles[first : first + AT_ONCE])
        ]
        # One that stays is delivered again and looked at again.
        _called(queue, client.delete_message_batch, QueueUrl=queue, Entries=entries)


def _called(queue: str, method: Callable[..., Any], **arguments: Any) -> Any:
    try:
        return method(**arguments)
    except Exception as error:
        raise ListingError(f"the queue {queue} does not answer: {error}") from error
