"""The adapters: which token speaks for a word, what counts as an entity, what a score is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from little import dataset, sentences, texts
from tokenizers import Tokenizer
from tokenizers.models import Unigram
from tokenizers.pre_tokenizers import Metaspace

from freehold.errors import TrainError
from freehold.tasks.bio import best_tags
from freehold.tasks.token_classification import entities
from freehold.tasks.types import Example, TaggedExample
from freehold.train.adapter import adapter_of
from freehold.train.batches import IGNORED
from freehold.train.encoders import load_tokenizer

TAGS = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])
LABELS = ["O", "B-PER", "I-PER"]
"""Labels of the sets made by hand below."""


@settings(deadline=None)  # the first call imports seqeval
@given(st.lists(TAGS, max_size=12))
def test_entities_are_what_seqeval_counts(tags: list[str]) -> None:
    from seqeval.metrics.sequence_labeling import get_entities

    expected = {(kind, start, end + 1) for kind, start, end in get_entities(tags)}
    assert entities(tags) == expected


def test_entity_f1_is_that_of_seqeval() -> None:
    from seqeval.metrics import f1_score

    adapter = adapter_of("token-classification")
    chance = np.random.default_rng(0)
    data = sentences(60, seed=4)
    labels = adapter.labels(data)
    logits = [chance.normal(size=(len(e.tokens), len(labels))) for e in data.examples]
    for example, rows in zip(data.examples, logits, strict=True):
        for row, tag in zip(rows, example.tags, strict=True):
            row[labels.index(tag)] += 1.5
    predicted = [[labels[number] for number in best_tags(rows, labels)] for rows in logits]
    expected = f1_score([list(e.tags) for e in data.examples], predicted)
    score = adapter.score(data.examples, logits, labels)
    assert 0.1 < score.value < 0.9
    assert score.value == pytest.approx(expected)


def test_the_first_piece_of_a_word_speaks_for_it(encoder: Path) -> None:
    tokenizer = load_tokenizer(encoder)
    example = TaggedExample(1, ("my", "zx", "bike"), ("O", "B-PER", "I-PER"))
    adapter = adapter_of("token-classification")
    encoded = adapter.encode(tokenizer, [example], 64)
    tokens = [tokenizer.id_to_token(number) for number in encoded.ids[0]]
    assert tokens == ["[CLS]", "my", "z", "##x", "bike", "[SEP]"]
    assert encoded.encoded[0].words is not None
    assert encoded.encoded[0].words.carriers.tolist() == [1, 2, 4]
    (target,) = adapter.targets(encoded, [example], LABELS)
    assert target.tolist() == [IGNORED, 0, 1, IGNORED, 2, IGNORED]


def test_a_bare_space_mark_does_not_speak_for_a_word() -> None:
    pieces = [("<unk>", -9.0), ("▁", -1.0), ("人", -2.0), ("▁my", -1.0)]
    tokenizer = Tokenizer(Unigram(pieces, unk_id=0))
    tokenizer.pre_tokenizer = Metaspace()
    example = TaggedExample(1, ("my", "人"), ("O", "O"))
    encoded = adapter_of("token-classification").encode(tokenizer, [example], 64)
    assert [tokenizer.id_to_token(i) for i in encoded.ids[0]] == ["▁my", "▁", "人"]
    assert encoded.encoded[0].words is not None
    assert encoded.encoded[0].words.carriers.tolist() == [0, 2]


def test_a_word_without_a_token_is_certainly_outside(encoder: Path) -> None:
    tokenizer = load_tokenizer(encoder)
    example = TaggedExample(1, ("my", "\u200b", "bike"))
    adapter = adapter_of("token-classification")
    rows = adapter.encode(tokenizer, [example], 4)
    row = np.full((4, 3), [-1.0, 5.0, 0.0], np.float32)
    decoded = adapter.join(rows, 0, [row], LABELS)
    assert decoded.argmax(1).tolist() == [1, 0, 1]
    assert decoded[1, 0] - decoded[1, 1:].max() > 10


def test_a_word_of_a_long_text_is_answered_where_it_stands_farthest_from_an_edge(
    encoder: Path,
) -> None:
    tokenizer = load_tokenizer(encoder)
    example = TaggedExample(
        1, ("my", "bike", "now", "please", "the", "my", "bike", "now", "please")
    )
    adapter = adapter_of("token-classification")
    rows = adapter.encode(tokenizer, [example], 8)  # six words a window, the next one shares one
    assert [len(ids) for ids in rows.ids] == [8, 6]
    found = rows.encoded[0].words
    assert found is not None
    assert found.windows.tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 1]
    assert found.carriers.tolist() == [1, 2, 3, 4, 5, 6, 2, 3, 4]
    answers = [np.eye(8, 3, dtype=np.float32), np.full((6, 3), 7.0, np.float32)]
    joined = adapter.join(rows, 0, answers, LABELS)
    assert joined.shape == (9, 3)
    assert (joined[6:] == 7.0).all()
    assert (joined[:6] == answers[0][1:7]).all()


def test_a_dev_label_that_training_never_saw_counts_as_wrong() -> None:
    adapter = adapter_of("text-classification")
    examples = [Example(1, "x", "a"), Example(2, "x", "new")]
    score = adapter.score(examples, [np.array([2.0, 0.0]), np.array([2.0, 0.0])], ["a", "b"])
    assert score.value == 0.5
    assert score.loss == pytest.approx(np.log1p(np.exp(-2.0)))


def test_outside_is_the_first_label_even_where_no_word_has_it() -> None:
    data = dataset([TaggedExample(1, ("anna",), ("B-PER",))])
    assert adapter_of("token-classification").labels(data) == ["O", "B-PER"]


def test_there_must_be_something_to_learn() -> None:
    with pytest.raises(TrainError, match="at least 2"):
        adapter_of("text-classification").labels(dataset([Example(1, "x", "a")]))
    with pytest.raises(TrainError, match="nothing to learn"):
        adapter_of("token-classification").labels(dataset([TaggedExample(1, ("x",), ("O",))]))


def test_an_unknown_task_is_answered_with_the_known_ones() -> None:
    with pytest.raises(TrainError) as caught:
        adapter_of("summarise")
    assert "token-classification" in caught.value.sentence()


def test_labels_are_in_the_order_of_the_data_stage() -> None:
    data = texts(12, seed=0)
    assert adapter_of("text-classification").labels(data) == data.labels()
