"""From a checkpoint to a bundle: build every candidate, measure it here, keep the best."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freehold.errors import ConflictError
from freehold.export.build import build_all, wished
from freehold.export.candidates import CANDIDATES, Candidate
from freehold.export.document import describe, write_document
from freehold.export.graph import GraphError, inputs_of, need_libraries, write_graph
from freehold.export.measure import OpenEngine, choose, measure
from freehold.export.report import ExportReport, LeftOut
from freehold.export.sample import Sample
from freehold.export.source import Feeds, Source, calibration_feeds
from freehold.tasks.types import Dataset

if TYPE_CHECKING:
    from freehold.train.checkpoint import LoadedModel

__all__ = ["BUDGET", "MOST_DEV", "SECONDS", "export"]

MOST_DEV = 1500  # dev examples that are scored; more would cost minutes and move little
BUDGET = 0.003  # 0.3 points
SECONDS = 30.0
_SEED = 0


def export(
    checkpoint: Path,
    out: Path,
    *,
    model: str,
    version: int,
    temperature: float,
    dev: Dataset | None,
    open_engine: OpenEngine,
    train: Dataset | None = None,
    engine: str = "auto",
    precision: str = "auto",
    budget: float = BUDGET,
    threads: int | None = None,
    cores: int = 1,
    seconds: float = SECONDS,
    settings: Mapping[str, Any] | None = None,
    on_step: Callable[[str], None] | None = None,
) -> ExportReport:
    """Write the bundle folder `out` (the engine's model files, tokenizer.json, bundle.json) from a
    checkpoint.

    Every candidate of the wished engine and precision that this machine can run is built, opened
    with `open_engine` (the engine that will serve it: `freehold.serve.engine.Engine.open`), tuned
    to `cores` (or to `threads` exactly) and measured, with the `settings` that the task tuned on
    dev; tuning and timing take about `seconds`. "auto" keeps the one with the most inputs a second
    among those whose dev score is at most `budget` (0.003: 0.3 points) below torch's; without dev
    texts nothing shows what rounding costs, and single precision is kept. One that is named is kept
    whatever its score. At most 1,500 dev examples are scored, drawn with seed 0. Candidates that
    are calibrated see texts of `train`. Where the encoder cannot be written as ONNX, "auto" keeps
    torch.

    Raises ConflictError when `out` is there already, InputError for an unknown engine or precision,
    DataError for a dev set that does not fit, MissingDependencyError, FreeholdError when no
    candidate can be built, and what reading the checkpoint raises. Nothing is left behind then.
    """
    wishes = wished(CANDIDATES, engine, precision, scored=dev is not None)
    if out.exists():
        raise ConflictError(f"{out} is already there.", hint="Name a folder that is not.")
    need_libraries()
    from freehold.train.checkpoint import load

    step = on_step or (lambda _: None)
    loaded = load(checkpoint)
    inputs = inputs_of(loaded)
    sample = Sample.of(dev, task=loaded.meta.task, most=MOST_DEV, seed=_SEED)
    about = describe(
        loaded.meta,
        checkpoint,
        model=model,
        version=version,
        temperature=temperature,
        inputs=inputs,
        settings=settings,
    )

    def complete(candidate: Candidate, folder: Path) -> None:
        # `load` has cleared padding and truncation; the engine sets its own.
        loaded.tokenizer.save(str(folder / "tokenizer.json"))
        write_document(folder, about, candidate)

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as beside:
        graph = Path(beside) / "graph.onnx"
        wishes, left = _written(loaded, graph, wishes, step)
        feeds: Sequence[Feeds] = ()
        if train is not None and any(one.calibrated for one in wishes):
            feeds = calibration_feeds(loaded, train, inputs)
        source = Source(checkpoint, graph, feeds)
        built, unbuilt = build_all(wishes, source, Path(beside), complete, step)
        measured = measure(
            built,
            sample,
            checkpoint,
            open_engine,
            budget=budget,
            threads=threads,
            cores=cores,
            seconds=seconds,
            settings=settings or {},
            step=step,
        )
        chosen, report = choose(
            measured, out, budget=budget, threads=threads, left_out=[*left, *unbuilt]
        )
        write_document(chosen.folder, about, chosen.candidate, report=report)
        chosen.folder.chmod(0o755)
        chosen.folder.rename(out)
    return report


def _written(
    loaded: LoadedModel, graph: Path, wishes: list[Candidate], step: Callable[[str], None]
) -> tuple[list[Candidate], list[LeftOut]]:
    """Write the graph, and what is tried then: where it cannot be written, the last resort, with
    the reason against all others. Raises GraphError where no last resort stands open."""
    if all(one.last for one in wishes):
        return wishes, []
    step("writing the graph")
    try:
        write_graph(loaded, graph)
    except GraphError as error:
        last = [one for one in CANDIDATES if one.last]
        if len({one.engine for one in wishes}) == 1 or not last:
            raise  # an engine was named
        reason = error.message.rstrip(".")
        return last, [LeftOut(one.engine, one.precision, reason) for one in wishes]
    return wishes, []
