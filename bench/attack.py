"""Plain against hardened on sst2: clean accuracy, accuracy under attack, and what hardening costs.

All versions are trained on the same texts, with the same epochs and seed, and attacked alike: the
default attack (all kinds in one search) on the dev file. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from freehold.data.read import read_dataset
from freehold.evaluate.attack.driver import Similarity
from freehold.evaluate.attack.models import likeness, predictor
from freehold.evaluate.attack.report import AttackReport, Figure, attack
from freehold.evaluate.attack.search import Limits
from freehold.tasks.types import Dataset
from freehold.train import hardware
from freehold.train.encoders import find
from freehold.train.finetune import FitResult, fit
from freehold.train.progress import Progress
from freehold.train.recipe import Recipe
from freehold.train.run import prepare

REPOSITORY = Path(__file__).resolve().parents[1]
PLAIN = "plain"
VARIANTS: dict[str, dict[str, Any]] = {
    PLAIN: {},
    "word vectors": {"adversarial": "fgm", "adversarial_size": 0.1},
    "copies": {"adversarial": "copies"},
    "copies, twice": {"adversarial": "copies", "adversarial_weight": 2.0},
}
BAR = 1.25  # accuracy under attack over that of the plain version
QUICK = 48  # texts of everything with --quick: a smoke test, no measurement


def sampled(data: Dataset, most: int | None) -> Dataset:
    if most is None or most >= len(data):
        return data
    chosen = np.sort(np.random.default_rng(0).permutation(len(data))[:most])
    return dataclasses.replace(data, examples=[data.examples[number] for number in chosen])


def learn(name: str, train: Dataset, dev: Dataset, recipe: Recipe, folder: Path) -> FitResult:
    def show(progress: Progress) -> None:
        if progress.score is not None:
            print(
                f"  {name}: epoch {progress.epoch}/{progress.epochs}, dev {progress.score:.4f}, "
                f"{progress.examples_per_second:.0f} examples/s",
                flush=True,
            )

    return fit(train, dev, recipe, folder / name.replace(" ", "-"), on_progress=show)


def attacked(
    checkpoint: Path, dev: Dataset, similarity: Similarity, texts: int | None
) -> AttackReport:
    predict, labels = predictor(checkpoint)
    return attack(dev, predict, labels, similarity, limits=Limits(), each=False, most=texts)


def row(
    result: FitResult, trained: float, report: AttackReport, attack_seconds: float
) -> dict[str, Any]:
    combined = report.kinds[-1]
    return {
        "clean": plain_figure(report.clean),
        "under_attack": plain_figure(combined.accuracy),
        "success": plain_figure(combined.success),
        "words_changed": plain_figure(combined.words_changed),
        "queries": plain_figure(combined.queries),
        "refused": combined.refused,
        "behaviour": {one.name: plain_figure(report.figures(one)[0]) for one in report.behaviours},
        "n": report.n,
        "epochs": result.epochs,
        "train_seconds": round(trained, 1),
        "attack_seconds": round(attack_seconds, 1),
    }


def plain_figure(figure: Figure) -> list[float | None]:
    """Value, low, high."""
    ends = figure.interval or (None, None)
    return [None if one is None else round(one, 4) for one in (figure.value, *ends)]


def cost_of_a_step(train: Dataset, dev: Dataset, threads: int, steps: int) -> dict[str, float]:
    """Seconds of a step of FreeLB with 3 passes over those of a plain one, on the same batches in
    turns, and the same over the 3 passes: near 1 is what its reuse of gradients promises."""
    recipes = [Recipe(threads=threads), Recipe(threads=threads, adversarial="freelb")]
    machine = hardware.choose("auto")
    spent = [0.0, 0.0]
    with hardware.settled(threads, 0):
        runs = [prepare(train, dev, one, machine, find("minilm"), Path("none")) for one in recipes]
        size = max(1, 1024 // int(runs[0].job.material.lengths().mean()))
        for step in range(steps + 3):
            numbers = [(step * size + one) % len(train) for one in range(size)]
            for number, run in enumerate(runs):
                run.job.module.train()
                begun = time.perf_counter()
                batch = run.job.material.batch(numbers, machine.device)
                run.job.objective.gradients(run.job, batch)
                run.optimizer.step()
                run.optimizer.zero_grad()
                if step >= 3:  # the first ones compile kernels and fill caches
                    spent[number] += time.perf_counter() - begun
    return {
        "plain_ms": round(1000 * spent[0] / steps, 1),
        "freelb_ms": round(1000 * spent[1] / steps, 1),
        "ratio": round(spent[1] / spent[0], 2),
        "ratio_per_pass": round(spent[1] / spent[0] / recipes[1].adversarial_steps, 2),
    }


def verdict(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Against the bar: each hardened version's clean accuracy and its ratio under attack."""
    plain = rows[PLAIN]
    return {
        name: {
            "ratio": round(one["under_attack"][0] / max(plain["under_attack"][0], 1e-9), 2),
            "clean_within_interval": one["clean"][0] >= plain["clean"][1],
        }
        for name, one in rows.items()
        if name != PLAIN
    }


