"""Clients that mean no good, over bare sockets; used by test_hostile.py and by `make chaos`."""

from __future__ import annotations

import functools
import gzip
import io
import socket
import urllib.parse
from collections.abc import Sequence

__all__ = ["HEAD", "bomb", "cut_off", "dial", "reply_to", "status_of", "stopped_short"]

HEAD = b"POST /models/bank HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n"

STOPS = (
    b"",
    b"P",
    b"POST /models/bank HTTP/1.1\r\nHost",
    HEAD,
    HEAD + b"Content-Length: 100\r\n\r\n",
    HEAD + b'Content-Length: 100\r\n\r\n{"inputs": "a',
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
)


def dial(url: str) -> socket.socket:
    address = urllib.parse.urlsplit(url)
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=20)


def reply_to(url: str, sent: bytes) -> bytes:
    """Everything that comes back until the server ends the connection."""
    with dial(url) as raw:
        raw.sendall(sent)
        received = b""
        try:
            while part := raw.recv(65536):
                received += part
        except ConnectionResetError:
            pass
        return received


def status_of(received: bytes) -> int:
    return int(received.split(b" ", 2)[1])


def cut_off(connections: Sequence[socket.socket], seconds: float) -> int:
    """How many of them the server has ended within so long."""
    ended = 0
    for connection in connections:
        connection.settimeout(seconds)
        try:
            ended += connection.recv(1) == b""
        except ConnectionResetError:
            ended += 1
        except TimeoutError:
            seconds = 0.01  # whoever is left has had that long as well
    return ended


def stopped_short(url: str, patience: float) -> int:
    """How many of the clients that stop in the middle are cut off."""
    connections = [dial(url) for _ in STOPS]
    for connection, sent in zip(connections, STOPS, strict=True):
        connection.sendall(sent)
    try:
        return cut_off(connections, patience)
    finally:
        for connection in connections:
            connection.close()


@functools.cache
def bomb(megabytes: int) -> bytes:
    """So many megabytes of spaces in JSON, in gzip: a thousandth of that."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as file:
        file.write(b'{"inputs": "')
        for _ in range(megabytes):
            file.write(b" " * 1_000_000)
        file.write(b'"}')
    return packed.getvalue()
