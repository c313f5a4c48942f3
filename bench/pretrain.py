"""What pretraining does: a new head first or not, a small decoder, sentence embeddings.

    python bench/pretrain.py head   [HEADLINES]  held-out loss, a new head alone first or not
    python bench/pretrain.py causal [HEADLINES]  perplexity of a small random GPT-2
    python bench/pretrain.py simcse [TRAIN DEV]  do texts find others of their label?

Without files: fin_headlines_ts and banking77 of FREEHOLD_SHARED, or of the folder `shared` beside
the repository. One thread each; the same seed, texts and steps for what is compared. Masked
language modelling and what it is worth for a task are measured with the verbs themselves
(bench/RESULTS.md has them).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from tokenizers import ByteLevelBPETokenizer

from freehold.data.read import read_dataset
from freehold.train.batches import pad_ids, plan
from freehold.train.encoders import find, load_encoder, load_tokenizer
from freehold.train.pretrain.contrastive import EmbeddingModel
from freehold.train.pretrain.corpus import Corpus, corpus_of
from freehold.train.pretrain.heldout import by_bootstrap
from freehold.train.pretrain.knobs import Pretraining
from freehold.train.pretrain.run import Pretrained, pretrain
from freehold.train.tokens import tokenize

REPOSITORY = Path(__file__).resolve().parents[1]


def corpus(path: Path) -> Corpus:
    return corpus_of(read_dataset(path, labelled=False))


def told(what: str, done: Pretrained) -> None:
    """Loss and score before and after, and the speed."""
    looks = {"before": done.before, "after": done.after}
    for when, look in looks.items():
        if look is not None:
            print(
                f"{what:28} {when:7} loss {look.loss:.4f}  {done.score_name} {look.value:.4g} "
                f"({look.low:.4g} to {look.high:.4g})  n {look.n:,}"
            )
    print(
        f"{what:28} {done.steps} steps, {done.tokens:,} tokens, {done.tokens_per_second:,.0f} a "
        f"second of the clock; head alone {done.head_loss}"
    )
    print(json.dumps({w: None if k is None else k.document() for w, k in looks.items()}))


def head(headlines: Path, steps: int, folder: Path) -> None:
    texts = corpus(headlines)
    for share in (0.0, 0.1):
        recipe = Pretraining(
            steps=steps, batch_tokens=512, head_share=share, looks=1, threads=1, held_out=0.02
        )
        told(f"head alone for {share:.0%}", pretrain(texts, recipe, folder / f"h{share}"))


def causal(headlines: Path, steps: int, folder: Path) -> None:
    recipe = Pretraining(
        objective="clm",
        base=str(small_gpt2(headlines, folder / "gpt2")),
        steps=steps,
        learning_rate=2e-3,
        threads=1,
    )
    told("GPT-2, 2 layers of 128", pretrain(corpus(headlines), recipe, folder / "out"))


def small_gpt2(headlines: Path, folder: Path) -> Path:
    """Random weights, and a byte-level BPE of 4,000 tokens learnt from the texts."""
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = ByteLevelBPETokenizer()
    mark = "<|endoftext|>"
    tokenizer.train_from_iterator(corpus(headlines).texts, 4000, special_tokens=[mark])
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=tokenizer.get_vocab_size(), n_positions=128, n_embd=128, n_layer=2, n_head=4,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def simcse(train: Path, dev: Path, steps: int, folder: Path) -> None:
    recipe = Pretraining(objective="simcse", steps=steps, looks=2, threads=1)
    done = pretrain(corpus(train), recipe, folder / "out")
    told("SimCSE", done)
    for when, base in (("before", "minilm"), ("after", str(done.path))):
        found = neighbours(base, train, dev)
        low, high = by_bootstrap(found, np.ones(len(found)))
        print(
            f"{when:7} nearest of {train.name} has the label of a text of {dev.name}: "
            f"{found.mean():.4f} ({low:.4f} to {high:.4f}), n {len(found):,}"
        )


def neighbours(base: str, train: Path, dev: Path) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """For each text of dev, whether the nearest of every fourth one of train has its label."""
    known, asked = (read_dataset(path) for path in (train, dev))
    some = known.examples[::4]
    a, b = (vectors(base, [e.text for e in part]) for part in (asked.examples, some))
    labels = [e.label for e in some]
    nearest = (a @ b.T).argmax(1).tolist()
    hits = [labels[n] == e.label for n, e in zip(nearest, asked.examples, strict=True)]
    return np.array(hits, np.float64)


def vectors(base: str, texts: list[str]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    files = find(base)
    model = EmbeddingModel(load_encoder(files, attention="eager")).eval()
    encodings = tokenize(load_tokenizer(files.folder), texts, 128)
    ids = [np.array(e.ids, np.int32) for e in encodings]
    found: dict[int, np.ndarray[tuple[int], np.dtype[np.float32]]] = {}
    with torch.inference_mode():
        for numbers in plan(np.array([len(i) for i in ids]), 4096):
            tokens, mask = pad_ids(ids, numbers, 0)
            rows = torch.nn.functional.normalize(model(tokens, mask), dim=-1).numpy()
            found.update(zip(numbers, rows, strict=True))
    return np.stack([found[n] for n in range(len(ids))])


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("what", choices=["head", "causal", "simcse"])
    words.add_argument("files", type=Path, nargs="*")
    words.add_argument("--steps", type=int)
    given = words.parse_args()
    shared = Path(os.environ.get("FREEHOLD_SHARED") or REPOSITORY.parent / "shared") / "data"
    if not given.files and not shared.is_dir():
        sys.exit(f"The data sets are not in {shared}; set FREEHOLD_SHARED, or name files.")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.what == "simcse":
            banking = shared / "banking77"
            train, dev = given.files or (banking / "train.jsonl", banking / "dev.jsonl")
            simcse(train, dev, given.steps or 40, folder)
            return
        (headlines,) = given.files or (shared / "fin_headlines_ts" / "headlines.jsonl",)
        if given.what == "head":
            head(headlines, given.steps or 60, folder)
        else:
            causal(headlines, given.steps or 300, folder)


if __name__ == "__main__":
    main()
