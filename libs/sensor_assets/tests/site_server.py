"""An HTTP server whose pages a test writes."""

import json
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What the server says to one request; `told` is the length that it claims."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    told: int | None = None
    pauses: float = 0.0


class Site(ThreadingHTTPServer):
    """A server whose pages a test writes; it counts how it answered."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.pages: dict[str, bytes] = {}
        self.special: dict[str, Callable[[Mapping[str, str]], Answer]] = {}
        """By path, a function of the request's headers."""
        self.etags = True
        self.status: int | None = None
        self.delay = 0.0
        self.answers: list[tuple[str, int]] = []
        self.whole: list[str] = []
        """The paths whose body was sent to the end."""
        self.seen_headers: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def index(self, *, etags: bool, **pages: bytes) -> None:
        """Write pages and the index that names them."""
        self.pages |= {f"/{name}": body for name, body in pages.items()}
        links = [
            {"href": path[1:], **({"etag": etag(body)} if etags else {})}
            for path, body in self.pages.items()
            if path != "/index.json"
        ]
        self.pages["/index.json"] = json.dumps(links).encode()

    def count(self, status: int) -> int:
        return sum(answered == status for _, answered in self.answers)


def etag(body: bytes) -> str:
    return f'"{body.hex()[:40]}-{len(body)}"'


class Page(BaseHTTPRequestHandler):
    """Answers conditional GETs."""

    server: Any
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        site: Site = self.server
        site.seen_headers = dict(self.headers)
        time.sleep(site.delay)
        special = site.special.get(self.path)
        answer = special(dict(self.headers)) if special is not None and site.status is None else self._page(site)
        site.answers.append((self.path, answer.status))
        try:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body) if answer.told is None else answer.told))
            self.end_headers()
            self._write(answer)
            site.whole.append(self.path)
        except (BrokenPipeError, ConnectionResetError):  # the client's patience was at an end
            self.close_connection = True

    def _write(self, answer: Answer) -> None:
        if not answer.pauses:
            self.wfile.write(answer.body)
        else:
            for byte in answer.body:
                self.wfile.write(bytes([byte]))
                time.sleep(answer.pauses)
        self.close_connection = answer.told is not None

    def _page(self, site: Site) -> Answer:
        body = site.pages.get(self.path)
        status = site.status or (404 if body is None else 200)
        headers = {"ETag": etag(body)} if site.etags and body is not None else {}
        if status == 200 and headers and self.headers.get("If-None-Match") == headers["ETag"]:
            return Answer(status=304, headers=headers)
        return Answer(body if status == 200 and body is not None else b"", status, headers)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base's
        pass


@contextmanager
def running_site() -> Generator[Site]:
    with Site() as site:
        thread = Thread(target=site.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield site
        finally:
            site.shutdown()
            thread.join()
