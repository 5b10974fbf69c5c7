"""The outside world of each kind of source, with the same few things that a test can do to it."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sensor_assets import (
    HttpSource,
    Item,
    ItemGone,
    Link,
    Message,
    ObjectSource,
    QueueSource,
    ScanContext,
    Source,
    TableSource,
    source,
)

from .faults import Line
from .location import SOON
from .scanning import Scanner
from .site_server import Answer, Site


class Outside(ABC):
    """Things with a key and a text, where a source sees them.

    `per_page` is how many things one page of a scan holds at most; `tells_deletions` whether a deletion is an item;
    `keeps` whether a version can be read after a newer one has come; `forgets` whether a thing that was shown is gone
    from the outside, so that nothing there can be deleted.
    """

    per_page = 1000
    tells_deletions = False
    keeps = False
    forgets = False

    @property
    @abstractmethod
    def source(self) -> Source:
        """The declaration that follows it; a new one each time."""

    @abstractmethod
    def put(self, key: str, text: str) -> None:
        """Write a thing, new or again."""

    def put_many(self, number: int) -> None:
        """Write many things."""
        for each in range(number):
            self.put(f"n{each:05}", "many")

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove a thing."""

    @abstractmethod
    def outage(self) -> Any:
        """Return a context in which the outside cannot be reached."""

    def wait(self) -> None:  # noqa: B027 - most have nothing to wait for
        """Wait until what is not acknowledged is shown again."""

    def left(self) -> int:
        """Return how many messages are not acknowledged."""
        return 0

    def read(self, scanner: Scanner, item: Item) -> str:
        """Return the text of exactly this version, raise ItemChanged or ItemGone as a run does."""
        return scanner.read_item(item).decode()


class Directory(Outside):
    """Files of a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "landing"
        self._directory.mkdir()
        self._number = 0

    @property
    def source(self) -> Source:
        return ObjectSource("things", url=f"file://{self._directory}", every=SOON)

    def put(self, key: str, text: str) -> None:
        part = self._directory.parent / "part"
        part.write_text(text)
        part.replace(self._directory / key)

    def delete(self, key: str) -> None:
        (self._directory / key).unlink()

    @contextmanager
    def outage(self) -> Generator[None]:
        # One that is not there counts as empty; a link that leads to itself cannot be read.
        away = self._directory.with_name("away")
        self._directory.rename(away)
        self._directory.symlink_to(self._directory)
        yield
        self._directory.unlink()
        away.rename(self._directory)


class Http(Outside):
    """Resources that an index names."""

    def __init__(self, site: Site, line: Line, *, index: str) -> None:
        self._site = site
        self._line = line
        self._index = index
        self.per_page = 1000 if index == "with ETags" else 1
        site.etags = index != "without ETags at all"
        self._write_index()

    @property
    def source(self) -> Source:
        url = f"http://{self._line.host}:{self._line.port}/"
        return HttpSource("things", url=url, index="index/0", links=self._links, every=SOON, timeout=2.0)

    @staticmethod
    def _links(body: bytes) -> Sequence[Link]:
        return [Link(href, etag) for href, etag in json.loads(body)]

    def put(self, key: str, text: str) -> None:
        self._site.pages[f"/{quote(key)}"] = text.encode()
        self._write_index()

    def put_many(self, number: int) -> None:
        self._site.pages |= {f"/n{each:05}": b"many" for each in range(number)}
        self._write_index()

    def delete(self, key: str) -> None:
        del self._site.pages[f"/{quote(key)}"]
        self._write_index()

    def _write_index(self) -> None:
        told = self._index == "with ETags"
        links = [[path[1:], f"{body.hex()}" if told else None] for path, body in self._site.pages.items()]
        size = 3 if self._index == "of several pages" else max(len(links), 1)
        parts = [links[first : first + size] for first in range(0, len(links), size)] or [[]]
        self._site.special = {
            f"/index/{number}": self._page(part, number, last=number + 1 == len(parts))
            for number, part in enumerate(parts)
        }
        if told:
            # The form that an index has them in is not that of the server.
            for path, body in self._site.pages.items():
                answer = Answer(body, 200, {"ETag": f'W/"{body.hex()}"'})
                self._site.special[path] = lambda _, answer=answer: answer

    @staticmethod
    def _page(links: Sequence[Any], number: int, *, last: bool) -> Any:
        more = {} if last else {"Link": f'</index/{number + 1}>; rel="next"'}
        return lambda _: Answer(json.dumps(links).encode(), 200, more)

    @contextmanager
    def outage(self) -> Generator[None]:
        self._line.refuse()
        yield
        self._line.heal()


TABLE = """
create table things (key text primary key, body text, changed bigint, revision bigserial);
create index on things (changed, key);
create function mark() returns trigger language plpgsql as $$
begin
    new.changed := pg_current_xact_id()::text::bigint;
    new.revision := nextval('things_revision_seq');
    return new;
