"""Which candidates are tried for an export, and what became of those that are not measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from freehold.errors import FreeholdError, InputError, MissingDependencyError
from freehold.export.candidates import Candidate
from freehold.export.measure import Built
from freehold.export.report import LeftOut
from freehold.export.source import Source

__all__ = ["build_all", "wished"]


def wished(
    candidates: Sequence[Candidate], engine: str, precision: str, *, scored: bool
) -> list[Candidate]:
    """Those of an engine and a precision ("auto": any). Without dev texts nothing shows what
    rounding costs, and only single precision is tried unless another is named; what is a last
    resort is left aside unless it is named.

    Raises InputError for names that there are not, or that do not go together.
    """
    for kind, name, known in (
        ("engine", engine, [one.engine for one in candidates]),
        ("precision", precision, [one.precision for one in candidates]),
    ):
        if name not in ("auto", *known):
            names = ", ".join(dict.fromkeys(known))
            raise InputError(f"There is no {kind} {name!r}.", hint=f"Say auto, {names}.")
    chosen = [
        one
        for one in candidates
        if engine in ("auto", one.engine)
        and precision in ("auto", one.precision)
        and (scored or precision != "auto" or one.precision == "fp32")
        and (not one.last or engine == one.engine)
    ]
    if not chosen:
        raise InputError(f"The engine {engine} does not run in {precision}.", hint="Leave one out.")
    return chosen


def build_all(
    candidates: Sequence[Candidate],
    source: Source,
    parent: Path,
    complete: Callable[[Candidate, Path], None],
    step: Callable[[str], None],
) -> tuple[list[Built], list[LeftOut]]:
    """Each candidate's bundle in a folder of its own below `parent`, `complete` adding what is not
    the engine's; and those that could not be built.

    Raises MissingDependencyError or FreeholdError where none could.
    """
    built, left = [], []
    for candidate in candidates:
        folder = parent / candidate.name
        reason = _obstacle(candidate, source)
        if reason is None:
            step(f"building {candidate.name}")
            folder.mkdir()
            try:
                candidate.build(source, folder)
            except Exception as error:  # noqa: BLE001 - whatever an engine's tools raise
                reason = _sentence(error)
        if reason is None:
            complete(candidate, folder)
            built.append(Built(candidate, folder))
        else:
            left.append(LeftOut(candidate.engine, candidate.precision, reason))
    if not built:
        if len(candidates) == 1 and (library := candidates[0].missing()):
            raise MissingDependencyError(library, candidates[0].extra, f"{candidates[0].name}")
        reasons = "; ".join(f"{one.name}: {one.reason}" for one in left)
        raise FreeholdError(f"No engine can run this model here. {reasons}.")
    return built, left


def _obstacle(candidate: Candidate, source: Source) -> str | None:
    """Why it is not even tried."""
    if library := candidate.missing():
        return f"{library} is not installed (pip install 'freehold[{candidate.extra}]')"
    if reason := candidate.unfit():
        return reason
    if candidate.calibrated and not source.calibration:
        return "it needs texts to calibrate with, and the version's train file is not at hand"
    return None


def _sentence(error: Exception) -> str:
    """An engine's words on one line."""
    if isinstance(error, FreeholdError):
        return error.message.rstrip(".")
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"it could not be built: {lines[0] if lines else type(error).__name__}"[:300].rstrip(".")
