"""Every format is read to the same examples; every bad record names its line and the fix."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.data.read import read_dataset
from freehold.errors import DataError, MissingDependencyError
from freehold.tasks.types import Dataset, Example, TaggedExample


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def texts(data: Dataset) -> list[tuple[int, str, str | None]]:
    return [(e.row, e.text, e.label) for e in data.examples if isinstance(e, Example)]


def refused(path: Path, **options: object) -> DataError:
    with pytest.raises(DataError) as error:
        read_dataset(path, **options)  # type: ignore[arg-type]  # the tests choose options by name
    assert path.name in error.value.message
    assert error.value.hint
    return error.value


def test_csv_keeps_texts_as_they_are_and_counts_lines(tmp_path: Path) -> None:
    content = 'text,label\r\n"a, ""b""\r\nc", x \r\n\r\n  d ,y\r\n'
    path = write(tmp_path, "a.csv", content)
    data = read_dataset(path)
    assert texts(data) == [(2, 'a, "b"\r\nc', "x"), (5, "  d ", "y")]
    assert (data.task, data.format, data.encoding) == ("text-classification", "csv", "utf-8")
    assert data.columns == {"text": "text", "label": "label"}
    assert data.inferred
    assert data.sha256 == hashlib.sha256(content.encode()).hexdigest()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_and_shown(tmp_path: Path, delimiter: str) -> None:
    rows = [["text", "label"], ["a, b; c", "x"], ["d | e, f", "y"]]
    lines = [delimiter.join(f'"{cell}"' for cell in row) for row in rows]
    data = read_dataset(write(tmp_path, "a.csv", "\n".join(lines)))
    assert texts(data) == [(2, "a, b; c", "x"), (3, "d | e, f", "y")]
    assert any("fields are separated by" in note for note in data.notes) == (delimiter != ",")


def test_tsv_and_a_file_without_a_telling_name(tmp_path: Path) -> None:
    content = "sentence\tsentiment\nit is good, very\tpos\nbad\tneg\n"
    for name in ("a.tsv", "a.txt", "data"):
        data = read_dataset(write(tmp_path, name, content))
        assert texts(data) == [(2, "it is good, very", "pos"), (3, "bad", "neg")]
        assert data.format == "tsv"
        assert data.columns == {"text": "sentence", "label": "sentiment"}


def test_jsonl_by_content_with_separators_inside_strings(tmp_path: Path) -> None:
    lines = ['{"text": "a\u2028b\x0bc", "label": 3}', "", '{"label": "y", "text": ""}']
    content = "\n".join(lines).replace("\x0b", "\\u000b")
    data = read_dataset(write(tmp_path, "a.txt", content))
    assert texts(data) == [(1, "a\u2028b\x0bc", "3"), (3, "", "y")]
    assert data.format == "jsonl"


def test_named_columns_win_and_are_not_inferred(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label,other\nA b,c,d\n")
    data = read_dataset(path, text="other", label="text")
    assert texts(data) == [(2, "d", "A b")]
    assert not data.inferred


def test_xlsx(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["text", "label"], ["hello", 1], [None, None], [None, "two"], [13, "x"]):
        book.active.append(row)
    book.create_sheet("more").append(["text"])
    book.save(tmp_path / "a.xlsx")
    data = read_dataset(tmp_path / "a.xlsx")
    assert texts(data) == [(2, "hello", "1"), (4, "", "two"), (5, "13", "x")]
    assert data.encoding == "binary"
    assert "first sheet" in data.notes[0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["text", "label"], ["a", "x"], ["b", None]], "row 3: the label is missing"),
        ([["text", "label"], ["a", 1.5]], "row 2: the label is a decimal number"),
        ([["text", "label"], ["a", True]], "row 2: the label is true or false"),
        ([["text", "label"], ["a", "#N/A"]], "row 2: a cell holds an Excel error"),
        ([["text", "label"], ["a", "b", "c"]], "row 2: there is a value beyond the last column"),
        ([["text", "label", "text"], ["a", "b", "c"]], 'names "text" more than once'),
        ([["text", "label"]], "has a header but no rows"),
        ([], "is empty"),
    ],
)
def test_xlsx_faults(tmp_path: Path, rows: list[list[object]], message: str) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    assert message in refused(tmp_path / "a.xlsx").message


def test_parquet_with_class_names_in_its_metadata(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    features = {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}
    table = pa.table({"text": ["a", "b"], "label": [1, 0], "vector": [[0.5], [1.5]]})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "a.parquet")
    data = read_dataset(tmp_path / "a.parquet")
    assert texts(data) == [(1, "a", "pos"), (2, "b", "neg")]
    assert "vector" in data.notes[-1]


def test_parquet_words_with_numbered_tags(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    columns = {"tokens": [["in", "Paris"]], "pos_tags": [[1, 2]], "ner_tags": [[0, 1]]}
    inner = {"names": ["O", "B-LOC"], "_type": "ClassLabel"}
    features = {"ner_tags": {"feature": inner, "_type": "Sequence"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "a.parquet")
    assert read_dataset(tmp_path / "a.parquet").examples == [
        TaggedExample(1, ("in", "Paris"), ("O", "B-LOC"))
    ]
    pq.write_table(table, tmp_path / "b.parquet")
    error = refused(tmp_path / "b.parquet")
    assert 'row 1: "0" (word 1) is not a BIO tag' in error.message
    assert "numbers" in (error.hint or "")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a", None], "label": ["x", "y"]}, "row 2: the text is missing"),
        ({"text": ["a"], "label": [float("nan")]}, "row 1: the label is NaN"),
        ({"text": ["a"], "label": [2.0]}, "row 1: the label is a decimal number"),
        ({"text": [], "label": []}, "has no rows"),
    ],
)
def test_parquet_faults(tmp_path: Path, columns: dict[str, list[object]], message: str) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert message in refused(tmp_path / "a.parquet").message


@pytest.mark.parametrize("name", ["a.parquet", "a.xlsx"])
def test_a_broken_binary_file(tmp_path: Path, name: str) -> None:
    pytest.importorskip("pyarrow")
    pytest.importorskip("openpyxl")
    assert "is not a readable" in refused(write(tmp_path, name, b"PAR1 nothing")).message


@pytest.mark.parametrize(("name", "library"), [("a.parquet", "pyarrow"), ("a.xlsx", "openpyxl")])
def test_a_library_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingDependencyError, match=rf"Reading {name} needs {library}") as error:
        read_dataset(write(tmp_path, name, b"anything"))
    assert "freehold[train]" in (error.value.hint or "")


@pytest.mark.parametrize("at", [0.3, 0.5, 0.7])
def test_a_damaged_workbook(tmp_path: Path, at: float) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in [["text", "label"], *[[f"hello {n}", "x"] for n in range(50)]]:
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    content = bytearray((tmp_path / "a.xlsx").read_bytes())
    for place in range(int(at * len(content)), int(at * len(content)) + 40):
        content[place] ^= 0xFF
    path = write(tmp_path, "b.xlsx", bytes(content))
    with contextlib.suppress(DataError):  # no other error, whatever the library makes of it
        read_dataset(path)


CONLL = """-DOCSTART- -X- O O

