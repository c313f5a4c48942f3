"""Which words can stand for which: the hand-written lists of this folder, or a user's file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from freehold.errors import DataError

__all__ = ["Lexicon", "alike", "names", "shipped", "user"]


@dataclass(frozen=True, slots=True)
class Lexicon:
    """`entries`: a word in lower case -> what can stand for it, in the order of the file."""

    entries: dict[str, tuple[str, ...]]

    def synonyms(self, word: str) -> tuple[str, ...]:
        return self.entries.get(word.lower(), ())


@cache
def shipped() -> Lexicon:
    """The English and Chinese synonyms that come with Freehold."""
    return _lexicon(group for name in ("en.txt", "zh.txt") for _, group in _groups(_ours(name)))


def user(path: Path) -> Lexicon:
    """A user's lexicon: a group of words a line, separated by commas; # begins a comment.

    Raises DataError where the file cannot be read, or a line has no two words.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise DataError(f"The lexicon {path} cannot be read: {reason}.") from error
    groups = []
    for line, group in _groups(content):
        if len(group) < 2:
            raise DataError(
                f"{path} line {line}: a group needs at least two words.",
                hint="Write words that can stand for each other on one line, separated by commas.",
            )
        groups.append(group)
    if not groups:
        raise DataError(f"The lexicon {path} has no words.", hint="A line is: good, fine, decent")
    return _lexicon(iter(groups))


@cache
def alike(kind: str) -> dict[str, tuple[str, ...]]:
    """Chinese characters that are taken for each other, by `look` or by `sound`."""
    groups = (
        [part.strip() for part in group] for _, group in _groups(_ours("zh_alike.txt"), f"{kind}:")
    )
    return _lexicon(iter(groups)).entries


@cache
def names() -> dict[str, tuple[str, ...]]:
    """Kind (given, family, place, zh_place, zh_name) -> its names in lower case."""
    found: dict[str, list[str]] = {}
    for line in _ours("names.txt").splitlines():
        if line.startswith("["):
            here = found.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            here += _parts(line)
    return {kind: tuple(words) for kind, words in found.items()}


def _ours(name: str) -> str:
    return resources.files("freehold.data.perturb").joinpath(name).read_text(encoding="utf-8")


def _groups(content: str, prefix: str = "") -> Iterator[tuple[int, list[str]]]:
    """Line number and words of each line that begins with `prefix`."""
    for number, line in enumerate(content.splitlines(), start=1):
        bare = line.partition("#")[0].strip()
        if bare and bare.startswith(prefix):
            yield number, _parts(bare.removeprefix(prefix))


def _parts(line: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in line.split(",") if part.strip()))


def _lexicon(groups: Iterator[list[str]]) -> Lexicon:
    entries: dict[str, dict[str, None]] = {}
    for group in groups:
        for word in group:
            others = dict.fromkeys(other for other in group if other.lower() != word.lower())
            entries.setdefault(word.lower(), {}).update(others)
    return Lexicon({word: tuple(others) for word, others in entries.items()})
