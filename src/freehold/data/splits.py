"""Which file is which split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from freehold.errors import DataError

__all__ = ["name_splits"]

_NAMES = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "valid": "dev",
    "validation": "dev",
    "val": "dev",
    "test": "test",
}


def name_splits(
    files: Sequence[Path], *, dev: Path | None = None, test: Path | None = None
) -> dict[str, Path]:
    """Split name -> file, train first. A file called train, dev (valid, validation) or test is
    that; of the others the first is train, then dev, then test. Raises DataError for a file too
    many."""
    named: dict[str, Path] = {}
    if dev is not None:
        named["dev"] = dev
    if test is not None:
        named["test"] = test
    rest: list[Path] = []
    for file in files:
        name = _NAMES.get(file.stem.lower()) if len(files) > 1 else None
        if name is None or name in named:
            rest.append(file)
        else:
            named[name] = file
    for file in rest:
        name = next((name for name in ("train", "dev", "test") if name not in named), None)
        if name is None:
            raise DataError(
                f"{file} is one file too many.", hint="Give at most a train, a dev and a test file."
            )
        named[name] = file
    return {name: named[name] for name in ("train", "dev", "test") if name in named}
