"""What a task has to say to be read, trained, evaluated, exported, served and predicted.

A task is one small file in this package, without torch: serving imports it. What computes its
loss is named by `head`, a file of `freehold.train.heads`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import GenericAlias
from typing import Any, ClassVar, Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from freehold.errors import TrainError
from freehold.tasks.roles import Role
from freehold.tasks.shapes import TEXTS, Wire, read
from freehold.tasks.tensors import Tensor
from freehold.tasks.tokenise import Encoded, Tokeniser
from freehold.tasks.types import AnyExample, Dataset
from freehold.tasks.zero_shot import ZeroShot

__all__ = ["Answer", "Form", "Logits", "Measured", "Parameters", "Score", "Settings", "Task"]

Logits = NDArray[np.float32]
Form = Literal["single", "list", "comparison"]  # of the inputs of a request
Settings = Mapping[str, Any]  # what was tuned on dev: temperature, thresholds …


class Answer(Protocol):
    """What a model answers to one input."""

    def document(self) -> Any:
        """Plain values for JSON."""
        ...


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    """Those of the model's task; others are refused."""

    # A task's own derive from it. The description of a field is shown in the API's schema and to
    # whoever sends something else; a field that is only there to say why not is of type None.


@dataclass(frozen=True, slots=True)
class Score:
    """How well logits answer a labelled set: `value`, higher is better, and the mean loss to break
    ties between epochs."""

    value: float
    loss: float


@dataclass(frozen=True, slots=True)
class Measured:
    """All figures of a set of answers.

    `metrics` gives them for any choice of the n examples, by position and with repeats, which is
    what a bootstrap draws. `table` has a row for each label, where there are labels, `mistakes` the
    worst answers, as (position, what was wrong, how far).
    """

    n: int
    metrics: Callable[[NDArray[np.int64]], dict[str, float]]
    table: Sequence[Mapping[str, Any]] = ()
    mistakes: Sequence[tuple[int, str, str, float]] = ()  # position, gold, answered, badness

    def all(self) -> dict[str, float]:
        return self.metrics(np.arange(self.n))


class Task(ABC):
    """The defaults are those of a task with one text, cut to the model's length, and one row of
    logits for it."""

    kind: ClassVar[str]
    score_name: ClassVar[str]  # of the figure that epochs and engines are chosen by
    head: ClassVar[str]  # freehold.train.heads.<head>
    roles: ClassVar[tuple[Role, ...]]
    windows: ClassVar[bool] = False  # whether a long input is read in several overlapping parts
    parts: ClassVar[int] = 1  # rows of a training example that have to stand in one batch
    chooses: ClassVar[bool] = False  # one label of several, for the input or for each of its words
    pairs: ClassVar[bool] = False  # whether the module is told which of two texts a token is of
    wire: ClassVar[Wire] = TEXTS  # the shapes of requests and answers
    parameters: ClassVar[type[Parameters]] = Parameters
    root_fields: ClassVar[frozenset[str]] = frozenset()  # parameters that may stand beside inputs
    columns: ClassVar[tuple[str, ...]] = ("text",)  # of an input, where they are asked for apart
    tensors: ClassVar[tuple[Tensor, ...]]  # of answers
    zero_shot: ClassVar[ZeroShot | None] = None  # how it chooses between labels of a request

    # --- what is read

    @property
    def asked(self) -> tuple[Role, ...]:
        """The roles of a file without labels."""
        return tuple(role for role in self.roles if not role.target)

    @abstractmethod
    def example(self, row: int, values: Mapping[str, Any]) -> AnyExample:
        """An example from the values of a record, by role; a target's is absent without labels."""

    # --- what is learnt

    @abstractmethod
    def labels(self, train: Dataset) -> list[str]:
        """Names in the order of the logits. TrainError where there is nothing to learn."""

    @abstractmethod
    def encode(self, tokeniser: Tokeniser, inputs: Sequence[Any]) -> list[Encoded]:
        """Token ids of each example's `input` (or of what a request holds), in order."""

    @abstractmethod
    def targets(self, encoded: Encoded, example: Any, labels: Sequence[str]) -> list[NDArray[Any]]:
        """What the logits of each of the input's windows should say, as the head's loss takes it;
        of a task with `parts`, one for all of them."""

    def width(self, labels: Sequence[str]) -> int | None:
        """Figures of a row of logits; None where they are as many as the encoder's."""
        return len(labels)

    def join(self, encoded: Encoded, rows: Sequence[Logits], labels: Sequence[str]) -> Logits:
        """The input's own logits from those of its windows, as the module gave them."""
        return rows[0]

    @abstractmethod
    def score(
        self, examples: Sequence[Any], logits: Sequence[Logits], labels: Sequence[str]
    ) -> Score:
        """Of joined logits, one array an example; what epochs are chosen by."""

    def tune(
        self, examples: Sequence[Any], logits: Sequence[Logits], labels: Sequence[str]
    ) -> dict[str, Any]:
        """What is fitted on dev once the weights stand; goes into the version and its bundle."""
        return {}

    def neutral(self, logits: Logits, settings: Settings) -> Logits:
        """Logits that say with no settings what these say with them."""
        return logits

    # --- how well

    def decisions(self, example: Any) -> tuple[str, ...] | None:
        """Of a task that `chooses`: the right label of each choice; None where it is not known."""
        raise NotImplementedError(f"{self.kind} does not choose one label of several")

    @abstractmethod
    def measure(
        self,
        examples: Sequence[Any],
        logits: Sequence[Logits],
        labels: Sequence[str],
        settings: Settings,
    ) -> Measured:
        """All figures; `score_name` is one of them."""

    def agreement(
        self,
        one: Sequence[Logits],
        other: Sequence[Logits],
        labels: Sequence[str],
        settings: Settings,
    ) -> float:
        """Share of decisions in which two engines' logits of the same inputs agree, 0..1."""
        same = [
            np.atleast_2d(a).argmax(-1) == np.atleast_2d(b).argmax(-1)
            for a, b in zip(one, other, strict=True)
        ]
        return float(np.concatenate(same).mean())

    # --- what is served

    def inputs(self, given: Any) -> tuple[list[Any], Form]:
        """The inputs in the "inputs" of a request, and the form they came in. Raises InputError."""
        if isinstance(given, list):
            return read(given, GenericAlias(list, self.wire.one), "inputs", self.wire.hint), "list"
        return [read(given, self.wire.one, "inputs", self.wire.hint)], "single"

    def admit(self, parameters: Any, encoded: Sequence[Any]) -> None:  # noqa: B027 - the default
        """Raises InputError for well-formed parameters that cannot be had for these inputs (as
        `encode` gave them)."""

    @abstractmethod
    def answer(
        self, encoded: Encoded, logits: Logits, labels: Sequence[str], settings: Settings
    ) -> Answer:
        """What the logits say."""

    def render(self, answers: Sequence[Any], parameters: Any, *, form: Form) -> Any:
        """The response's body as plain values, in the shape of the Hugging Face contract."""
        return [answer.document() for answer in answers]

    def require_labels(self, train: Dataset, labels: Sequence[str], least: int = 2) -> None:
        """TrainError where a classifier has too few labels to tell apart."""
        if len(labels) < least:
            raise TrainError(
                f"{train.path} has {len(labels)} different label{'s' * (len(labels) != 1)}; "
                f"a classifier needs at least {least} to tell apart.",
                hint="Add examples of what else may come in.",
            )
