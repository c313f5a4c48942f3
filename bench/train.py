"""Freehold's training loop against transformers.Trainer, on the same data, machine and run.

Three take turns in slices of some seconds, so that whatever else the machine does in the meantime
hits all: Trainer by its defaults, Trainer by the flags that are best on a CPU (`BEST`; --sweep
tries others), and Freehold's default recipe. All start from minilm, with texts tokenised beforehand
and cut at the same length; each goes on where it stopped, so that slices together see texts of all
lengths. Examples per second are those of all slices of one together. Useful GFLOP/s (padding left
out) are stated beside the best matrix product of this machine in the precision of the run.

    python bench/train.py                     # about fifteen minutes
    python bench/train.py --full              # then each to the end, with dev scores
    python bench/train.py --sweep             # Trainer's flags, one after the other

Trainer runs in .venv-peers (the Makefile makes it). Data: FREEHOLD_SHARED, or the folder `shared`
beside the repository. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from freehold.data.read import read_dataset
from freehold.tasks.base import Score
from freehold.tasks.types import Dataset
from freehold.train import hardware
from freehold.train.encoders import find
from freehold.train.finetune import fit
from freehold.train.loop import Loop
from freehold.train.progress import Progress
from freehold.train.recipe import Recipe
from freehold.train.run import Run, prepare
from limits import peak_gflops, training_flops

REPOSITORY = Path(__file__).resolve().parents[1]
SETS = ("banking77", "conll2003")
BASE = "minilm"
BAR = 4.0  # examples per second over those of Trainer
Flags = dict[str, Any]
# Batches of 16 and 32 of like length were the fastest of --sweep on banking77. bf16 is added where
# the processor multiplies it. The rate grows with the batch, as tuning has it.
BEST: Flags = {
    "per_device_train_batch_size": 32,
    "learning_rate": 2e-4,
    "warmup_steps": 0.1,
    "train_sampling_strategy": "group_by_length",
    "logging_strategy": "no",
}
SWEEP: tuple[Flags, ...] = (
    {"per_device_train_batch_size": 8},
    {"per_device_train_batch_size": 16},
    {"per_device_train_batch_size": 32},
    {"per_device_train_batch_size": 64},
    {"per_device_train_batch_size": 16, "train_sampling_strategy": "group_by_length"},
    {"per_device_train_batch_size": 32, "train_sampling_strategy": "group_by_length"},
    {"per_device_train_batch_size": 64, "train_sampling_strategy": "group_by_length"},
    {"per_device_train_batch_size": 32, "bf16": True},
    {"per_device_train_batch_size": 32, "torch_compile": True},
)


@dataclass
class Count:
    """Examples and seconds of one contender, by slice."""

    examples: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, examples: int, seconds: float) -> None:
        self.examples.append(examples)
        self.seconds.append(seconds)

    def per_second(self) -> float:
        return sum(self.examples) / sum(self.seconds)


class Contender(Protocol):
    def slice(self, seconds: float) -> tuple[int, float]:
        """Train for about so long: examples, seconds."""
        ...


class Ended(SystemExit):
    """The peer's process is gone; its sentence is what the program ends with."""


