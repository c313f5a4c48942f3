"""Compressed bodies are read like others, and no bomb is unpacked."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from serving import SETTINGS, NoGate, client, serving

from freehold.errors import InputError, TooLargeError
from freehold.serve.inflate import inflate

BODY = b'{"inputs": "where is my card"}'


@pytest.mark.parametrize(
    ("packed", "encoding"),
    [
        (gzip.compress(BODY), b"gzip"),
        (gzip.compress(BODY[:9]) + gzip.compress(BODY[9:]), b"x-gzip"),
        (zlib.compress(BODY), b"deflate"),
    ],
)
def test_what_was_packed_comes_back(packed: bytes, encoding: bytes) -> None:
    assert inflate(packed, encoding, len(BODY)) == BODY
    with pytest.raises(TooLargeError, match="larger than 29 bytes"):
        inflate(packed, encoding, len(BODY) - 1)
    with pytest.raises(InputError, match="is cut off"):
        inflate(packed[:-1], encoding, len(BODY))


@pytest.mark.parametrize(
    ("sent", "encoding", "said"),
    [
        (BODY, b"gzip", "The body is not gzip."),
        (BODY, b"deflate", "The body is not deflate."),
        (b"", b"gzip", "The body's gzip is cut off."),
        (gzip.compress(BODY) + b"more", b"gzip", "The body is not gzip."),
        (BODY, b"br", "The Content-Encoding 'br' is not taken."),
        (BODY, b"gzip, gzip", "'gzip, gzip' is not taken"),
        (BODY, b"\xff", "is not taken"),
    ],
)
def test_what_is_not_what_it_says(sent: bytes, encoding: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        inflate(sent, encoding, 1000)


@pytest.mark.parametrize("members", [1, 50])
def test_a_bomb_is_given_up_at_the_limit(members: int) -> None:
    bomb = gzip.compress(b"\0" * (200_000_000 // members)) * members
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError):
            inflate(bomb, b"gzip", 1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 12_000_000
    finally:
        tracemalloc.stop()


def test_packed_bodies_over_http() -> None:
    packed = {"Content-Encoding": "gzip", "Idempotency-Key": "k"}
    with serving(NoGate()) as server, client(server, "any") as http:
        plain = http.post("/models/bank", content=BODY)
        sent = http.post("/models/bank", content=gzip.compress(BODY), headers=packed)
        assert (sent.status_code, sent.content) == (200, plain.content)
        bomb = gzip.compress(b"\0" * (SETTINGS.max_body_bytes + 1))
        refused = http.post("/models/bank", content=bomb, headers=packed)
        assert (refused.status_code, list(refused.json())) == (413, ["error"])
        refused = http.post("/models/bank", content=BODY, headers={"Content-Encoding": "br"})
        assert (refused.status_code, list(refused.json())) == (422, ["error"])
