"""Tiny random decoders of transformers' own making, with a tokenizer that knows some words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from little import WORDS
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

KINDS = ("gpt2", "llama", "qwen2")


def tiny_decoder(path: Path, kind: str = "gpt2", *, words: Sequence[str] = WORDS) -> Path:
    """Write a random GPT-2 (head tied to the embeddings), Llama or Qwen2 (heads of their own)."""
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        Qwen2Config,
        Qwen2ForCausalLM,
    )

    vocabulary = {word: n for n, word in enumerate(["<end>", "<unk>", *dict.fromkeys(words)])}
    marks = {"bos_token_id": 0, "eos_token_id": 0, "vocab_size": len(vocabulary)}
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "tie_word_embeddings": False,
    }
    torch.manual_seed(0)
    model: torch.nn.Module
    if kind == "gpt2":
        model = GPT2LMHeadModel(GPT2Config(n_positions=64, n_embd=32, n_layer=2, n_head=2, **marks))
    elif kind == "llama":
        model = LlamaForCausalLM(LlamaConfig(**sizes, **marks))
    else:
        model = Qwen2ForCausalLM(Qwen2Config(**sizes, **marks))
    model.save_pretrained(path)
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.add_special_tokens(["<end>"])
    tokenizer.save(str(path / "tokenizer.json"))
    return path
