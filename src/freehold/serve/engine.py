"""A bundle that answers: its engine, tokenizers and numpy, no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from freehold.errors import InputError, IntegrityError
from freehold.serve.bundle import Meta, read
from freehold.serve.cores import usable_cores
from freehold.serve.engines import Arithmetic, open_arithmetic
from freehold.serve.tuning import Tuning
from freehold.tasks.base import Answer, Task
from freehold.tasks.registry import task_of
from freehold.tasks.tokenise import Encoded, Tokeniser, Window

__all__ = ["Encoded", "Engine", "Meta"]

TOKENIZER = "tokenizer.json"
MOST_ROWS = 64  # windows of long inputs that go into one model call


class Engine:
    """One model version, ready to answer. `encode` and `answer` may be called from several threads
    at once, `run` from one."""

    def __init__(self, meta: Meta, tokeniser: Tokeniser, arithmetic: Arithmetic) -> None:
        self.meta = meta
        self.task: Task = task_of(meta.task)
        self.settings = {"temperature": meta.temperature, **meta.settings}
        self._tokeniser = tokeniser
        self._arithmetic = arithmetic
        self._types = "token_type_ids" in meta.inputs

    @classmethod
    def open(
        cls,
        bundle: Path,
        *,
        threads: int | None = None,
        tuned: Mapping[str, int] | None = None,
    ) -> Engine:
        """Open the bundle folder after checking every file's sha256, and run it once.

        It runs as was measured best when it was exported, or as `tuned` says (threads, streams,
        step: see Tuning); `threads` win over both. None and nothing measured: the physical cores
        this process may use.
        Raises NotFoundError where there is no bundle; IntegrityError where a file is missing or not
        the recorded one, the format, task or engine is unknown, or the model does not fit its
        labels; MissingDependencyError where its engine is not installed.
        """
        meta = read(bundle)
        try:
            task = task_of(meta.task)
        except InputError as error:
            raise IntegrityError(
                f"The bundle in {bundle} is for the task {meta.task}, which this Freehold has not.",
                hint="Install the Freehold that made it.",
            ) from error
        tokeniser = Tokeniser(
            _tokenizer(bundle / TOKENIZER),
            meta.max_length,
            windows=task.windows,
            question=task.windows and task.pairs,
            casing=meta.casing,
            lines=meta.lines,
        )
        recorded = meta.measured.get("tuned", {}) if tuned is None else tuned
        tuning = Tuning.of(recorded, usable_cores(), threads)
        engine = cls(meta, tokeniser, open_arithmetic(bundle, meta, tuning))
        engine._try(bundle)
        return engine

    def encode(self, inputs: Sequence[Any]) -> list[Encoded]:
        """Tokenise inputs in bulk, not padded: texts, or what else the task takes (pairs of texts,
        a question with its context, sentences that are split into words). Long ones are cut to the
        model's length, or read in windows of it where the task does that. An empty text is the
        special tokens alone."""
        return self.task.encode(self._tokeniser, inputs)

    def run(self, batch: Sequence[Encoded]) -> list[NDArray[np.float32]]:
        """The logits of each input, by one model call, or by several where long inputs have many
        windows: (labels,), (words, labels), or what the task joins them to."""
        if not batch:
            return []
        if all(len(encoded.windows) == 1 for encoded in batch):
            rows = self.rows([encoded.windows[0] for encoded in batch])
        else:
            windows = [window for encoded in batch for window in encoded.windows]
            rows = [
                row
                for start in range(0, len(windows), MOST_ROWS)
                for row in self.rows(windows[start : start + MOST_ROWS])
            ]
        return self._joined(batch, rows)

    def answer(self, encoded: Encoded, logits: NDArray[np.float32]) -> Answer:
        """What the logits say: labels or entities with their probabilities, a number …"""
        return self.task.answer(encoded, logits, self.meta.labels, self.settings)

    def _joined(
        self, batch: Sequence[Encoded], rows: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        found, start = [], 0
        for encoded in batch:
            end = start + len(encoded.windows)
            found.append(self.task.join(encoded, rows[start:end], self.meta.labels))
            start = end
        return found

    def rows(self, windows: Sequence[Window]) -> list[NDArray[np.float32]]:
        """The logits of each window by one model call, without what was padded."""
        found = self._arithmetic.run(self._feeds(windows))
        if found.ndim == 2:
            return list(found)
        return [row[: len(window.ids)] for row, window in zip(found, windows, strict=True)]

    def _feeds(self, windows: Sequence[Window]) -> dict[str, NDArray[np.int64]]:
        shape = len(windows), max(len(window.ids) for window in windows)
        ids = np.full(shape, self.meta.pad_id, np.int64)
        mask = np.zeros(shape, np.int64)
        for row, window in enumerate(windows):
            ids[row, : len(window.ids)] = window.ids
            mask[row, : len(window.ids)] = 1
        feeds = {"input_ids": ids, "attention_mask": mask}
        if self._types:
            types = np.zeros(shape, np.int64)
            for row, window in enumerate(windows):
                if window.types is not None:
                    types[row, : len(window.ids)] = window.types
            feeds["token_type_ids"] = types
        return feeds

    def _try(self, bundle: Path) -> None:
        """Run once: the first real request finds everything allocated, and a model that does not
        fit its bundle.json is found now."""
        width = self.task.width(self.meta.labels)
        some = [_window(self._tokeniser, text) for text in ("", "one two three")]
        try:
            found = self._arithmetic.run(self._feeds(some)).shape[-1]
        except Exception as error:  # whatever the runtime raises for inputs it does not know
            raise IntegrityError(
                f"The model in {bundle} cannot be run with its inputs.",
                hint="Export the model again.",
            ) from error
        if width is not None and found != width:
            raise IntegrityError(
                f"The model in {bundle} answers with {found} figures for {width} labels.",
                hint="Export the model again.",
            )


def _window(tokeniser: Tokeniser, text: str) -> Window:
    (encoded,) = tokeniser.raw_words([text])
    return encoded.windows[0]


def _tokenizer(path: Path) -> Tokenizer:
    try:
        found: Tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception for a file it cannot read
        raise IntegrityError(
            f"{path} is not a tokenizer file.", hint="Export the model again."
        ) from error
    return found
