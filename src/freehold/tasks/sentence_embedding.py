"""Sentence embedding: a vector for a text, alike for texts that mean alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from freehold.errors import InputError, TrainError
from freehold.tasks.answers import VectorAnswer
from freehold.tasks.base import Form, Logits, Measured, Parameters, Score, Settings, Task
from freehold.tasks.numbers import correlation, spearman
from freehold.tasks.roles import SCORE, TEXT, TEXT_A, TEXT_B, Role
from freehold.tasks.shapes import Wire, read
from freehold.tasks.similarity import COMPARISON, Comparison, is_comparison
from freehold.tasks.tensors import Tensor
from freehold.tasks.tokenise import Encoded, Tokeniser, Window
from freehold.tasks.types import Dataset, Example, PairExample
from freehold.tasks.zero_shot import ByCosine

__all__ = ["TASK", "SentenceEmbedding"]


class VectorParameters(Parameters):
    normalize: Annotated[
        Annotated[bool, Meta(extra_json_schema={"const": True})] | None,
        Meta(description="true only: vectors have length 1"),
    ] = None
    truncate: Annotated[
        bool | None,
        Meta(description="false: a text that is longer than the model reads is refused, not cut"),
    ] = None
    truncation_direction: Annotated[
        Literal["right", "Right"] | None, Meta(description="right only: the end is cut off")
    ] = None
    prompt_name: Annotated[None, Meta(description="this model has no prompts; leave it out")] = None
    dimensions: Annotated[None, Meta(description="a vector has all its figures; leave it out")] = (
        None
    )
    encoding_format: Annotated[
        Literal["float"] | None, Meta(description="float only: vectors are lists of numbers")
    ] = None


class SentenceEmbedding(Task):
    """Learnt from pairs of texts with a number that says how alike they are, in any unit: only the
    order of the pairs counts. A training example is two rows, a text each."""

    kind = "sentence-embedding"
    score_name = "spearman"
    head = "vector"
    roles = (TEXT_A, TEXT_B, SCORE)
    parts = 2
    parameters = VectorParameters
    tensors = (Tensor("embedding", "FP32", lambda answers, _: _vectors(answers), "figure"),)
    zero_shot = ByCosine()
    root_fields = frozenset(VectorParameters.__struct_fields__)
    wire = Wire(
        one=str,
        whole=Comparison,
        answers=(list[list[float]], list[float]),
        examples=(("where is my card", [[0.6, -0.8]]), (COMPARISON, [0.83, 0.12])),
    )

    @property
    def asked(self) -> tuple[Role, ...]:
        return (TEXT,)

    def example(self, row: int, values: Mapping[str, Any]) -> PairExample | Example:
        if "text" in values:
            return Example(row, values["text"])
        return PairExample(row, values["text_a"], values["text_b"], score=values.get("score"))

    def labels(self, train: Dataset) -> list[str]:
        if len({example.target for example in train.examples}) < 2:
            raise TrainError(
                f"{train.path} has the same score throughout; there is nothing to learn from it.",
                hint="Add pairs with other scores, or learn from pairs that belong together with "
                "`freehold pretrain --objective pairs`.",
            )
        return []

    def width(self, labels: Sequence[str]) -> int | None:
        return None

    def encode(self, tokeniser: Tokeniser, inputs: Sequence[Any]) -> list[Encoded]:
        """A text is one row; a pair of texts two."""
        if not inputs or isinstance(inputs[0], str):
            return tokeniser.texts(inputs)
        both = tokeniser.texts([text for pair in inputs for text in pair])
        return [_two(*both[at : at + 2]) for at in range(0, len(both), 2)]

    def targets(
        self, encoded: Encoded, example: Any, labels: Sequence[str]
    ) -> list[NDArray[np.float32]]:
        return [np.array(example.score, np.float32)]

    def join(self, encoded: Encoded, rows: Sequence[Logits], labels: Sequence[str]) -> Logits:
        """(width,) of a text, (2, width) of a pair."""
        return rows[0] if len(rows) == 1 else np.stack(rows)

    def score(
        self, examples: Sequence[Any], logits: Sequence[Logits], labels: Sequence[str]
    ) -> Score:
        gold, found = _gold(examples), _cosines(logits)
        return Score(spearman(gold, found), -correlation(gold, found))

    def measure(
        self,
        examples: Sequence[Any],
        logits: Sequence[Logits],
        labels: Sequence[str],
        settings: Settings,
    ) -> Measured:
        gold, found = _gold(examples), _cosines(logits)

        def metrics(chosen: NDArray[np.int64]) -> dict[str, float]:
            one, other = gold[chosen], found[chosen]
            return {"spearman": spearman(one, other), "pearson": correlation(one, other)}

        return Measured(len(gold), metrics)

    def agreement(
        self,
        one: Sequence[Logits],
        other: Sequence[Logits],
        labels: Sequence[str],
        settings: Settings,
    ) -> float:
        """Mean cosine between two engines' vectors of the same texts."""
        first = np.concatenate([np.atleast_2d(row) for row in one])
        second = np.concatenate([np.atleast_2d(row) for row in other])
        norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
        return float(((first * second).sum(1) / np.maximum(norms, 1e-12)).mean())

    def inputs(self, given: Any) -> tuple[list[Any], Form]:
        """Texts, or a source sentence before those that it is compared with."""
        if is_comparison(given):
            asked = read(given, Comparison, "inputs", self.wire.hint)
            return [asked.source_sentence, *asked.sentences], "comparison"
        return super().inputs(given)

    def admit(self, parameters: VectorParameters, encoded: Sequence[Any]) -> None:
        if parameters.normalize is False:
            raise InputError(
                "normalize can only be true: vectors have length 1.", hint="Leave it out."
            )
        if parameters.truncate is False:
            for place, one in enumerate(encoded, start=1):
                if one.truncated:
                    raise InputError(
                        f"Text {place} of the request is longer than the model reads.",
                        hint="Shorten it, or leave truncate out: then its end is cut off. "
                        "GET /models says how many tokens are read.",
                    )

    def answer(
        self, encoded: Encoded, logits: Logits, labels: Sequence[str], settings: Settings
    ) -> VectorAnswer:
        return VectorAnswer(logits)

    def render(self, answers: Sequence[VectorAnswer], parameters: Any, *, form: Form) -> Any:
        """A vector a text, as feature-extraction has it; of a comparison the cosine of the source
        sentence with each other, as sentence-similarity has it."""
        if form == "comparison":
            source, *others = (answer.vector for answer in answers)
            return [float(source @ other) for other in others]
        return [answer.vector.tolist() for answer in answers]


def _vectors(answers: Sequence[VectorAnswer]) -> NDArray[np.float32]:
    return np.stack([answer.vector for answer in answers])


def _two(a: Encoded, b: Encoded) -> Encoded:
    windows: tuple[Window, ...] = (*a.windows, *b.windows)
    return Encoded(windows, a.length + b.length, a.truncated or b.truncated, a.text)


def _gold(examples: Sequence[Any]) -> NDArray[np.float64]:
    return np.array([example.score for example in examples], np.float64)


def _cosines(logits: Sequence[Logits]) -> NDArray[np.float64]:
    both = np.stack(logits).astype(np.float64)
    cosines: NDArray[np.float64] = (both[:, 0] * both[:, 1]).sum(1)
    return cosines


TASK = SentenceEmbedding()
