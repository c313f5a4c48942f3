"""What a killed process left beside a file goes with the file, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest

from freehold.store.files import remove, replacing


def test_the_file_goes_with_what_was_left_of_replacing_it(tmp_path: Path) -> None:
    file = tmp_path / "run[1].bin"
    with replacing(file) as beside:
        beside.write_bytes(b"whole")
        left = tmp_path / beside.name.replace(beside.name[-3:], "abc")
    left.write_bytes(b"half")
    names = ("run.bin", ".run[1].bin", ".run[10].bin-x", "run[1].bin-x")
    others = [tmp_path / name for name in names]
    for other in others:
        other.touch()
    remove(file)
    assert set(tmp_path.iterdir()) == set(others)
    remove(file)
    remove(tmp_path / "none" / "file")


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="halfway"), replacing(tmp_path / "file") as beside:
        beside.write_bytes(b"half")
        raise ValueError("halfway")
    assert not list(tmp_path.iterdir())
