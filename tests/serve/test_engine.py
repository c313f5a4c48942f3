"""A bundle opens only whole, and its engine's words, offsets and lengths are right.

The model is a table: a token's logits are its row, a text's the mean of its tokens' rows, so that
every answer is known beforehand.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freehold.errors import FreeholdError, IntegrityError, NotFoundError
from freehold.serve.bundle import read
from freehold.serve.cores import usable_cores
from freehold.serve.engine import Engine
from freehold.serve.predict import batches, predict
from freehold.tasks.answers import TextAnswer, WordsAnswer, softmax
from freehold.tasks.token_classification import CERTAIN
from freehold.tasks.tokenise import MOST_WINDOWS
from freehold.tasks.types import Example, TaggedExample

TAGS = ("O", "B-PER", "I-PER", "B-LOC")
LABELS = ("ask", "lost", "paid")
# token -> the logits of its row; every other token is [UNK]
ROWS = {
    "[PAD]": (9.0, 9.0, 9.0, 9.0),  # shows at once where padding is not masked
    "[UNK]": (6.0, 0.0, 0.0, 0.0),
    "[CLS]": (0.0, 0.0, 0.0, 0.0),
    "[SEP]": (0.0, 0.0, 0.0, 0.0),
    "Anna": (0.0, 6.0, 0.0, 0.0),
    "Smith": (0.0, 0.0, 6.0, 0.0),
    "Rome": (0.0, 0.0, 0.0, 6.0),
    "中": (0.0, 0.0, 0.0, 6.0),
    "lost": (0.0, 30.0, 0.0, 0.0),
}

Make = Callable[..., Path]


def write_model(path: Path, *, labels: int, tagging: bool, token_types: bool = False) -> None:
    import onnx
    from onnx import TensorProto, helper

    table = np.array([row[:labels] for row in ROWS.values()], np.float32)
    constants = [
        helper.make_tensor("table", TensorProto.FLOAT, table.shape, table.ravel()),
        helper.make_tensor("last", TensorProto.INT64, [1], [-1]),
        helper.make_tensor("tokens", TensorProto.INT64, [1], [1]),
    ]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["logits" if tagging else "rows"])]
    if not tagging:
        nodes += [
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
            helper.make_node("Mul", ["rows", "wide"], ["kept"]),
            helper.make_node("ReduceSum", ["kept", "tokens"], ["sum"], keepdims=0),
            helper.make_node("ReduceSum", ["wide", "tokens"], ["count"], keepdims=0),
            helper.make_node("Div", ["sum", "count"], ["logits"]),
        ]
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if token_types else [])]
    shape: list[str | int | None] = ["batch", labels]
    if tagging:
        shape.insert(1, "tokens")
    graph = helper.make_graph(
        nodes,
        "table",
        [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "tokens"]) for n in names],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)],
        constants,
    )
    opset = helper.make_opsetid("", 20)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)


def write_tokenizer(path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {token: number for number, token in enumerate(ROWS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    # What a checkpoint may carry and the engine must not follow:
    tokenizer.enable_padding(length=50)
    tokenizer.enable_truncation(4)
    tokenizer.save(str(path))


def write_document(folder: Path, **changed: Any) -> None:
    names = ("model.onnx", "tokenizer.json")
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    document = {
        "format": 1,
        "model": "bank",
        "version": 3,
        "task": "text-classification",
        "labels": list(LABELS),
        "temperature": 1.0,
        "max_length": 16,
        "inputs": ["input_ids", "attention_mask"],
        "pad_id": 0,
        "engine": "onnxruntime",
        "precision": "fp32",
        "files": files,
    }
    (folder / "bundle.json").write_text(json.dumps({**document, **changed}), encoding="utf-8")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def bundle(*, tagging: bool = False, **changed: Any) -> Path:
        if tagging:
            changed = {"task": "token-classification", "labels": list(TAGS), **changed}
        token_types = "token_type_ids" in changed.get("inputs", ())
        write_model(
            tmp_path / "model.onnx",
            labels=len(TAGS if tagging else LABELS),
            tagging=tagging,
            token_types=token_types,
        )
        write_tokenizer(tmp_path / "tokenizer.json")
        write_document(tmp_path, **changed)
        return tmp_path

    return bundle


def ask(engine: Engine, texts: Sequence[str]) -> list[Any]:
    encoded = engine.encode(texts)
    return [engine.answer(e, row) for e, row in zip(encoded, engine.run(encoded), strict=True)]


def entities(engine: Engine, text: str) -> list[tuple[str, str, int, int]]:
    (answer,) = ask(engine, [text])
    assert isinstance(answer, WordsAnswer)
    for entity in answer.entities:
        assert text[entity.start : entity.end] == entity.word
    return [(e.type, e.word, e.start, e.end) for e in answer.entities]


# Opening.


def test_meta_says_what_bundle_json_says(make: Make) -> None:
    meta = Engine.open(make(temperature=1.5)).meta
    assert (meta.model, meta.version, meta.task) == ("bank", 3, "text-classification")
    assert (meta.labels, meta.temperature, meta.max_length) == (LABELS, 1.5, 16)
    assert (meta.engine, meta.precision) == ("onnxruntime", "fp32")


def test_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="There is no bundle in"):
        Engine.open(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_missing_file_is_named(make: Make, name: str) -> None:
    bundle = make()
    (bundle / name).unlink()
    with pytest.raises(IntegrityError, match=f"lacks its file {name}"):
        Engine.open(bundle)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_changed_file_is_refused(make: Make, name: str) -> None:
    bundle = make()
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(IntegrityError, match="is not the file that was exported") as refused:
        Engine.open(bundle)
    assert refused.value.hint is not None


@pytest.mark.parametrize("number", [2, None, "1"])
def test_an_unknown_format_is_named(make: Make, number: object) -> None:
    with pytest.raises(IntegrityError, match=f"a bundle of format {number}; this Freehold reads"):
        Engine.open(make(format=number))


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", "null", '{"format": 1}', '{"format": 1, "labels": 3}', "\udcff"]
)
def test_a_damaged_document_gets_a_sentence(make: Make, content: str) -> None:
    bundle = make()
    (bundle / "bundle.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(IntegrityError):
        Engine.open(bundle)


@pytest.mark.parametrize(
    "changed",
    [
        {"temperature": 0},
        {"temperature": "warm"},
        {"max_length": 0},
        {"files": {"../model.onnx": "0"}},
        {"version": None},
    ],
)
def test_a_field_out_of_range_gets_a_sentence(make: Make, changed: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="is not what Freehold wrote"):
        Engine.open(make(**changed))


def test_an_unknown_engine_is_named(make: Make) -> None:
    with pytest.raises(IntegrityError, match="asks for the engine abacus"):
        Engine.open(make(engine="abacus"))


def test_a_model_that_does_not_fit_its_labels_is_refused(make: Make) -> None:
    with pytest.raises(IntegrityError, match="answers with 3 figures for 2 labels"):
        Engine.open(make(labels=["yes", "no"]))


def test_a_file_that_is_no_model_is_refused(make: Make) -> None:
    bundle = make()
    (bundle / "model.onnx").write_bytes(b"not a graph")
    write_document(bundle)
    with pytest.raises(IntegrityError, match="does not run"):
        Engine.open(bundle)


def test_a_file_that_is_no_tokenizer_is_refused(make: Make) -> None:
    bundle = make()
    (bundle / "tokenizer.json").write_text("{}", encoding="utf-8")
    write_document(bundle)
    with pytest.raises(IntegrityError, match="is not a tokenizer file"):
        Engine.open(bundle)


def test_a_model_that_wants_token_types_gets_them(make: Make) -> None:
    inputs = ["input_ids", "attention_mask", "token_type_ids"]
    engine = Engine.open(make(inputs=inputs))
    assert ask(engine, ["lost"])[0].label == "lost"


# Texts.


def test_an_answer_has_every_label_the_likeliest_first(make: Make) -> None:
    (answer,) = ask(Engine.open(make()), ["I lost it"])
    assert isinstance(answer, TextAnswer)
    # five tokens: [CLS] I lost it [SEP]
    expected = softmax(np.array([(6 + 6) / 5, 30 / 5, 0.0], np.float32))
    assert [label for label, _ in answer.scores] == ["lost", "ask", "paid"]
    assert [score for _, score in answer.scores] == pytest.approx(sorted(expected, reverse=True))
    assert answer.document() == {
        "label": "lost",
        "score": answer.score,
        "scores": dict(answer.scores),
    }


def test_temperature_flattens_and_keeps_the_order(make: Make) -> None:
    (sharp,) = ask(Engine.open(make()), ["lost"])
    (flat,) = ask(Engine.open(make(temperature=4.0)), ["lost"])
    assert [label for label, _ in sharp.scores] == [label for label, _ in flat.scores]
    assert flat.score < sharp.score
    assert math.fsum(score for _, score in flat.scores) == pytest.approx(1)


def test_padding_changes_nothing(make: Make) -> None:
    engine = Engine.open(make())
    texts = ["lost", "", "a b c d e f g h i", "I lost it"]
    alone = [engine.run(engine.encode([text]))[0] for text in texts]
    for one, together in zip(alone, engine.run(engine.encode(texts)), strict=True):
        assert together == pytest.approx(one, abs=1e-5)
        assert together.shape == (3,)


@pytest.mark.parametrize("text", ["", " ", "\n\t  ", "\u200b"])
@pytest.mark.parametrize("tagging", [False, True])
def test_an_empty_text_is_answered(make: Make, text: str, tagging: bool) -> None:
    engine = Engine.open(make(tagging=tagging))
    (encoded,) = engine.encode([text])
    assert encoded.ids[0] == 2
    assert encoded.ids[-1] == 3
    assert not encoded.truncated
    (answer,) = ask(engine, [text])
    assert answer.document()["entities"] == [] if tagging else answer.label


def test_nothing_is_answered_with_nothing(make: Make) -> None:
    engine = Engine.open(make())
    assert engine.encode([]) == []
    assert engine.run([]) == []


def test_length_counts_special_tokens_and_truncated_says_what_was_cut(make: Make) -> None:
    engine = Engine.open(make())
    whole, cut = engine.encode(["x " * 14, "x " * 15])
    assert (whole.length, whole.truncated) == (16, False)
    assert (cut.length, cut.truncated) == (16, True)


def test_lone_surrogates_do_not_stop_an_answer(make: Make) -> None:
    engine = Engine.open(make(tagging=True))
    (answer,) = ask(engine, ["\ud800 Anna"])
    (entity,) = answer.entities
    assert (entity.start, entity.end) == (2, 6)
    json.dumps(answer.document(), ensure_ascii=False).encode()


# Very long texts: read until the model's length is full, so the answer is that of the whole.

LONG = {
    "words": "Anna lost " * 500_000,
    "one word": "x" * 5_000_000,
    "blanks": "lost " + " " * 5_000_000,
    "blanks first": " " * 3_000 + "lost " * 100_000,
    "ideographs": "中" * 1_000_000,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("tagging", [False, True])
@pytest.mark.parametrize("kind", sorted(LONG))
def test_a_text_of_megabytes_is_cut(make: Make, kind: str, tagging: bool) -> None:
    engine = Engine.open(make(tagging=tagging))
    (encoded,) = engine.encode([LONG[kind]])
    windows = MOST_WINDOWS if tagging else 1
    assert encoded.length <= 16 * windows
    assert len(encoded.text) < 20_000 * windows
    # one endless word is a single unknown token: nothing can be read beyond it
    assert encoded.truncated is (kind != "blanks")
    (answer,) = ask(engine, [LONG[kind]])
    if kind == "words" and tagging:
        assert answer.tags[0] == "B-PER"
    if kind == "blanks first":
        assert encoded.length == 16 * windows


@pytest.mark.parametrize("spaces", [1, 40, 700])
@pytest.mark.parametrize("tagging", [False, True])
def test_a_cut_text_reads_as_the_whole_would(make: Make, spaces: int, tagging: bool) -> None:
    """Blanks make it take several looks; the ids are those of a text with single blanks."""
    words = ["Anna", "Smith", "lost", "Rome", "it"] * 100
    engine = Engine.open(make(tagging=tagging))
    (dense,) = engine.encode([" ".join(words)])
    (sparse,) = engine.encode([(" " * spaces).join(words)])
    assert sparse.ids.tolist() == dense.ids.tolist()
    assert sparse.truncated
    assert dense.truncated


def test_many_words_given_are_all_listed(make: Make) -> None:
    engine = Engine.open(make(tagging=True))
    (encoded,) = engine.encode([["Anna", *["x"] * 100_000]])
    (logits,) = engine.run([encoded])
    assert logits.shape == (100_001, 4)
    assert logits[0].argmax() == 1
    assert logits[-1].tolist() == [CERTAIN, 0.0, 0.0, 0.0]
    assert encoded.truncated


# Words.


def test_neighbours_of_one_entity_are_merged(make: Make) -> None:
    engine = Engine.open(make(tagging=True))
    text = "Did  Anna Smith, not Rome?"
    assert entities(engine, text) == [("PER", "Anna Smith", 5, 15), ("LOC", "Rome", 21, 25)]
    (answer,) = ask(engine, [text])
    assert answer.tags == ("O", "B-PER", "I-PER", "O", "O", "B-LOC", "O")
    chance = float(softmax(np.array([0, 0, 0, 6], np.float32))[3])
    assert [e.score for e in answer.entities] == pytest.approx([chance, chance])
    assert answer.words[1].document() == {
        "entity": "B-PER",
        "score": pytest.approx(chance),
        "word": "Anna",
        "start": 5,
        "end": 9,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("👩‍👩‍👧 Anna", [("PER", "Anna", 6, 10)]),
        ("去中国", [("LOC", "中", 1, 2)]),
        ("cafe\u0301 Rome", [("LOC", "Rome", 6, 10)]),
        ("🏳️‍🌈Anna 中", [("PER", "Anna", 4, 8), ("LOC", "中", 9, 10)]),
        ("(Anna)", [("PER", "Anna", 1, 5)]),
        (
            "Smith Anna Anna",
            [("PER", "Anna", 6, 10), ("PER", "Anna", 11, 15)],  # no entity begins with I-PER
        ),
        ("\U0001d400 Rome", [("LOC", "Rome", 2, 6)]),
    ],
)
def test_offsets_count_characters(
    make: Make, text: str, expected: list[tuple[str, str, int, int]]
) -> None:
    assert entities(Engine.open(make(tagging=True)), text) == expected


def test_a_word_that_was_cut_off_is_certainly_outside(make: Make) -> None:
    engine = Engine.open(make(tagging=True))
    (encoded,) = engine.encode([["Rome"] * 500])
    (logits,) = engine.run([encoded])
    read = 14 + (MOST_WINDOWS - 1) * 11  # of 14 words in a window, three are in the one before
    assert logits.argmax(1).tolist() == [3] * read + [0] * (500 - read)
    answer = engine.answer(encoded, logits)
    assert isinstance(answer, WordsAnswer)
    assert answer.tags[read:] == ("O",) * (500 - read)


def test_a_long_text_is_answered_whole_with_others_in_its_batch(make: Make) -> None:
    engine = Engine.open(make(tagging=True))
    long = " ".join(["it", "Rome", "Anna"] * 30)
    answers = ask(engine, ["Anna", long, "Rome it"])
    assert [len(answer.words) for answer in answers] == [1, 90, 2]
    assert answers[1].tags == ("O", "B-LOC", "B-PER") * 30
    last = answers[1].entities[-1]
    assert long[last.start : last.end] == "Anna"


def test_given_words_are_joined_by_one_space(make: Make) -> None:
    engine = Engine.open(make(tagging=True))
    (encoded,) = engine.encode([["in", "Rome", "", "中"]])
    (logits,) = engine.run([encoded])
    answer = engine.answer(encoded, logits)
    assert isinstance(answer, WordsAnswer)
    assert encoded.text == "in Rome  中"
    assert [(e.word, e.start, e.end) for e in answer.entities] == [("Rome", 3, 7), ("中", 9, 10)]
    assert answer.tags[2] == "O"


def test_a_bare_space_mark_does_not_speak_for_its_word() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    from freehold.tasks.tokenise import Tokeniser

    pieces = [("<unk>", 0.0), ("▁", -1.0), ("Rome", -1.0), ("▁in", -1.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokeniser = Tokeniser(tokenizer, 16, windows=True)
    (encoded,) = tokeniser.words([["in", "Rome"]])
    assert encoded.ids.tolist() == [3, 1, 2]
    assert encoded.words is not None
    assert encoded.words.carriers.tolist() == [0, 2]


# Many at once.


def test_encoding_from_many_threads_gives_the_same(make: Make) -> None:
    engine = Engine.open(make(tagging=True))
    texts = [f"{'x ' * (n % 20)}Anna Smith in Rome" for n in range(200)]
    expected = [e.ids.tolist() for e in engine.encode(texts)]
    wrong = []

    def work() -> None:
        for _ in range(5):
            if [e.ids.tolist() for e in engine.encode(texts)] != expected:
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_predictions_come_in_the_order_of_the_examples(make: Make) -> None:
    engine = Engine.open(make())
    texts = ["lost " * (n % 7) + "x " * (n % 11) for n in range(300)]
    expected = [ask(engine, [text])[0] for text in texts]
    examples = [Example(row, text) for row, text in enumerate(texts, 1)]
    found = list(predict(engine, examples, batch_tokens=64))
    assert [answer["label"] for answer in found] == [answer.label for answer in expected]
    assert [a["score"] for a in found] == pytest.approx([a.score for a in expected], abs=1e-5)
    assert set(found[0]["scores"]) == set(LABELS)
    assert list(predict(engine, [])) == []


def test_predictions_for_words_and_for_raw_text(make: Make) -> None:
    engine = Engine.open(make(tagging=True))
    expected = {
        "tokens": ["Anna", "in", "Rome", "."],
        "tags": ["B-PER", "O", "B-LOC", "O"],
    }
    (given,) = predict(engine, [TaggedExample(1, ("Anna", "in", "Rome", "."))])
    (raw,) = predict(engine, [Example(1, "Anna in Rome.")])
    for answer in (given, raw):
        assert {key: answer[key] for key in expected} == expected
        assert [e["entity_group"] for e in answer["entities"]] == ["PER", "LOC"]


def test_batches_keep_to_the_budget() -> None:
    lengths = [5, 100, 3, 9, 40, 1, 8]
    found = list(batches(lengths, 40))
    assert sorted(number for batch in found for number in batch) == list(range(7))
    for batch in found:
        assert len(batch) == 1 or len(batch) * max(lengths[n] for n in batch) <= 40


# The machine.

CPUINFO = """processor\t: 0
physical id\t: 0
core id\t\t: 0

processor\t: 1
physical id\t: 0
core id\t\t: 0
"""


def test_two_threads_of_one_core_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    cpuinfo, quota = tmp_path / "cpuinfo", tmp_path / "cpu.max"
    cpuinfo.write_text(CPUINFO)
    assert usable_cores(cpuinfo, quota) == 1
    cpuinfo.write_text(CPUINFO.replace("core id\t\t: 0\n\n", "core id\t\t: 1\n\n"))
    assert usable_cores(cpuinfo, quota) == 2
    quota.write_text("50000 100000\n")
    assert usable_cores(cpuinfo, quota) == 1
    quota.write_text("max 100000\n")
    assert usable_cores(cpuinfo, quota) == 2
    cpuinfo.unlink()
    assert usable_cores(cpuinfo, quota) == 2


def test_a_document_is_read_without_a_model_being_run(make: Make) -> None:
    assert read(make()).files.keys() == {"model.onnx", "tokenizer.json"}
    assert issubclass(IntegrityError, FreeholdError)
