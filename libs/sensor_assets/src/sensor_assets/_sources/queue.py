"""Messages of a queue, each an item whose body the ledger keeps."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Lock
from typing import Any, Protocol, TypeVar, Unpack

from sensor_assets._batching import size_in_bytes
from sensor_assets._items import MESSAGE, UNMATCHED, Item
from sensor_assets._settings import Settings
from sensor_assets._sources.base import CommonOptionsButMetadata, Page, ScanContext, Source, SourceClient
from sensor_assets._sources.etags import HASHED
from sensor_assets.errors import DefinitionError, SourceError

T = TypeVar("T")

# Messages that are asked for at a time; SQS gives no more.
AT_ONCE = 10

# Seconds that are left for recording and acknowledging when the last messages of a scan are asked for.
RESERVE = 1.0


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message as a queue delivers it.

    Args:
        id: What the queue calls the message, the same at every delivery.
        body: Its bytes.
        group: Messages of one group come in order, where the queue has groups.
        sent_at: When it was sent (UTC), for information only.
        attributes: What was sent with it.
        handle: What the receiver needs to acknowledge this delivery.
    """

    id: str
    body: bytes
    group: str | None = None
    sent_at: datetime | None = None
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    handle: Any = None


class Receiver(Protocol):
    """A connection to a queue. Used by one scan at a time; `close`, if it has one, is called in the end."""

    def receive(self, limit: int, wait: float) -> Sequence[Message]:
        """Return some messages, at most `limit`, as soon as there are any; none after so many seconds.

        Whatever is returned is delivered again some time later, unless it is acknowledged.

        Raises:
            SourceError: The queue cannot be read.
        """
        ...

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Let the queue forget messages; they are recorded by then.

        Raises:
            SourceError: The queue cannot be told. It delivers them again, and they are dropped.
        """
        ...


Field = str | Callable[[Message], str | None]


class _PoisonError(ValueError):
    """A message without what the source wants of it; the text is the reason shown in the quarantine."""


class _TooLargeError(_PoisonError):
    """A message whose body is not kept, and which is therefore left in the queue."""


class QueueSource(Source):
    """Follow a queue; an item is one message.

    A message is acknowledged (deleted from the queue) when it is recorded and committed, not before; its body stays in
    the ledger, where `Item.read` finds it. A message that is delivered twice is recorded once.

    Args:
        name: Name of the source, unique within the team.
        queue: URL or name of an SQS queue; may hold ``{setting}``s. The queue belongs to the source: whoever else reads
            it takes messages away.
        resource: Name of the Dagster resource to use for SQS: one with ``get_client()``, or a boto3 client. Without it
            boto3 works as the environment configures it.
        receiver: Instead of `queue`, what returns a `Receiver` for another kind of queue, of the location's settings.
        key: Field of the JSON body that names the thing which the message is about, such as ``order.id``, or a function
            of the `Message`: the newest message of a thing then replaces older ones, and one that repeats the newest is
            dropped. Unless told every message is a thing of its own.
        partition: Field of the JSON body with the item's partition, or a function of the `Message`.
        metadata: Fields of the JSON body that become the item's metadata, for conditions and routing.
        max_bytes: Largest body that is kept, as a number or a text. A larger message is quarantined without its body
            and not acknowledged: it is left to what the queue does with messages that nobody wants.
        wait: Seconds to wait for a first message; a scan takes as long when there is none.
        common: See `Common`.

    A message without the wanted fields, or that is no JSON where a field is wanted, is quarantined; so is none of the
    others. Messages of a FIFO queue's group arrive in their order.

    Example:
        >>> QueueSource("orders", queue="{orders_queue}", key="order.id", partition="order.day", metadata=["kind"])
        QueueSource('orders')
    """

    kind = "queue"

    def __init__(
        self,
        name: str,
        *,
        queue: str | None = None,
        resource: str | None = None,
        receiver: Callable[[Settings], Receiver] | None = None,
        key: Field | None = None,
        partition: Field | None = None,
        metadata: Sequence[str] = (),
        max_bytes: int | str = "1 MiB",
        wait: float = 1.0,
        **common: Unpack[CommonOptionsButMetadata],
    ) -> None:
        super().__init__(name, **common)
        where = f"source '{name}'"
        if (queue is None) == (receiver is None):
            raise DefinitionError(f"{where}: give queue= for SQS or receiver= for another queue")
        if resource is not None and queue is None:
            raise DefinitionError(f"{where}: resource= is for SQS; a receiver= finds what it needs in the settings")
        if not 0 <= wait <= 20:  # noqa: PLR2004 - the most that SQS waits
            raise DefinitionError(f"{where}: wait must be 0 to 20 seconds, not {wait}")
        self.queue = queue
        self.resource = resource
        self.receiver = receiver
        self.key = key
        self.partition = partition
        self.metadata = tuple(metadata)
        self.max_bytes = size_in_bytes(max_bytes, f"{where}: max_bytes")
        self.wait = wait

    @property
    def required_resource_keys(self) -> frozenset[str]:
        return frozenset(() if self.resource is None else (self.resource,))

    @property
    def gives_partition(self) -> bool:
        return self.partition is not None

    def open(self, settings: Settings) -> "QueueClient":
        return QueueClient(self, self._opener(settings))

    def _opener(self, settings: Settings) -> "Callable[[ScanContext], Receiver]":
        if self.receiver is not None:
            make = self.receiver
            return lambda _: make(settings)
        from sensor_assets._sources.sqs import (  # noqa: PLC0415 - it needs this module
            SqsReceiver,
            check_installed,
            client_of,
            default_client,
        )

        where = f"source '{self.name}'"
        check_installed(where)
        queue = settings.fill(self.queue or "", f"{where}, queue")
        if not queue:
            raise DefinitionError(f"{where}: queue is empty")

        def opened(context: ScanContext) -> Receiver:
            if self.resource is None:
                return SqsReceiver(where, queue, default_client(where, queue, self.wait))
            return SqsReceiver(where, queue, client_of(context.resources[self.resource]))

        return opened

    def describe(self, settings: Settings) -> dict[str, Any]:
        if self.queue is None:
            return {"receiver": getattr(self.receiver, "__qualname__", repr(self.receiver))}
        return {"queue": settings.mask(settings.fill(self.queue, f"source '{self.name}', queue"))}


class QueueClient(SourceClient):
    """Receives until the queue is empty or the scan's time is over."""

    def __init__(self, source: QueueSource, opener: Callable[[ScanContext], Receiver]) -> None:
        self._source = source
        self._opener = opener
        self._opening = Lock()
        self._receiver: Receiver | None = None

    def close(self) -> None:
        with self._opening:
            receiver, self._receiver = self._receiver, None
        close = getattr(receiver, "close", None)
        if close is not None:
            close()

    def scan(self, context: ScanContext) -> Iterator[Page]:
        with self._opening:
            if self._receiver is None:
                self._receiver = self._opener(context)
            receiver = self._receiver
        while (wait := min(self._source.wait, context.remaining() - RESERVE)) >= 0:
            context.calls["receive"] += 1
            messages = self._told(receiver.receive, AT_ONCE, wait)
            if not messages:
                return
            yield self._page(messages, receiver, context)

    def _page(self, messages: Sequence[Message], receiver: Receiver, context: ScanContext) -> Page:
        kept = [message for message in messages if len(message.body) <= self._source.max_bytes]
        return Page(
            items=[self._item(message) for message in messages],
            position=context.position,
            bodies={message.id: message.body for message in kept},
            acknowledge=(lambda: self._told(receiver.acknowledge, kept)) if kept else None,
        )

    def _told(self, method: Callable[..., T], *arguments: Any) -> T:
        """Call a method of the receiver, which may be anybody's; what it raises becomes an error of the source."""
        try:
            return method(*arguments)
        except SourceError:
            raise
        except Exception as error:
            raise SourceError(
                f"source '{self._source.name}': its receiver failed: {type(error).__name__}: {error}"
            ) from error

    def _item(self, message: Message) -> Item:
        item = Item(
            key=message.id,
            version=HASHED + hashlib.sha256(message.body).hexdigest(),
            size=len(message.body),
            modified=message.sent_at,
            metadata={MESSAGE: message.id, **({"group": message.group} if message.group is not None else {})},
            source=self._source.name,
        )
        try:
            return self._filled(item, message)
        except _TooLargeError as reason:
            # Another version than with its body, so that it arrives anew once it is not too large any more.
            refused = {**item.metadata, UNMATCHED: f"message {message.id}: {reason}"}
            return replace(item, version=f"refused:{item.version}", metadata=refused)
        except _PoisonError as reason:
            return replace(item, metadata={**item.metadata, UNMATCHED: f"message {message.id}: {reason}"})

    def _filled(self, item: Item, message: Message) -> Item:
        """Return the item with what the source wants of the body."""
        source = self._source
        if len(message.body) > source.max_bytes:
            raise _TooLargeError(f"its body has {len(message.body)} bytes, more than max_bytes={source.max_bytes}")
        body = _Body(message)
        chosen = {name: body.value(name) for name in source.metadata}
        return replace(
            item,
            key=item.key if source.key is None else self._text(source.key, body, "key"),
            partition=None if source.partition is None else self._text(source.partition, body, "partition"),
            metadata={**chosen, **item.metadata},
        )

    def _text(self, wanted: Field, body: "_Body", role: str) -> str:
        if callable(wanted):
            try:
                value = wanted(body.message)
            except Exception as error:
                raise _PoisonError(f"the function for its {role} failed: {type(error).__name__}: {error}") from error
            named = f"the function for its {role} gave"
        else:
            value = body.value(wanted)
            named = f"field '{wanted}', its {role}, is"
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise _PoisonError(f"{named} {json.dumps(value, default=repr)}, not a text")
        return str(value)


class _Body:
    """A message's body as JSON, read when a field is wanted."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self._read = False
        self._content: Any = None

    def value(self, path: str) -> Any:
        """Return a field, None where there is none."""
        if not self._read:
            try:
                self._content = json.loads(self.message.body)
            except ValueError as error:
                raise _PoisonError(f"its body is no JSON ({error}): {self.message.body[:80]!r}") from error
            self._read = True
        found = self._content
        for name in path.split("."):
            if not isinstance(found, Mapping):
                return None
            found = found.get(name)
        return found
