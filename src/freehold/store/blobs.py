"""Files by their content: stored once under their sha256, verified when they are taken out."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from freehold.errors import IntegrityError, StoreError

__all__ = ["Blob", "BlobStore", "sha256_of"]


@dataclass(frozen=True, slots=True)
class Blob:
    sha256: str
    size: int  # bytes


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class BlobStore:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256

    def put(self, source: Path) -> Blob:
        """Copy a file in; the same content twice is one blob. Raises StoreError on a full disk."""
        return self._put(
            source.name,
            Blob(sha256_of(source), source.stat().st_size),
            lambda beside: shutil.copyfile(source, beside),
        )

    def put_bytes(self, name: str, content: bytes) -> Blob:
        """As `put`, of what is in memory; `name` is what an error calls it."""
        return self._put(
            name,
            Blob(hashlib.sha256(content).hexdigest(), len(content)),
            lambda beside: beside.write_bytes(content),
        )

    def _put(self, what: str, blob: Blob, write: Callable[[Path], object]) -> Blob:
        target = self.path(blob.sha256)
        if not (target.is_file() and target.stat().st_size == blob.size):
            beside: Path | None = None
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                handle, name = tempfile.mkstemp(dir=target.parent, prefix=".new-")
                os.close(handle)
                beside = Path(name)
                write(beside)
                with beside.open("rb") as file:
                    os.fsync(file.fileno())
                beside.chmod(0o444)
                beside.replace(target)
            except OSError as error:
                if beside is not None:
                    beside.unlink(missing_ok=True)
                raise StoreError(
                    f"{what} could not be stored: {error.strerror}.",
                    hint="Make room on the disk and run the command again; nothing was recorded.",
                ) from error
        return blob

    def put_folder(self, folder: Path) -> dict[str, Blob]:
        """Every file in a folder by its name relative to it, in order of name."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): self.put(path) for path in files}

    def read(self, name: str, blob: Blob) -> bytes:
        """The content of a blob, verified; `name` is what an IntegrityError calls it."""
        source = self.path(blob.sha256)
        content = source.read_bytes() if source.is_file() else b""
        if hashlib.sha256(content).hexdigest() != blob.sha256:
            raise _damaged(name)
        return content

    def materialise(self, files: Mapping[str, Blob], target: Path) -> Path:
        """Lay the files out in `target` (hard links where possible); each is verified first. Of
        several processes that do it at once, one does, and the others wait for it."""
        if self._complete(files, target):
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target.parent):
            if not self._complete(files, target):
                self._lay_out(files, target)
        return target

    def _lay_out(self, files: Mapping[str, Blob], target: Path) -> None:
        beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=".new-"))
        try:
            for name, blob in files.items():
                source = self.path(blob.sha256)
                if not source.is_file() or sha256_of(source) != blob.sha256:
                    raise _damaged(name)
                (beside / name).parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(source, beside / name)
                except OSError:
                    shutil.copyfile(source, beside / name)
            if target.exists():
                shutil.rmtree(target)
            beside.chmod(0o755)
            beside.replace(target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def _complete(self, files: Mapping[str, Blob], target: Path) -> bool:
        try:
            found = {p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()}
            return (
                target.is_dir()
                and found == set(files)
                and all(
                    (target / name).stat().st_size == blob.size
                    and sha256_of(target / name) == blob.sha256
                    for name, blob in files.items()
                )
            )
        except FileNotFoundError:  # it is not there, or somebody is putting another in its place
            return False


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process is in such a block of the same folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # which gives the lock up


def _damaged(name: str) -> IntegrityError:
    return IntegrityError(
        f"The stored file {name} is missing or not what was recorded for it.",
        hint="Restore the blobs folder from a backup, or train and export again.",
    )
