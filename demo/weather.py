"""The weather service: an HTTP server of documents that change, with ETags, and with outages on demand.

`GET /weather/index.json` lists the documents as [{"href", "etag"}]; `GET /weather/<document>` serves one. Both answer
304 to a matching If-None-Match, and 412 to an If-Match that no longer holds. `POST /outage?seconds=5` makes every GET
answer 503 for that long.
"""

import hashlib
import json
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

FOLDER = "/weather/"
INDEX = "index.json"


class WeatherServer(ThreadingHTTPServer):
    """Serve published documents on 127.0.0.1 until it is closed; port 0 takes any free one."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        self._documents: dict[str, bytes] = {}
        self._outage_ends = 0.0
        super().__init__(("127.0.0.1", port), _Handler)

    def start(self) -> None:
        """Serve from a thread of its own."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()

    def publish(self, name: str, content: bytes) -> None:
        """Publish a document, or a new version of it."""
        self._documents = {**self._documents, name: content}  # replaced whole, so that readers need no lock

    def fail_for(self, seconds: float) -> None:
        """Answer 503 for so many seconds from now."""
        self._outage_ends = time.monotonic() + seconds

    @property
    def failing(self) -> bool:
        return time.monotonic() < self._outage_ends

    def document(self, name: str) -> bytes | None:
        """Return the newest version of a document or of the index, None if there is no such name."""
        documents = self._documents
        if name != INDEX:
            return documents.get(name)
        return json.dumps([{"href": href, "etag": etag(body)} for href, body in sorted(documents.items())]).encode()


def etag(content: bytes) -> str:
    """Return the strong entity tag of a document (RFC 9110, section 8.8.3): the same bytes have the same tag."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WeatherServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        content = self.server.document(path.removeprefix(FOLDER)) if path.startswith(FOLDER) else None
        if self.server.failing:
            self._answer(503, b"the weather service is down\n", {"Retry-After": "1"})
        elif content is None:
            self._answer(404, b"no such document\n")
        elif self._names(content, "If-Match") is False:
            self._answer(412, b"the document has changed\n", {"ETag": etag(content)})
        elif self._names(content, "If-None-Match"):
            self._answer(304, b"", {"ETag": etag(content)})
        else:
            kind = "application/json" if path.endswith(".json") else "text/csv"
            self._answer(200, content, {"ETag": etag(content), "Content-Type": kind})

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        seconds = parse_qs(url.query).get("seconds", [""])[0]
        if url.path != "/outage" or not seconds.replace(".", "", 1).isdigit():
            self._answer(404, b"try POST /outage?seconds=5\n")
            return
        self.server.fail_for(float(seconds))
        self._answer(200, f"down for {seconds} s\n".encode())

    def _names(self, content: bytes, header: str) -> bool | None:
        """Return whether a conditional header names this version, None if the request has no such header."""
        value = self.headers.get(header)
        if value is None:
            return None
        return value.strip() == "*" or etag(content) in (tag.strip().removeprefix("W/") for tag in value.split(","))

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status != HTTPStatus.NOT_MODIFIED:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it is given there
        """Say nothing: a request every few seconds would bury what matters in the log."""
