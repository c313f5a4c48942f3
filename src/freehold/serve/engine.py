"""A bundle that answers: onnxruntime, tokenizers and numpy, no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from freehold.errors import IntegrityError
from freehold.serve.bundle import Meta, read
from freehold.serve.cores import usable_cores
from freehold.serve.decode import Answer, decode
from freehold.serve.tokenise import Encoded, Tokeniser

__all__ = ["Encoded", "Engine", "Meta"]

TOKENIZER = "tokenizer.json"
OUTSIDE = "O"
CERTAIN = 1000.0  # the logit of "O", above zeros, for a word the model did not see; as in training


class Arithmetic(Protocol):
    def run(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Logits of one batch: (batch, labels) or (batch, tokens, labels)."""
        ...


class Engine:
    """One model version, ready to answer. `encode`, `encode_words` and `answer` may be called from
    several threads at once, `run` from one."""

    def __init__(self, meta: Meta, tokeniser: Tokeniser, arithmetic: Arithmetic) -> None:
        self.meta = meta
        self._tokeniser = tokeniser
        self._arithmetic = arithmetic
        self._unseen = np.zeros(len(meta.labels), np.float32)
        if OUTSIDE in meta.labels:
            self._unseen[meta.labels.index(OUTSIDE)] = CERTAIN

    @classmethod
    def open(cls, bundle: Path, *, threads: int | None = None) -> Engine:
        """Open the bundle folder after checking every file's sha256, and run it once.

        `threads` for one model call; None: the physical cores this process may use.
        Raises NotFoundError where there is no bundle; IntegrityError where a file is missing or not
        the recorded one, the format or engine is unknown, or the model does not fit its labels.
        """
        meta = read(bundle)
        tokeniser = Tokeniser(bundle / TOKENIZER, task=meta.task, max_length=meta.max_length)
        engine = cls(meta, tokeniser, _arithmetic(meta, bundle, threads or usable_cores()))
        engine._try(bundle)
        return engine

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Tokenise texts in bulk, each cut to the model's length, not padded. An empty text is the
        special tokens alone. For token-classification the text is split by `data.words`; of a very
        long text only the words of the part that was read are listed."""
        return self._tokeniser.texts(texts)

    def encode_words(self, sentences: Sequence[Sequence[str]]) -> list[Encoded]:
        """The same for texts that are already split into words; `text` is the words joined by one
        space each."""
        return self._tokeniser.words(sentences)

    def run(self, batch: Sequence[Encoded]) -> list[NDArray[np.float32]]:
        """One model call, padded to the longest text: logits (labels,) for each text, or (words,
        labels), where a word that was cut off gets a row that makes "O" certain."""
        if not batch:
            return []
        logits = self._arithmetic.run(self._feeds(batch))
        if self.meta.task != "token-classification":
            return list(logits)
        return [self._of_words(encoded, row) for encoded, row in zip(batch, logits, strict=True)]

    def answer(self, encoded: Encoded, logits: NDArray[np.float32]) -> Answer:
        """Labels or entities with their probabilities, after temperature scaling; see `decode`."""
        return decode(encoded, logits, self.meta.labels, self.meta.temperature)

    def _feeds(self, batch: Sequence[Encoded]) -> dict[str, NDArray[np.int64]]:
        shape = len(batch), max(encoded.length for encoded in batch)
        ids = np.full(shape, self.meta.pad_id, np.int64)
        mask = np.zeros(shape, np.int64)
        for row, encoded in enumerate(batch):
            ids[row, : encoded.length] = encoded.ids
            mask[row, : encoded.length] = 1
        feeds = {"input_ids": ids, "attention_mask": mask}
        if "token_type_ids" in self.meta.inputs:
            feeds["token_type_ids"] = np.zeros(shape, np.int64)
        return feeds

    def _of_words(self, encoded: Encoded, row: NDArray[np.float32]) -> NDArray[np.float32]:
        """(tokens, labels) -> (words, labels)."""
        assert encoded.words is not None
        carriers = encoded.words.carriers
        logits = row[carriers]
        logits[carriers < 0] = self._unseen
        return logits

    def _try(self, bundle: Path) -> None:
        """Run once: the first real request finds everything allocated, and a model that does not
        fit its bundle.json is found now."""
        labels = len(self.meta.labels)
        feeds = self._feeds(self.encode(["", "one two three"]))
        try:
            found = self._arithmetic.run(feeds).shape[-1]
        except Exception as error:  # whatever the runtime raises for inputs it does not know
            raise IntegrityError(
                f"The model in {bundle} cannot be run with its inputs.",
                hint="Export the model again.",
            ) from error
        if found != labels:
            raise IntegrityError(
                f"The model in {bundle} answers with {found} figures for {labels} labels.",
                hint="Export the model again.",
            )


def _arithmetic(meta: Meta, bundle: Path, threads: int) -> Arithmetic:
    if meta.engine == "onnxruntime":
        from freehold.serve.ort import OnnxRuntime

        return OnnxRuntime(bundle, threads=threads)
    raise IntegrityError(
        f"The bundle in {bundle} asks for the engine {meta.engine}, which this Freehold has not.",
        hint="Export the model again with this Freehold, or install the one that made it.",
    )