class Peer:
    """Trainer in its own process and environment, held between slices."""

    def __init__(self, name: str, flags: Flags, options: argparse.Namespace) -> None:
        self.process = subprocess.Popen(
            words_of(name, flags, options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if not options.loud else None,
            text=True,
            env=environment(options.threads),
        )
        self.answer()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise Ended("The peer's process ended; --loud shows what it said.")
        found: dict[str, Any] = json.loads(line)
        return found

    def slice(self, seconds: float) -> tuple[int, float]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        found = self.answer()
        self.answer()  # that it waits again
        return found["examples"], found["seconds"]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Ours:
    """Freehold's loop, stopped at the end of each slice and gone on with."""

    def __init__(self, train: Dataset, dev: Dataset, recipe: Recipe) -> None:
        machine = hardware.choose(recipe.precision)
        self.recipe, self.precision = recipe, machine.precision
        folder = Path(tempfile.gettempdir()) / "not-written"
        with hardware.settled(recipe.threads, recipe.seed):
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

    def slice(self, seconds: float) -> tuple[int, float]:
        position = self.run.position
        with hardware.settled(self.recipe.threads, self.recipe.seed):
            begun, before = time.perf_counter(), position.examples
            self.until = begun + seconds
            self.loop.run()
            return position.examples - before, time.perf_counter() - begun

    def flops_of_an_example(self) -> float:
        lengths = self.run.job.material.lengths().tolist()
        encoder: Any = self.run.job.module.encoder
        return training_flops(encoder.config, lengths) / len(lengths)


def words_of(name: str, flags: Flags, options: argparse.Namespace) -> list[str]:
    folder = shared() / name
    return [
        options.peer, str(REPOSITORY / "bench" / "trainer_peer.py"),
        "--encoder", str(find(BASE).folder),
        "--train", str(folder / "train.jsonl"), "--dev", str(folder / "dev.jsonl"),
        "--flags", json.dumps(flags), "--threads", str(options.threads),
    ]  # fmt: skip


def environment(threads: int) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}


def best_flags() -> Flags:
    return {**BEST, "bf16": True} if hardware.choose("auto").bf16 else BEST


def compare(name: str, train: Dataset, dev: Dataset, options: argparse.Namespace) -> dict[str, Any]:
    recipe = Recipe(base=BASE, patience=1000, epochs=1000, threads=options.threads)
    ours = Ours(train, dev, recipe)
    defaults, best = Peer(name, {}, options), Peer(name, best_flags(), options)
    contenders: dict[str, Contender] = {
        "trainer": defaults, "trainer, best flags": best, "freehold": ours,
    }  # fmt: skip
    counts = {who: Count() for who in contenders}
    dtypes = {"fp32": torch.float32}
    if hardware.choose("bf16") == hardware.choose("auto"):  # emulated products are no limit
        dtypes["bf16"] = torch.bfloat16
    peaks: dict[str, list[float]] = {precision: [] for precision in dtypes}
    for contender in contenders.values():  # first calls plan kernels and fill caches
        contender.slice(3.0)
    for number in range(options.rounds):
        for precision, dtype in dtypes.items():
            peaks[precision].append(peak_gflops(dtype))
        for who, contender in contenders.items():
            counts[who].add(*contender.slice(options.seconds))
        each = ", ".join(
            f"{who} {count.examples[-1] / count.seconds[-1]:.1f}" for who, count in counts.items()
        )
        print(f"  round {number + 1}, examples/s: {each}", flush=True)
    defaults.close()
    best.close()
    return figures(counts, ours, {peak: max(found) for peak, found in peaks.items()})


def figures(counts: dict[str, Count], ours: Ours, peaks: dict[str, float]) -> dict[str, Any]:
    speeds = {who: count.per_second() for who, count in counts.items()}
    each = ours.flops_of_an_example() / 1e9
    found: dict[str, Any] = {
        who: {
            "examples_per_second": round(speed, 1),
            "useful_gflops": round(speed * each, 1),
            "of_peak": round(speed * each / peaks[ours.precision], 3),
        }
        for who, speed in speeds.items()
    }
    for who in ("trainer", "trainer, best flags"):
        rounds = [
            ours_n / ours_s * peer_s / peer_n
            for ours_n, ours_s, peer_n, peer_s in zip(
                counts["freehold"].examples,
                counts["freehold"].seconds,
                counts[who].examples,
                counts[who].seconds,
                strict=True,
            )
        ]
        found[who]["ratio"] = round(speeds["freehold"] / speeds[who], 2)
        found[who]["ratio_lowest"] = round(min(rounds), 2)
    found["precision"] = ours.precision
    found["peak_gflops"] = {name: round(peak, 1) for name, peak in peaks.items()}
    return found


