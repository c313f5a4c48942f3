"""Small changes of texts: what they change, and what they leave alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.data.perturb.lexicon import alike, names, shipped, user
from freehold.data.perturb.moves import KINDS, candidates, perturbed
from freehold.data.perturb.words import NEGATIONS, cut
from freehold.errors import DataError


def _chance() -> np.random.Generator:
    return np.random.default_rng(5)


@given(st.text())
def test_a_text_that_is_cut_is_put_together_again(text: str) -> None:
    words = cut(text, shipped().entries)
    assert words.text() == text
    assert len(words.gaps) == len(words.words) + 1


@given(st.text(alphabet="ab é酒店好 ,.'-", max_size=40), st.integers(0, 30))
def test_the_places_of_changed_words_are_where_they_stand(text: str, number: int) -> None:
    words = cut(text, shipped().entries)
    changed = {number: "xyz"} if number < len(words.words) else {}
    made = words.text(changed)
    assert [made[begin:end] for begin, end in words.places(changed)] == list(changed.values())


def test_chinese_is_cut_into_words_of_the_lexicon_and_characters() -> None:
    words = cut("酒店的服务很好, ok", shipped().entries).words
    assert words == ("酒店", "的", "服", "务", "很", "好", "ok")


def test_a_left_out_word_leaves_with_the_gap_after_it() -> None:
    assert cut("a good, film").without(1) == "a film"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("word", ["not", "NEVER", "n't", "don't", "3rd", "不", "没有"])
def test_negations_and_numbers_are_never_touched(kind: str, word: str) -> None:
    assert candidates(kind, word, shipped(), _chance(), 20) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("word", ["terrible", "Terrible", "wonderful"])
def test_slips_are_one_edit_inside_the_word(word: str) -> None:
    typos = candidates("typo", word, shipped(), _chance(), 30)
    assert {len(one) - len(word) for one in typos} == {-1, 0, 1}
    for kind in ("typo", "swap"):
        for one in candidates(kind, word, shipped(), _chance(), 30):  # type: ignore[arg-type]
            assert (one[0], one[-1]) == (word[0], word[-1])
            assert one != word
    assert all(
        sorted(one) == sorted(word) for one in candidates("swap", word, shipped(), _chance(), 30)
    )


def test_homoglyphs_change_one_letter_for_one_of_another_alphabet() -> None:
    found = candidates("homoglyph", "place", shipped(), _chance(), 30)
    assert found
    for one in found:
        pairs = [(a, b) for a, b in zip("place", one, strict=True) if a != b]
        assert len(pairs) == 1
        assert ord(pairs[0][1]) > 0x2FF


def test_synonyms_take_the_case_of_the_word() -> None:
    words = shipped()
    assert candidates("synonym", "Movie", words, _chance(), 1) == ["Film"]
    assert candidates("synonym", "MOVIE", words, _chance(), 1) == ["FILM"]
    assert candidates("synonym", "宾馆", words, _chance(), 1) == ["酒店"]


def test_a_misspelling_is_no_other_known_word_and_no_negation() -> None:
    for kind in ("typo", "swap"):
        for word in ("note", "nott", "knot", "form", "sound", "wast", "taste"):
            for one in candidates(kind, word, shipped(), _chance(), 60):  # type: ignore[arg-type]
                assert one not in NEGATIONS
                assert not shipped().synonyms(one)


def test_the_lexicon_is_symmetric_and_says_that_it_is_ours() -> None:
    entries = shipped().entries
    assert len(entries) > 900
    for word, others in entries.items():
        for other in others:
            assert word in [one.lower() for one in entries[other.lower()]], (word, other)
    assert not NEGATIONS & set(entries)
    folder = Path(__file__).resolve().parents[2] / "src/freehold/data/perturb"
    for name in ("en.txt", "zh.txt", "zh_alike.txt", "names.txt"):
        assert "ritten by hand" in (folder / name).read_text(encoding="utf-8").partition("\n\n")[0]
    assert set(names()) == {"given", "family", "place", "zh_place", "zh_name"}
    assert alike("look")["未"] == ("末",)


def test_the_same_seed_perturbs_alike_and_leaves_what_it_cannot_change() -> None:
    text = "a thoroughly enjoyable film about friendship and loss"
    made = [perturbed(text, shipped(), np.random.default_rng(3), share=0.3) for _ in range(2)]
    assert made[0] == made[1] != text
    changed = sum(a != b for a, b in zip(text.split(), made[0].split(), strict=False))
    assert changed >= 1
    for still in ("", "not a 12", "!?"):
        assert perturbed(still, shipped(), _chance(), share=0.5) == still


def test_a_users_lexicon_is_read_and_its_mistakes_are_named(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("# of banking\n\nIBAN, account number\n", encoding="utf-8")
    assert user(file).synonyms("iban") == ("account number",)
    file.write_text("card, bank card\nlonely\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"words\.txt line 2: a group needs at least two words"):
        user(file)
    file.write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(DataError, match="has no words"):
        user(file)
    file.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(DataError, match="not UTF-8"):
        user(file)
    with pytest.raises(DataError, match="cannot be read"):
        user(tmp_path / "none.txt")
