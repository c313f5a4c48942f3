"""Scores against tables worked by hand, scikit-learn and seqeval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support as seqeval_scores
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from freehold.errors import DataError
from freehold.evaluate.scores import Table, classification_scores, tagging_scores

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
MEANS = ("micro", "macro", "weighted")


def by_label(table: Table) -> dict[str, tuple[float, float, float, int]]:
    return {row.label: (row.precision, row.recall, row.f1, row.support) for row in table.rows}


def test_a_classification_table_worked_by_hand() -> None:
    gold = ["cat", "cat", "cat", "dog", "dog", "hen"]
    predicted = ["cat", "cat", "dog", "dog", "cat", "dog"]
    scores = classification_scores(gold, predicted, ["cat", "dog", "hen", "owl"])
    rows = by_label(scores.per_label)
    assert rows["cat"] == pytest.approx((2 / 3, 2 / 3, 2 / 3, 3))
    assert rows["dog"] == pytest.approx((1 / 3, 1 / 2, 2 / 5, 2))
    assert rows["hen"] == (0, 0, 0, 1)  # never answered: precision is 0 by convention
    assert rows["owl"] == (0, 0, 0, 0)  # a label of the model that does not occur still has a row
    assert scores.n == 6
    assert scores.accuracy == pytest.approx(3 / 6)
    assert scores.micro_f1 == pytest.approx(3 / 6)
    assert scores.macro_f1 == pytest.approx((2 / 3 + 2 / 5 + 0 + 0) / 4)
    assert scores.weighted_f1 == pytest.approx((3 * 2 / 3 + 2 * 2 / 5) / 6)
    assert scores.entity_f1 is None
    assert scores.confusion.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]


def test_a_tagging_table_worked_by_hand() -> None:
    gold = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "O", "B-PER"]]
    predicted = [["B-PER", "I-PER", "O", "B-PER"], ["O", "B-LOC", "B-PER"]]
    scores = tagging_scores(gold, predicted, TAGS)
    words = by_label(scores.per_label)
    assert scores.n == 7
    assert scores.accuracy == pytest.approx(5 / 7)
    assert words["O"] == pytest.approx((1, 2 / 3, 4 / 5, 3))
    assert words["B-PER"] == pytest.approx((2 / 3, 1, 4 / 5, 2))
    assert words["I-LOC"] == (0, 0, 0, 0)
    assert scores.entities is not None
    entities = by_label(scores.entities)
    assert entities["PER"] == pytest.approx((2 / 3, 1, 4 / 5, 2))
    assert entities["LOC"] == (0, 0, 0, 1)
    assert scores.entity_f1 == pytest.approx(2 * 2 / (4 + 3))


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        (["I-PER", "I-PER"], 1),  # an I- that follows nothing begins an entity
        (["O", "I-PER", "O"], 1),
        (["B-PER", "B-PER"], 2),
        (["B-PER", "I-LOC"], 2),  # an I- of another type begins one too
        (["B-PER", "I-PER", "I-PER"], 1),
        (["B-PER", "O", "I-PER"], 2),
        (["O", "O"], 0),
        (["S-PER", "B-PER", "E-PER", "I-PER"], 3),
        (["PER", "PER"], 1),  # a tag without a prefix is inside
    ],
)
def test_how_many_entities_a_sequence_of_tags_holds(tags: list[str], spans: int) -> None:
    entities = tagging_scores([tags], [tags], tags).entities
    assert entities is not None
    assert entities.micro.support == spans
    assert entities.micro.f1 == (1 if spans else 0)


def test_a_forgotten_b_costs_nothing_where_the_borders_are_right() -> None:
    assert tagging_scores([["O", "B-PER"]], [["O", "I-PER"]], TAGS).entity_f1 == 1
    # ... but splits nothing, so two neighbours become one wrong entity
    gold, predicted = [["B-PER", "B-PER"]], [["B-PER", "I-PER"]]
    assert tagging_scores(gold, predicted, TAGS).entity_f1 == 0


def test_an_entity_never_crosses_a_sentence() -> None:
    tags = [["O", "B-PER"], ["I-PER", "O"]]
    entities = tagging_scores(tags, tags, TAGS).entities
    assert entities is not None
    assert entities.micro.support == 2


def test_a_label_the_model_does_not_know_is_an_error_with_a_row_of_its_own() -> None:
    scores = classification_scores(["cat", "emu"], ["cat", "cat"], ["cat"])
    assert scores.labels == ("cat", "emu")
    assert scores.accuracy == 0.5
    assert by_label(scores.per_label)["emu"] == (0, 0, 0, 1)


def test_nothing_to_score_and_lengths_that_differ_are_refused() -> None:
    with pytest.raises(DataError, match="nothing to score"):
        classification_scores([], [], ["cat"])
    with pytest.raises(DataError, match="nothing to score"):
        tagging_scores([[]], [[]], TAGS)
    with pytest.raises(ValueError, match="2 gold labels for 1"):
        classification_scores(["cat", "cat"], ["cat"], ["cat"])
    with pytest.raises(ValueError, match="number of sentences or words"):
        tagging_scores([["O"]], [["O", "O"]], TAGS)


LABELS = ["a", "b", "c", "d"]
pairs = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1)


@given(pairs)
@settings(max_examples=60, deadline=None)
def test_classification_scores_are_those_of_scikit_learn(decisions: list[tuple[str, str]]) -> None:
    gold, predicted = map(list, zip(*decisions, strict=True))
    scores = classification_scores(gold, predicted, LABELS)
    assert scores.accuracy == pytest.approx(accuracy_score(gold, predicted))
    assert scores.micro_f1 == pytest.approx(scores.accuracy)
    known = {"labels": LABELS, "zero_division": 0}
    theirs = np.array(precision_recall_fscore_support(gold, predicted, **known)).T
    ours = [(row.precision, row.recall, row.f1, row.support) for row in scores.per_label.rows]
    np.testing.assert_allclose(ours, theirs)
    for mean in MEANS:
        one = getattr(scores.per_label, mean)
        theirs = precision_recall_fscore_support(gold, predicted, average=mean, **known)[:3]
        np.testing.assert_allclose((one.precision, one.recall, one.f1), theirs)
    matrix = confusion_matrix(gold, predicted, labels=LABELS)
    assert scores.confusion.tolist() == matrix.tolist()


tags = st.sampled_from([*TAGS, "S-PER", "E-LOC", "B-ORG-x", "I"])
sentences = st.lists(st.lists(st.tuples(tags, tags), max_size=8), min_size=1, max_size=6)


@given(sentences.filter(any))
@settings(max_examples=120, deadline=None)
@pytest.mark.filterwarnings("ignore")  # seqeval warns where a type is never predicted
def test_entity_scores_are_those_of_seqeval(tagged: list[list[tuple[str, str]]]) -> None:
    gold = [[g for g, _ in sentence] for sentence in tagged]
    predicted = [[p for _, p in sentence] for sentence in tagged]
    scores = tagging_scores(gold, predicted, TAGS)
    assert scores.entities is not None
    theirs = np.array(seqeval_scores(gold, predicted, zero_division=0)).T
    ours = [(row.precision, row.recall, row.f1, row.support) for row in scores.entities.rows]
    np.testing.assert_allclose(np.array(ours).reshape(-1, 4), theirs.reshape(-1, 4))
    if not ours:
        return  # seqeval averages over nothing to nan; here it is 0
    for mean in MEANS:
        one = getattr(scores.entities, mean)
        theirs = seqeval_scores(gold, predicted, average=mean, zero_division=0)[:3]
        if one.support or mean != "weighted":  # seqeval divides by a support of 0 there
            np.testing.assert_allclose((one.precision, one.recall, one.f1), theirs)
