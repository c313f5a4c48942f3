"""transformers.Trainer in its own environment, for bench/train.py.

    .venv-peers/bin/python bench/trainer_peer.py --encoder FOLDER --train T.jsonl --dev D.jsonl \
        --flags '{"per_device_train_batch_size": 32}' [--epochs N]

With --epochs it trains to the end, answers dev, and prints one JSON line. Without, it trains in
slices: each line on stdin says for how many seconds, each line on stdout how many examples and
seconds the slice had; it goes on where it stopped, and ends with its input. `Trainer.train` itself
runs in both; a callback only holds it between steps.

Everything is as the library's own guides have it: an Auto model with a new head, tokenised
beforehand, padded to the longest of each batch. --flags are TrainingArguments; what they leave out
is the library's default.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MAX_LENGTH = 128  # what Freehold's recipe keeps of an example


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--flags", type=json.loads, default={})
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    answers, sys.stdout = sys.stdout, sys.stderr  # the library prints its own lines

    import torch
    from transformers import Trainer, TrainingArguments, set_seed

    torch.set_num_threads(options.threads)
    started = time.perf_counter()
    set_seed(0)
    task = Task(options.encoder, rows(options.train), rows(options.dev))
    flags = {"num_train_epochs": options.epochs or 1000, "seed": 0, **options.flags}
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, report_to="none", save_strategy="no", disable_tqdm=True, **flags
        )
        trainer = Trainer(
            model=task.model,
            args=arguments,
            train_dataset=task.train,
            data_collator=task.collator,
            callbacks=[] if options.epochs else [slices(answers)],
        )
        begun = time.perf_counter()
        trainer.train()
        if options.epochs:
            trained = time.perf_counter()
            found = {
                "score": task.score(trainer),
                "examples_per_second": options.epochs * len(task.train) / (trained - begun),
                "seconds": time.perf_counter() - started,
            }
            print(json.dumps(found), file=answers, flush=True)


def slices(answers: Any) -> Any:
    """A callback that holds the trainer between the slices it is asked for."""
    from transformers import TrainerCallback

    class Slices(TrainerCallback):
        def __init__(self) -> None:
            self.seconds, self.begun, self.first = 0.0, 0.0, 0

        def wait(self, state: Any, control: Any) -> None:
            print(json.dumps({"ready": True}), file=answers, flush=True)
            line = sys.stdin.readline()
            if not line:
                control.should_training_stop = True
            self.seconds, self.first = float(line or 0), state.global_step
            self.begun = time.perf_counter()

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.wait(state, control)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            spent = time.perf_counter() - self.begun
            if spent < self.seconds:
                return
            # The last batch of an epoch is smaller: less than a tenth of a percent too many here.
            examples = (state.global_step - self.first) * args.per_device_train_batch_size
            found = {"examples": examples, "seconds": spent}
            print(json.dumps(found), file=answers, flush=True)
            self.wait(state, control)

    return Slices()


class Task:
    """The data as the library wants it, the model, and the score of dev."""

    def __init__(
        self, encoder: str, train: list[dict[str, Any]], dev: list[dict[str, Any]]
    ) -> None:
        from transformers import (
            AutoModelForSequenceClassification,
            AutoModelForTokenClassification,
            AutoTokenizer,
            DataCollatorForTokenClassification,
            DataCollatorWithPadding,
        )

        self.words = "tags" in train[0]
        self.tokenizer = AutoTokenizer.from_pretrained(encoder)
        if self.words:
            self.labels = sorted({tag for row in train for tag in row["tags"]})
            model, collator = AutoModelForTokenClassification, DataCollatorForTokenClassification
        else:
            self.labels = sorted({row["label"] for row in train})
            model, collator = AutoModelForSequenceClassification, DataCollatorWithPadding
        self.model = model.from_pretrained(encoder, num_labels=len(self.labels))
        self.collator = collator(self.tokenizer)
        self.place = {label: number for number, label in enumerate(self.labels)}
        self.gold = dev
        self.train, self.dev = self.encoded(train), self.encoded(dev)

    def encoded(self, given: list[dict[str, Any]]) -> Any:
        from datasets import Dataset

        if not self.words:
            found = self.tokenizer(
                [row["text"] for row in given], truncation=True, max_length=MAX_LENGTH
            )
            labels: list[Any] = [self.place[row["label"]] for row in given]
        else:
            found = self.tokenizer(
                [row["tokens"] for row in given],
                is_split_into_words=True,
                truncation=True,
                max_length=MAX_LENGTH,
            )
            labels = [self.first_pieces(found.word_ids(n), row) for n, row in enumerate(given)]
        names = ("input_ids", "attention_mask")
        return Dataset.from_dict({**{name: found[name] for name in names}, "labels": labels})

    def first_pieces(self, words: list[int | None], row: dict[str, Any]) -> list[int]:
        """The tag of each word at its first piece, -100 elsewhere."""
        before, found = None, []
        for word in words:
            new = word is not None and word != before
            found.append(self.place[row["tags"][word]] if new else -100)
            before = word
        return found

    def score(self, trainer: Any) -> float:
        """Accuracy, or the F1 of whole entities by seqeval; a word that was cut off is "O"."""
        # group_by_length would give dev in another order as well, and its answers with it.
        trainer.args.train_sampling_strategy = "random"
        found = trainer.predict(self.dev).predictions.argmax(-1)
        if not self.words:
            right = [
                self.labels[a] == row["label"] for a, row in zip(found, self.gold, strict=True)
            ]
            return sum(right) / len(right)
        from seqeval.metrics import f1_score

        answers = []
        for places, targets, row in zip(found, self.dev["labels"], self.gold, strict=True):
            first = [number for number, target in enumerate(targets) if target != -100]
            tags = [self.labels[places[number]] for number in first]
            answers.append(tags + ["O"] * (len(row["tags"]) - len(tags)))
        return float(f1_score([row["tags"] for row in self.gold], answers))


if __name__ == "__main__":
    main()