end $$;
create trigger mark before insert or update on things for each row execute function mark();
"""


class Table(Outside):
    """Rows of a table of Postgres, over TCP."""

    tells_deletions = True

    def __init__(self, url: str, line: Line, **declared: Any) -> None:
        self._url = url
        self._line = line
        self._declared = declared
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(TABLE)

    @property
    def source(self) -> Source:
        database = conninfo_to_dict(self._url)["dbname"]
        url = f"postgresql://postgres@{self._line.host}:{self._line.port}/{database}"
        return TableSource("things", url=url, table="things", key="key", deletes=0.0, every=SOON, **self._declared)

    def _execute(self, statement: str, *values: Any) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(statement.encode(), values)

    def put(self, key: str, text: str) -> None:
        written = "insert into things (key, body) values (%s, %s) on conflict (key) do update set body = excluded.body"
        self._execute(written, key, text)

    def put_many(self, number: int) -> None:
        self._execute(
            "insert into things (key, body) select 'n' || to_char(i, 'FM00000'), 'many' from generate_series(0, %s) i",
            number - 1,
        )

    def delete(self, key: str) -> None:
        self._execute("delete from things where key = %s", key)

    @contextmanager
    def outage(self) -> Generator[None]:
        self._line.refuse()
        yield
        self._line.heal()

    def read(self, scanner: Scanner, item: Item) -> str:
        rows = scanner.rows([item])
        if not rows:
            raise ItemGone(item, "changed or deleted")
        return str(rows[0]["body"])


class Function(Outside):
    """What a function of the team's own yields."""

    def __init__(self) -> None:
        self._things: dict[str, str] = {}
        self._down = False

    @property
    def source(self) -> Source:
        @source("things", every=SOON)
        def things(context: ScanContext) -> Iterator[Item]:
            if self._down:
                raise ConnectionError("the outside is down")
            for key, text in self._things.items():
                yield Item(key=key, version=text, metadata={"text": text})

        return things

    def put(self, key: str, text: str) -> None:
        self._things[key] = text

    def delete(self, key: str) -> None:
        del self._things[key]

    @contextmanager
    def outage(self) -> Generator[None]:
        self._down = True
        yield
        self._down = False

    def read(self, scanner: Scanner, item: Item) -> str:
        return str(item.metadata["text"])


class Queue(Outside):
    """Messages of an SQS queue, each about a thing."""

    per_page = 10
    keeps = True
    forgets = True

    def __init__(self, client: Any, url: str, line: Line, *, visibility: float) -> None:
        self._client = client
        self._url = url
        self._line = line
        self._visibility = visibility

    @property
    def source(self) -> Source:
        return QueueSource("things", queue=self._url, resource="sqs", key="key", wait=0, every=SOON)

    def put(self, key: str, text: str) -> None:
        self._client.send_message(QueueUrl=self._url, MessageBody=json.dumps({"key": key, "text": text}))

    def delete(self, key: str) -> None:
        raise NotImplementedError

    @contextmanager
    def outage(self) -> Generator[None]:
        self._line.refuse()
        yield
        self._line.heal()

    def wait(self) -> None:
        time.sleep(self._visibility + 0.2)

    def left(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)
        return sum(int(value) for value in answer["Attributes"].values())

    def read(self, scanner: Scanner, item: Item) -> str:
        return str(json.loads(scanner.read_item(item))["text"])


class Letters(Outside):
    """Messages of a queue of the team's own kind."""

    per_page = 10
    keeps = True
    forgets = True

    def __init__(self) -> None:
        self._messages: dict[str, bytes] = {}
        self._down = False
        self._sent = 0

    @property
    def source(self) -> Source:
        return QueueSource("things", receiver=lambda _: self, key="key", every=SOON)

    def receive(self, limit: int, wait: float) -> Sequence[Message]:
        if self._down:
            raise ConnectionError("the queue is down")
        return [Message(id=name, body=body) for name, body in list(self._messages.items())[:limit]]

    def acknowledge(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._messages.pop(message.id, None)

    def put(self, key: str, text: str) -> None:
        self._sent += 1
        self._messages[f"m{self._sent}"] = json.dumps({"key": key, "text": text}).encode()

    def delete(self, key: str) -> None:
        raise NotImplementedError

    @contextmanager
    def outage(self) -> Generator[None]:
        self._down = True
        yield
        self._down = False

    def left(self) -> int:
        return len(self._messages)

    def read(self, scanner: Scanner, item: Item) -> str:
        return str(json.loads(scanner.read_item(item))["text"])
