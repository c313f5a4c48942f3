"""Files by their content."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from freehold.errors import IntegrityError, StoreError
from freehold.store.blobs import BlobStore
from freehold.store.files import replacing, write_text


def _folder(path: Path) -> Path:
    (path / "sub").mkdir(parents=True)
    (path / "a.txt").write_text("one")
    (path / "sub" / "b.txt").write_text("two")
    return path


def test_a_folder_comes_back_as_it_was(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "blobs")
    files = store.put_folder(_folder(tmp_path / "in"))
    out = store.materialise(files, tmp_path / "out")
    assert (out / "a.txt").read_text() == "one"
    assert (out / "sub" / "b.txt").read_text() == "two"
    assert store.materialise(files, tmp_path / "out") == out


def test_the_same_content_is_stored_once(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "blobs")
    first = store.put_folder(_folder(tmp_path / "in"))
    again = store.put_folder(_folder(tmp_path / "again"))
    assert first == again
    assert len([p for p in (tmp_path / "blobs").rglob("*") if p.is_file()]) == 2


def test_a_changed_blob_is_refused(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "blobs")
    files = store.put_folder(_folder(tmp_path / "in"))
    blob = store.path(files["a.txt"].sha256)
    blob.chmod(0o644)
    blob.write_text("ONE")
    with pytest.raises(IntegrityError, match=r"a\.txt"):
        store.materialise(files, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_changed_copy_is_laid_out_anew(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "blobs")
    files = store.put_folder(_folder(tmp_path / "in"))
    out = store.materialise(files, tmp_path / "out")
    (out / "a.txt").unlink()
    (out / "a.txt").write_text("six")
    assert (store.materialise(files, out) / "a.txt").read_text() == "one"


def test_several_who_lay_out_the_same_files_find_them_whole(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "blobs")
    files = store.put_folder(_folder(tmp_path / "in"))
    together = threading.Barrier(8)

    def lay_out(name: str) -> str:
        together.wait(20)
        return (store.materialise(files, tmp_path / name) / "a.txt").read_text()

    with ThreadPoolExecutor(8) as pool:
        for number in range(10):
            name = f"out{number}"
            if number % 2:  # an older one is there
                _folder(tmp_path / name)
                (tmp_path / name / "a.txt").write_text("old")
            assert list(pool.map(lay_out, [name] * 8)) == ["one"] * 8
    assert list(tmp_path.glob(".*")) == []


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "report.txt"
    write_text(target, "before")
    with pytest.raises(StoreError), replacing(target) as beside:
        beside.write_text("half")
        raise OSError(28, "No space left on device")
    assert target.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["report.txt"]
