"""Sentences that follow one another in a file, joined into the longer texts that they came from."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import cast

from freehold.errors import ConflictError, DataError
from freehold.store.files import write_text
from freehold.tasks.bio import OUTSIDE
from freehold.tasks.lines import LINE
from freehold.tasks.types import Dataset, TaggedExample

__all__ = ["Joined", "join", "joined"]

SHORT = 0.25  # share of the texts that end early, where lengths vary


@dataclass(frozen=True, slots=True)
class Joined:
    sentences: int
    texts: int
    words: int


def join(
    data: Dataset, out: Path, *, words: int, vary: bool = False, seed: int = 0, times: int = 1
) -> Joined:
    """Write the sentences of `data` as texts of at most `words` words each, as JSON Lines: tokens,
    tags, and `rows`, the first and the last row of `data` in it. Each sentence is a line of its
    text: "\\n", with the tag "O", stands between two.

    Words, tags and entities stay what they are, and so does what is counted over them. `times` that
    all sentences are written, each time with other cuts where lengths vary. Raises DataError for
    data of another task or without tags; ConflictError where `out` is there.
    """
    if data.task != "token-classification":
        raise DataError(
            f"{data.path} is for {data.task}; only tagged sentences are joined.",
            hint="Name the columns with the words and the tags: --text, --label.",
        )
    if out.exists():
        raise ConflictError(f"{out} is already there.", hint="Name another file with --out.")
    sentences = cast("Sequence[TaggedExample]", data.examples)
    texts = [text for turn in range(times) for text in joined(sentences, words, vary, seed + turn)]
    write_text(out, "".join(_line(text) for text in texts))
    return Joined(len(data), len(texts), sum(len(one.tokens) for one in sentences))


def joined(
    sentences: Sequence[TaggedExample], words: int, vary: bool, seed: int
) -> Iterator[list[TaggedExample]]:
    """Sentences in their order, as many together as have no more than `words` words; a longer one
    stands alone. With `vary` a quarter of the texts end at a length drawn from 1 to `words`, so
    that a model learns from short ones too."""
    chance = random.Random(seed)  # noqa: S311 # lengths, no secret
    text: list[TaggedExample] = []
    length, most = 0, _most(words, vary, chance)
    for sentence in sentences:
        if text and length + len(sentence.tokens) > most:
            yield text
            text, length, most = [], 0, _most(words, vary, chance)
        text.append(sentence)
        length += len(sentence.tokens)
    if text:
        yield text


def _most(words: int, vary: bool, chance: random.Random) -> int:
    return chance.randint(1, words) if vary and chance.random() < SHORT else words


def _line(text: Sequence[TaggedExample]) -> str:
    if (bare := next((one for one in text if one.tags is None), None)) is not None:
        raise DataError(f"Row {bare.row} has no tags.", hint="Tag it or take it out.")
    row = {
        "tokens": list(chain.from_iterable(_lined([one.input for one in text], LINE))),
        "tags": list(chain.from_iterable(_lined([one.lined_tags or () for one in text], OUTSIDE))),
        "rows": [text[0].row, text[-1].row],
    }
    return json.dumps(row, ensure_ascii=False) + "\n"


def _lined(sentences: Sequence[Sequence[str]], line: str) -> Iterator[Sequence[str]]:
    """The sentences with `line` between two of them."""
    for number, sentence in enumerate(sentences):
        if number:
            yield (line,)
        yield sentence
