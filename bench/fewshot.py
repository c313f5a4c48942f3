"""Few-shot learning against SetFit: accuracy, seconds from start to end, and peak memory.

    python bench/fewshot.py                        # all of it; SetFit is slow on a CPU
    python bench/fewshot.py --only banking77:8     # one set and number of examples a label
    python bench/fewshot.py --only banking77:8 --max-steps 40
    python bench/fewshot.py --memory               # our peak memory as the data grow tenfold

Both sides learn from the same drawn examples, start from minilm, use two threads (--threads), and
run one after the other, each in a process of its own: ours as `freehold train --few-shot` learns,
SetFit with its documented defaults but 20 pairs of either kind an example (--iterations;
bench/setfit_peer.py says why). Dev is scored on both sides and chooses nothing on either. Seconds
are those of the whole process, libraries and dev included.

With --max-steps SetFit's body stops after so many steps: its accuracy then says nothing, and the
seconds of a whole run are worked out from those of a step and called so ("extrapolated").

Data: FREEHOLD_SHARED, or the folder `shared` beside the repository. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from freehold.data.read import read_dataset
from freehold.data.shots import draw_shots
from freehold.tasks.types import Dataset

REPOSITORY = Path(__file__).resolve().parents[1]
PEER = REPOSITORY / ".venv-peers" / "bin" / "python"
GRID = ("banking77:8", "banking77:16", "clinc150:8", "clinc150:16")
ITERATIONS, BATCH = 20, 16  # of SetFit: pairs of either kind an example; pairs a step
FASTER = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=GRID)
    parser.add_argument("--iterations", type=int, default=ITERATIONS, help="of SetFit")
    parser.add_argument("--max-steps", type=int, default=-1, help="of SetFit's body")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", action="store_true", help="only our memory at 1x and 10x")
    parser.add_argument("--ours", nargs=2, type=Path, metavar=("TRAIN", "DEV"), help="(a process)")
    parser.add_argument("--peer", default=str(PEER), help="the python with SetFit")
    options = parser.parse_args()
    if options.ours:
        ours(*options.ours, options.threads)
        return
    results: dict[str, Any] = {"threads": options.threads, "cases": []}
    results["iterations"] = options.iterations
    if not options.memory:
        for case in options.only or GRID:
            results["cases"].append(compare(case, options))
    if options.memory or not options.only:
        results["memory"] = memory(options.threads)
    show(results)


def ours(train: Path, dev: Path, threads: int) -> None:
    """One run of our own, in this process; prints its figures."""
    from freehold.train.fewshot.fewshot import fit_few
    from freehold.train.recipe import Recipe

    with tempfile.TemporaryDirectory() as folder:
        result = fit_few(
            read_dataset(train, task="text-classification"),
            read_dataset(dev, task="text-classification"),
            Recipe(threads=threads),
            Path(folder) / "model",
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {"accuracy": result.score, "train_seconds": result.seconds, "peak_mb": round(peak)}
        )
    )


def compare(case: str, options: argparse.Namespace) -> dict[str, Any]:
    name, shots = case.split(":")
    folder = shared() / name
    drawn = draw_shots(
        read_dataset(folder / "train.jsonl", task="text-classification"), int(shots), seed=0
    )
    dev = read_dataset(folder / "dev.jsonl", task="text-classification")
    with tempfile.TemporaryDirectory() as place:
        train_file, dev_file = Path(place) / "train.jsonl", Path(place) / "dev.jsonl"
        write(drawn, train_file)
        write(dev, dev_file)
        own = run_ours(train_file, dev_file, options.threads)
        peer = run_peer(train_file, dev_file, options)
    found = {"case": case, "examples": len(drawn), "n": len(dev), "ours": own, "setfit": peer}
    found["faster"] = peer["seconds"] / own["seconds"]
    print(json.dumps(found), file=sys.stderr)
    return found


def run_ours(train: Path, dev: Path, threads: int) -> dict[str, Any]:
    words = [sys.executable, __file__, "--ours", str(train), str(dev), "--threads", str(threads)]
    started = time.perf_counter()
    answer = json.loads(_run(words, threads))
    return {**answer, "seconds": round(time.perf_counter() - started, 2)}


def run_peer(train: Path, dev: Path, options: argparse.Namespace) -> dict[str, Any]:
    words = [
        options.peer, str(REPOSITORY / "bench" / "setfit_peer.py"), "--train", str(train),
        "--dev", str(dev), "--iterations", str(options.iterations),
        "--threads", str(options.threads), "--max-steps", str(options.max_steps),
    ]  # fmt: skip
    started = time.perf_counter()
    answer = json.loads(_run(words, options.threads))
    seconds = time.perf_counter() - started
    steps = -(-answer["pairs"] // BATCH)
    whole = options.max_steps <= 0 or options.max_steps >= steps
    found = {
        "accuracy": answer["right"] / answer["n"] if whole else None,
        "train_seconds": answer["train_seconds"],
        "peak_mb": answer["peak_mb"],
        "steps": steps,
        "extrapolated": not whole,
        "seconds": round(seconds, 2),
    }
    if not whole:
        missing = answer["train_seconds"] / options.max_steps * (steps - options.max_steps)
        found["seconds"] = round(seconds + missing, 2)
    return found


def memory(threads: int) -> dict[str, Any]:
    """Peak memory of learning from texts of banking77 at 8 a label and at ten times as many."""
    folder = shared() / "banking77"
    whole = read_dataset(folder / "train.jsonl", task="text-classification")
    few = draw_shots(whole, 8, seed=0)
    found = {}
    with tempfile.TemporaryDirectory() as place:
        train_file, dev_file = Path(place) / "train.jsonl", Path(place) / "dev.jsonl"
        write(few, dev_file)
        for times in (1, 10):
            write(draw_shots(whole, 8 * times, seed=0), train_file)
            found[f"peak_mb_{times}x"] = run_ours(train_file, dev_file, threads)["peak_mb"]
    return found


def write(data: Dataset, path: Path) -> None:
    lines = [
        json.dumps({"text": example.text, "label": example.target}, ensure_ascii=False)
        for example in data.examples
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def show(results: dict[str, Any]) -> None:
    print(f"{'case':14}{'side':8}{'accuracy':>9}{'seconds':>10}{'peak MB':>9}{'faster':>8}")
    for one in results["cases"]:
        for side in ("ours", "setfit"):
            it = one[side]
            accuracy = "-" if it["accuracy"] is None else f"{it['accuracy']:.4f}"
            mark = "*" if it.get("extrapolated") else ""
            ratio = f"{one['faster']:.1f}x" if side == "ours" else ""
            print(
                f"{one['case'] if side == 'ours' else '':14}{side:8}{accuracy:>9}"
                f"{it['seconds']:>9.1f}{mark or ' '}{it['peak_mb']:>9}{ratio:>8}"
            )
    if any(one["setfit"]["extrapolated"] for one in results["cases"]):
        print("* worked out from the seconds of a step")
    if "memory" in results:
        print(f"our peak memory: {results['memory']}")
    results["faster_bar"] = FASTER
    print(json.dumps(results))


def shared() -> Path:
    given = os.environ.get("FREEHOLD_SHARED")
    folder = (Path(given) if given else REPOSITORY.parent / "shared") / "data"
    if not folder.is_dir():
        sys.exit(f"The data sets are not there ({folder}); set FREEHOLD_SHARED.")
    return folder


def _run(words: list[str], threads: int) -> str:
    """The last line that a process prints; its own messages go to this one's stderr."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(f"{words[1]} ended with {done.returncode}.")
    return done.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    main()
