"""The check finds what was put into a file, with its rows, and nothing in a clean one."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.data.check import CheckReport, Finding, check
from freehold.data.duplicates import normalise
from freehold.data.lengths import estimate_tokens, percentiles
from freehold.data.splits import name_splits
from freehold.errors import DataError
from freehold.tasks.types import Dataset, Example, TaggedExample

GREETINGS = [f"hello number {n} how are you" for n in range(10)]
QUESTIONS = [f"what does ticket {n * 7919} cost" for n in range(10)]
CLEAN = [(text, "greeting") for text in GREETINGS] + [(text, "price") for text in QUESTIONS]


def texts(*rows: tuple[str, str]) -> Dataset:
    examples = [Example(line, text, label) for line, (text, label) in enumerate(rows, start=2)]
    columns = {"text": "text", "label": "label"}
    kind = "text-classification"
    return Dataset(Path("a.csv"), kind, examples, "0" * 64, "csv", "utf-8", columns, True)


def sentences(*rows: tuple[str, str]) -> Dataset:
    examples = [
        TaggedExample(line, tuple(words.split()), tuple(tags.split()))
        for line, (words, tags) in enumerate(rows, start=1)
    ]
    columns = {"tokens": "1", "tags": "2"}
    kind = "token-classification"
    return Dataset(Path("a.conll"), kind, examples, "0" * 64, "conll", "utf-8", columns, False)


def found(report: CheckReport, kind: str) -> list[Finding]:
    return [finding for finding in report.problems if finding.kind == kind]


def one(report: CheckReport, kind: str) -> Finding:
    (finding,) = found(report, kind)
    return finding


def test_a_clean_file_is_ready() -> None:
    report = check({"train": texts(*CLEAN)})
    assert report.ok
    assert [finding.kind for finding in report.problems] == ["imbalance"]
    summary = report.splits["train"]
    assert summary.counts == {"greeting": 10, "price": 10}
    assert summary.majority == 0.5
    assert summary.characters["max"] == max(len(text) for text, _ in CLEAN)


def test_empty_and_long_texts() -> None:
    rows = [
        *CLEAN,
        ("  ", "price"),
        ("", "price"),
        ("word " * 200, "price"),
        ("x" * 10_001, "price"),
    ]
    report = check({"train": texts(*rows)}, max_length=100)
    assert one(report, "empty_text").rows == [22, 23]
    assert one(report, "empty_text").severity == "error"
    assert one(report, "long_text").rows == [24, 25]
    assert one(report, "huge_text").rows == [25]
    assert not found(report, "duplicate")
    assert not report.ok


def test_what_is_read_in_windows_loses_nothing() -> None:
    long = sentences(("New York " * 80, "B-LOC I-LOC " * 80), ("we met", "O O"))
    report = check({"train": long}, max_length=100)
    assert one(report, "read_in_windows").rows == [1]
    assert not found(report, "long_text")


def test_what_is_beyond_all_windows_is_said_to_be_cut_off() -> None:
    endless = sentences(*((("York " * n), ("B-LOC " * n)) for n in (3_000, 300)))
    report = check({"train": endless}, max_length=100)
    assert one(report, "long_text").rows == [1]
    assert one(report, "long_text").severity == "warning"
    assert one(report, "read_in_windows").rows == [2]


def test_duplicates_as_written_and_when_folded() -> None:
    rows = [*CLEAN, CLEAN[0], ("HELLO number 1  how are you", "greeting"), CLEAN[0]]
    report = check({"train": texts(*rows)})
    exact, folded = one(report, "duplicate"), one(report, "duplicate_folded")
    assert (exact.count, exact.rows) == (2, [(2, 22, 24)])
    assert (folded.count, folded.rows) == (1, [(3, 23)])
    assert not found(report, "contradiction")


def test_contradictions_name_rows_and_labels() -> None:
    rows = [
        *CLEAN,
        ("Hello Number 3 how are you", "price"),
        ("ｈｅｌｌｏ number 3 how are you", "x"),
    ]
    finding = one(check({"train": texts(*rows)}), "contradiction")
    assert finding.rows == [(5, 22, 23)]
    assert finding.labels == (("greeting", "price", "x"),)
    assert "greeting / price / x (1)" in finding.message


def test_leakage_between_splits() -> None:
    long = "my card was swallowed by the machine at the main station this morning and it did not "
    twin = (long * 2 + "come back", "price")
    train = texts(*CLEAN, CLEAN[0], twin)
    dev = texts(
        CLEAN[0], CLEAN[0], (CLEAN[1][0].upper(), "greeting"), (long * 2 + "come!", "price")
    )
    report = check({"train": train, "dev": dev})
    exact, folded = one(report, "leakage"), one(report, "leakage_folded")
    assert (exact.count, exact.severity, exact.split) == (1, "error", "train/dev")
    assert exact.rows == [(2, 2), (22, 3)]
    assert "2 rows of dev" in exact.message
    assert (folded.count, folded.rows) == (1, [(3, 4)])
    near = one(report, "near_leakage")
    assert (near.severity, near.rows) == ("warning", [(23, 5)])


def test_contradictions_between_splits_pair_their_rows() -> None:
    train = texts(*CLEAN)
    dev = texts((CLEAN[0][0], "price"), (CLEAN[1][0], "greeting"))
    finding = one(check({"train": train, "dev": dev}), "contradiction")
    assert (finding.split, finding.count) == ("train/dev", 1)
    assert finding.rows == [(2, 2)]
    assert finding.labels == (("greeting", "price"),)


def test_near_duplicates_within_a_split() -> None:
    long = (
        "please send the invoice for my last three rides to the address of our company in the city "
    )
    rows = [*CLEAN, (long + "today", "price"), (long + "now", "price"), (long + "soon", "price")]
    finding = one(check({"train": texts(*rows)}), "near_duplicate")
    assert (finding.severity, finding.count, finding.rows) == ("info", 2, [(22, 23, 24)])


def test_labels_too_rare_unseen_untested() -> None:
    rows = [*CLEAN, ("one of a kind", "once"), ("some", "few"), ("more", "few")]
    dev = texts(("anything", "new"), ("other thing", "price"), ("a third", "new"))
    report = check({"train": texts(*rows), "dev": dev})
    once, rare = one(report, "seen_once"), one(report, "rare_label")
    assert (once.severity, once.rows, once.labels) == ("error", [22], (("once",),))
    assert (rare.severity, rare.rows, rare.labels) == ("warning", [23, 24], (("few",),))
    unseen = one(report, "unseen_label")
    assert (unseen.severity, unseen.split, unseen.rows) == ("error", "dev", [2, 4])
    assert one(report, "untested_label").count == 3


def test_lost_and_misspelt_labels() -> None:
    rows = [*CLEAN, *[(f"lost {n}", "NaN") for n in range(8)], ("hi there", "Greeting ")]
    report = check({"train": texts(*rows)})
    assert one(report, "lost_label").rows == list(range(22, 30))
    variants = one(report, "label_variants")
    assert (variants.count, variants.rows) == (1, [30])


def test_imbalance_and_majority_baseline() -> None:
    rows = [(f"question {n} of many", "a") for n in range(90)] + [
        (f"other {n * 31} here", "b") for n in range(9)
    ]
    finding = one(check({"train": texts(*rows)}), "imbalance")
    assert finding.severity == "warning"
    assert "10.0 to 1" in finding.message
    assert "90.9%" in finding.message


def test_one_label_is_nothing_to_learn() -> None:
    assert one(check({"x": texts(*CLEAN[:10])}), "one_label").severity == "error"
    nothing = sentences(("a b", "O O"), ("c d", "O O"))
    assert one(check({"train": nothing}), "one_label").split == "train"


def test_tagged_sentences() -> None:
    train = sentences(
        ("Ann Lee left Bonn", "B-PER I-PER O B-LOC"),
        ("ann lee left bonn", "O O O B-LOC"),
        ("Ann Lee left Bonn", "B-PER I-PER O B-LOC"),
        ("we saw it", "O O O"),
    )
    dev = sentences(("we saw it", "O O B-ORG"), ("We sawit", "O O"))
    report = check({"train": train, "dev": dev})
    assert report.splits["train"].counts == {"LOC": 3, "PER": 2}
    assert report.splits["train"].majority_label == "O"
    assert one(report, "duplicate").rows == [(1, 3)]
    assert one(report, "unseen_label").labels == (("ORG",),)
    within, between = found(report, "contradiction")
    assert within.rows == [(1, 2, 3)]
    assert between.rows == [(4, 1)]
    assert "tags" in within.message


def test_another_splitting_into_words_is_no_contradiction() -> None:
    data = sentences(("it is U.S. law", "O O B-LOC O"), ("it is U.S. law", "O O B-LOC O"))
    other = Dataset(
        data.path,
        data.task,
        [TaggedExample(1, ("it is", "U.S. law"), ("O", "B-LOC")), *data.examples[1:]],  # type: ignore[list-item]  # all are TaggedExample
        *("0" * 64, "conll", "utf-8", {}, False),
    )
    assert not found(check({"train": other}), "contradiction")


def test_repaired_tags_are_reported() -> None:
    data = sentences(("Ann Lee", "B-PER I-PER"))
    repaired = Dataset(
        data.path, data.task, data.examples, "", "conll", "utf-8", {}, False, repaired=(1,)
    )
    assert one(check({"train": repaired}), "repaired_tags").rows == (1,)


def test_the_document_is_json_with_every_row() -> None:
    report = check({"train": texts(*CLEAN, *CLEAN), "dev": texts(*CLEAN)})
    document = msgspec.json.decode(msgspec.json.encode(report.document()))
    assert document["ok"] is False
    assert document["errors"] == 1
    leak = next(item for item in document["problems"] if item["kind"] == "leakage")
    assert len(leak["rows"]) == 40
    assert document["problems"][0]["severity"] == "error"
    assert document["splits"]["train"]["n"] == 40


def test_files_of_different_tasks_are_not_compared() -> None:
    with pytest.raises(DataError, match="different tasks"):
        check({"train": texts(*CLEAN), "dev": sentences(("a", "O"))})
    with pytest.raises(DataError, match="no file"):
        check({})


def test_splits_by_name_and_by_order(tmp_path: Path) -> None:
    paths = {name: Path(f"{name}.csv") for name in ("a", "b", "c", "dev", "train", "validation")}
    assert name_splits([paths["dev"]]) == {"train": paths["dev"]}
    both = name_splits([paths["dev"], paths["train"]])
    assert list(both.items()) == [("train", paths["train"]), ("dev", paths["dev"])]
    assert name_splits([paths["a"], paths["b"]]) == {"train": paths["a"], "dev": paths["b"]}
    given = name_splits([paths["a"], paths["validation"]], dev=paths["b"])
    assert given == {"train": paths["a"], "dev": paths["b"], "test": paths["validation"]}
    with pytest.raises(DataError, match="one file too many"):
        name_splits([paths["a"], paths["b"], paths["c"], paths["train"]])


@given(st.text())
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    same = normalise(text)
    assert same == " ".join(same.split())
    assert normalise(f"  {same}\n") == normalise(same)


@given(st.text(), st.text())
def test_estimated_tokens_grow_with_the_text(one: str, other: str) -> None:
    assert estimate_tokens(f"{one} {other}") >= max(estimate_tokens(one), estimate_tokens(other))


@given(st.lists(st.integers(0, 1000), min_size=1))
def test_percentiles_are_values_that_cover_their_share(values: list[int]) -> None:
    result = percentiles(values)
    for name, share in (("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)):
        assert result[name] in values
        assert 100 * sum(value <= result[name] for value in values) >= share * len(values)
