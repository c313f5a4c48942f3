"""One file made into two: what every split of it has to have."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.data.divide import divide, write_examples
from freehold.data.duplicates import normalise
from freehold.data.read import read_dataset
from freehold.errors import DataError
from freehold.tasks.types import Dataset, Example, TaggedExample


def dataset(examples: list[Example]) -> Dataset:
    return Dataset(Path("a.csv"), "text-classification", examples, "0", "csv", "utf-8", {}, False)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.text("aA bB", max_size=4), st.sampled_from("xyz")), min_size=20, max_size=80
    ),
    st.integers(0, 5),
)
def test_every_split_is_whole_and_leaks_nothing(rows: list[tuple[str, str]], seed: int) -> None:
    examples = [Example(n, text, label) for n, (text, label) in enumerate(rows)]
    try:
        train, dev = divide(dataset(examples), seed=seed)
    except DataError:
        return
    assert sorted([*train, *dev]) == list(range(len(examples)))
    assert train
    texts = [{normalise(examples[n].text) for n in part} for part in (train, dev)]
    assert not texts[0] & texts[1]
    assert divide(dataset(examples), seed=seed) == (train, dev)


def test_each_label_gives_its_share() -> None:
    examples = [Example(n, f"text {n}", "ab"[n < 30]) for n in range(130)]
    _, dev = divide(dataset(examples), share=0.2, seed=1)
    assert Counter(examples[n].label for n in dev) == {"a": 20, "b": 6}
    assert divide(dataset(examples), seed=2)[1] != dev


def test_a_label_seen_once_stays_where_it_is_learnt() -> None:
    examples = [Example(n, f"text {n}", "many") for n in range(20)]
    examples.append(Example(20, "alone", "once"))
    train, _ = divide(dataset(examples))
    assert 20 in train


def test_too_few_to_divide_is_a_sentence() -> None:
    with pytest.raises(DataError, match="too small"):
        divide(dataset([Example(1, "a", "x"), Example(2, "b", "y")]))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    texts = [Example(1, 'a "quoted"\nline', "x"), Example(2, "账单", "y")]
    write_examples(tmp_path / "texts.jsonl", texts)
    found = read_dataset(tmp_path / "texts.jsonl").examples
    assert [(e.text, e.target) for e in found] == [(e.text, e.label) for e in texts]
    tagged = [TaggedExample(1, ("Anna", "left"), ("B-PER", "O"))]
    write_examples(tmp_path / "tags.jsonl", tagged)
    (one,) = read_dataset(tmp_path / "tags.jsonl").examples
    assert (one.input, one.target) == (tagged[0].tokens, tagged[0].tags)