def shown(figure: list[float | None], form: str = ".3f") -> str:
    if figure[0] is None:
        return "–"
    return f"{figure[0]:{form}} ({figure[1]:{form}}–{figure[2]:{form}})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--train", type=int, help="training texts at most; all by default")
    parser.add_argument("--texts", type=int, help="dev texts that are attacked; all by default")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument(
        "--quick", action="store_true", help="a smoke test; its figures say nothing"
    )
    options = parser.parse_args()
    shared = Path(os.environ.get("FREEHOLD_SHARED") or REPOSITORY.parent / "shared") / "data"
    if not shared.is_dir():
        sys.exit(f"The data sets are not in {shared}; set FREEHOLD_SHARED.")
    torch.set_num_threads(options.threads)
    dev = read_dataset(shared / "sst2" / "dev.jsonl")
    if options.quick:
        dev = sampled(dev, QUICK)
    train = sampled(
        read_dataset(shared / "sst2" / "train.jsonl"), QUICK if options.quick else options.train
    )
    texts = QUICK if options.quick else options.texts
    similarity, rows = likeness(), {}
    print(f"sst2: {len(train):,} texts, {options.epochs} epochs, {options.threads} threads")
    with tempfile.TemporaryDirectory() as folder:
        for name in dict.fromkeys([PLAIN, *options.variants]):
            recipe = Recipe(epochs=options.epochs, threads=options.threads, **VARIANTS[name])
            begun = time.perf_counter()
            result = learn(name, train, dev, recipe, Path(folder))
            trained = time.perf_counter() - begun
            begun = time.perf_counter()
            report = attacked(result.path, dev, similarity, texts)
            rows[name] = row(result, trained, report, time.perf_counter() - begun)
            print(
                f"  {name}: clean {shown(rows[name]['clean'])}, under attack "
                f"{shown(rows[name]['under_attack'])}, words changed "
                f"{shown(rows[name]['words_changed'])}, questions "
                f"{shown(rows[name]['queries'], '.1f')}, n {report.n}; trained in {trained:.0f} s, "
                f"attacked in {rows[name]['attack_seconds']:.0f} s",
                flush=True,
            )
    cost = cost_of_a_step(train, dev, options.threads, 3 if options.quick else 30)
    print(f"  a step of FreeLB with 3 passes costs {cost['ratio']} plain ones")
    checks = verdict(rows)
    for name, check in checks.items():
        kept = "kept" if check["clean_within_interval"] else "LOST"
        bar = "reached" if check["ratio"] >= BAR else "MISSED"
        print(f"  {name}: {check['ratio']} times plain under attack ({bar}), clean {kept}")
    print(
        json.dumps(
            {
                "variants": rows,
                "recipes": VARIANTS,
                "against_plain": checks,
                "freelb_step": cost,
                "limits": dataclasses.asdict(Limits()),
                "train": len(train),
                "threads": options.threads,
                "quick": options.quick,
            }
        )
    )


if __name__ == "__main__":
    main()
