"""What tests build on, here and in projects that use Freehold: a tiny checkpoint, a verb run."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["run_verb", "tiny_encoder"]

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MARKS = ".,;:!?'\"-/()&%$#@+*"


def run_verb(project: Path, *words: str, code: int = 0) -> dict[str, Any]:
    """The JSON document of `freehold WORDS --json` in a project's folder, run in this process.

    Raises AssertionError with what it printed where it does not exit with `code`.
    """
    from click.testing import CliRunner

    from freehold.cli.main import main

    done = CliRunner().invoke(main, [*words, "--json", "--project", str(project)])
    if done.exit_code != code:
        raise AssertionError(
            f"freehold {' '.join(words)} ended with {done.exit_code}: {done.output}"
        )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def tiny_encoder(
    path: Path,
    *,
    vocab_words: Sequence[str] = (),
    hidden: int = 32,
    layers: int = 2,
    heads: int = 2,
    positions: int = 64,
    seed: int = 0,
) -> Path:
    """Write a random BERT checkpoint of a few dozen kilobytes into the folder `path` and return it.

    It has what a real one has (model.safetensors, config.json, tokenizer.json,
    tokenizer_config.json) and is taken as `base` by `freehold train`. The WordPiece vocabulary
    (lower case) knows every ASCII letter and digit, so any such word is encoded; `vocab_words`
    become one token each. The same arguments write the same bytes.
    """
    from safetensors.numpy import save_file

    path.mkdir(parents=True, exist_ok=True)
    vocabulary = _vocabulary(vocab_words)
    inner = 2 * hidden
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": len(vocabulary),
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": positions,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    }
    weights = dict(
        _weights(len(vocabulary), hidden, inner, layers=layers, positions=positions, seed=seed)
    )
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    (path / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    _write_tokenizer(path, vocabulary, positions)
    return path


def _vocabulary(words: Sequence[str]) -> dict[str, int]:
    letters = string.ascii_lowercase + string.digits
    tokens = [*SPECIAL, *MARKS, *letters, *(f"##{letter}" for letter in letters)]
    tokens += [word.lower() for word in words]
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}


def _write_tokenizer(path: Path, vocabulary: dict[str, int], positions: int) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing

    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106 - a token of text
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(path / "tokenizer.json"))
    settings = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "model_max_length": positions,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    (path / "tokenizer_config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")


def _weights(
    words: int, hidden: int, inner: int, *, layers: int, positions: int, seed: int
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """BertModel's tensors by name, wider than its usual 0.02, so that it learns at once."""
    import numpy as np

    random = np.random.default_rng(seed)

    def normal(*shape: int, scale: float = 0.15) -> NDArray[np.float32]:
        return random.normal(0.0, scale, shape).astype(np.float32)

    def linear(name: str, out: int, into: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
        yield f"{name}.weight", normal(out, into)
        yield f"{name}.bias", np.zeros(out, np.float32)

    def norm(name: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
        yield f"{name}.weight", np.ones(hidden, np.float32)
        yield f"{name}.bias", np.zeros(hidden, np.float32)

    yield "embeddings.word_embeddings.weight", normal(words, hidden, scale=0.5)
    yield "embeddings.position_embeddings.weight", normal(positions, hidden, scale=0.05)
    yield "embeddings.token_type_embeddings.weight", normal(2, hidden, scale=0.05)
    yield from norm("embeddings.LayerNorm")
    for layer in range(layers):
        name = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            yield from linear(f"{name}.attention.self.{part}", hidden, hidden)
        yield from linear(f"{name}.attention.output.dense", hidden, hidden)
        yield from norm(f"{name}.attention.output.LayerNorm")
        yield from linear(f"{name}.intermediate.dense", inner, hidden)
        yield from linear(f"{name}.output.dense", hidden, inner)
        yield from norm(f"{name}.output.LayerNorm")
    yield from linear("pooler.dense", hidden, hidden)
