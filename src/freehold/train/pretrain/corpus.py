"""Unlabelled texts: each different one once, a seeded share of them kept aside, all as tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Encoding, Tokenizer

from freehold.errors import DataError
from freehold.tasks.types import Dataset
from freehold.train.pretrain.contrastive import Halves
from freehold.train.pretrain.packing import Documents
from freehold.train.tokens import tokenize

__all__ = [
    "Corpus",
    "causal_documents",
    "corpus_of",
    "halves_of",
    "masked_documents",
    "split_texts",
]

LEAST = 8  # different texts; some are kept aside
MOST_HELD_OUT = 2000  # texts: enough for a perplexity to a percent or so
_SYLLABLE = re.compile("[\u3041-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff]")


@dataclass(frozen=True, slots=True)
class Corpus:
    """Different texts, without blank ones; `others` are the second sides of pairs."""

    path: Path
    sha256: str
    texts: list[str]
    others: list[str] | None = None
    blank: int = 0  # left out
    repeated: int = 0  # left out

    def __len__(self) -> int:
        return len(self.texts)


def corpus_of(data: Dataset, others: Dataset | None = None) -> Corpus:
    """The texts of a file whose labels, if any, are not looked at; with `others` (the same file by
    its second column) its pairs. DataError where that leaves next to nothing."""
    second = None if others is None else {e.row: e.text.strip() for e in others.examples}
    kept: dict[tuple[str, str], None] = {}
    blank = repeated = 0
    for example in data.examples:
        text = example.text.strip()
        other = "" if second is None else second.get(example.row, "")
        if not text or (second is not None and not other):
            blank += 1
        elif (text, other) in kept:
            repeated += 1
        else:
            kept[text, other] = None
    what = "texts" if second is None else "first texts of pairs"
    different = len({text for text, _ in kept})
    if not kept:
        raise DataError(f"{data.path} has no text in it.", hint="Give a file of texts, one a line.")
    if different < LEAST:
        raise DataError(
            f"{data.path} has only {different} different {what}; pretraining needs at least "
            f"{LEAST}, of which some are kept aside, and is worth its time from some thousands on."
        )
    texts = [text for text, _ in kept]
    return Corpus(
        path=data.path,
        sha256=data.sha256,
        texts=texts,
        others=None if second is None else [other for _, other in kept],
        blank=blank,
        repeated=repeated,
    )


def split_texts(corpus: Corpus, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Numbers of the texts to learn from, and of those kept aside; no text is in both. Pairs go
    by their first text, so that all pairs of one text are on one side."""
    groups = list(dict.fromkeys(corpus.texts))
    count = min(MOST_HELD_OUT, max(2, round(len(groups) * share)), len(groups) // 2)
    drawn = np.random.default_rng([seed, 1]).permutation(len(groups))[:count]
    aside = {groups[number] for number in drawn.tolist()}
    kept = [n for n, text in enumerate(corpus.texts) if text not in aside]
    held = [n for n, text in enumerate(corpus.texts) if text in aside]
    return kept, held


def masked_documents(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> Documents:
    """Texts between the tokenizer's own marks, long ones as several documents; what has no token
    of its own is left out."""
    found = Documents([], [])
    for text, whole in zip(texts, tokenize(tokenizer, texts, max_length), strict=True):
        for encoding in (whole, *whole.overflowing):
            words = _words(encoding, text)
            if (words >= 0).any():
                found.ids.append(np.array(encoding.ids, np.int32))
                found.words.append(words)
    return found


def _words(encoding: Encoding, text: str) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """The number of each token's word. Where a script has no spaces, a tokenizer that goes by them
    takes a sentence for a word; there each token stands for itself."""
    numbers = [-1 if n is None else n for n in encoding.word_ids]
    if _SYLLABLE.search(text):
        above = max(numbers, default=0) + 1
        for place, (start, end) in enumerate(encoding.offsets):
            if numbers[place] >= 0 and _SYLLABLE.search(text, start, end):
                numbers[place] = above + place
    special = np.array(encoding.special_tokens_mask, bool)
    return np.where(special, -1, np.array(numbers)).astype(np.int32)


def causal_documents(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    max_length: int,
    *,
    begin: int | None,
    end: int | None,
) -> Documents:
    """Texts between the model's marks of begin and end, long ones in pieces, each of two tokens or
    more: the first of a piece is not told, only read."""
    found = Documents([], [])
    for start in range(0, len(texts), 4096):
        for encoding in tokenizer.encode_batch(
            list(texts[start : start + 4096]), add_special_tokens=False
        ):
            marked = [*_mark(begin), *encoding.ids, *_mark(end)]
            for first in range(0, len(marked), max_length):
                piece = np.array(marked[first : first + max_length], np.int32)
                if len(piece) > 1 and encoding.ids:
                    found.ids.append(piece)
                    found.words.append(np.zeros(len(piece), np.int32))
    return found


def _mark(token: int | None) -> list[int]:
    return [] if token is None else [token]


def halves_of(
    tokenizer: Tokenizer, corpus: Corpus, numbers: Sequence[int], max_length: int
) -> Halves:
    """Pairs of these rows: the two texts; without second texts, the two halves of each text that
    has at least two tokens a half."""
    texts = [corpus.texts[n] for n in numbers]
    if corpus.others is not None:
        others = [corpus.others[n] for n in numbers]
        return Halves(
            [np.array(e.ids, np.int32) for e in tokenize(tokenizer, texts, max_length)],
            [np.array(e.ids, np.int32) for e in tokenize(tokenizer, others, max_length)],
            _numbered(texts),
            _numbered(others),
        )
    a, b = [], []
    for encoding in tokenize(tokenizer, texts, max_length):
        ids = np.array(encoding.ids, np.int32)
        inner = np.flatnonzero(np.array(encoding.special_tokens_mask) == 0)
        if len(inner) >= 4:
            first, middle, last = inner[0], inner[len(inner) // 2], inner[-1] + 1
            a.append(np.concatenate([ids[:middle], ids[last:]]))
            b.append(np.concatenate([ids[:first], ids[middle:]]))
    apart = np.arange(len(a), dtype=np.int64)
    return Halves(a, b, apart, apart)


def _numbered(texts: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    places = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    return np.array([places[text] for text in texts], np.int64)
