"""docs/pretrain.md lists every knob with its default; FREEHOLD_WRITE_DOCS=1 writes it anew."""

from __future__ import annotations

import os
from pathlib import Path

from freehold.cli.pretrain import command
from freehold.settings import settings_of
from freehold.train.pretrain.knobs import BATCH_TOKENS, EPOCHS, LEARNING_RATE, Pretraining

PAGE = Path(__file__).resolve().parents[3] / "docs" / "pretrain.md"
MARK = "| option | default | what it is |\n| --- | --- | --- |\n"
ONLY_LIBRARY = {"warmup", "weight_decay", "clip_norm"}


def _rows() -> str:
    options = {parameter.name for parameter in command.params}
    rows = []
    for item in settings_of("pretrain", Pretraining):
        assert (item.name in options) != (item.name in ONLY_LIBRARY), item.name
        name = item.name if item.name in ONLY_LIBRARY else f"--{item.name.replace('_', '-')}"
        default = "none" if item.default is None else f"`{item.default}`"
        rows.append(f"| `{name}` | {default} | {item.help} |\n")
    return "".join(rows)


def _chosen() -> str:
    heads = "| objective | epochs | learning rate | tokens a batch |\n| --- | --- | --- | --- |\n"
    return heads + "".join(
        f"| {name} | {EPOCHS[name]} | {LEARNING_RATE[name]:g} | {BATCH_TOKENS[name]:,} |\n"
        for name in EPOCHS
    )


def test_every_knob_is_documented_with_its_default() -> None:
    page = PAGE.read_text(encoding="utf-8")
    start = page.index(MARK)
    expected = page[:start] + MARK + _rows() + "\n" + _chosen()
    if os.environ.get("FREEHOLD_WRITE_DOCS"):
        PAGE.write_text(expected, encoding="utf-8")
        page = expected
    assert page == expected
