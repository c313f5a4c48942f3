"""Compressed bodies: gzip and deflate, of requests unpacked no further than a body may be long."""

from __future__ import annotations

import zlib

from freehold.errors import InputError
from freehold.serve.asked import too_large

__all__ = ["WORTH", "accepted", "deflate", "inflate"]

# The wbits of zlib's manual: 31 is a gzip header, 15 a zlib one, which is what HTTP calls deflate
# (RFC 9110, section 8.4.1.2).
_WBITS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}

WORTH = 1024  # bytes from which an answer is packed: below it takes longer than it saves


def accepted(header: bytes) -> bytes:
    """The first encoding of an Accept-Encoding header that answers can have; b"" for none."""
    for part in header.lower().split(b","):
        name, _, weight = part.strip().partition(b";")
        refused = weight.replace(b" ", b"").rstrip(b"0") in (b"q=", b"q=0.")
        if name in (b"gzip", b"deflate") and not refused:
            return name
    return b""


def deflate(body: bytes, encoding: bytes) -> bytes:
    """The body in gzip or deflate: the same bytes for the same body, as no time is written."""
    stream = zlib.compressobj(level=1, wbits=_WBITS[encoding])
    return stream.compress(body) + stream.flush()


def inflate(body: bytes, encoding: bytes, limit: int) -> bytes:
    """The body without its Content-Encoding, at most `limit` bytes; memory grows no further.

    Raises TooLargeError for a longer one, InputError for what is not in this encoding.
    """
    bits = _WBITS.get(encoding)
    if bits is None:
        raise InputError(
            f"The Content-Encoding {encoding.decode('latin-1')[:40]!r} is not taken.",
            hint="Send the body as it is, or in gzip or deflate.",
        )
    name = encoding.decode()
    parts: list[bytes] = []
    size = 0
    while True:  # gzip may have several members, one after the other
        stream = zlib.decompressobj(bits)
        try:
            part = stream.decompress(body, limit + 1 - size)
        except zlib.error:
            raise InputError(
                f"The body is not {name}.", hint="Send what its Content-Encoding says."
            ) from None
        size += len(part)
        if size > limit:
            raise too_large(limit)
        if not stream.eof:
            raise InputError(f"The body's {name} is cut off.", hint="Send it whole.")
        parts.append(part)
        body = stream.unused_data
        if not body:
            return parts[0] if len(parts) == 1 else b"".join(parts)
