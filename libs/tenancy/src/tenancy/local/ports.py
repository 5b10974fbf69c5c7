"""TCP ports on the loopback interface."""

import socket

from tenancy.local.errors import LocalPlatformError

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Say whether a server can be bound to a port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: a past connection is no owner
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def require_free(port: int, *, what: str, change: str) -> int:
    """Return the port.

    Raises:
        LocalPlatformError: it is in use; says what it is for and how to choose another.
    """
    if not is_free(port):
        raise LocalPlatformError(
            f"Port {port} of {HOST} is in use by another program, and {what} needs it: "
            f"end that program (`ss -ltnp sport = :{port}` names it), or choose another port: {change}"
        )
    return port


def any_free(preferred: int) -> int:
    """Return the preferred port if it is free, else (or if it is 0) one that the system picks."""
    if preferred and is_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
