"""What packing gains: tokens a second of one masked-LM step, padded, sorted by length, packed.

    python bench/pretrain_speed.py [CORPUS] [--base minilm] [--seconds 20] [--rounds 3]

The same encoder, head and step each time; the ways take turns, so that a slow moment of the machine
hits all of them; seconds are those of the processor, so that neighbours count less. Tokens that are
padding do not count.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from freehold.data.read import read_dataset
from freehold.train import hardware
from freehold.train.batches import epoch_plan
from freehold.train.encoders import find
from freehold.train.loop import Job, Material
from freehold.train.pretrain.corpus import corpus_of
from freehold.train.pretrain.knobs import Pretraining
from freehold.train.pretrain.parts import Parts, parts_of
from freehold.train.state import Position

REPOSITORY = Path(__file__).resolve().parents[1]


def plans(parts: Parts, budget: int, *, shuffled: bool) -> list[list[int]]:
    if not shuffled:
        return epoch_plan(parts.lengths(), budget, seed=0, epoch=0)
    # Random order, as many texts a batch as fill the budget on average: the usual padded loop.
    order = np.random.default_rng(0).permutation(len(parts.ids))
    texts = max(1, round(budget / float(parts.lengths().mean())))
    return [order[start : start + texts].tolist() for start in range(0, len(order), texts)]


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("corpus", type=Path, nargs="?")
    words.add_argument("--base", default="minilm")
    words.add_argument("--seconds", type=float, default=20.0)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--budget", type=int, default=2048)
    words.add_argument("--objective", default="mlm")
    words.add_argument("--lengths", default="128,32")
    given = words.parse_args()
    shared = Path(os.environ.get("FREEHOLD_SHARED") or REPOSITORY.parent / "shared") / "data"
    file = given.corpus or shared / "fin_headlines_ts" / "headlines.jsonl"
    corpus = corpus_of(read_dataset(file, labelled=False, task="text-classification"))
    recipe = Pretraining(objective=given.objective, base=given.base).resolved()
    machine = hardware.choose("auto")
    files = find(given.base)
    off = parts_of(corpus, replace(recipe, packing="off"), files, machine)
    ways = {
        "padded, random order": (off, plans(off, given.budget, shuffled=True)),
        "sorted by length": (off, plans(off, given.budget, shuffled=False)),
    }
    for length in map(int, given.lengths.split(",")):
        on = parts_of(corpus, replace(recipe, packing="on", max_length=length), files, machine)
        assert on.packed
        ways[f"packed to {length}"] = (on, plans(on, given.budget, shuffled=False))
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    with hardware.settled(1, 0):
        for _ in range(given.rounds):
            for way, (parts, plan) in ways.items():
                speeds[way].append(speed(parts, plan, machine, given.seconds))
    print(f"{file.name}, {given.objective} from {given.base}, one thread")
    for way, found in speeds.items():
        print(f"{way:24} {np.mean(found):8,.0f} tokens/s  (rounds {[round(f) for f in found]})")
    print(json.dumps({way: [round(f, 1) for f in found] for way, found in speeds.items()}))


def speed(parts: Parts, plan: list[list[int]], machine: hardware.Hardware, seconds: float) -> float:
    """Tokens a second of forward and backward, after one step to warm up."""
    objective = parts.objective(Position(), 0)
    lengths = parts.lengths()
    job = Job(
        module=parts.model,
        adapter=None,  # type: ignore[arg-type]
        material=Material(parts.ids, [np.array(0)] * len(parts.ids), parts.pad),
        hardware=machine,
        epochs=1,
        learning_rate=1e-4,
        batch_tokens=2048,
        warmup=0.0,
        clip_norm=0.0,
        patience=1,
        label_weights=None,
        label_smoothing=0.0,
        seed=0,
        objective=objective,
    )
    parts.model.train()
    tokens, started = 0, 0.0
    for number, batch in enumerate(plan):
        if number == 1:
            started = time.process_time()
        objective.gradients(job, job.material.batch(batch, machine.device))
        parts.model.zero_grad(set_to_none=True)
        if number:
            tokens += int(lengths[batch].sum())
            if time.process_time() - started > seconds:
                break
    return tokens / (time.process_time() - started)


if __name__ == "__main__":
    main()
