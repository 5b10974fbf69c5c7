"""An SQS queue."""

import os
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from math import ceil
from typing import Any

from sensor_assets._sources.queue import AT_ONCE, Message
from sensor_assets.errors import DefinitionError, SourceError

# Seconds for connecting, and for an answer beyond the time that SQS is asked to wait for messages. Both are used twice.
CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 3.0


def client_of(resource: Any) -> Any:
    """Return the boto3 client of a Dagster resource that has ``get_client()``, or the client itself."""
    return resource if hasattr(resource, "receive_message") else resource.get_client()


def check_installed(where: str) -> None:
    """Refuse a source whose extra is not installed.

    Raises:
        DefinitionError: boto3 is missing.
    """
    if find_spec("boto3") is None:
        raise DefinitionError(f"{where}: SQS needs boto3: install sensor-assets[sqs]")


def default_client(where: str, queue: str, wait: float) -> Any:
    """Return a boto3 client as the environment configures it; the region may be named by the queue's URL.

    Raises:
        SourceError: The environment does not say enough.
    """
    import boto3  # noqa: PLC0415 - 0.2 s, and an extra
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    named = re.match(r"https://sqs\.([a-z0-9-]+)\.amazonaws\.com", queue)
    region = named[1] if named else os.environ.get("AWS_REGION")
    bounds = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=ceil(wait) + ANSWER_SECONDS,
        retries={"total_max_attempts": 2, "mode": "standard"},
    )
    try:
        # A session of its own: the common one is not for threads, in which sources are scanned.
        return boto3.Session().client("sqs", config=bounds, region_name=region)
    except (BotoCoreError, ValueError) as error:
        raise SourceError(f"{where} cannot open queue {queue}: {error}") from error


class SqsReceiver:
    """Receives from one SQS queue and deletes from it.

    Args:
        where: Begins every message, such as ``source 'orders'``.
        queue: URL or name of the queue.
        client: A boto3 client for SQS.
    """

    def __init__(self, where: str, queue: str, client: Any) -> None:
        self._where = where
        self._queue = queue
        self._client = client
        self._url = queue if queue.startswith(("http://", "https://")) else None

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()

    def receive(self, limit: int, wait: float) -> Sequence[Message]:
        """Return messages; with any wait at all SQS asks all of its servers, so that none is overlooked."""
        answer = self._call(
            self._client.receive_message,
            QueueUrl=self._address(),
            MaxNumberOfMessages=min(limit, AT_ONCE),
            WaitTimeSeconds=ceil(wait),
            MessageSystemAttributeNames=["SentTimestamp", "MessageGroupId"],
            MessageAttributeNames=["All"],
        )
        return [_message(each) for each in answer.get("Messages", ())]

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Delete messages."""
        for first in range(0, len(messages), AT_ONCE):
            entries = [
                {"Id": str(number), "ReceiptHandle": message.handle}
                for number, message in enumerate(messages[first : first + AT_ONCE])
            ]
            answer = self._call(self._client.delete_message_batch, QueueUrl=self._address(), Entries=entries)
            if failed := answer.get("Failed"):
                reason = failed[0].get("Message") or failed[0].get("Code")
                raise SourceError(
                    f"{self._where}: {len(failed)} of {len(entries)} messages could not be deleted from queue "
                    f"{self._queue}: {reason}. They are recorded, and deleted when they are delivered again."
                )

    def _address(self) -> str:
        if self._url is None:
            self._url = str(self._call(self._client.get_queue_url, QueueName=self._queue)["QueueUrl"])
        return self._url

    def _call(self, method: Callable[..., Any], **arguments: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError  # noqa: PLC0415 - an extra

        try:
            answer = method(**arguments)
        except (BotoCoreError, ClientError, HTTPClientError) as error:
            reason = str(error).rstrip(".")
            raise SourceError(
                f"{self._where} cannot use queue {self._queue}: {reason}. Check that it exists and that this location "
                "may receive and delete its messages (sqs:ReceiveMessage, sqs:DeleteMessage)."
            ) from error
        # Python's http.client takes a connection that is cut within the headers for their end, and botocore an answer
        # without a body for one without messages.
        if not {"content-length", "transfer-encoding"} & set(answer["ResponseMetadata"]["HTTPHeaders"]):
            raise SourceError(f"{self._where}: the answer about queue {self._queue} was cut off; it is asked again.")
        return answer


def _message(answer: Any) -> Message:
    system = answer.get("Attributes", {})
    sent = system.get("SentTimestamp")
    attributes = answer.get("MessageAttributes", {})
    return Message(
        id=answer["MessageId"],
        body=answer["Body"].encode("utf-8", "surrogatepass"),
        group=system.get("MessageGroupId"),
        sent_at=None if sent is None else datetime.fromtimestamp(int(sent) / 1000, UTC),
        attributes={name: value["StringValue"] for name, value in attributes.items() if "StringValue" in value},
        handle=answer["ReceiptHandle"],
    )
