"""Freehold's server against LitServe and infinity, on the same model, texts, machine and run.

A MiniLM classifier of banking77's 77 labels, exported as the product exports it, and the same
weights as a transformers checkpoint for the peers. One server runs at a time and is ended, with all
it started, before the next begins: an idle one beside the run can halve it. wrk asks with single
texts over 1 and 32 connections; all answer with all labels. Rounds take turns:

    the engine alone, fed ideal batches   ->  what the machine can do with this model
    freehold serve                        ->  keys, quota and durable metering on; HF JSON and V2
    the same without metering, in pairs   ->  what metering costs
    LitServe, infinity                    ->  by the best of a small sweep, stated in the output

    python bench/serve.py --quick              # does it run: a round of three seconds each
    python bench/serve.py                      # about half an hour; goes on where it was stopped
    python bench/serve.py --parts soak --soak 2000000

Peers run in .venv-serve-peers (the Makefile makes it). Data: FREEHOLD_SHARED, or the folder
`shared` beside the repository. What was measured is kept in --folder and used again for the same
commit and options; delete it to begin anew. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from serve_figures import BARS, document, show
from serve_load import busy_share, group, memory_mb, need_wrk, wrk
from serve_setup import Bench, prepare
from serve_soak import soak
from serve_who import Contender, freehold, infinity, litserve, v2_requests

HERE = Path(__file__).parent
QUIET = 0.1  # of all processors: more than this before a run is said in the output
PARTS = ("sweep", "speed", "cold", "soak")
LITSERVE = (
    {"most": 8, "wait": 0.005, "workers": 1},
    {"most": 16, "wait": 0.01, "workers": 1},
    {"most": 32, "wait": 0.005, "workers": 1},
    {"most": 32, "wait": 0.02, "workers": 1},
    {"most": 16, "wait": 0.005, "workers": 2},  # of half the threads each
)
INFINITY = (
    {"most": 32, "compiled": False},
    {"most": 8, "compiled": False},
    {"most": 32, "compiled": True},  # its default
)


class Record:
    """What was measured, a line each, found again after a stop."""

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        lines = path.read_text().splitlines() if path.exists() else []
        self.entries = [e for e in map(json.loads, lines) if e["key"] == key]

    def of(self, part: str) -> list[dict[str, Any]]:
        return [entry for entry in self.entries if entry["part"] == part]

    def once(self, part: str, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What was kept, else what `measure` finds, with how busy the machine was before it."""
        for entry in self.of(part):
            if entry["name"] == name:
                return entry
        busy = settled()
        found = measure()
        entry = {"key": self.key, "part": part, "name": name, "busy_before": round(busy, 3)}
        entry |= found
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        self.entries.append(entry)
        print(f"  {part} {name}: {json.dumps(found)}", flush=True)
        return entry


def settled() -> float:
    """Wait a while for quiet cores; the busy share that was found at last."""
    for _ in range(10):
        busy = busy_share()
        if busy <= QUIET:
            return busy
    print(f"  {busy:.0%} of the processors' time is taken by something else", flush=True)
    return busy


def sweep(bench: Bench, record: Record, options: argparse.Namespace) -> None:
    """The peers' options, each for a while at 32 connections."""
    for name, each in (("litserve", LITSERVE), ("infinity", INFINITY)):
        for flags in each[:1] if options.quick else each:

            def measure(name: str = name, flags: dict[str, Any] = flags) -> dict[str, Any]:
                peer = made(name, bench, options, flags)
                with peer.start() as server:
                    wrk(server.url, peer.requests, 32, options.warm)
                    load = wrk(server.url, peer.requests, 32, options.seconds)
                return {"who": name, "flags": flags, **asdict(load)}

            record.once("sweep", f"{name} {json.dumps(flags)}", measure)


