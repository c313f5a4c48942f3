"""A stopped run on disk: one safetensors file with weights, optimizer, generator and position."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from freehold.errors import TrainError
from freehold.store.files import replacing

__all__ = ["Best", "Position", "identity_of", "path_of", "read", "write"]

MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what AdamW keeps of each parameter


@dataclass(slots=True)
class Position:
    """Where a run stands; a resumed one goes on from here."""

    epoch: int = 0  # epochs finished, dev evaluation included
    batch: int = 0  # batches done of the epoch under way
    step: int = 0  # optimizer steps taken
    losses: float = 0.0  # sum over the batches of the epoch under way
    examples: int = 0  # training examples seen, each as often as it was
    seconds: float = 0.0  # spent in training steps
    stale: int = 0  # epochs since the best one
    looks: list[tuple[float, float]] = field(default_factory=list)  # dev score, loss of each epoch


@dataclass(slots=True)
class Best:
    """The weights of the epoch with the best dev score so far; of equal scores the lower loss."""

    epoch: int = 0  # 1-based; 0: there is none yet
    score: float = 0.0
    loss: float = 0.0
    weights: dict[str, torch.Tensor] = field(default_factory=dict)

    def beaten_by(self, score: float, loss: float) -> bool:
        return self.epoch == 0 or (score, -loss) > (self.score, -self.loss)


def path_of(out: Path) -> Path:
    """The file of a run whose checkpoint is `out`: beside it, as it is no part of the model."""
    return out.with_name(f".{out.name}.resume.safetensors")


def write(
    path: Path,
    module: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    position: Position,
    best: Best,
    identity: Mapping[str, Any],
    notes: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """All of a run in one file, whole or not at all. `identity` says which run it is of, `notes`
    are what else it has to go on with."""
    tensors = {"generator": torch.get_rng_state()}
    for name, tensor in module.state_dict().items():
        tensors[f"weight/{name}"] = tensor
    for name, parameter in module.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{key}/{name}"] = value
    for name, weight in best.weights.items():
        tensors[f"best/{name}"] = weight
    for name, tensor in (notes or {}).items():
        tensors[f"note/{name}"] = tensor
    facts = {
        "position": asdict(position),
        "best": {"epoch": best.epoch, "score": best.score, "loss": best.loss},
        "identity": dict(identity),
    }
    with replacing(path) as beside:
        save_file(
            {name: tensor.contiguous() for name, tensor in tensors.items()},
            beside,
            metadata={name: json.dumps(value) for name, value in facts.items()},
        )


def read(
    path: Path,
    module: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    identity: Mapping[str, Any],
) -> tuple[Position, Best, dict[str, torch.Tensor]]:
    """Put weights, optimizer and torch's generator back; position, best and notes. TrainError if
    the run is another one."""
    with _opened(path) as (file, facts):
        _require_same(facts["identity"], identity)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    _put_back(tensors, module, optimizer)
    best = Best(**facts["best"], weights=_under("best/", tensors))
    return Position(**facts["position"]), best, _under("note/", tensors)


def identity_of(path: Path) -> dict[str, Any]:
    """Which run the file is of, as it was given to `write`. TrainError as `read` raises it."""
    with _opened(path) as (_, facts):
        found: dict[str, Any] = facts["identity"]
    return found


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The open file and what is written of it besides tensors."""
    if not path.exists():
        raise TrainError(
            f"There is no stopped run to go on with ({path}).", hint="Leave out --resume."
        )
    try:
        with safe_open(path, framework="pt") as file:
            yield file, {name: json.loads(text) for name, text in file.metadata().items()}
    except (SafetensorError, ValueError, KeyError) as error:
        raise TrainError(
            f"The stopped run in {path} cannot be read: {error}.", hint="Leave out --resume."
        ) from error


def _put_back(
    tensors: Mapping[str, torch.Tensor],
    module: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    module.load_state_dict(_under("weight/", tensors))
    for name, parameter in module.named_parameters():
        kept = {key: tensors[f"{key}/{name}"] for key in MOMENTS if f"{key}/{name}" in tensors}
        if kept:
            device = parameter.device
            optimizer.state[parameter] = {key: t.to(device) for key, t in kept.items()}
    torch.set_rng_state(tensors["generator"])


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}


def _require_same(kept: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    differing = [name for name in asked if kept.get(name) != asked[name]]
    if differing:
        raise TrainError(
            f"The stopped run had another {' and '.join(differing)}; it cannot be gone on with.",
            hint="Give it what it had, or leave out --resume to begin a new run.",
        )
