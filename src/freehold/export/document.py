"""bundle.json: who the model is, its files' sha256, and, apart from those, what was measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freehold import __version__
from freehold.export.candidates import Candidate
from freehold.export.graph import INPUTS, OPSET
from freehold.export.report import ExportReport
from freehold.store.files import write_text

if TYPE_CHECKING:
    from freehold.train.checkpoint import Meta

__all__ = ["DOCUMENT", "FORMAT", "describe", "write_document"]

DOCUMENT = "bundle.json"
FORMAT = 1


def describe(
    meta: Meta,
    checkpoint: Path,
    *,
    model: str,
    version: int,
    temperature: float,
    inputs: Sequence[str] = INPUTS,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The fields that do not depend on how the model is run."""
    return {
        "format": FORMAT,
        "freehold": __version__,
        "model": model,
        "version": version,
        "task": meta.task,
        "labels": list(meta.labels),
        "temperature": temperature,
        "settings": {k: v for k, v in (settings or {}).items() if k != "temperature"},
        "max_length": meta.max_length,
        "inputs": list(inputs),
        "casing": meta.casing,
        "lines": meta.lines,
        "pad_id": _pad_id(checkpoint),
        "opset": OPSET,
    }


def write_document(
    folder: Path, about: dict[str, Any], candidate: Candidate, report: ExportReport | None = None
) -> None:
    """Write bundle.json for the other files in `folder`. All but the key "measured" is the same
    each time the same checkpoint is exported."""
    files = sorted(path for path in folder.iterdir() if path.name != DOCUMENT)
    document = {
        **about,
        "engine": candidate.engine,
        "precision": candidate.precision,
        "files": {path.name: _sha256(path) for path in files},
    }
    if report is not None:
        document["dev"] = _dev(report)
        document["measured"] = _measured(report)
    write_text(folder / DOCUMENT, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _dev(report: ExportReport) -> dict[str, Any] | None:
    if not report.n:
        return None
    return {
        "metric": report.metric,
        "value": report.dev_score,
        "torch": report.torch_score,
        "agreement": report.agreement,
        "n": report.n,
    }


def _measured(report: ExportReport) -> dict[str, Any]:
    whole = report.document()
    names = ("p50_ms", "short_tokens", "inputs_per_second", "batch", "threads", "budget", "tuned")
    tables = ("candidates", "left_out")
    return {name: whole[name] for name in (*names, *tables)}


def _pad_id(checkpoint: Path) -> int:
    """What padded places hold; any token would do, as they are masked."""
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    return int(config.get("pad_token_id") or 0)


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
