"""From a checkpoint to a bundle: build every candidate, measure it here, keep the best."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from freehold.errors import ConflictError, InputError
from freehold.export.candidates import CANDIDATES, Candidate
from freehold.export.document import describe, write_document
from freehold.export.graph import inputs_of, need_libraries, write_graph
from freehold.export.measure import Built, OpenEngine, choose, measure
from freehold.export.report import ExportReport
from freehold.export.sample import Sample
from freehold.tasks.types import Dataset

__all__ = ["MOST_DEV", "export"]

MOST_DEV = 1500  # dev examples that are scored; more would cost minutes and move little
_SEED = 0
_PRECISIONS = ("auto", "fp32", "int8")


def export(
    checkpoint: Path,
    out: Path,
    *,
    model: str,
    version: int,
    temperature: float,
    dev: Dataset | None,
    open_engine: OpenEngine,
    precision: str = "auto",
    budget: float = 0.003,
    threads: int | None = None,
    settings: Mapping[str, Any] | None = None,
    on_step: Callable[[str], None] | None = None,
) -> ExportReport:
    """Write the bundle folder `out` (model.onnx, tokenizer.json, bundle.json) from a checkpoint.

    Every candidate of the wished precision is built, opened with `open_engine` (the engine that
    will serve it: `freehold.serve.engine.Engine.open`) and measured, with the `settings` that the
    task tuned on dev. "auto" keeps the one with the
    most inputs a second among those whose dev score is at most `budget` (0.003: 0.3 points) below
    torch's; without dev texts nothing shows what rounding costs, and it keeps fp32. A named
    precision is kept whatever its score. At most 1,500 dev examples are scored, drawn with seed 0.

    Raises ConflictError when `out` is there already, InputError for an unknown precision, DataError
    for a dev set that does not fit, MissingDependencyError, FreeholdError when the encoder cannot
    be exported, and what reading the checkpoint raises. Nothing is left behind then.
    """
    if precision not in _PRECISIONS:
        raise InputError(f"There is no precision {precision!r}.", hint="Say auto, fp32 or int8.")
    if out.exists():
        raise ConflictError(f"{out} is already there.", hint="Name a folder that is not.")
    need_libraries()
    from freehold.train.checkpoint import load

    step = on_step or (lambda _: None)
    loaded = load(checkpoint)
    sample = Sample.of(dev, task=loaded.meta.task, most=MOST_DEV, seed=_SEED)
    about = describe(
        loaded.meta,
        checkpoint,
        model=model,
        version=version,
        temperature=temperature,
        inputs=inputs_of(loaded),
        settings=settings,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as beside:
        graph = Path(beside) / "graph.onnx"
        step("writing the graph")
        write_graph(loaded, graph)
        built = []
        for candidate in _wished(precision, scored=sample.scored):
            step(f"building {candidate.name}")
            folder = graph.parent / candidate.name
            folder.mkdir()
            candidate.build(graph, folder)
            # `load` has cleared padding and truncation; the engine sets its own.
            loaded.tokenizer.save(str(folder / "tokenizer.json"))
            write_document(folder, about, candidate)
            built.append(Built(candidate, folder))
        measured = measure(
            built,
            sample,
            checkpoint,
            open_engine,
            budget=budget,
            threads=threads,
            settings=settings or {},
            step=step,
        )
        chosen, report = choose(measured, out, budget=budget, threads=threads)
        write_document(chosen.folder, about, chosen.candidate, report=report)
        chosen.folder.chmod(0o755)
        chosen.folder.rename(out)
    return report


def _wished(precision: str, *, scored: bool) -> Sequence[Candidate]:
    if precision == "auto":
        return CANDIDATES if scored else CANDIDATES[:1]
    return [candidate for candidate in CANDIDATES if candidate.precision == precision]
