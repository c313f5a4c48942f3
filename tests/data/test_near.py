"""Near duplicates: what is found is truly alike, and what is alike is found, at any size."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.data.near import near_pairs


def jaccard(one: str, other: str) -> float:
    sets = [{text[i : i + 5] for i in range(len(text) - 4)} for text in (one, other)]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def sentence(generator: random.Random, words: int = 25) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return " ".join("".join(generator.choices(letters, k=5)) for _ in range(words))


def test_edited_texts_are_found_and_others_are_not() -> None:
    generator = random.Random(3)
    texts = [sentence(generator) for _ in range(300)]
    edited = [text[:70] + "#" + text[71:] for text in texts[:100]]
    assert min(map(jaccard, texts[:100], edited)) >= 0.9
    found = near_pairs(texts + edited)
    assert found == sorted(found)
    expected = {(place, 300 + place) for place in range(100)}
    assert set(found) <= expected
    assert len(found) >= 98


@settings(max_examples=30)
@given(st.lists(st.text(alphabet="ab ", min_size=15, max_size=40), max_size=12))
def test_no_pair_is_reported_below_the_threshold(texts: list[str]) -> None:
    for i, j in near_pairs(texts, threshold=0.8):
        assert i < j
        assert min(len(texts[i]), len(texts[j])) >= 20
        assert jaccard(texts[i], texts[j]) >= 0.8


def test_short_texts_take_no_part() -> None:
    assert near_pairs(["nineteen letters ab"] * 2) == []
    assert near_pairs(["twenty letters abcde"] * 2) == [(0, 1)]
    assert near_pairs([]) == []
    assert near_pairs(["a single text of some length"]) == []


def test_a_template_repeated_often_makes_few_pairs() -> None:
    stem = sentence(random.Random(5), words=60)
    found = near_pairs([f"{stem} {number:04}" for number in range(1500)])
    assert len(found) < 1500 * 60
    assert len({place for pair in found for place in pair}) == 1500


def test_chinese_and_signs_beyond_the_first_plane() -> None:
    text = "我昨天在你们的网站上买了一件衣服今天还没有收到货请帮我查一下😀物流信息谢谢" * 3
    assert near_pairs([text, text + "！", "完全不同的一句话" * 9]) == [(0, 1)]
