"""The places that our own sources follow, as `sensor_assets.testing.source_contract` changes them."""

import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
from obstore.store import MemoryStore
from sensor_assets import HttpSource, Item, ObjectSource, ScanContext, Settings, Source, TableSource, source
from sensor_assets._sources.object_client import ObjectClient
from sensor_assets.testing.source_contract import Outside


class Directory(Outside):
    """Files; down when the directory is not there."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory / "landing"
        self.directory.mkdir()

    def source(self) -> Source:
        return ObjectSource("files", url=f"file://{self.directory}")

    def put(self, key: str, content: str) -> None:
        part = self.directory.parent / "part"
        part.write_text(content)
        part.replace(self.directory / key)

    def delete(self, key: str) -> None:
        (self.directory / key).unlink()

    def take_down(self) -> None:
        self.directory.rename(self.directory.with_name("elsewhere"))

    def bring_up(self) -> None:
        self.directory.with_name("elsewhere").rename(self.directory)


class InMemory(ObjectSource):
    """An object source whose objects are in memory."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__("memory", url="memory:///")
        self.store = store

    def open(self, settings: Settings) -> ObjectClient:
        client = super().open(settings)
        client.use(self.store)
        return client


class Memory(Outside):
    """Objects in memory, which cannot fail."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()

    def source(self) -> Source:
        return InMemory(self.store)

    def put(self, key: str, content: str) -> None:
        self.store.put(key, content.encode())

    def delete(self, key: str) -> None:
        self.store.delete(key)


class Website(Outside):
    """Pages that an index names with their ETags."""

    def __init__(self) -> None:
        super().__init__()
        self.server = _Server(("127.0.0.1", 0), _Page)

    def source(self) -> Source:
        return HttpSource("pages", url=f"http://127.0.0.1:{self.server.server_port}/", index="index.json")

    def put(self, key: str, content: str) -> None:
        self.server.pages[f"/{key}"] = content.encode()

    def delete(self, key: str) -> None:
        del self.server.pages[f"/{key}"]

    def take_down(self) -> None:
        self.server.down = True

    def bring_up(self) -> None:
        self.server.down = False


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.pages: dict[str, bytes] = {}
        self.down = False


class _Page(BaseHTTPRequestHandler):
    server: Any
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self._body()
        status = 503 if self.server.down else 404 if body is None else 200
        tag = _etag(body or b"")
        if status == 200 and self.headers.get("If-None-Match") == tag:
            status = 304
        content = body if status == 200 and body is not None else b""
        self.send_response(status)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _body(self) -> bytes | None:
        if self.path != "/index.json":
            return self.server.pages.get(self.path)
        links = [{"href": path[1:], "etag": _etag(body)} for path, body in sorted(self.server.pages.items())]
        return json.dumps(links).encode()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base's
        pass


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()}"'


class Rows(Outside):
    """Rows of a table with the number of the transaction that wrote them; down when the table has another name."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.connection = psycopg.connect(url, autocommit=True)
        self._run("drop table if exists things")
        self._run("create table things (id text primary key, content text, changed bigint)")

    def _run(self, statement: str, **values: str) -> None:
        self.connection.execute(statement, values)  # type: ignore[arg-type]

    def source(self) -> Source:
        return TableSource("things", url=self.url, table="things", key="id", version="changed")

    def put(self, key: str, content: str) -> None:
        self._run(
            "insert into things values (%(key)s, %(content)s, pg_current_xact_id()::text::bigint) "
            "on conflict (id) do update set content = excluded.content, changed = excluded.changed",
            key=key,
            content=content,
        )

    def delete(self, key: str) -> None:
        self._run("delete from things where id = %(key)s", key=key)

    def take_down(self) -> None:
        self._run("alter table things rename to hidden")

    def bring_up(self) -> None:
        self._run("alter table hidden rename to things")


class Told(Outside):
    """What a function says."""

    def __init__(self) -> None:
        super().__init__()
        self.things: dict[str, str] = {}
        self.down = False

    def source(self) -> Source:
        @source("told")
        def told(context: ScanContext) -> Iterator[Item]:
            if self.down:
                raise ConnectionError("down")
            for key, content in self.things.items():
                yield Item(key=key, version=content)

        return told

    def put(self, key: str, content: str) -> None:
        self.things[key] = content

    def delete(self, key: str) -> None:
        del self.things[key]

    def take_down(self) -> None:
        self.down = True

    def bring_up(self) -> None:
        self.down = False
