"""Freehold's training loop against the plain one, on the same data, machine and run.

The plain loop is the text-book's: float32, batches of 16 in random order padded to their longest,
dropout as the encoder's config has it, ordinary AdamW. Both start from minilm with the same head;
texts are tokenised beforehand for both. They take turns in slices of some seconds, so that whatever
else the machine does in the meantime hits both; examples per second are those of all slices of
a loop together. (Memory that Freehold's loop makes malloc keep stays kept in the plain loop's
slices: the comparison errs on the plain loop's side.)

    python bench/train.py                 # about four minutes
    python bench/train.py --full          # then both to the end, with dev scores: most of an hour

Data: FREEHOLD_SHARED, or the folder `shared` beside the repository. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from freehold.data.read import read_dataset
from freehold.tasks.base import Score
from freehold.tasks.types import Dataset
from freehold.train import hardware
from freehold.train.adapter import adapter_of
from freehold.train.batches import pad_ids, pad_targets
from freehold.train.encoders import find, load_encoder, load_tokenizer
from freehold.train.finetune import fit
from freehold.train.loop import Loop
from freehold.train.optimizer import learning_rate
from freehold.train.predict import answer
from freehold.train.progress import Progress
from freehold.train.recipe import Recipe
from freehold.train.run import Run, prepare

REPOSITORY = Path(__file__).resolve().parents[1]
SETS = ("banking77", "conll2003")
PLAIN_BATCH = 16
PLAIN_RATE = 5e-5  # the usual one for batches of 16


@dataclass
class Count:
    """Examples and seconds of one loop, by slice."""

    examples: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def per_second(self) -> float:
        return sum(self.examples) / sum(self.seconds)


class Plain:
    """The text-book's loop, an epoch at a time."""

    def __init__(self, train: Dataset, dev: Dataset, recipe: Recipe) -> None:
        files = find(recipe.base)
        self.adapter = adapter_of(train.task)
        self.labels = self.adapter.labels(train)
        self.dev = dev
        tokenizer = load_tokenizer(files.folder)
        encoded = self.adapter.encode(tokenizer, train.examples, recipe.max_length)
        self.dev_encoded = self.adapter.encode(tokenizer, dev.examples, recipe.max_length)
        self.ids = encoded.ids
        self.targets = self.adapter.targets(encoded, train.examples, self.labels)
        encoder = load_encoder(files, attention="sdpa")
        self.module = self.adapter.module(encoder, len(self.labels), 0.1)
        self.optimizer = torch.optim.AdamW(self.module.parameters(), lr=PLAIN_RATE)
        self.order = random.Random(recipe.seed)

    def batches(self) -> Iterator[list[int]]:
        numbers = list(range(len(self.ids)))
        self.order.shuffle(numbers)
        for start in range(0, len(numbers), PLAIN_BATCH):
            yield numbers[start : start + PLAIN_BATCH]

    def step(self, batch: list[int]) -> None:
        ids, mask = pad_ids(self.ids, batch, 0)
        logits = self.module(ids, mask)
        loss = self.adapter.loss(
            logits, pad_targets(self.targets, batch), weight=None, smoothing=0.0
        )
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it without types
        self.optimizer.step()
        self.optimizer.zero_grad()

    def slice(self, seconds: float, count: Count) -> None:
        self.module.train()
        begun, seen = time.perf_counter(), 0
        for batch in self.batches():
            self.step(batch)
            seen += len(batch)
            if time.perf_counter() - begun >= seconds:
                break
        count.examples.append(seen)
        count.seconds.append(time.perf_counter() - begun)

    def train(self, epochs: int) -> float:
        """All epochs with warm-up and decay; the dev score at the end."""
        steps, step = epochs * -(-len(self.ids) // PLAIN_BATCH), 0
        for epoch in range(epochs):
            self.module.train()
            for batch in self.batches():
                rate = learning_rate(step, steps, highest=PLAIN_RATE, warmup=0.1)
                self.optimizer.param_groups[0]["lr"] = rate
                self.step(batch)
                step += 1
            found = answer(self.module, self.adapter, self.dev_encoded, self.labels)
            score = self.adapter.score(self.dev.examples, found, self.labels).value
            print(f"    plain: epoch {epoch + 1}/{epochs}, dev {score:.4f}", flush=True)
        return score


class Ours:
    """Freehold's loop, stopped at the end of each slice and gone on with."""

    def __init__(self, train: Dataset, dev: Dataset, recipe: Recipe) -> None:
        machine = hardware.choose(recipe.precision)
        self.precision = machine.precision
        folder = Path(tempfile.gettempdir()) / "not-written"
        self.run: Run = prepare(train, dev, recipe, machine, find(recipe.base), folder)
        self.until = 0.0
        self.loop = Loop(
            self.run.job,
            self.run.optimizer,
            self.run.position,
            self.run.best,
            evaluate=lambda: Score(0.0, 0.0),
            save=lambda: None,
            stopping=lambda: time.perf_counter() >= self.until,
            on_progress=lambda _: None,
        )

    def slice(self, seconds: float, count: Count) -> None:
        position = self.run.position
        begun, before = time.perf_counter(), position.examples
        self.until = begun + seconds
        self.loop.run()
        count.examples.append(position.examples - before)
        count.seconds.append(time.perf_counter() - begun)


def compare(train: Dataset, dev: Dataset, *, rounds: int, seconds: float, threads: int) -> Any:
    recipe = Recipe(patience=30, epochs=30, threads=threads)  # more than the slices take
    with hardware.settled(threads, recipe.seed):
        plain, ours = Plain(train, dev, recipe), Ours(train, dev, recipe)
    counts = Count(), Count()
    for loop in (plain, ours):  # warm up: first calls compile kernels and fill caches
        loop.slice(3.0, Count())
    for number in range(rounds):
        plain.slice(seconds, counts[0])
        with hardware.settled(threads, recipe.seed):
            ours.slice(seconds, counts[1])
        speeds = [c.examples[-1] / c.seconds[-1] for c in counts]
        print(
            f"  round {number + 1}: plain {speeds[0]:6.1f}, freehold {speeds[1]:6.1f} examples/s, "
            f"ratio {speeds[1] / speeds[0]:.2f}",
            flush=True,
        )
    each = [
        o_n / o_s * p_s / p_n
        for p_n, p_s, o_n, o_s in zip(
            counts[0].examples,
            counts[0].seconds,
            counts[1].examples,
            counts[1].seconds,
            strict=True,
        )
    ]
    return {
        "plain": round(counts[0].per_second(), 1),
        "freehold": round(counts[1].per_second(), 1),
        "ratio": round(counts[1].per_second() / counts[0].per_second(), 2),
        "ratio_lowest": round(min(each), 2),
        "ratio_median": round(statistics.median(each), 2),
        "precision": ours.precision,
    }


def train_fully(train: Dataset, dev: Dataset, *, threads: int, plain_too: bool) -> dict[str, Any]:
    """Both to their end: Freehold by its default recipe, the plain loop for as many epochs."""

    def show(progress: Progress) -> None:
        if progress.score is not None:
            print(
                f"    freehold: epoch {progress.epoch}/{progress.epochs}, "
                f"dev {progress.score:.4f}, {progress.examples_per_second:.0f} examples/s",
                flush=True,
            )

    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe(threads=threads)
        result = fit(train, dev, recipe, Path(folder) / "model", on_progress=show)
    found: dict[str, Any] = {
        "score_name": result.score_name,
        "freehold_score": round(result.score, 4),
        "freehold_seconds": round(result.seconds, 1),
        "freehold_examples_per_second": round(result.examples_per_second, 1),
        "epochs": result.epochs,
    }
    if plain_too:
        begun = time.perf_counter()
        with hardware.settled(threads, 0):
            plain = Plain(train, dev, Recipe())
            score = plain.train(result.epochs)
        seconds = time.perf_counter() - begun
        found |= {"plain_score": round(score, 4), "plain_seconds": round(seconds, 1)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of a slice")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--full", action="store_true", help="train both to the end as well")
    parser.add_argument("--ours-only", action="store_true", help="with --full: leave out the plain")
    options = parser.parse_args()
    shared = Path(os.environ.get("FREEHOLD_SHARED") or REPOSITORY.parent / "shared") / "data"
    if not shared.is_dir():
        sys.exit(f"The data sets are not in {shared}; set FREEHOLD_SHARED.")
    torch.set_num_threads(options.threads)
    results: dict[str, Any] = {}
    for name in options.sets:
        train = read_dataset(shared / name / "train.jsonl")
        dev = read_dataset(shared / name / "dev.jsonl")
        print(f"{name}: {len(train):,} examples, {options.threads} threads", flush=True)
        results[name] = compare(
            train, dev, rounds=options.rounds, seconds=options.seconds, threads=options.threads
        )
        if options.full:
            results[name] |= train_fully(
                train, dev, threads=options.threads, plain_too=not options.ours_only
            )
    print(json.dumps({**results, "threads": options.threads}))


if __name__ == "__main__":
    main()
