"""Extractive question answering: the part of a context that answers, or that nothing does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, TypedDict

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from freehold.tasks.answers import SpanAnswer, softmax
from freehold.tasks.base import Form, Logits, Measured, Parameters, Score, Settings, Task
from freehold.tasks.roles import CONTEXT, QUESTION, Role
from freehold.tasks.shapes import Wire
from freehold.tasks.squad import exact_match, overlap_f1
from freehold.tasks.tensors import numbers, texts, whole
from freehold.tasks.tokenise import Encoded, Tokeniser, Window
from freehold.tasks.types import Dataset, QuestionExample

__all__ = ["TASK", "QuestionAnswering"]

MOST_TOKENS = 40  # of an answer
KEPT = 20  # candidates of an input that its joined logits keep


class SpanParameters(Parameters):
    top_k: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="as many answers, the likeliest first, as a list; one if left out or 1"),
    ] = None
    handle_impossible_answer: Annotated[
        bool | None,
        Meta(
            description="false: the likeliest part of the context is given in any case; else the "
            "answer is empty where the context does not seem to say it"
        ),
    ] = None


class Question(msgspec.Struct, forbid_unknown_fields=True):
    """A question to a context."""

    question: str
    context: str


class Part(TypedDict):
    """A part of the context; empty, from 0 to 0, where the context does not say it."""

    answer: str
    score: float
    start: Annotated[int, Meta(description="First character.")]
    end: Annotated[int, Meta(description="One behind the last character.")]


class QuestionAnswering(Task):
    """A row of logits has two figures a token: how likely the answer starts and ends there; the
    first token stands for "not said here" (Devlin et al. 2019, section 4.3).

    Joined logits are (candidates, 3): start and end in characters and the sum of the two figures,
    the best first, after a first row (0, 0, the sum of "not said here", the least of the windows).
    """

    kind = "question-answering"
    score_name = "f1"
    head = "span"
    roles = (QUESTION, CONTEXT, Role("answers", "answers", ("answers", "answer"), target=True))
    windows = True
    pairs = True
    wire = Wire(
        one=Question,
        answers=(Part, list[Part], list[list[Part]]),
        examples=(
            (
                {"question": "who lives in Rome?", "context": "Anna lives in Rome."},
                {"answer": "Anna", "score": 0.97, "start": 0, "end": 4},
            ),
        ),
    )
    parameters = SpanParameters
    columns = ("question", "context")
    tensors = (texts("answer"), numbers("score"), whole("start"), whole("end"))

    def example(self, row: int, values: Mapping[str, Any]) -> QuestionExample:
        return QuestionExample(row, values["question"], values["context"], values.get("answers"))

    def labels(self, train: Dataset) -> list[str]:
        return ["start", "end"]

    def encode(self, tokeniser: Tokeniser, inputs: Sequence[tuple[str, str]]) -> list[Encoded]:
        return tokeniser.pairs(inputs, spans=True)

    def targets(
        self, encoded: Encoded, example: Any, labels: Sequence[str]
    ) -> list[NDArray[np.int64]]:
        """(2,) positions of the first and last token of the answer in each window; (0, 0) where it
        does not stand whole in it."""
        return [_place(window, example.answers) for window in encoded.windows]

    def join(self, encoded: Encoded, rows: Sequence[Logits], labels: Sequence[str]) -> Logits:
        candidates = [_candidates(w, row) for w, row in zip(encoded.windows, rows, strict=True)]
        found = np.concatenate(candidates)
        found = found[np.argsort(-found[:, 2], kind="stable")]
        _, first = np.unique(found[:, :2], axis=0, return_index=True)  # windows overlap
        found = found[np.sort(first)][:KEPT]
        nothing = min(float(row[0].sum()) for row in rows)
        return np.concatenate([np.array([[0, 0, nothing]], np.float32), found.astype(np.float32)])

    def score(
        self, examples: Sequence[Any], logits: Sequence[Logits], labels: Sequence[str]
    ) -> Score:
        pairs = [
            (example, _chosen(example.context, row, 0.0))
            for example, row in zip(examples, logits, strict=True)
        ]
        f1 = [overlap_f1(text, example.answers) for example, text in pairs]
        loss = [_loss(example, row) for example, row in zip(examples, logits, strict=True)]
        return Score(float(np.mean(f1)), float(np.mean(loss)))

    def tune(
        self, examples: Sequence[Any], logits: Sequence[Logits], labels: Sequence[str]
    ) -> dict[str, Any]:
        """How much likelier "not said here" has to be than the best answer to be said: what gives
        the best F1 (Rajpurkar et al. 2018, section 5); nothing where dev has no such question."""
        if all(example.answers for example in examples):
            return {"no_answer": None}
        margins = np.array([_margin(row) for row in logits])
        # Without any candidate nothing is said whatever the limit is.
        finite = margins[np.isfinite(margins)]
        margins[np.isinf(margins)] = finite.max() if len(finite) else 0.0
        said = [
            overlap_f1(_chosen(e.context, row, None), e.answers)
            for e, row in zip(examples, logits, strict=True)
        ]
        unsaid = [overlap_f1("", example.answers) for example in examples]
        order = np.argsort(margins, kind="stable")
        # At threshold t, inputs whose margin is above t are answered with "not said".
        gain = np.array(said)[order].cumsum() + (np.sum(unsaid) - np.array(unsaid)[order].cumsum())
        ranked = margins[order]
        gain[:-1][ranked[:-1] == ranked[1:]] = -1.0  # equal margins cannot be told apart
        best = int(gain.argmax())
        following = margins[order[best + 1]] if best + 1 < len(order) else margins[order[best]] + 1
        if gain[best] < np.sum(unsaid):
            return {"no_answer": float(margins.min()) - 1.0}
        return {"no_answer": float((margins[order[best]] + following) / 2)}

    def neutral(self, logits: Logits, settings: Settings) -> Logits:
        limit = settings.get("no_answer", 0.0)
        moved = logits.copy()
        moved[0, 2] = -np.inf if limit is None and len(moved) > 1 else moved[0, 2] - (limit or 0.0)
        return moved

    def measure(
        self,
        examples: Sequence[Any],
        logits: Sequence[Logits],
        labels: Sequence[str],
        settings: Settings,
    ) -> Measured:
        limit = settings.get("no_answer", 0.0)
        texts = [_chosen(e.context, row, limit) for e, row in zip(examples, logits, strict=True)]
        f1 = np.array([overlap_f1(t, e.answers) for t, e in zip(texts, examples, strict=True)])
        exact = np.array([exact_match(t, e.answers) for t, e in zip(texts, examples, strict=True)])
        answerable = np.array([bool(example.answers) for example in examples])

        def metrics(chosen: NDArray[np.int64]) -> dict[str, float]:
            found = {"f1": float(f1[chosen].mean()), "exact_match": float(exact[chosen].mean())}
            there = answerable[chosen]
            if not answerable.all() and there.any() and not there.all():
                found["f1_answerable"] = float(f1[chosen][there].mean())
                found["no_answer_accuracy"] = float(f1[chosen][~there].mean())
            return found

        worst = [n for n in np.argsort(f1, kind="stable").tolist() if f1[n] < 1][:30]
        mistakes = [(n, _first(examples[n]), texts[n] or "–", 1.0 - float(f1[n])) for n in worst]
        return Measured(len(f1), metrics, mistakes=mistakes)

    def agreement(
        self,
        one: Sequence[Logits],
        other: Sequence[Logits],
        labels: Sequence[str],
        settings: Settings,
    ) -> float:
        limit = settings.get("no_answer", 0.0)
        same = [_span(a, limit) == _span(b, limit) for a, b in zip(one, other, strict=True)]
        return float(np.mean(same))

    def inputs(self, given: Any) -> tuple[list[Any], Form]:
        found, form = super().inputs(given)
        return [(one.question, one.context) for one in found], form

    def answer(
        self, encoded: Encoded, logits: Logits, labels: Sequence[str], settings: Settings
    ) -> SpanAnswer:
        """The rest of the candidates stands in `others`: those of the context, which overlap, and
        that it does not say it, if that is not the answer."""
        ranked = _ranked(encoded.text, logits)
        first = _span(logits, settings.get("no_answer", 0.0))
        place = [(answer.start, answer.end) for answer in ranked].index(first)
        best = ranked.pop(place)
        return replace(best, others=tuple(ranked))

    def render(
        self, answers: Sequence[SpanAnswer], parameters: SpanParameters, *, form: Form
    ) -> Any:
        """An answer, or a list of them for a list; with `top_k` above 1 a list for each."""
        most = parameters.top_k or 1
        rows: list[Any] = []
        for best in answers:
            ranked = [best, *best.others]
            if parameters.handle_impossible_answer is False:
                ranked = [answer for answer in ranked if answer.end] or ranked
            documents = [answer.document() for answer in ranked[:most]]
            rows.append(documents[0] if most == 1 else documents)
        return rows[0] if form == "single" else rows


def _place(window: Window, answers: Sequence[tuple[str, int]]) -> NDArray[np.int64]:
    spans = window.spans
    assert spans is not None
    for text, start in answers:
        end = start + len(text)
        inside = (spans[:, 0] >= 0) & (spans[:, 1] > start) & (spans[:, 0] < end)
        places = np.flatnonzero(inside & (spans[:, 1] > spans[:, 0]))
        if len(places) and spans[places[0], 0] <= start and spans[places[-1], 1] >= end:
            return np.array([places[0], places[-1]], np.int64)
    return np.zeros(2, np.int64)


def _candidates(window: Window, row: Logits) -> NDArray[np.float64]:
    """(k, 3): the best spans of the window's part of the context, and their figures."""
    spans = window.spans
    assert spans is not None
    places = np.flatnonzero(spans[:, 1] > spans[:, 0])
    if not len(places):
        return np.zeros((0, 3))
    start, end = row[places, 0].astype(np.float64), row[places, 1].astype(np.float64)
    sums = start[:, None] + end[None, :]
    distance = np.arange(len(places))[None, :] - np.arange(len(places))[:, None]
    sums[(distance < 0) | (distance >= MOST_TOKENS)] = -np.inf
    best = np.argsort(-sums, axis=None, kind="stable")[:KEPT]
    first, last = np.divmod(best, len(places))
    kept = np.isfinite(sums[first, last])
    first, last = first[kept], last[kept]
    return np.stack(
        [spans[places[first], 0], spans[places[last], 1], sums[first, last]], axis=1
    ).astype(np.float64)


