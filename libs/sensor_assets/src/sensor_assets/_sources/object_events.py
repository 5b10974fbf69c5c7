"""Notifications of S3 about objects, taken from an SQS queue: they say where to look, and nothing else is believed."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import unquote_plus

from sensor_assets._sources.base import ScanContext
from sensor_assets._sources.queue import AT_ONCE, Message, Receiver
from sensor_assets.errors import SourceError

# Messages that one scan takes.
MOST_MESSAGES = 1000
# Seconds that are left for listing when no more messages are asked for.
RESERVE = 5.0


@dataclass(frozen=True, kw_only=True)
class ObjectEvents:
    """An SQS queue with the notifications of a bucket, for the objects of one source.

    S3 may send them to the queue, to SNS which sends them to the queue, or to EventBridge. The queue belongs to the
    source: what is about other objects is deleted from it, what is no such notification is left in it.

    Args:
        queue: URL or name of the queue; may hold ``{setting}``s.
        resource: Name of the Dagster resource to use, such as dagster-aws's ``SQSResource``; without one, boto3 as the
            environment configures it.
        grace: How long the notification of an object may take (seconds or a timedelta). What the listing shows later
            than that without one counts as missed.
    """

    queue: str
    resource: str | None = None
    grace: timedelta | float = timedelta(minutes=5)


@dataclass(frozen=True)
class Notice:
    """An object that changed."""

    bucket: str
    key: str


def notices(body: bytes) -> Sequence[Notice] | None:
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

    notices: Sequence[Notice] = ()
    acknowledge: Callable[[], None] | None = None


def receive(receiver: Receiver, context: ScanContext) -> tuple[Received, SourceError | None]:
    """Take what is in the queue, up to a bound; returns the error as well that ended it early."""
    found: list[Notice] = []
    understood: list[Message] = []
    error: SourceError | None = None
    for _ in range(MOST_MESSAGES // AT_ONCE):
        if context.remaining() < RESERVE:
            break
        try:
            context.calls["receive"] += 1
            messages = receiver.receive(AT_ONCE, 0)
        except SourceError as failure:
            error = failure
            break
        if not messages:
            break
        for message in messages:
            about = notices(message.body)
            if about is not None:
                found += about
                understood.append(message)
    return Received(found, (lambda: receiver.acknowledge(understood)) if understood else None), error
