"""Inputs in, token ids out: cut to the model's length or read in windows, and never padded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from freehold.tasks.casing import shapes
from freehold.tasks.lines import breaks_between, mark_of, with_lines, without_lines
from freehold.tasks.words import split_words

__all__ = ["MOST_WINDOWS", "Encoded", "Tokeniser", "Window", "Words", "most_tokens"]

MOST_WINDOWS = 32  # of one input; what is beyond them is not read
OVERLAP = 4  # two neighbouring windows share a part of this many of their length

# A text is read a bit at a time until it has filled the model's length: characters for each token
# at first, and how much more when that was not enough (blanks, very long words).
_CHARACTERS_PER_TOKEN = 32
_WORDS_PER_TOKEN = 4
_GROWTH = 4
# Beyond this many characters a token what follows is not looked at: it is no text.
_MOST_CHARACTERS_PER_TOKEN = 1024
_SEARCH_BLANK = 200
_AT_ONCE = 4096  # inputs whose encodings are held at a time; each is some kilobytes

_BARE_SPACE = "▁"  # SentencePiece's mark of a space, a token of its own before some words
_SURROGATE = re.compile("[\ud800-\udfff]")

Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a text: character spans in it, and which token speaks for each.

    `carriers` (words,) is the position of a word's first token that is more than a bare space mark,
    -1 where the word was cut off or has no token; `windows` (words,) the window it is in: of
    several, the one where it stands farthest from an edge.
    """

    spans: tuple[tuple[int, int], ...]
    carriers: NDArray[np.int64]
    windows: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Window:
    """Token ids with the special ones; `types` says of a pair which text each token is of (0, 1),
    or with casing how its word is written; `spans` (tokens, 2) which characters of the second text,
    -1 where it is none of that."""

    ids: Ids
    types: Ids | None = None
    spans: NDArray[np.int64] | None = None
    words: NDArray[np.int64] | None = None  # the word whose first token stands here, else -1


@dataclass(frozen=True, slots=True)
class Encoded:
    """An input ready for the model: `length` tokens over all windows, special ones included;
    `words` is None unless the task is about words. `truncated` says that the model will not see
    all of it."""

    windows: tuple[Window, ...]
    length: int
    truncated: bool
    text: str
    words: Words | None = None

    @property
    def ids(self) -> Ids:
        """Of the first window."""
        return self.windows[0].ids


