"""A student of three layers against its teacher of six: what it keeps, and how much faster it is.

For each set a teacher is fine-tuned from minilm by the default recipe, a student distilled from it
by `freehold distill`'s defaults (with `--augment` as given here), and both are exported. Scores are
of dev, by the weights as trained. Speeds are those of the serving engine (tokenising included), the
two models taking turns, once in float32 and once in int8, in the way `freehold export` measures
candidates: median of five rounds.

    python bench/distill.py                                # all of it
    python bench/distill.py --folder F --only teacher      # in parts: F keeps what is done, also
                                                           # of a run that Ctrl-C stopped

Data: FREEHOLD_SHARED, or the folder `shared` beside the repository. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freehold.data.read import read_dataset
from freehold.export.bundle import export
from freehold.export.measure import speeds
from freehold.export.sample import Sample
from freehold.serve.engine import Engine
from freehold.tasks.types import Dataset
from freehold.train.checkpoint import read_meta
from freehold.train.distil.distil import distil
from freehold.train.finetune import FitResult, fit
from freehold.train.progress import Progress
from freehold.train.recipe import Recipe
from freehold.train.state import path_of

REPOSITORY = Path(__file__).resolve().parents[1]
LAYERS = 3
FASTER = 1.9
PRECISIONS = ("fp32", "int8")


@dataclass(frozen=True, slots=True)
class Case:
    """A set, the share of the teacher's score that is to be kept, and how texts are stretched."""

    kept: float
    augment: int


CASES = {"banking77": Case(0.99, 0), "conll2003": Case(0.985, 0)}


def show(progress: Progress) -> None:
    if progress.score is not None:
        print(
            f"    epoch {progress.epoch}/{progress.epochs}: dev {progress.score:.4f}, "
            f"{progress.examples_per_second:.0f} examples/s",
            flush=True,
        )


def require_finished(result: FitResult) -> None:
    if result.interrupted:
        sys.exit("Stopped; the same command with the same --folder goes on.")


class Bench:
    """One set. Whatever is done is in its folder, with its figures, and is not done again."""

    def __init__(self, name: str, data: Path, folder: Path, threads: int | None) -> None:
        self.name, self.case = name, CASES[name]
        self.train: Dataset = read_dataset(data / name / "train.jsonl")
        self.dev: Dataset = read_dataset(data / name / "dev.jsonl")
        self.folder, self.threads = folder / name, threads
        self.folder.mkdir(parents=True, exist_ok=True)

    def teacher(self) -> dict[str, Any]:
        def make() -> dict[str, Any]:
            out = self.folder / "teacher"
            result = fit(
                self.train,
                self.dev,
                Recipe(threads=self.threads),
                out,
                on_progress=show,
                resume=path_of(out).exists(),
            )
            require_finished(result)
            return {"score": result.score, "seconds": result.seconds, "epochs": result.epochs}

        return self._once("teacher", make)

    def student(self) -> dict[str, Any]:
        def make() -> dict[str, Any]:
            out = self.folder / "student"
            found = distil(
                self.folder / "teacher",
                self.train,
                self.dev,
                Recipe(threads=self.threads),
                out,
                layers=LAYERS,
                augment=self.case.augment,
                on_step=lambda line: print(f"    {line}", flush=True),
                on_progress=show,
                resume=path_of(out).exists(),
            )
            require_finished(found.fit)
            return {
                "score": found.fit.score,
                "retained": found.retained,
                "layers": found.layers,
                "seconds": found.seconds,
                "epochs": found.fit.epochs,
                "augment": self.case.augment,
            }

        return self._once("student", make)

    def speed(self) -> dict[str, Any]:
        return self._once("speed", self._speeds)

    def _speeds(self) -> dict[str, Any]:
        sample = Sample.of(self.dev, task=self.dev.task, most=1500, seed=0)
        found: dict[str, Any] = {}
        for precision in PRECISIONS:
            with tempfile.TemporaryDirectory() as place:
                engines = [self._engine(who, precision, Path(place)) for who in WHO]
                teacher, student = speeds(engines, sample)
            found[precision] = {
                "teacher": teacher.inputs_per_second,
                "student": student.inputs_per_second,
                "ratio": student.inputs_per_second / teacher.inputs_per_second,
                "teacher_p50_ms": teacher.p50_ms,
                "student_p50_ms": student.p50_ms,
            }
        return found

    def _engine(self, who: str, precision: str, place: Path) -> Engine:
        bundle = place / who
        export(
            self.folder / who,
            bundle,
            model=who,
            version=1,
            temperature=1.0,
            dev=None,
            open_engine=Engine.open,
            precision=precision,
            threads=self.threads,
        )
        return Engine.open(bundle, threads=self.threads)

    def _once(self, part: str, make: Any) -> dict[str, Any]:
        done = self.folder / f"{part}.json"
        if not done.exists():
            print(f"  {part}", flush=True)
            done.write_text(json.dumps(make()))
        figures: dict[str, Any] = json.loads(done.read_text())
        return figures


WHO = ("teacher", "student")


def table(name: str, bench: Bench) -> dict[str, Any]:
    teacher, student, speed = bench.teacher(), bench.student(), bench.speed()
    score = read_meta(bench.folder / "teacher").score_name
    print(
        f"{name}: dev {score} {teacher['score']:.4f} -> {student['score']:.4f}, "
        f"{student['retained']:.2%} kept (bar {bench.case.kept:.1%}); "
        f"teacher {teacher['seconds']:.0f} s, student {student['seconds']:.0f} s"
    )
    for precision, found in speed.items():
        print(
            f"  {precision}: {found['teacher']:.0f} -> {found['student']:.0f} inputs/s, "
            f"{found['ratio']:.2f} times (bar {FASTER}); one short text "
            f"{found['teacher_p50_ms']:.1f} -> {found['student_p50_ms']:.1f} ms"
        )
    return {"score_name": score, "teacher": teacher, "student": student, "speed": speed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--folder", type=Path, help="keeps what is done; a new one by default")
    parser.add_argument("--only", choices=["teacher", "student", "speed"], help="this part alone")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    shared = Path(os.environ.get("FREEHOLD_SHARED") or REPOSITORY.parent / "shared") / "data"
    if not shared.is_dir():
        sys.exit(f"The data sets are not in {shared}; set FREEHOLD_SHARED.")
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as new:
        folder = options.folder or Path(new)
        benches = {name: Bench(name, shared, folder, options.threads) for name in options.sets}
        if options.only:
            found = {name: getattr(bench, options.only)() for name, bench in benches.items()}
        else:
            found = {name: table(name, bench) for name, bench in benches.items()}
    print(json.dumps({**found, "seconds": round(time.perf_counter() - begun)}))


if __name__ == "__main__":
    main()