EU NNP I-NP I-ORG
rejects VBZ I-VP O

Peter NNP I-NP I-PER
Blackburn NNP I-NP I-PER
Paris NNP I-NP I-LOC
Lyon NNP I-NP B-LOC
"""


def test_conll_iob1_is_converted_and_said(tmp_path: Path) -> None:
    for name in ("a.conll", "a.txt"):
        data = read_dataset(write(tmp_path, name, CONLL.replace("\n", "\r\n")))
        assert data.examples == [
            TaggedExample(3, ("EU", "rejects"), ("B-ORG", "O")),
            TaggedExample(
                6, ("Peter", "Blackburn", "Paris", "Lyon"), ("B-PER", "I-PER", "B-LOC", "B-LOC")
            ),
        ]
        assert data.columns == {"tokens": "1", "tags": "4"}
        assert data.notes == ("IOB1 tags were converted to BIO: 3 tags changed from I- to B-",)
        assert data.repaired == ()


def test_slips_in_bio_are_read_as_the_scorer_does_and_said(tmp_path: Path) -> None:
    path = write(tmp_path, "a.conll", "Ann B-PER\nLee I-PER\n\nin O\nBonn I-LOC\n")
    data = read_dataset(path)
    assert [e.tags for e in data.examples if isinstance(e, TaggedExample)][1] == ("O", "B-LOC")
    assert data.repaired == (4,)
    assert "line 4" in data.notes[0]


def test_conll_columns_comments_and_other_columns(tmp_path: Path) -> None:
    content = "# id 7 domain=en\nNew York\t_\tB-LOC\tx\n#\t_\tO\ty\n"
    path = write(tmp_path, "a.conll", content)
    data = read_dataset(path, text="1", label="3")
    assert data.examples == [TaggedExample(2, ("New York", "#"), ("B-LOC", "O"))]
    assert "1 to 4" in (refused(path, label="9").hint or "")
    assert "column" in refused(path, text="words").message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a O\nb\n", "line 2: 1 columns where the lines before have 2"),
        ("a O\nb PER\n", 'line 1: "PER" (word 2) is not a BIO tag'),
        ("a\nb\n", "line 1: there is one column only"),
        ("\n-DOCSTART- O\n\n", "is empty"),
    ],
)
def test_conll_faults(tmp_path: Path, content: str, message: str) -> None:
    assert message in refused(write(tmp_path, "a.conll", content)).message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("text,label\n", "has a header but no rows"),
        ("text,label\na,x\nb\n", "line 3: 1 columns where the header has 2"),
        ("text,label\na,x\nb,c,d\ne,f,g\n", "line 3: 3 columns where the header has 2."),
        ("text,label\na,x\nb,\n", 'line 3: the label is missing (column "label")'),
        ("text,label\na,x\nb,  \n", "line 3: the label is nothing but spaces"),
        ("text,label,text\na,x,b\n", 'line 1: the header names "text" more than once'),
        ('text,label\na,x\n"b,y\nc,z\n', "line 3: a double quote is opened in this record"),
        ('text,label\n"a\nb"c,x\n', "line 3 (of the record from line 2): text follows"),
        ("just one column\na\nb\n", "no column can be told to be the label"),
    ],
)
def test_csv_faults(tmp_path: Path, content: str, message: str) -> None:
    assert message in refused(write(tmp_path, "a.csv", content)).message


def test_faults_of_one_kind_are_counted(tmp_path: Path) -> None:
    content = "text,label\n" + "a,x\n" + "b,\n" * 9
    message = refused(write(tmp_path, "a.csv", content)).message
    assert "line 3: the label is missing" in message
    assert "The same in lines 4, 5, 6, 7, 8 and 3 more." in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a", "label": "x"}\n{"text": "b"\n', "line 2: the line is not valid JSON"),
        ('{"text": "a", "label": NaN}\n', "line 1: the line is not valid JSON: invalid char"),
        ('{"text": "a", "label": "x"}\n["b", "y"]\n', "line 2: the line is not a JSON object"),
        ('[{"text": "a", "label": "x"}]\n', "is one JSON document, not JSON Lines"),
        ('{\n"text": "a"\n}\n', "is one JSON document, not JSON Lines"),
        ('{"text": "a", "label": "x"}\n{"text": "b"}\n', "line 2: the label is missing"),
        ('{"text": "a", "label": "x"}\n{"label": "b"}\n', "line 2: the text is missing"),
        ('{"text": "a", "label": null}\n', "line 1: the label is missing"),
        ('{"text": "a", "label": true}\n', "line 1: the label is true or false"),
        ('{"text": "a", "label": 1.0}\n', "line 1: the label is a decimal number"),
        ('{"text": "a", "label": {"b": 1}}\n', "line 1: the label is a value of type dict"),
        ('{"text": "a", "label": ["x", "y"]}\n', "line 1: the label is a list"),
        ('{"text": 1.5, "label": "x"}\n', "line 1: the text is a decimal number"),
        ('{"tokens": ["a", "b"], "tags": ["O"]}\n', "line 1: 2 words but 1 tags"),
        ('{"tokens": ["a", ""], "tags": ["O", "O"]}\n', "line 1: word 2 is empty"),
        ('{"tokens": ["a", 1], "tags": ["O", "O"]}\n', "line 1: word 2 is a value of type int"),
        ('{"tokens": ["a"], "tags": ["S-PER"]}\n', 'line 1: "S-PER" (word 1) is not a BIO tag'),
        ('{"tokens": ["a"], "tags": ["O"]}\n{"tokens": ["b"]}\n', "line 2: the tags are missing"),
    ],
)
def test_jsonl_faults(tmp_path: Path, content: str, message: str) -> None:
    assert message in refused(write(tmp_path, "a.jsonl", content)).message


def test_files_that_are_not_there(tmp_path: Path) -> None:
    assert "There is no file" in refused(tmp_path / "none.csv").message
    assert "is a folder" in refused(tmp_path).message
    assert "is empty" in refused(write(tmp_path, "a.unknown", "")).message
    assert "in no format" in refused(write(tmp_path, "b.unknown", "hello\nworld\n")).message


def test_texts_without_labels(tmp_path: Path) -> None:
    lines = write(tmp_path, "a.txt", "first, one\n\nthird\n\n")
    data = read_dataset(lines, labelled=False, text="ignored: a plain file has no columns")
    assert texts(data) == [(1, "first, one", None), (2, "", None), (3, "third", None)]
    one = write(tmp_path, "a.csv", "body of it\nhello\n")
    assert texts(read_dataset(one, labelled=False)) == [(2, "hello", None)]
    both = write(tmp_path, "b.csv", "text,label\nhello,x\n")
    data = read_dataset(both, labelled=False, label="absent")
    assert texts(data) == [(2, "hello", None)]
    assert data.columns == {"text": "text"}


def test_raw_texts_for_a_tagging_model_are_split_into_words(tmp_path: Path) -> None:
    expected = ("In", "the", "U.S.", ",", "maybe", ".")
    for name, content in (
        ("a.txt", "In the U.S., maybe.\n"),
        ("a.jsonl", '{"text": "In the U.S., maybe."}\n'),
        ("a.csv", 'id,text\n7,"In the U.S., maybe."\n'),
    ):
        path = write(tmp_path, name, content)
        data = read_dataset(path, task="token-classification", labelled=False)
        assert [e.tokens for e in data.examples if isinstance(e, TaggedExample)] == [expected]


def test_words_without_tags(tmp_path: Path) -> None:
    path = write(tmp_path, "a.conll", "Ann\nLee\n\nBonn\n")
    assert read_dataset(path, labelled=False).examples == [
        TaggedExample(1, ("Ann", "Lee")),
        TaggedExample(4, ("Bonn",)),
    ]
    path = write(tmp_path, "a.jsonl", '{"tokens": ["Ann"], "tags": ["B-PER"]}\n')
    assert read_dataset(path, labelled=False).examples == [TaggedExample(1, ("Ann",))]


def test_a_very_long_text_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label\n" + "x " * 5_000_000 + ",long\nb,short\n")
    assert [len(e.text) for e in read_dataset(path).examples] == [10_000_000, 1]


CELLS = st.text(
    alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20
)


@given(st.lists(st.tuples(CELLS, CELLS.filter(str.strip)), min_size=1, max_size=8))
def test_what_python_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    import csv

    folder = tmp_path_factory.mktemp("read")
    with (folder / "a.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows([("text", "label"), *rows])
    documents = [json.dumps({"text": text, "label": label}) for text, label in rows]
    write(folder, "a.jsonl", "\n".join(documents))
    expected = [(text, label.strip()) for text, label in rows]
    for name in ("a.csv", "a.jsonl"):
        read = [(text, label) for _, text, label in texts(read_dataset(folder / name))]
        assert read == expected
