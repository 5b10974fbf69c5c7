"""A line between a client and a server that a test disturbs.

Toxiproxy where it is on the PATH, otherwise a small proxy that knows the same faults.
"""

import json
import socket
import struct
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any, Protocol

import httpx

CHUNK = 65536
# Toxiproxy answers when what it delays has gone through.
TOXIPROXY_SECONDS = 30

Upstream = tuple[str, int] | str
"""A server's host and port, or the path of its unix socket."""


class Line(Protocol):
    """A disturbed line; one fault at a time, and each also for connections that are open already."""

    host: str
    port: int

    def latency(self, seconds: float) -> None:
        """Let every answer come later."""
        ...

    def half(self, size: int) -> None:
        """Close connections after so many bytes of answers."""
        ...

    def reset(self) -> None:
        """Reset connections as soon as something is sent over them."""
        ...

    def hole(self) -> None:
        """Take what is sent and never answer."""
        ...

    def refuse(self) -> None:
        """Refuse new connections and close the open ones."""
        ...

    def heal(self) -> None:
        """End the fault; connections that it has harmed are closed."""
        ...


class OwnLine:
    """A proxy in threads of this process."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._fault, self._amount = "", 0.0
        self._open: set[socket.socket] = set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._server.getsockname()
        self._stopped = False
        Thread(target=self._accept, daemon=True).start()

    def latency(self, seconds: float) -> None:
        self._fault, self._amount = "latency", seconds

    def half(self, size: int) -> None:
        self._fault, self._amount = "half", size

    def reset(self) -> None:
        self._fault = "reset"

    def hole(self) -> None:
        self._fault = "hole"

    def refuse(self) -> None:
        self._fault = "refuse"
        self._close_all()

    def heal(self) -> None:
        self._fault = ""
        self._close_all()

    def stop(self) -> None:
        """Close everything."""
        self._stopped = True
        self._server.close()
        self._close_all()

    def _close_all(self) -> None:
        for each in list(self._open):
            _shut(each)

    def _accept(self) -> None:
        while not self._stopped:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            if self._fault == "refuse":
                _reset(client)
                continue
            try:
                server = _connected(self._upstream)
            except OSError:
                client.close()
                continue
            self._open |= {client, server}
            Thread(target=self._carry, args=(client, server, "up"), daemon=True).start()
            Thread(target=self._carry, args=(server, client, "down"), daemon=True).start()

    def _carry(self, origin: socket.socket, target: socket.socket, direction: str) -> None:
        carried = 0
        with suppress(OSError):
            while data := origin.recv(CHUNK):
                if self._fault == "reset":
                    _reset(origin if direction == "up" else target)
                    break
                if self._fault == "hole":
                    continue
                if direction == "down" and self._fault == "latency":
                    time.sleep(self._amount)
                if direction == "down" and self._fault == "half":
                    data = data[: max(int(self._amount) - carried, 0)]
                    carried += len(data)
                    target.sendall(data)
                    if carried >= self._amount:
                        break
                    continue
                target.sendall(data)
        for each in (origin, target):
            _shut(each)
            self._open.discard(each)


def _connected(upstream: Upstream) -> socket.socket:
    if isinstance(upstream, str):
        server = socket.socket(socket.AF_UNIX)
        server.connect(upstream)
        return server
    return socket.create_connection(upstream)


def _shut(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()


def _reset(each: socket.socket) -> None:
    with suppress(OSError):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    each.close()


class ToxicLine:
    """A proxy of a toxiproxy server."""

    def __init__(self, api: str, name: str, upstream: tuple[str, int]) -> None:
        self._url = f"{api}/proxies/{name}"
        body = {"name": name, "listen": "127.0.0.1:0", "upstream": "{}:{}".format(*upstream), "enabled": True}
        made = httpx.post(f"{api}/proxies", json=body).raise_for_status().json()
        self.host, port = made["listen"].rsplit(":", 1)
        self.port = int(port)

    def latency(self, seconds: float) -> None:
        self._toxic("latency", "downstream", {"latency": int(seconds * 1000)})

    def half(self, size: int) -> None:
        self._toxic("limit_data", "downstream", {"bytes": size})

    def reset(self) -> None:
        self._toxic("reset_peer", "upstream", {"timeout": 0})

    def hole(self) -> None:
        self._toxic("timeout", "upstream", {"timeout": 0})

    def refuse(self) -> None:
        self._enable(False)

    def heal(self) -> None:
        self._enable(False)
        for toxic in httpx.get(f"{self._url}/toxics", timeout=TOXIPROXY_SECONDS).raise_for_status().json():
            httpx.delete(f"{self._url}/toxics/{toxic['name']}", timeout=TOXIPROXY_SECONDS).raise_for_status()
        self._enable(True)

    def stop(self) -> None:
        """Remove the proxy."""
        httpx.delete(self._url, timeout=TOXIPROXY_SECONDS)

    def _enable(self, enabled: bool) -> None:
        httpx.post(self._url, json={"enabled": enabled}, timeout=TOXIPROXY_SECONDS).raise_for_status()

    def _toxic(self, kind: str, stream: str, attributes: Mapping[str, Any]) -> None:
        body = {"type": kind, "stream": stream, "attributes": attributes}
        httpx.post(f"{self._url}/toxics", content=json.dumps(body), timeout=TOXIPROXY_SECONDS).raise_for_status()


@contextmanager
def running_toxiproxy(program: str) -> Generator[str]:
    """Start toxiproxy and return the URL of its API."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([program, "-host", "127.0.0.1", "-port", str(port)], stdout=quiet, stderr=quiet)
    api = f"http://127.0.0.1:{port}"
    try:
        for _ in range(100):
            with suppress(httpx.TransportError):
                httpx.get(f"{api}/version")
                break
            time.sleep(0.05)
        yield api
    finally:
        process.terminate()
        process.wait()


@contextmanager
def disturbed(upstream: Upstream, toxiproxy: str | None) -> Generator[Line]:
    """Put a line before a server."""
    own = OwnLine(upstream) if isinstance(upstream, str) or toxiproxy is None else None
    if toxiproxy is None:
        assert own is not None
        try:
            yield own
        finally:
            own.stop()
        return
    # Toxiproxy knows no unix sockets: behind it a line of our own, which nobody disturbs.
    behind = (own.host, own.port) if own is not None else upstream
    assert not isinstance(behind, str)
    toxic = ToxicLine(toxiproxy, f"line-{time.monotonic_ns()}", behind)
    try:
        yield toxic
    finally:
        toxic.stop()
        if own is not None:
            own.stop()
