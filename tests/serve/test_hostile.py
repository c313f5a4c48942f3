"""Clients that mean no good: others are answered meanwhile, and nothing of theirs is kept for long.
`make chaos` has more of them at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hostile import HEAD, bomb, reply_to, status_of, stopped_short
from serving import SETTINGS, NoGate, client, serving

from freehold.serve.logs import RequestLog

BANK = "/models/bank"


def test_only_the_limit_cuts_off_who_stops_in_the_middle() -> None:
    """The check of test_bad_clients.py and of `make chaos` would see it if nobody were cut off."""
    with serving(NoGate(), settings=replace(SETTINGS, receive_seconds=3600)) as server:
        assert stopped_short(server.url, 0.3) == 0


@pytest.mark.parametrize("path", [BANK, "/v2/models/bank/infer", "/v1/embeddings"])
def test_a_body_that_unpacks_to_a_hundred_times_the_limit(path: str) -> None:
    gate = NoGate()
    packed = bomb(100)
    assert len(packed) < 200_000
    with serving(gate) as server, client(server, "k") as http:
        for encoding in ("gzip", "x-gzip", "gzip, gzip"):
            response = http.post(path, content=packed, headers={"Content-Encoding": encoding})
            assert response.status_code in (400, 404, 405, 413, 415, 422), response.text
            if path == BANK and encoding == "gzip":
                assert response.status_code == 413
    assert gate.settled == []


def test_bytes_that_are_no_text() -> None:
    with serving(NoGate()) as server:
        for sent in (
            b"POST /models/\xff\xfe HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n",
            b"POST /models/%ff%00 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n",
            b"POST /models/bank HTTP/1.1\r\nHost: x\r\nAuthorization: \xff\xfe\r\n",
            HEAD + b"Idempotency-Key: \xc3\x28\r\n",
            HEAD + b"Content-Encoding: \xff\r\n",
            HEAD + b"Content-Type: \xff\r\nX-Timeout-Ms: \xff\r\n",
            HEAD + b"Content-Length: -1\r\n",
            HEAD + b"Content-Length: 1e9\r\n",
            HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        ):
            body = b'{"inputs": "\xed\xa0\x80\xff"}'
            more = b"" if b"Content-Length" in sent else b"Content-Length: %d\r\n" % len(body)
            received = reply_to(server.url, sent + more + b"Connection: close\r\n\r\n" + body)
            assert 400 <= status_of(received) < 500, (sent, received)


def test_a_log_that_cannot_be_written_stops_no_answer() -> None:
    gate = NoGate()
    with Path("/dev/full").open("w") as full:
        log = RequestLog(full, lambda *_: None)
        for _ in range(3 * log._BOUND):  # as many lines as are written from within a request
            log.write({"status": 200})
        log.flush()
        assert log._lines == []
        with serving(gate, log=full) as server, client(server, "k") as http:
            assert http.post(BANK, json={"inputs": "a"}).status_code == 200
        full.buffer.raw.close()  # nothing more is to be flushed
    assert len(gate.settled) == 1
