"""Texts that nearly repeat each other: MinHash signatures, banded, then verified.

Broder 1997, "On the resemblance and containment of documents": two sets share the minimum of a
random hash with a probability equal to their Jaccard similarity. Banding as in Leskovec, Rajaraman
and Ullman, "Mining of Massive Datasets", section 3.4: with 10 bands of 7 rows a pair at Jaccard 0.9
meets in some band with probability 1 - (1 - 0.9^7)^10 = 0.998. Every pair that meets is then
compared exactly, so none is reported wrongly. The work is linear in the characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["near_pairs"]

U64 = NDArray[np.uint64]

_SHINGLE = 5  # characters
_BANDS, _ROWS = 10, 7
_PERMUTATIONS = _BANDS * _ROWS
_SHORTEST = 20  # characters; in a shorter text a single word changes most shingles
_LONGEST = 20_000  # characters looked at
_CHUNK = 500_000  # characters hashed at once, to bound memory
_CROWD = 12  # texts in one bucket that are all compared with each other
_SURE = 0.75  # estimated similarity below which a pair cannot well be at 0.9 (4 standard errors)
_SEED = 1


def near_pairs(texts: Sequence[str], threshold: float = 0.9) -> list[tuple[int, int]]:
    """Pairs i < j of `texts` whose sets of 5-character shingles have a Jaccard similarity of at
    least `threshold`, in order. Texts below 20 characters take no part; of long ones the first
    20,000 characters count. The same texts give the same pairs."""
    places = [place for place, text in enumerate(texts) if len(text) >= _SHORTEST]
    chosen = [texts[place][:_LONGEST] for place in places]
    if len(chosen) < 2:
        return []
    signatures = np.concatenate([_signatures(chunk) for chunk in _chunks(chosen)])
    first, second = _candidates(signatures)
    sizes = np.array([len(text) - _SHINGLE + 1 for text in chosen])
    alike = np.zeros(len(first), dtype=np.int64)
    for column in range(_PERMUTATIONS):
        alike += signatures[first, column] == signatures[second, column]
    # Repeated shingles make a text longer than its set, so lengths get some slack.
    longer = np.maximum(sizes[first], sizes[second])
    shorter = np.minimum(sizes[first], sizes[second])
    kept = (alike >= _SURE * _PERMUTATIONS) & (shorter >= 0.5 * longer)
    found: list[tuple[int, int]] = []
    sets: dict[int, frozenset[str]] = {}
    for i, j in zip(first[kept].tolist(), second[kept].tolist(), strict=True):
        for place in (i, j):
            if place not in sets:
                sets[place] = _shingles(chosen[place])
        if _jaccard(sets[i], sets[j]) >= threshold:
            found.append((places[i], places[j]))
    return sorted(found)


def _shingles(text: str) -> frozenset[str]:
    return frozenset(text[at : at + _SHINGLE] for at in range(len(text) - _SHINGLE + 1))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def _chunks(texts: Sequence[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    size = 0
    for text in texts:
        chunk.append(text)
        size += len(text)
        if size >= _CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _signatures(texts: list[str]) -> U64:
    """MinHash signatures, shape (texts, permutations)."""
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    lengths = np.array([len(text) for text in texts])
    ends = np.cumsum(lengths)
    # A shingle that would reach into the next text is left out.
    inside = np.ones(len(codes), dtype=bool)
    for back in range(1, _SHINGLE):
        inside[ends - back] = False
    hashes = np.zeros(len(codes) - _SHINGLE + 1, dtype=np.uint64)
    for offset in range(_SHINGLE):
        hashes *= np.uint64(0x100000001B3)
        hashes += codes[offset : offset + len(hashes)]
    mixed = _mix(hashes[inside[: len(hashes)]])
    starts = np.concatenate([[0], np.cumsum(lengths - _SHINGLE + 1)[:-1]])
    generator = np.random.default_rng(_SEED)
    factors = generator.integers(0, 2**64, _PERMUTATIONS, dtype=np.uint64) | np.uint64(1)
    masks = generator.integers(0, 2**64, _PERMUTATIONS, dtype=np.uint64)
    signatures = np.empty((len(texts), _PERMUTATIONS), dtype=np.uint64)
    for column, (factor, mask) in enumerate(zip(factors, masks, strict=True)):
        signatures[:, column] = np.minimum.reduceat((mixed ^ mask) * factor, starts)
    return signatures


def _mix(values: U64) -> U64:
    """Spread each value over all 64 bits (the finaliser of SplitMix64, Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return cast("U64", values ^ (values >> np.uint64(31)))


def _candidates(signatures: U64) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs that meet in some band, each once, as two index arrays with the lower index first."""
    count = len(signatures)
    meeting: list[NDArray[np.int64]] = []
    for band in range(_BANDS):
        key = np.zeros(count, dtype=np.uint64)
        for column in range(band * _ROWS, (band + 1) * _ROWS):
            key = _mix(key ^ signatures[:, column])
        order = np.argsort(key, kind="stable")
        edges = np.flatnonzero(np.diff(key[order])) + 1
        bounds = np.concatenate([[0], edges, [count]])
        for bucket in np.flatnonzero(np.diff(bounds) > 1).tolist():
            members = order[bounds[bucket] : bounds[bucket + 1]].astype(np.int64)
            first, second = _meetings(members)
            meeting.append(first * count + second)
    if not meeting:
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing
    pairs = np.unique(np.concatenate(meeting))
    return pairs // count, pairs % count


def _meetings(members: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All pairs of a small bucket; of a crowd, each with the first and with the next, so that a
    template repeated a thousand times does not make a million pairs."""
    if len(members) <= _CROWD:
        upper = np.triu_indices(len(members), 1)
        return members[upper[0]], members[upper[1]]
    first = np.concatenate([np.full(len(members) - 1, members[0]), members[1:-1]])
    return first, np.concatenate([members[1:], members[2:]])
