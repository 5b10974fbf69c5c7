"""Whether a process does its work: each asked in its own protocol."""

import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from tenancy.local.ports import HOST

ASK_SECONDS = 2.0


def code_server(socket: Path) -> Callable[[], bool]:
    """Return a check by gRPC's health protocol, which a code server answers once its definitions are loaded."""

    def is_ready() -> bool:
        if not socket.exists():
            return False
        import grpc  # noqa: PLC0415 - takes 0.1 s to import: only when there is somebody to ask
        from grpc_health.v1 import health_pb2  # noqa: PLC0415

        with grpc.insecure_channel(f"unix:{socket}") as channel:
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            try:
                answer = check(health_pb2.HealthCheckRequest(service="DagsterApi"), timeout=ASK_SECONDS)
            except grpc.RpcError:
                return False
            return answer.status == health_pb2.HealthCheckResponse.SERVING

    return is_ready


def web(port: int, path: str) -> Callable[[], bool]:
    """Return a check that a web server on this machine gives any answer at all."""

    def is_ready() -> bool:
        connection = HTTPConnection(HOST, port, timeout=ASK_SECONDS)
        try:
            connection.request("GET", path)
            connection.getresponse()
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()
        return True

    return is_ready


def daemon(heartbeats: Callable[[], dict[str, float] | None]) -> Callable[[], bool]:
    """Return a check that every required daemon has given a sign of life since now.

    Args:
        heartbeats: returns the time of each required daemon's latest heartbeat, or None when nobody can say.
    """
    begin = time.time()

    def is_ready() -> bool:
        times = heartbeats()
        return bool(times) and all(beat >= begin for beat in times.values())

    return is_ready
