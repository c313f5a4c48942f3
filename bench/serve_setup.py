"""What bench/serve.py measures: a project with a live classifier, and the same weights for peers.

Everything is kept in one folder, so that a bench that was stopped goes on: the project, the peers'
checkpoint, a customer's key, the texts and the requests made of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["MODEL", "Bench", "freehold", "prepare"]

MODEL = "bank"
MAX_LENGTH = 64
TRAINED_ON = 2000  # lines; speed does not depend on the score
PROJECT = f"""\
[project]
name = "{MODEL}"

[task]
kind = "text-classification"

[data]
train = "data/train.jsonl"
dev = "data/dev.jsonl"

[[plans]]
name = "bench"
fee = "10"
price = "0.0001"
"""


@dataclass(frozen=True)
class Bench:
    """What was prepared; `texts` are banking77's dev texts of one line."""

    folder: Path
    key: str
    texts: tuple[str, ...]

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint"

    @property
    def bundle(self) -> Path:
        return self.project / ".freehold" / "bundles" / f"{MODEL}@1"


def prepare(folder: Path, shared: Path, threads: int) -> Bench:
    """Make what is not there yet. It takes a minute or two the first time."""
    data = shared / "banking77"
    project = folder / "project"
    if not (folder / "key").exists():
        (project / "data").mkdir(parents=True, exist_ok=True)
        (project / "freehold.toml").write_text(PROJECT, encoding="utf-8")
        lines = (data / "train.jsonl").read_text(encoding="utf-8").splitlines()[:TRAINED_ON]
        (project / "data" / "train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        dev = (data / "dev.jsonl").read_text(encoding="utf-8")
        (project / "data" / "dev.jsonl").write_text(dev, encoding="utf-8")
        if not (project / ".freehold" / "checkpoints" / f"{MODEL}@1").exists():
            freehold(
                project, "train", "--epochs", "1", "--max-length", str(MAX_LENGTH),
                "--threads", str(threads),
            )  # fmt: skip
        if not (project / ".freehold" / "bundles" / f"{MODEL}@1").exists():
            freehold(project, "export", f"{MODEL}@1")
        freehold(project, "promote", f"{MODEL}@1")
        customer = freehold(project, "customer", "add", "bench", "--plan", "bench")
        (folder / "key").write_text(customer["key"], encoding="utf-8")
        (folder / "key").chmod(0o600)
    if not (folder / "checkpoint" / "model.safetensors").exists():
        convert(project, folder / "checkpoint")
    rows = (data / "dev.jsonl").read_text(encoding="utf-8").splitlines()
    texts = (json.loads(row)["text"] for row in rows)
    return Bench(
        folder,
        (folder / "key").read_text(encoding="utf-8"),
        tuple(text for text in texts if "\n" not in text),
    )


def freehold(project: Path, *words: str) -> dict[str, Any]:
    """The document of `freehold WORDS --json`; what it says on the way goes to stderr."""
    print(f"freehold {' '.join(words)}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "freehold", *words, "--json", "--project", str(project)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env=os.environ,
    )
    if done.returncode:
        sys.exit(f"freehold {' '.join(words)} ended with {done.returncode}: {done.stdout}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def convert(project: Path, out: Path) -> None:
    """Our checkpoint as a transformers one, whose softmax is our calibrated probability: the last
    layer is divided by the version's temperature. Checked on some texts before it is kept."""
    import torch
    from safetensors.torch import load_file, save_file

    from freehold.train.checkpoint import load

    source = project / ".freehold" / "checkpoints" / f"{MODEL}@1"
    temperature = json.loads(
        (project / ".freehold" / "bundles" / f"{MODEL}@1" / "bundle.json").read_text()
    )["temperature"]
    ours = load(source)
    weights = {}
    for name, tensor in load_file(source / "model.safetensors").items():
        if name.startswith("encoder."):
            weights[f"bert.{name.removeprefix('encoder.')}"] = tensor
        elif name in ("head.weight", "head.bias"):
            weights[f"classifier.{name.removeprefix('head.')}"] = tensor / temperature
        else:
            sys.exit(f"The weight {name} of {source} has no place in serve_mean.py.")
    config = json.loads((source / "config.json").read_text())
    labels = dict(enumerate(ours.meta.labels))
    config |= {
        "architectures": ["MeanBertForSequenceClassification"],
        "model_type": "mean-bert",
        "id2label": {str(number): label for number, label in labels.items()},
        "label2id": {label: number for number, label in labels.items()},
    }
    out.mkdir(parents=True, exist_ok=True)
    ours.tokenizer.save(str(out / "tokenizer.json"))
    (out / "tokenizer_config.json").write_text((source / "tokenizer_config.json").read_text())
    (out / "config.json").write_text(json.dumps(config, indent=2))

    from serve_mean import MeanBertForSequenceClassification, MeanConfig

    peer = MeanBertForSequenceClassification(MeanConfig(**config)).eval()
    missing, unexpected = peer.load_state_dict(weights, strict=False)
    missing = [name for name in missing if not name.endswith("position_ids")]
    assert not missing, missing
    assert not unexpected, unexpected
    ids = torch.tensor(
        [[101, 2073, 2003, 2026, 4003, 102, 0], [101, 2054, 2055, 1996, 2047, 3, 102]]
    )
    mask = (ids != 0).long()
    with torch.no_grad():
        wanted = ours.module(ids, mask, None) / temperature
        found = peer(ids, mask).logits
    assert torch.allclose(wanted, found, atol=1e-4), (wanted - found).abs().max()
    # Last, since it says that the folder is whole.
    save_file({k: v.contiguous() for k, v in weights.items()}, out / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
