"""Whether the daemon lives and works, told to the kubelet over HTTP.

A thread of the daemon answers; a program that is started for each question would take seconds of processor time.

| path | 200 means | otherwise |
|---|---|---|
| /healthz | it waits for the lock or for its start, or every part of it has given a sign of life lately | restart it |
| /readyz | it is the daemon, and every part of it has given a sign of life since it became that | it does no work yet |
"""

import logging
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

Heartbeats = Callable[[], Mapping[str, float | None]]
"""Returns the time (seconds since 1970) of the last sign of life of each part of the daemon, None without any."""

Answer = tuple[bool, str]

logger = logging.getLogger("tenancy.cluster")


class Health:
    """The state of one daemon.

    Args:
        stale_seconds: age of a sign of life from which on its part counts as hanging.
    """

    def __init__(self, stale_seconds: float) -> None:
        self._stale_seconds = stale_seconds
        self._heartbeats: Heartbeats | None = None
        self._since = 0.0

    def works(self, heartbeats: Heartbeats) -> None:
        """Note that the daemon holds the lock and has started."""
        self._since = time.time()
        self._heartbeats = heartbeats

    def is_alive(self) -> Answer:
        """Tell whether the daemon should go on."""
        if self._heartbeats is None:
            return True, "waits for its turn"
        try:
            beats = self._heartbeats()
        except Exception as error:  # noqa: BLE001 - no restart heals a database that is away; the lock tells that one
            return True, f"the signs of life cannot be read: {error}"
        return judge_life(beats, time.time(), self._since, self._stale_seconds)

    def is_ready(self) -> Answer:
        """Tell whether the daemon works."""
        if self._heartbeats is None:
            return False, "waits for its turn: another daemon works, or it is starting"
        try:
            beats = self._heartbeats()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            return False, f"the signs of life cannot be read: {error}"
        silent = sorted(name for name, beat in beats.items() if beat is None or beat < self._since)
        if silent:
            return False, f"no sign of life yet: {', '.join(silent)}"
        return judge_life(beats, time.time(), self._since, self._stale_seconds)


def judge_life(beats: Mapping[str, float | None], now: float, since: float, stale_seconds: float) -> Answer:
    """Tell whether every part has given a sign of life lately; those from before it began count from then."""
    ages = {name: now - max(beat or 0.0, since) for name, beat in beats.items()}
    if hanging := sorted(name for name, age in ages.items() if age > stale_seconds):
        return False, f"no sign of life for more than {stale_seconds:g} s: {', '.join(hanging)}"
    return True, "works"


@contextmanager
def answering(health: Health, port: int) -> Generator[int]:
    """Answer on all interfaces meanwhile; yields the port, a free one for 0.

    Raises:
        OSError: the port is taken.
    """
    questions = {"/healthz": health.is_alive, "/readyz": health.is_ready}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            question = questions.get(self.path)
            good, text = question() if question else (False, f"ask {' or '.join(questions)}")
            status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
            body = f"{text}\n".encode()
            self.send_response(status if question else HTTPStatus.NOT_FOUND)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            if question and not good:
                logger.info("%s: %s", self.path, text)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base's
            """Say nothing of each question."""

    with ThreadingHTTPServer(("", port), Handler) as server:
        thread = Thread(target=server.serve_forever, name="health", daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