def made(name: str, bench: Bench, options: argparse.Namespace, flags: dict[str, Any]) -> Contender:
    if name == "infinity":
        return infinity(bench, options.peer, threads=options.threads, **flags)
    threads = max(1, options.threads // flags["workers"])
    return litserve(bench, options.peer, threads=threads, **flags)


def best(record: Record, name: str) -> dict[str, Any]:
    tried = [entry for entry in record.of("sweep") if entry["who"] == name]
    if not tried:
        sys.exit(f"{name}'s options are not known yet; run the part `sweep` first.")
    flags: dict[str, Any] = max(tried, key=lambda entry: entry["requests_per_second"])["flags"]
    return flags


def speed(bench: Bench, record: Record, options: argparse.Namespace) -> None:
    """The rounds."""
    peers = [made(name, bench, options, best(record, name)) for name in ("litserve", "infinity")]
    ours = freehold(bench, options.threads, options.serve)
    unmetered = freehold(bench, options.threads, options.serve, metered=False)
    for number in range(options.rounds):
        record.once("engine", f"{number}", lambda: engine(bench, options))
        record.once("freehold", f"{number}", lambda: everything(bench, ours, options))
        for pair in range(options.pairs):
            # Who comes first changes, as a machine that warms up or cools down hits one more.
            for who in (ours, unmetered) if (number + pair) % 2 else (unmetered, ours):
                name = "metered" if who is ours else "unmetered"
                record.once(name, f"{number}.{pair}", lambda who=who: asked(who, (32,), options))
        for peer in peers if number % 2 else peers[::-1]:
            record.once(
                peer.name, f"{number}", lambda peer=peer: compared(bench, ours, peer, options)
            )


def engine(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    texts = bench.folder / "texts.json"
    texts.write_text(json.dumps(bench.texts))
    words = [sys.executable, str(HERE / "serve_engine.py"), str(bench.bundle), str(texts)]
    words += [str(options.threads), str(options.seconds * 2)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def asked(
    who: Contender, connections: Sequence[int], options: argparse.Namespace
) -> dict[str, Any]:
    with who.start() as server:
        wrk(server.url, who.requests, 32, options.warm)
        return loads(server.url, who.requests, connections, options)


def loads(
    url: str, requests: Path, connections: Sequence[int], options: argparse.Namespace
) -> dict[str, Any]:
    return {str(n): asdict(wrk(url, requests, n, options.seconds)) for n in connections}


def everything(bench: Bench, ours: Contender, options: argparse.Namespace) -> dict[str, Any]:
    """HF JSON with one text a request and with eight, V2 in binary, memory: of one server."""
    eight = freehold(bench, options.threads, options.serve, batch=8)
    with ours.start() as server:
        wrk(server.url, ours.requests, 32, options.warm)
        found: dict[str, Any] = {
            "hf": loads(server.url, ours.requests, (1, 32, 64), options),
            "eight": loads(server.url, eight.requests, (8,), options),
        }
        v2 = v2_requests(bench, server.url)
        found["v2"] = loads(server.url, v2, (1, 32), options) if v2 else None
        workers = group(server.pid)
        found["resident_mb"] = max(memory_mb(pid) for pid in workers)
        found["processes"] = len(workers)
    return found


def compared(
    bench: Bench, ours: Contender, peer: Contender, options: argparse.Namespace
) -> dict[str, Any]:
    """A peer's speed, and on how many texts its likeliest label is ours."""
    texts = bench.texts[:: max(1, len(bench.texts) // 64)][:64]
    wanted_file = bench.folder / "answers.json"
    if not wanted_file.exists():
        with ours.start() as server:
            wanted_file.write_text(json.dumps(ours.answers(server.url, texts)))
    wanted = json.loads(wanted_file.read_text())
    with peer.start() as server:
        answered = peer.answers(server.url, texts)
        wrk(server.url, peer.requests, 32, options.warm)
        found = loads(server.url, peer.requests, (1, 32), options)
    pairs = list(zip(wanted, answered, strict=True))
    same = sum(a[0][0] == b[0][0] for a, b in pairs)
    apart = max(abs(dict(a)[label] - score) for a, b in pairs for label, score in b)
    if same < 0.9 * len(pairs):
        sys.exit(f"{peer.name} gives another label than Freehold to {len(pairs) - same} texts.")
    return {**found, "same_label": same / len(pairs), "scores_apart": round(apart, 4)}


def cold(bench: Bench, record: Record, options: argparse.Namespace) -> None:
    """Process start to /ready, with the files in memory and, where it may be asked for, from disk;
    and what the process holds then."""
    ours = freehold(bench, options.threads, options.serve)
    for number in range(1 if options.quick else 5):
        for disk in (False, True):
            if disk and not drop_caches():
                continue

            def measure() -> dict[str, Any]:
                with ours.start() as server:
                    held = max(memory_mb(pid) for pid in group(server.pid))
                    return {"seconds": round(server.seconds, 3), "resident_mb": held}

            record.once("disk" if disk else "ready", f"{number}", measure)


def drop_caches() -> bool:
    """Forget what the system holds of files; False where only root may."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
    except OSError:
        return False
    time.sleep(0.5)
    return True


def commit() -> str:
    """What is measured: the commit, and whether the tree is as it is there."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=HERE, stdout=subprocess.PIPE, text=True, check=False
        )
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "../src")
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS[:3])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=2, help="with and without metering, a round")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of one run of wrk")
    parser.add_argument("--warm", type=float, default=3.0, help="what goes before it, not counted")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--serve", nargs="*", default=[], help="more words for `freehold serve`")
    parser.add_argument("--soak", type=int, default=0, help="requests of the part `soak`")
    parser.add_argument("--folder", type=Path, default=HERE.parent / ".bench-serve")
    parser.add_argument("--quick", action="store_true", help="one round of three seconds each")
    python = HERE.parent / ".venv-serve-peers" / "bin" / "python"
    parser.add_argument("--peer", default=str(python))
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.pairs, options.seconds, options.warm = 1, 1, 3.0, 2.0
    if options.soak and "soak" not in options.parts:
        options.parts = [*options.parts, "soak"]
    return options


def shared() -> Path:
    folder = Path(os.environ.get("FREEHOLD_SHARED") or HERE.parents[1] / "shared") / "data"
    if not folder.is_dir():
        sys.exit(f"The data sets are not in {folder}; set FREEHOLD_SHARED.")
    return folder


def main() -> None:
    options = arguments()
    need_wrk()
    options.folder.mkdir(parents=True, exist_ok=True)
    bench = prepare(options.folder, shared(), options.threads)
    of = (commit(), options.threads, options.seconds, options.warm, options.serve)
    record = Record(options.folder / "measured.jsonl", json.dumps(of))
    print(f"freehold {of[0]}; {options.threads} threads for every engine, one for wrk", flush=True)
    if "sweep" in options.parts:
        sweep(bench, record, options)
    if "speed" in options.parts:
        speed(bench, record, options)
    if "cold" in options.parts:
        cold(bench, record, options)
    if "soak" in options.parts:
        count = options.soak or 2_000_000
        record.once("soak", f"{count}", lambda: soak(bench, options, count))
    found = document(record.of, {n: best(record, n) for n in ("litserve", "infinity")}
                     if record.of("sweep") else {})  # fmt: skip
    found |= {
        "threads": {"engine": options.threads, "wrk": 1, "processors": os.cpu_count()},
        "seconds": options.seconds, "commit": of[0], "bars": BARS,
    }  # fmt: skip
    show(found)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
