"""Token classification: one BIO tag a word; a long text is read in overlapping windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from freehold.errors import TrainError
from freehold.tasks.answers import TaggedWord, WordsAnswer, entities_of, softmax
from freehold.tasks.base import Form, Logits, Measured, Parameters, Score, Settings, Task
from freehold.tasks.bio import OUTSIDE, best_tags
from freehold.tasks.choice import mean_loss
from freehold.tasks.roles import Role
from freehold.tasks.shapes import Wire
from freehold.tasks.tensors import findings, numbers, texts, whole
from freehold.tasks.tokenise import Encoded, Tokeniser
from freehold.tasks.types import Dataset, TaggedExample

__all__ = ["CERTAIN", "TASK", "TokenClassification", "entities"]

CERTAIN = 1000.0  # the logit of "O", above zeros, for a word the encoder did not see
IGNORED = -100  # the target of a position that no loss is taken at


class TokenParameters(Parameters):
    aggregation_strategy: Annotated[
        Literal["none", "simple", "first", "average", "max"] | None,
        Meta(
            description="none lists words with their tags; simple, first, average and max list "
            "entities, and come to the same, as each word has one prediction"
        ),
    ] = None
    ignore_labels: Annotated[
        list[str] | None, Meta(description='what to leave out; ["O"] if left out')
    ] = None
    stride: Annotated[
        Literal[0] | None,
        Meta(
            description="not taken: a long text is read in windows that overlap as they did in "
            "training"
        ),
    ] = None


class Marked(TypedDict):
    """An entity, or with the strategy "none" a word."""

    entity_group: NotRequired[Annotated[str, Meta(description="The type of an entity.")]]
    entity: NotRequired[Annotated[str, Meta(description="A word's tag.")]]
    score: float
    word: str
    start: Annotated[int, Meta(description="First character.")]
    end: Annotated[int, Meta(description="One behind the last character.")]


class TokenClassification(Task):
    kind = "token-classification"
    score_name = "entity_f1"
    head = "tags"
    chooses = True
    roles = (
        Role("tokens", "words", ("tokens", "words", "token", "word")),
        Role("tags", "tags", ("tags", "ner_tags", "labels"), target=True),
    )
    windows = True
    wire = Wire(
        one=str,
        answers=(list[Marked], list[list[Marked]]),
        examples=(
            (
                "we met in New York",
                [
                    {
                        "entity_group": "LOC",
                        "score": 0.98,
                        "word": "New York",
                        "start": 10,
                        "end": 18,
                    }
                ],
            ),
        ),
    )
    parameters = TokenParameters
    tensors = findings(
        "entities",
        texts("type", "entity"),
        numbers("score"),
        texts("word"),
        whole("start"),
        whole("end"),
    )

    def example(self, row: int, values: Mapping[str, Any]) -> TaggedExample:
        return TaggedExample(row, values["tokens"], values.get("tags"))

    def labels(self, train: Dataset) -> list[str]:
        tags = [tag for tag in train.labels() if tag != OUTSIDE]
        if not tags:
            raise TrainError(
                f"{train.path} has no tag but {OUTSIDE}; there is nothing to learn from it.",
                hint="Tag at least some words with B-NAME and I-NAME.",
            )
        return [OUTSIDE, *tags]

    def encode(self, tokeniser: Tokeniser, inputs: Sequence[Any]) -> list[Encoded]:
        """A string is split by `split_words`; a sequence of words is taken as split already."""
        if inputs and isinstance(inputs[0], str):
            return tokeniser.raw_words(inputs)
        return tokeniser.words(inputs)

    def targets(
        self, encoded: Encoded, example: Any, labels: Sequence[str]
    ) -> list[NDArray[np.int64]]:
        """The tag of each word at its first token, in every window where it begins."""
        place = {label: number for number, label in enumerate(labels)}
        tags = np.array([place[tag] for tag in example.tags], np.int64)
        found = []
        for window in encoded.windows:
            assert window.words is not None
            target = np.full(len(window.ids), IGNORED, np.int64)
            begins = window.words >= 0
            target[begins] = tags[window.words[begins]]
            found.append(target)
        return found

    def join(self, encoded: Encoded, rows: Sequence[Logits], labels: Sequence[str]) -> Logits:
        """(words, labels); a word without a token of its own is certainly "O"."""
        assert encoded.words is not None
        carriers, windows = encoded.words.carriers, encoded.words.windows
        if len(rows) == 1:
            logits = rows[0][carriers]
        else:
            logits = np.empty((len(carriers), len(labels)), np.float32)
            for number, row in enumerate(rows):
                here = windows == number
                logits[here] = row[carriers[here]]
        if len(logits) and (carriers < 0).any():
            unseen = np.zeros(len(labels), np.float32)
            if OUTSIDE in labels:
                unseen[labels.index(OUTSIDE)] = CERTAIN
            logits[carriers < 0] = unseen
        return logits

    def decisions(self, example: Any) -> tuple[str, ...] | None:
        tags: tuple[str, ...] | None = example.tags
        return tags

    def score(
        self, examples: Sequence[Any], logits: Sequence[Logits], labels: Sequence[str]
    ) -> Score:
        """Micro F1 of whole entities, as conlleval and seqeval's default mode count them."""
        place = {label: number for number, label in enumerate(labels)}
        right, found, expected = _counts(examples, logits, labels).sum(0).tolist()
        targets = [place.get(tag, -1) for example in examples for tag in example.tags or ()]
        loss = mean_loss(np.concatenate(logits), np.array(targets))
        return Score(2 * right / (found + expected) if found + expected else 0.0, loss)

    def measure(
        self,
        examples: Sequence[Any],
        logits: Sequence[Logits],
        labels: Sequence[str],
        settings: Settings,
    ) -> Measured:
        counts = _counts(examples, logits, labels)

        def metrics(chosen: NDArray[np.int64]) -> dict[str, float]:
            right, found, expected = counts[chosen].sum(0).tolist()
            return {"entity_f1": 2 * right / (found + expected) if found + expected else 0.0}

        return Measured(len(counts), metrics)

    def agreement(
        self,
        one: Sequence[Logits],
        other: Sequence[Logits],
        labels: Sequence[str],
        settings: Settings,
    ) -> float:
        """Share of words with the same answered tag."""
        same = [
            best_tags(a, labels) == best_tags(b, labels) for a, b in zip(one, other, strict=True)
        ]
        return float(np.concatenate(same).mean())

    def answer(
        self, encoded: Encoded, logits: Logits, labels: Sequence[str], settings: Settings
    ) -> WordsAnswer:
        assert encoded.words is not None
        chances = softmax(logits, float(settings.get("temperature", 1.0)))
        best = best_tags(logits, labels).tolist()
        words = tuple(
            TaggedWord(labels[place], float(row[place]), encoded.text[start:end], start, end)
            for place, row, (start, end) in zip(best, chances, encoded.words.spans, strict=True)
        )
        return WordsAnswer(words, entities_of(words, encoded.text))

    def render(
        self, answers: Sequence[WordsAnswer], parameters: TokenParameters, *, form: Form
    ) -> Any:
        """The entities, or with the strategy "none" the words; of a single text the list itself.

        Every strategy but "none" comes to the same: each word has one prediction.
        """
        given = parameters.ignore_labels
        ignored = frozenset((OUTSIDE,) if given is None else given)
        if parameters.aggregation_strategy == "none":
            rows = [
                [word.document() for word in answer.words if word.tag not in ignored]
                for answer in answers
            ]
        else:
            rows = [
                [one.document() for one in answer.entities if one.type not in ignored]
                for answer in answers
            ]
        return rows[0] if form == "single" else rows


def entities(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """(type, first word, word after the last) of each entity in BIO tags.

    As conlleval has it (Tjong Kim Sang and De Meulder 2003): I-X goes on with an X before it, and
    begins an entity where there is none.
    """
    found = set()
    start, kind = 0, ""
    for number, tag in enumerate([*tags, OUTSIDE]):
        prefix, _, name = tag.partition("-")
        goes_on = prefix == "I" and name == kind and kind != ""
        if kind and not goes_on:
            found.add((kind, start, number))
            kind = ""
        if prefix in ("B", "I") and not goes_on:
            start, kind = number, name
    return found


def _counts(
    examples: Sequence[Any], logits: Sequence[Logits], labels: Sequence[str]
) -> NDArray[np.int64]:
    """(n, 3): entities that are right, found and expected in each sentence."""
    counts = np.zeros((len(examples), 3), np.int64)
    for row, (example, logit) in enumerate(zip(examples, logits, strict=True)):
        gold = entities(example.tags or ())
        predicted = entities([labels[number] for number in best_tags(logit, labels)])
        counts[row] = len(gold & predicted), len(predicted), len(gold)
    return counts


TASK = TokenClassification()
