"""Texts as token ids in bulk, for what needs no more than that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tokenizers import Encoding, Tokenizer

__all__ = ["tokenize"]

AT_ONCE = 4096  # texts whose encodings are held at a time; each is some kilobytes


def tokenize(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> Iterator[Encoding]:
    """Encodings in order, special tokens included, each cut to max_length."""
    tokenizer.enable_truncation(max_length)
    try:
        for start in range(0, len(texts), AT_ONCE):
            yield from tokenizer.encode_batch(list(texts[start : start + AT_ONCE]))
    finally:
        tokenizer.no_truncation()
