"""Customers as a demo plays them: real HTTP over kept-alive connections, retries included."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from freehold.errors import UnavailableError

__all__ = ["Player", "Sent", "play"]


@dataclass(frozen=True, slots=True)
class Player:
    """One customer's day: how many requests, of how many inputs, how often one is sent twice."""

    customer: str
    key: str
    texts: Sequence[str]
    requests: int
    inputs: int = 1
    retry_each: int = 25  # every so many requests, the answer is "lost" and the request is repeated


@dataclass(slots=True)
class Sent:
    """What a customer counted: answers are distinct requests, retries came on top of them."""

    customer: str
    answers: int = 0
    inputs: int = 0
    retries: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    error: str | None = None


def play(
    url: str, path: str, players: Sequence[Player], on_answer: Callable[[], None]
) -> list[Sent]:
    """All customers at once, a thread each. Raises UnavailableError when a request is refused."""
    results = [Sent(player.customer) for player in players]
    threads = [
        threading.Thread(target=_play, args=(url, path, player, sent, on_answer), daemon=True)
        for player, sent in zip(players, results, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for sent in results:
        if sent.error:
            raise UnavailableError(f"{sent.customer}'s requests stopped: {sent.error}.")
    return results


def _play(url: str, path: str, player: Player, sent: Sent, on_answer: Callable[[], None]) -> None:
    address = urllib.parse.urlsplit(url).netloc
    texts = itertools.cycle(player.texts)
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        for number in range(player.requests):
            inputs = [next(texts) for _ in range(player.inputs)]
            body = json.dumps({"inputs": inputs if player.inputs > 1 else inputs[0]}).encode()
            key = f"{player.customer}-{number}".replace(" ", "-")
            answer = _post(connection, path, player.key, key, body)
            sent.answers += 1
            sent.inputs += len(inputs)
            for row in json.loads(answer):
                label = row[0]["label"]
                sent.labels[label] = sent.labels.get(label, 0) + 1
            if number % player.retry_each == player.retry_each - 1:
                if _post(connection, path, player.key, key, body) != answer:
                    sent.error = f"request {number} was answered differently when repeated"
                    return
                sent.retries += 1
            on_answer()
    except (OSError, http.client.HTTPException, ValueError) as error:
        sent.error = str(error) or type(error).__name__
    finally:
        connection.close()


def _post(
    connection: http.client.HTTPConnection, path: str, key: str, once: str, body: bytes
) -> bytes:
    headers = {
        "Authorization": f"Bearer {key}",
        "Content-Type": "application/json",
        "Idempotency-Key": once,
    }
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200:
        raise ValueError(f"HTTP {response.status}: {answer[:200].decode(errors='replace')}")
    return answer