def sweep(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Examples per second of Trainer by each set of flags, each for `seconds` on its own; None for
    what it refuses."""
    found: dict[str, float | None] = {}
    for flags in SWEEP:
        try:
            peer = Peer(name, {**flags, "logging_strategy": "no"}, options)
            peer.slice(3.0)
            examples, seconds = peer.slice(options.seconds)
            peer.close()
        except Ended:  # such as bf16 where the processor has none
            found[json.dumps(flags)] = None
            print(f"  refused             {json.dumps(flags)}", flush=True)
            continue
        found[json.dumps(flags)] = round(examples / seconds, 1)
        print(f"  {examples / seconds:7.1f} examples/s  {json.dumps(flags)}", flush=True)
    return found


def train_fully(
    name: str, train: Dataset, dev: Dataset, options: argparse.Namespace
) -> dict[str, Any]:
    """Each to its end: Freehold by its default recipe, Trainer for as many epochs."""

    def show(progress: Progress) -> None:
        if progress.score is not None:
            print(
                f"    freehold: epoch {progress.epoch}/{progress.epochs}, "
                f"dev {progress.score:.4f}, {progress.examples_per_second:.0f} examples/s",
                flush=True,
            )

    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe(base=BASE, epochs=options.epochs, threads=options.threads)
        result = fit(train, dev, recipe, Path(folder) / "model", on_progress=show)
    found: dict[str, Any] = {
        "freehold": {
            "score": result.score,
            "examples_per_second": result.examples_per_second,
            "seconds": result.seconds,
        }
    }
    for who, flags in (("trainer", {}), ("trainer, best flags", best_flags())):
        done = subprocess.run(
            [*words_of(name, flags, options), "--epochs", str(result.epochs)],
            stdout=subprocess.PIPE,
            stderr=None if options.loud else subprocess.DEVNULL,
            text=True,
            env=environment(options.threads),
            check=True,
        )
        found[who] = json.loads(done.stdout)
        print(f"    {who}: {done.stdout.strip()}", flush=True)
    rounded = {who: {k: round(v, 4) for k, v in one.items()} for who, one in found.items()}
    return {"epochs": result.epochs, "score_name": result.score_name, **rounded}


def shared() -> Path:
    folder = Path(os.environ.get("FREEHOLD_SHARED") or REPOSITORY.parent / "shared") / "data"
    if not folder.is_dir():
        sys.exit(f"The data sets are not in {folder}; set FREEHOLD_SHARED.")
    return folder


def show(results: dict[str, Any]) -> None:
    print(f"{'set':12}{'who':22}{'examples/s':>11}{'GFLOP/s':>9}{'of peak':>9}{'freehold is':>13}")
    for name, result in results.items():
        for who in ("trainer", "trainer, best flags", "freehold") if "speed" in result else ():
            one = result["speed"][who]
            ratio = f"{one['ratio']:.2f} x" if "ratio" in one else ""
            print(
                f"{name:12}{who:22}{one['examples_per_second']:>11}{one['useful_gflops']:>9}"
                f"{one['of_peak']:>9.1%}{ratio:>13}"
            )
        for who, one in result.get("full", {}).items():
            if isinstance(one, dict):
                print(f"{name:12}{who:22}dev {one['score']:.4f} in {one['seconds']:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=40.0, help="length of a slice")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--full", action="store_true", help="train each to the end as well")
    parser.add_argument("--epochs", type=int, help="of --full; what the recipe chooses if left out")
    parser.add_argument("--only-full", action="store_true", help="--full without the slices")
    parser.add_argument("--sweep", action="store_true", help="try Trainer's flags, and no more")
    parser.add_argument("--peer", default=str(REPOSITORY / ".venv-peers" / "bin" / "python"))
    parser.add_argument("--loud", action="store_true", help="show what the peer says")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results: dict[str, Any] = {}
    for name in options.sets:
        print(f"{name}: {options.threads} threads", flush=True)
        if options.sweep:
            results[name] = sweep(name, options)
            continue
        train = read_dataset(shared() / name / "train.jsonl")
        dev = read_dataset(shared() / name / "dev.jsonl")
        results[name] = {}
        if not options.only_full:
            results[name]["speed"] = compare(name, train, dev, options)
        if options.full or options.only_full:
            results[name]["full"] = train_fully(name, train, dev, options)
    if not options.sweep:
        show(results)
    print(json.dumps({**results, "threads": options.threads, "bar": BAR}))


if __name__ == "__main__":
    main()
