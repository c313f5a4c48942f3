"""docs/data.md names every finding, every file ending and every column name that is inferred."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import freehold.data
from freehold.data.columns import LABEL, TAGS, TEXT, TOKENS
from freehold.data.read import FORMATS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs" / "data.md").read_text(encoding="utf-8")


def test_every_finding_is_described_with_its_severity(page: str) -> None:
    folder = Path(freehold.data.__file__).parent
    source = "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    found = dict(re.findall(r'Finding\(\s*"(\w+)",\s*"(\w+)"', source)) | {"imbalance": "info"}
    assert len(found) == 20
    described = dict(re.findall(r"^\| `(\w+)` \| (\w+)", page, re.MULTILINE))
    assert described == found


def test_every_ending_and_every_column_name_is_listed(page: str) -> None:
    for ending in FORMATS:
        assert f"`{ending}`" in page
    table = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("   | ")][2:]
    for place, ranks in enumerate((TEXT, LABEL, TOKENS, TAGS)):
        listed = [frozenset(re.findall(r"\w+", row[place])) for row in table]
        assert tuple(names for names in listed if names) == ranks
