"""On public sets: the duplicates, overlaps and contradictions that their SOURCE.md states."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from freehold.data.check import CheckReport, check
from freehold.data.encoding import decode
from freehold.data.read import read_dataset

pytestmark = pytest.mark.shared

SETS = [
    "banking77",
    "chnsenticorp_htl",
    "clinc150",
    "conll2003",
    "disaster_tweets",
    "fpb50",
    "hint3_powerplay11",
    "hint3_sofmattress",
    "ncbi_disease",
    "restaurant8k",
    "smp2017_ecdt_zh",
    "sst2",
    "symptom2disease",
]


def checked(folder: Path) -> CheckReport:
    files = {name: folder / f"{name}.jsonl" for name in ("train", "dev", "test")}
    return check({name: read_dataset(path) for name, path in files.items() if path.is_file()})


def figures(report: CheckReport, kind: str) -> dict[str, int]:
    return {finding.split: finding.count for finding in report.problems if finding.kind == kind}


@pytest.mark.parametrize("name", SETS)
def test_duplicates_and_overlap_are_those_stated(shared: Path, name: str) -> None:
    folder = shared / "data" / name
    stated = (folder / "SOURCE.md").read_text(encoding="utf-8")
    report = checked(folder)
    rows = re.findall(r"- (train|dev|test)\.jsonl: ([\d,]+) rows", stated)
    # A split that is absent here, or only a part of the stated one, has other figures.
    whole = {
        split
        for split, count in rows
        if split in report.splits and report.splits[split].n == int(count.replace(",", ""))
    }
    (facts,) = re.findall(r"Duplicates / overlap: (.*)", stated)
    repeated = {s: int(n) for s, n in re.findall(r"(\w+) has (\d+) repeated", facts) if s in whole}
    shared_by = {
        f"{one}/{other}": int(count)
        for count, one, other in re.findall(r"(\d+) inputs shared by (\w+) and (\w+)", facts)
        if {one, other} <= whole
    }
    duplicates = figures(report, "duplicate")
    leaks = figures(report, "leakage")
    assert {split: n for split, n in duplicates.items() if split in whole} == repeated
    assert {pair: n for pair, n in leaks.items() if set(pair.split("/")) <= whole} == shared_by


def test_conll2003_shares_129_inputs_between_train_and_dev(shared: Path) -> None:
    report = checked(shared / "data/conll2003")
    leak = next(f for f in report.problems if (f.kind, f.split) == ("leakage", "train/dev"))
    assert leak.count == 129
    assert leak.severity == "error"
    assert len({pair[1] for pair in leak.rows if isinstance(pair, tuple)}) == 193


def test_fpb50_has_one_contradictory_input_in_train(shared: Path) -> None:
    report = checked(shared / "data/fpb50")
    (finding,) = [f for f in report.problems if (f.kind, f.split) == ("contradiction", "train")]
    assert finding.count == 1
    assert finding.rows == [(112, 1273)]
    assert sorted(finding.labels[0]) == ["neutral", "positive"]


@pytest.mark.parametrize("name", ["chnsenticorp_htl", "smp2017_ecdt_zh"])
def test_chinese_sets_are_recognised_in_gb18030(shared: Path, name: str) -> None:
    data = read_dataset(shared / "data" / name / "dev.jsonl")
    text = "\n".join(example.text for example in data.examples)
    decoded = decode(text.encode("gb18030"), Path("a.txt"))
    assert (decoded.encoding, decoded.text) == ("gb18030", text)
