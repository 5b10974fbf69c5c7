"""A proxy before a store that answers as stores do on bad days."""

import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

# What a fault does with an answer: status and body in, status and body out; None closes the connection.
Fault = Callable[[int, bytes], tuple[int, bytes] | None]


@dataclass
class Proxy:
    """Passes requests on; `faults` are used up, one for each request that lists."""

    upstream: str
    url: str = ""
    faults: list[Fault] = field(default_factory=list[Fault])
    cut: int = 0
    """Bytes that are announced and not sent."""
    most_keys: int | None = None
    """The most keys in an answer, whatever was asked for."""
    targets: list[str] = field(default_factory=list[str])
    """The requests that list, as they came."""


def answering(status: int, body: bytes) -> Fault:
    return lambda _status, _body: (status, body)


def half(status: int, body: bytes) -> tuple[int, bytes]:
    """Half of the answer, as if that were all."""
    return status, body[: len(body) // 2]


def slowly(seconds: float) -> Fault:
    def fault(status: int, body: bytes) -> tuple[int, bytes]:
        time.sleep(seconds)
        return status, body

    return fault


def hanging_up(status: int, body: bytes) -> None:
    """No answer at all."""


@contextmanager
def before(upstream: str) -> Generator[Proxy]:
    """Run a proxy before a server until the block ends."""
    proxy = Proxy(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            sent = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            bound = f"&max-keys={proxy.most_keys}" if proxy.most_keys and "list-type=2" in self.path else ""
            written = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            # Not httpx, which resolves "." and ".." in paths.
            with closing(HTTPConnection(urlsplit(proxy.upstream).netloc)) as connection:
                connection.request(self.command, f"{self.path}{bound}", written, sent)
                answer = connection.getresponse()
                status, body = answer.status, answer.read()
            if "list-type=2" in self.path or "versions=" in self.path:
                proxy.targets.append(self.path)
                if proxy.faults:
                    changed = proxy.faults.pop(0)(status, body)
                    if changed is None:
                        self.close_connection = True
                        return
                    status, body = changed
            self.send_response(status)
            for name in ("etag", "last-modified", "x-amz-bucket-region"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            length = answer.headers["content-length"] if self.command == "HEAD" else len(body) + proxy.cut
            self.send_header("Content-Length", str(length or 0))
            self.end_headers()
            self.wfile.write(body)
            if proxy.cut:
                self.close_connection = True

        do_HEAD = do_PUT = do_GET  # noqa: N815 - the base's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