def _margin(row: Logits) -> float:
    """How much likelier "not said" is than the best answer."""
    return float(row[0, 2] - row[1:, 2].max()) if len(row) > 1 else np.inf


def _span(row: Logits, limit: float | None) -> tuple[int, int]:
    """Of the best answer; (0, 0) where "not said" is likelier by more than `limit` (None: no)."""
    if len(row) == 1 or (limit is not None and _margin(row) > limit):
        return 0, 0
    best = row[1 + int(row[1:, 2].argmax())]
    return int(best[0]), int(best[1])


def _ranked(context: str, row: Logits) -> list[SpanAnswer]:
    """Every candidate, the likeliest first; the empty one says that the context does not say it."""
    chances = softmax(row[:, 2]).tolist()
    places = row[:, :2].astype(np.int64).tolist()
    return [
        SpanAnswer(context[start:end], chances[number], start, end)
        for number in np.argsort(-row[:, 2], kind="stable").tolist()
        for start, end in (places[number],)
    ]


def _chosen(context: str, row: Logits, limit: float | None) -> str:
    start, end = _span(row, limit)
    return context[start:end]


def _loss(example: Any, row: Logits) -> float:
    """Negative log-likelihood of a right candidate; of the least likely one where none is right."""
    logs = row[:, 2].astype(np.float64) - np.logaddexp.reduce(row[:, 2].astype(np.float64))
    right = {(start, start + len(text)) for text, start in example.answers} or {(0, 0)}
    found = [logs[n] for n, one in enumerate(row) if (int(one[0]), int(one[1])) in right]
    return -float(max(found)) if found else -float(logs.min())


def _first(example: Any) -> str:
    return example.answers[0][0] if example.answers else "–"


TASK = QuestionAnswering()
