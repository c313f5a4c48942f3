"""Texts in, token ids out: cut to the model's length, however long the text, and never padded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from freehold.data.words import split_words
from freehold.errors import IntegrityError

__all__ = ["Encoded", "Tokeniser", "Words"]

# A text is read a bit at a time until it has filled the model's length: characters for each token
# at first, and how much more when that was not enough (blanks, very long words).
_CHARACTERS_PER_TOKEN = 32
_WORDS_PER_TOKEN = 4
_GROWTH = 4
# Beyond this many characters a token what follows is not looked at: it is no text.
_MOST_CHARACTERS_PER_TOKEN = 1024
_SEARCH_BLANK = 200

_BARE_SPACE = "▁"  # SentencePiece's mark of a space, a token of its own before some words
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a text: character spans in it, and which token speaks for each.

    `carriers` (words,) is the position of a word's first token that is more than a bare space mark;
    -1 where the word was cut off or has no token.
    """

    spans: tuple[tuple[int, int], ...]
    carriers: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text ready for the model: `length` token ids, special ones included; `words` is None unless
    the task is about words. `truncated` says that the model will not see all of the text."""

    ids: NDArray[np.int64]
    length: int
    truncated: bool
    text: str
    words: Words | None = None


class Tokeniser:
    """tokenizer.json with the model's length. Its methods may be called from several threads."""

    def __init__(self, path: Path, *, task: str, max_length: int) -> None:
        """Raises IntegrityError when the file is not a tokenizer's."""
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises bare Exception for a file it cannot read
            raise IntegrityError(
                f"{path} is not a tokenizer file.", hint="Export the model again."
            ) from error
        # Set once, here: changing them later would race with other threads' encodings.
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length)
        self._bare = self._tokenizer.token_to_id(_BARE_SPACE)
        self._tagging = task == "token-classification"
        self._characters = max_length * _CHARACTERS_PER_TOKEN
        self._most = max_length * _MOST_CHARACTERS_PER_TOKEN
        self._some_words = max_length * _WORDS_PER_TOKEN

    def texts(self, texts: Sequence[str]) -> list[Encoded]:
        """One Encoded a text, in order; an empty text becomes the special tokens alone."""
        clean = [_clean(text) for text in texts]
        read = self._read_tagging if self._tagging else self._read
        short = iter(read([text for text in clean if len(text) <= self._characters]))
        return [
            next(short) if len(text) <= self._characters else self._read_long(text, read)
            for text in clean
        ]

    def words(self, sentences: Sequence[Sequence[str]]) -> list[Encoded]:
        """The same for texts that are split already; spans are those of the words joined by one
        space each. All words are listed, also those that were cut off."""
        clean = [[_clean(word) for word in words] for words in sentences]
        short = iter(
            self._encode_words([words for words in clean if len(words) <= self._some_words])
        )
        encoded = []
        for words in clean:
            many = len(words) > self._some_words
            encoding = self._many_words(words) if many else next(short)
            encoded.append(self._tagged(" ".join(words), _joined_spans(words), encoding))
        return encoded

    def _read(self, texts: list[str]) -> Iterator[Encoded]:
        # The fast variant leaves out the character offsets, which nothing here needs.
        encodings = self._tokenizer.encode_batch_fast(texts) if texts else []
        for text, encoding in zip(texts, encodings, strict=True):
            ids = np.array(encoding.ids, np.int64)
            yield Encoded(ids, len(ids), bool(encoding.overflowing), text)

    def _read_tagging(self, texts: list[str]) -> Iterator[Encoded]:
        spans = [split_words(text) for text in texts]
        encodings = self._encode_words(
            [[text[a:b] for a, b in some] for text, some in zip(texts, spans, strict=True)]
        )
        for text, some, encoding in zip(texts, spans, encodings, strict=True):
            yield self._tagged(text, some, encoding)

    def _read_long(self, text: str, read: Callable[[list[str]], Iterator[Encoded]]) -> Encoded:
        """As much of a long text as fills the model's length; its words are those of that part."""
        whole = len(text.rstrip())
        end = self._characters
        while True:
            cut = min(_before_word(text, end), whole)
            (encoded,) = read([text[:cut]])
            if encoded.truncated or cut == whole:
                return encoded
            if end >= self._most:
                return Encoded(encoded.ids, encoded.length, True, encoded.text, encoded.words)
            end = min(end * _GROWTH, self._most)

    def _many_words(self, words: Sequence[str]) -> Encoding:
        """The encoding of as many words as fill the model's length."""
        count = self._some_words
        while True:
            (encoding,) = self._encode_words([words[:count]])
            if encoding.overflowing or count >= len(words):
                return encoding
            count *= _GROWTH

    def _encode_words(self, sentences: Sequence[Sequence[str]]) -> list[Encoding]:
        if not sentences:
            return []
        # Of a single endless word the beginning says what the tokenizer makes of it.
        cut = [[word[: self._characters] for word in words] for words in sentences]
        return self._tokenizer.encode_batch(cut, is_pretokenized=True)

    def _tagged(self, text: str, spans: Sequence[tuple[int, int]], encoding: Encoding) -> Encoded:
        ids = np.array(encoding.ids, np.int64)
        carriers = np.full(len(spans), -1, np.int64)
        bare = self._bare
        for position, (word, token) in enumerate(zip(encoding.word_ids, encoding.ids, strict=True)):
            if word is not None and carriers[word] < 0 and token != bare:
                carriers[word] = position
        return Encoded(
            ids, len(ids), bool(encoding.overflowing), text, Words(tuple(spans), carriers)
        )


def _clean(text: str) -> str:
    """Without half characters (lone surrogates), which neither tokenizer nor JSON can carry; every
    character keeps its place."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _before_word(text: str, end: int) -> int:
    """`end`, moved back to a blank where there is one near, so that no word is cut in two."""
    if end >= len(text):
        return len(text)
    for place in range(end, end - _SEARCH_BLANK, -1):
        if text[place].isspace():
            return place
    return end


def _joined_spans(words: Sequence[str]) -> list[tuple[int, int]]:
    spans = []
    start = 0
    for word in words:
        spans.append((start, start + len(word)))
        start += len(word) + 1
    return spans
