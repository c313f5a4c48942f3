"""The address that a server listens on, or a sentence about why it cannot."""

from __future__ import annotations

import errno
import socket

from freehold.errors import UnavailableError

__all__ = ["BACKLOG", "bound", "listen", "url_of"]

BACKLOG = 2048


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A listening address; port 0 takes a free one. `shared`: others that share it too may listen
    beside. Raises UnavailableError with what to do."""
    listener = bound(host, port, shared=shared)
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _cannot_listen(host, port, error) from None
    return listener


def bound(host: str, port: int, *, shared: bool) -> socket.socket:
    """As `listen`, before it listens: it keeps the address, and nobody is connected to it."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError:
        raise UnavailableError(
            f"{host!r} is not an address of this machine.", hint="Set host under [serve]."
        ) from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _cannot_listen(host, port, error) from None
    return listener


def _cannot_listen(host: str, port: int, error: OSError) -> UnavailableError:
    if error.errno == errno.EADDRINUSE:
        return UnavailableError(
            f"Port {port} on {host} is taken by another program.",
            hint="Stop that program, or choose another port (0 takes a free one).",
        )
    if error.errno == errno.EACCES:
        return UnavailableError(
            f"Port {port} is reserved for the system.", hint="Choose one above 1023."
        )
    return UnavailableError(f"{host} cannot be listened on: {error.strerror}.")


def url_of(listener: socket.socket) -> str:
    """Where a client on this machine finds it."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - it is compared, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
