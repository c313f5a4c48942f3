"""Compressed bodies: gzip and deflate, unpacked no further than a body may be long."""

from __future__ import annotations

import zlib

from freehold.errors import InputError
from freehold.serve.asked import too_large

__all__ = ["inflate"]

# The wbits of zlib's manual: 31 is a gzip header, 15 a zlib one, which is what HTTP calls deflate
# (RFC 9110, section 8.4.1.2).
_WBITS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}


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
