"""Files a person opens, written beside and renamed, so that nothing half-written is ever seen."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from freehold.errors import StoreError

__all__ = ["remove", "replacing", "write_bytes", "write_text"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file beside `path` that takes its place at the end of the block, not on an error."""
    beside: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        os.close(handle)
        beside = Path(name)
        yield beside
        beside.chmod(0o644)
        beside.replace(path)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror}.",
            hint="Check the folder and the room on the disk; what was there before is unchanged.",
        ) from error
    finally:
        if beside is not None:
            beside.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove the file, if it is there, and what a process left beside it that was killed while
    `replacing` it. Nobody may be replacing it now."""
    path.unlink(missing_ok=True)
    if path.parent.is_dir():
        for beside in path.parent.iterdir():
            if beside.name.startswith(f".{path.name}-"):
                beside.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    with replacing(path) as beside:
        beside.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    write_bytes(path, content.encode())