def most_tokens(max_length: int) -> int:
    """Of a text that is read in windows, the tokens that are read at most, two special ones
    included; what is beyond them is cut off."""
    inner = max_length - 2
    return 2 + inner + (MOST_WINDOWS - 1) * (inner - inner // OVERLAP)


class Tokeniser:
    """A tokenizer with the model's length. Its methods may be called from several threads."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        max_length: int,
        *,
        windows: bool = False,
        question: bool = False,
        casing: bool = False,
        lines: bool = False,
    ) -> None:
        """`windows`: what does not fit goes on in further windows; `question`: of two texts the
        first stays whole and the second is cut; `casing`: each token of a word has its shape;
        `lines`: where a line ends between two words the token stands that separates texts."""
        # Set once, here: changing them later would race with other threads' encodings.
        self._tokenizer = tokenizer
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._mark = mark_of(tokenizer) if lines else None
        # Only to shorten questions by, which truncation of the second text alone cannot.
        self._plain = Tokenizer.from_str(tokenizer.to_str()) if question else None
        special = tokenizer.num_special_tokens_to_add(question)
        stride = max(0, (max_length - special) // OVERLAP) if windows else 0
        strategy = "only_second" if question else "longest_first"
        tokenizer.enable_truncation(max_length, stride=stride, strategy=strategy)
        self._most_windows = MOST_WINDOWS if windows else 1
        self._bare = tokenizer.token_to_id(_BARE_SPACE)
        self._max_length, self._stride, self._casing = max_length, stride, casing
        tokens = max_length * self._most_windows
        self._characters = tokens * _CHARACTERS_PER_TOKEN
        self._most = tokens * _MOST_CHARACTERS_PER_TOKEN
        self._some_words = tokens * _WORDS_PER_TOKEN

    def texts(self, texts: Sequence[str]) -> list[Encoded]:
        """One Encoded a text, in order; an empty text becomes the special tokens alone."""
        return self._in_parts(texts, self._read)

    def raw_words(self, texts: Sequence[str]) -> list[Encoded]:
        """The same with the words that `split_words` finds; of a very long text those of the part
        that was read."""
        return self._in_parts(texts, self._read_words)

    def words(self, sentences: Sequence[Sequence[str]]) -> list[Encoded]:
        """The same for texts that are split already, "\\n" standing where a line ends; spans are
        those of the words joined by one space each. All words are listed, also those that were cut
        off."""
        encoded = []
        for start in range(0, len(sentences), _AT_ONCE):
            some = [_apart(sentence) for sentence in sentences[start : start + _AT_ONCE]]
            fit = [(words, breaks) for words, breaks in some if len(words) <= self._some_words]
            short = iter(self._encode_words(fit))
            for words, breaks in some:
                many = len(words) > self._some_words
                encoding = self._many_words(words, breaks) if many else next(short)
                spans = _joined_spans(words)
                encoded.append(self._tagged(" ".join(words), spans, breaks, encoding))
        return encoded

    def pairs(self, pairs: Sequence[tuple[str, str]], *, spans: bool = False) -> list[Encoded]:
        """Two texts in one input, cut where they are longest (or by windows over the second, with
        `spans` of its characters)."""
        encoded = []
        for start in range(0, len(pairs), _AT_ONCE):
            some = [
                (self._first(_clean(a)), _clean(b)[: self._characters])
                for a, b in pairs[start : start + _AT_ONCE]
            ]
            encodings = self._tokenizer.encode_batch(some) if some else []
            for (_, second), encoding in zip(some, encodings, strict=True):
                encoded.append(self._paired(second, encoding, spans=spans))
        return encoded

    def _first(self, text: str) -> str:
        """The first of two texts: as it is, or as much of a question as takes half of the length,
        so that room is left for what it asks about."""
        most = max(1, self._max_length // 2 - 2)
        if self._plain is None:
            return text[: self._characters]
        if len(text) <= most:  # a token has at least one character
            return text
        encoding = self._plain.encode(text[: self._characters], add_special_tokens=False)
        offsets = encoding.offsets
        return text if len(offsets) <= most else text[: offsets[most - 1][1]]

    def _in_parts(
        self, texts: Sequence[str], read: Callable[[list[str]], Iterator[Encoded]]
    ) -> list[Encoded]:
        encoded = []
        for start in range(0, len(texts), _AT_ONCE):
            clean = [_clean(text) for text in texts[start : start + _AT_ONCE]]
            short = iter(read([text for text in clean if len(text) <= self._characters]))
            encoded += [
                next(short) if len(text) <= self._characters else self._read_long(text, read)
                for text in clean
            ]
        return encoded

    def _read(self, texts: list[str]) -> Iterator[Encoded]:
        # The fast variant leaves out the character offsets, which nothing here needs.
        encodings = self._tokenizer.encode_batch_fast(texts) if texts else []
        for text, encoding in zip(texts, encodings, strict=True):
            ids = np.array(encoding.ids, np.int32)
            yield Encoded((Window(ids),), len(ids), bool(encoding.overflowing), text)

    def _read_words(self, texts: list[str]) -> Iterator[Encoded]:
        spans = [split_words(text) for text in texts]
        lines = [breaks_between(text, some) for text, some in zip(texts, spans, strict=True)]
        encodings = self._encode_words(
            [
                ([text[a:b] for a, b in some], breaks)
                for text, some, breaks in zip(texts, spans, lines, strict=True)
            ]
        )
        for text, some, breaks, encoding in zip(texts, spans, lines, encodings, strict=True):
            yield self._tagged(text, some, breaks, encoding)

    def _read_long(self, text: str, read: Callable[[list[str]], Iterator[Encoded]]) -> Encoded:
        """As much of a long text as fills what is read; its words are those of that part."""
        whole = len(text.rstrip())
        end = self._characters
        while True:
            cut = min(_before_word(text, end), whole)
            (encoded,) = read([text[:cut]])
            if encoded.truncated or cut == whole:
                return encoded
            if end >= self._most:
                return Encoded(encoded.windows, encoded.length, True, encoded.text, encoded.words)
            end = min(end * _GROWTH, self._most)

    def _many_words(self, words: Sequence[str], breaks: Sequence[int]) -> Encoding:
        """The encoding of as many words as fill what is read."""
        count = self._some_words
        while True:
            here = [place for place in breaks if place < count]
            (encoding,) = self._encode_words([(words[:count], here)])
            if len(encoding.overflowing) >= self._most_windows or count >= len(words):
                return encoding
            count *= _GROWTH

    def _encode_words(
        self, sentences: Sequence[tuple[Sequence[str], Sequence[int]]]
    ) -> list[Encoding]:
        """Of words with the breaks between them, which count as words in the encoding if the model
        knows of them and are left out if not."""
        if not sentences:
            return []
        # Of a single endless word the beginning says what the tokenizer makes of it.
        cut = [[word[: self._characters] for word in words] for words, _ in sentences]
        if self._mark is not None:
            cut = [
                list(with_lines(words, breaks, self._mark))
                for words, (_, breaks) in zip(cut, sentences, strict=True)
            ]
        return self._tokenizer.encode_batch(cut, is_pretokenized=True)

    def _tagged(
        self,
        text: str,
        spans: Sequence[tuple[int, int]],
        breaks: Sequence[int],
        encoding: Encoding,
    ) -> Encoded:
        numbers = self._numbers(len(spans), breaks)
        carriers = np.full(len(spans), -1, np.int64)
        chosen = np.zeros(len(spans), np.int64)
        room = np.full(len(spans), -1, np.int64)  # tokens to the nearer edge of the chosen window
        parts = [encoding, *encoding.overflowing]
        marks = shapes([text[a:b] for a, b in spans]) if self._casing else None
        windows = []
        for number, part in enumerate(parts[: self._most_windows]):
            places = self._first_tokens(part, number)
            if numbers is not None:
                places = np.where(places >= 0, numbers[places], -1)
            last = len(part.ids) - 1
            for position, word in enumerate(places.tolist()):
                edge = min(position, last - position) if len(parts) > 1 else position
                if word >= 0 and edge > room[word]:
                    carriers[word], chosen[word], room[word] = position, number, edge
            types = None if marks is None else _of_words(part, marks, numbers)
            windows.append(Window(np.array(part.ids, np.int32), types, words=places))
        truncated = len(parts) > self._most_windows
        length = sum(len(window.ids) for window in windows)
        return Encoded(
            tuple(windows), length, truncated, text, Words(tuple(spans), carriers, chosen)
        )

    def _numbers(self, words: int, breaks: Sequence[int]) -> NDArray[np.int64] | None:
        """The word behind each number of the encoding, -1 for a break; None: they are the same."""
        if self._mark is None or not breaks:
            return None
        return np.insert(np.arange(words, dtype=np.int64), list(breaks), -1)

    def _first_tokens(self, part: Encoding, number: int) -> NDArray[np.int64]:
        """(tokens,): the word that begins at each position, -1 elsewhere. A window may begin in the
        middle of a word, which does not begin in it."""
        found = np.full(len(part.ids), -1, np.int64)
        seen = -1
        inside = number > 0
        for position, (word, token) in enumerate(zip(part.word_ids, part.ids, strict=True)):
            if word is None:
                continue
            if inside:
                inside, seen = False, word if self._goes_on(part, position) else seen
            if word != seen and token != self._bare:
                found[position], seen = word, word
        return found

    def _goes_on(self, part: Encoding, position: int) -> bool:
        """Whether the token at the start of a further window may be the middle of a word: its
        characters do not begin the word."""
        return bool(part.offsets[position][0] > 0)

    def _paired(self, second: str, encoding: Encoding, *, spans: bool) -> Encoded:
        parts = [encoding, *encoding.overflowing]
        windows = []
        for part in parts[: self._most_windows]:
            types = np.array(part.type_ids, np.int32)
            places = _spans_of_second(part) if spans else None
            windows.append(Window(np.array(part.ids, np.int32), types, places))
        length = sum(len(window.ids) for window in windows)
        return Encoded(tuple(windows), length, len(parts) > self._most_windows, second)


def _of_words(part: Encoding, marks: NDArray[np.int32], numbers: NDArray[np.int64] | None) -> Ids:
    """(tokens,): the mark of each token's word, 0 for special ones."""
    words = np.array([-1 if word is None else word for word in part.word_ids], np.int64)
    if numbers is not None:
        words = np.where(words >= 0, numbers[words], -1)
    return np.append(marks, np.int32(0))[words]


def _spans_of_second(part: Encoding) -> NDArray[np.int64]:
    found = np.full((len(part.ids), 2), -1, np.int64)
    for position, (sequence, span) in enumerate(zip(part.sequence_ids, part.offsets, strict=True)):
        if sequence == 1:
            found[position] = span
    return found


def _apart(sentence: Sequence[str]) -> tuple[list[str], tuple[int, ...]]:
    """Its words, and the breaks between them."""
    kept, breaks = without_lines(sentence)
    return [_clean(sentence[number]) for number in kept], breaks


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
