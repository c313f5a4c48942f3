"""Sheets that a spreadsheet cannot be made to compute, and corrections back into their file."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.data.read import read_dataset
from freehold.data.relabel import apply_sheet
from freehold.data.sheet import read_sheet, safe, unsafe, write_sheet
from freehold.errors import ConflictError, DataError
from freehold.tasks.types import Example

CSV = (
    'id,text,label,note\r\n1,"where, is my card",card,=1+1\r\n2,"two\r\nlines",refund,\r\n'
    "3,plain,card,x\r\n"
)
JSONL = (
    '{"text": "where is my card", "label": "card", "id": 1.50}\n{"label":"refund","text":"账单"}'
)


@given(st.text())
def test_no_cell_begins_a_formula_and_all_come_back(text: str) -> None:
    cell = safe(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert unsafe(cell) == text


def test_a_sheet_is_read_back(tmp_path: Path) -> None:
    texts = ["=cmd|' /C calc'!A0", "'quoted", "-1", "line\nbreak", "账单, “x”", ""]
    write_sheet(
        tmp_path / "s.csv", ["row", "text"], [{"row": n, "text": t} for n, t in enumerate(texts)]
    )
    table = read_sheet(tmp_path / "s.csv", ["text"])
    assert list(table.columns["text"]) == texts
    with pytest.raises(DataError, match="no column 'label'"):
        read_sheet(tmp_path / "s.csv", ["label"])


def sheet(path: Path, rows: list[tuple[int, str, str, str]]) -> Path:
    write_sheet(
        path,
        ["row", "text", "given", "label"],
        [dict(zip(("row", "text", "given", "label"), row, strict=True)) for row in rows],
    )
    return path


def test_csv_keeps_all_but_the_corrected_labels(tmp_path: Path) -> None:
    file = tmp_path / "train.csv"
    file.write_bytes(b"\xef\xbb\xbf" + CSV.encode())
    data = read_dataset(file)
    rows = [(2, "where, is my card", "card", "lost, card"), (3, "two\nlines", "refund", "refund")]
    done = apply_sheet(data, sheet(tmp_path / "s.csv", rows), tmp_path / "new.csv")
    assert (done.corrected, done.added, done.rows) == (1, 0, 3)
    assert (tmp_path / "new.csv").read_bytes() == b"\xef\xbb\xbf" + CSV.replace(
        '"where, is my card",card', '"where, is my card","lost, card"'
    ).encode()


def test_jsonl_keeps_other_keys_and_other_lines(tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text(JSONL, encoding="utf-8")
    rows = [(1, "where is my card", "card", "lost"), (2, "账单", "refund", "")]
    apply_sheet(read_dataset(file), sheet(tmp_path / "s.csv", rows), tmp_path / "new.jsonl")
    first, second = (tmp_path / "new.jsonl").read_text(encoding="utf-8").split("\n")
    assert first == '{"text": "where is my card", "label": "lost", "id": 1.5}'
    assert second == JSONL.split("\n")[1]


@pytest.mark.parametrize(("content", "name"), [(CSV, "train.csv"), (JSONL, "train.jsonl")])
def test_labelled_texts_of_a_pool_are_added(tmp_path: Path, content: str, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(content.rstrip("\r\n").encode())
    before = read_dataset(file)
    write_sheet(
        tmp_path / "s.csv",
        ["row", "text", "suggested", "label"],
        [
            {"row": 7, "text": "=new one", "suggested": "card", "label": "lost"},
            {"row": 9, "text": "not looked at", "suggested": "card", "label": ""},
        ],
    )
    done = apply_sheet(before, tmp_path / "s.csv", tmp_path / f"new-{name}")
    after = read_dataset(tmp_path / f"new-{name}")
    assert (done.corrected, done.added, done.rows) == (0, 1, len(after))
    assert [(e.text, e.target) for e in after.examples] == [
        *((e.text, e.target) for e in before.examples),
        ("=new one", "lost"),
    ]


@pytest.mark.parametrize(
    "row",
    [
        (2, "another text", "card", "lost"),
        (2, "where, is my card", "refund", "lost"),
        (9, "where, is my card", "card", "lost"),
    ],
)
def test_a_sheet_of_another_file_changes_nothing(
    tmp_path: Path, row: tuple[int, str, str, str]
) -> None:
    file = tmp_path / "train.csv"
    file.write_bytes(CSV.encode())
    with pytest.raises(DataError, match="line 2: row"):
        apply_sheet(read_dataset(file), sheet(tmp_path / "s.csv", [row]), tmp_path / "new.csv")
    assert not (tmp_path / "new.csv").exists()


def test_nothing_is_written_over_and_no_other_format_is_written(tmp_path: Path) -> None:
    file = tmp_path / "train.csv"
    file.write_bytes(CSV.encode())
    rows = sheet(tmp_path / "s.csv", [(4, "plain", "card", "lost")])
    with pytest.raises(ConflictError, match="already"):
        apply_sheet(read_dataset(file), rows, file)
    from dataclasses import replace

    with pytest.raises(DataError, match="format xlsx"):
        apply_sheet(replace(read_dataset(file), format="xlsx"), rows, tmp_path / "new.csv")


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), min_size=1).filter(
                lambda text: text.strip()
            ),
            st.sampled_from(["a", "b", "-c"]),
        ),
        min_size=2,
        max_size=8,
    ),
    st.data(),
)
def test_only_what_is_asked_changes(rows: list[tuple[str, str]], draw: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "a.csv").open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(["text", "label"])
            writer.writerows(rows)
        data = read_dataset(folder / "a.csv", text="text", label="label")
        examples = [e for e in data.examples if isinstance(e, Example)]
        new = [draw.draw(st.sampled_from(["a", "b", "-c", "new, one"])) for _ in examples]
        wishes = [
            (e.row, e.text, e.label or "", label) for e, label in zip(examples, new, strict=True)
        ]
        apply_sheet(data, sheet(folder / "s.csv", wishes), folder / "b.csv")
        after = read_dataset(folder / "b.csv", text="text", label="label")
        assert [(e.text, e.target) for e in after.examples] == [
            (e.text, label) for e, label in zip(examples, new, strict=True)
        ]
