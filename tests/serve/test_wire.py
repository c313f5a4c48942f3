"""What a body may hold, and the sentence for what it may not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import FakeEngine, FakeMeta, tiny_engine

from freehold.errors import InputError
from freehold.serve.contracts.hf import decode
from freehold.tasks.registry import kinds, task_of

TEXT = FakeMeta()
TOKENS = FakeMeta(task="token-classification")


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def rendered(meta: FakeMeta, **fields: Any) -> Any:
    engine = FakeEngine(meta)
    request = decode(body(**fields), meta, 256)
    encoded = engine.encode(request.texts)
    rows = engine.run(encoded)
    return json.loads(
        request.render([engine.answer(text, row) for text, row in zip(encoded, rows, strict=True)])
    )


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", "The body is empty."),
        (b"{", "not JSON"),
        (b'{"inputs": "a"} x', "not JSON"),
        (b'{"inputs": "a\x00"}', "not JSON"),
        (b'{"inputs": "\xff\xfe"}', "not UTF-8"),
        (b'{"inputs": "\\ud800"}', "not JSON"),
        (b"[]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"{}", 'has no "inputs"'),
        (b'{"inputs": null}', "inputs is not a text, but null"),
        (b'{"inputs": 3}', "inputs is not a text, but a whole number"),
        (b'{"inputs": 3.5}', "inputs is not a text, but a number"),
        (b'{"inputs": true}', "inputs is not a text, but true or false"),
        (b'{"inputs": NaN}', "not JSON"),
        (b'{"inputs": {"text": "a"}}', "inputs is not a text, but an object"),
        (b'{"inputs": []}', "empty list"),
        (b'{"inputs": ["a", 3]}', r"inputs\[1\] is not a text"),
        (b'{"inputs": ["a", null]}', r"inputs\[1\] is not a text"),
        (b'{"inputs": [["a"]]}', r"inputs\[0\] is not a text"),
        (b'{"inputs": ["a", "b", "c", "d"]}', "has 4 inputs; this server takes 3"),
        (b'{"inputs": "a", "texts": ["b"]}', "field 'texts'"),
        (b'{"inputs": "a", "parameters": []}', "parameters is not an object, but a list"),
        (b'{"inputs": "a", "parameters": {"top_k": "1"}}', "top_k is not a whole number, but a t"),
        (b'{"inputs": "a", "parameters": {"top_k": 0}}', "top_k is not a whole number >= 1"),
        (b'{"inputs": "a", "parameters": {"top_k": NaN}}', "not JSON"),
        (b'{"inputs": "a", "parameters": {"top_k": 1e400}}', "parameters.top_k"),
        (b'{"inputs": "a", "parameters": {"threshold": 1}}', "field 'threshold'"),
        (b'{"inputs": "a", "parameters": {"stride": 1}}', "field 'stride'"),
        (b'{"inputs": "a", "parameters": {"function_to_apply": "sigmoid"}}', "softmax only"),
        (b'{"inputs": "a", "parameters": {"function_to_apply": "x"}}', "function_to_apply"),
        (b'{"inputs": "a", "options": ' + b"[" * 99999 + b"]" * 99999 + b"}", "nested too deeply"),
    ],
)
def test_what_is_refused_and_why(sent: bytes, said: str) -> None:
    with pytest.raises(InputError) as refused:
        decode(sent, TEXT, 3)
    assert re.search(said, refused.value.sentence())
    assert refused.value.status == 422
    assert "\n" not in refused.value.sentence()
    assert len(refused.value.sentence()) < 250


def test_token_parameters_are_those_of_the_task() -> None:
    with pytest.raises(InputError, match="field 'top_k'"):
        decode(body(inputs="a", parameters={"top_k": 1}), TOKENS, 3)
    with pytest.raises(InputError, match=r"parameters\.stride cannot be 8") as refused:
        decode(body(inputs="a", parameters={"stride": 8}), TOKENS, 3)
    assert "read in windows" in refused.value.sentence()
    decode(body(inputs="a", parameters={"stride": 0}), TOKENS, 3)
    with pytest.raises(InputError, match="aggregation_strategy"):
        decode(body(inputs="a", parameters={"aggregation_strategy": "best"}), TOKENS, 3)


@pytest.mark.parametrize(
    ("kind", "sent", "said"),
    [
        ("question-answering", {"inputs": "a text"}, "inputs is not an object, but a text."),
        ("question-answering", {"inputs": ["a"]}, "inputs[0] is not an object, but a text."),
        ("question-answering", {"inputs": {"question": "a"}}, 'inputs has no "context".'),
        ("question-answering", {"inputs": {"question": "a", "context": 1}}, "inputs.context is"),
        ("question-answering", {}, 'The body has no "inputs".'),
        ("pair-classification", {"inputs": "a"}, "inputs is not an object, but a text."),
        ("pair-classification", {"inputs": {"text": "a", "x": 1}}, "a field 'x' that is not known"),
        ("pair-scoring", {"inputs": {"text": "a"}}, 'inputs has no "text_pair".'),
        ("pair-scoring", {"inputs": {"sentences": ["a"]}}, 'inputs has no "source_sentence".'),
        ("sentence-embedding", {"inputs": {"text": "a"}}, "inputs is not a text, but an object."),
        (
            "sentence-embedding",
            {"inputs": {"source_sentence": "a", "sentences": []}},
            "inputs.sentences is not a list of length >= 1.",
        ),
        ("regression", {"inputs": None}, "inputs is not a text, but null."),
        ("multi-label-classification", {"inputs": 1}, "inputs is not a text, but a whole number."),
        ("token-classification", {"inputs": []}, "inputs is an empty list."),
    ],
)
def test_what_is_refused_is_told_what_this_task_takes(
    kind: str, sent: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError) as refused:
        decode(body(**sent), FakeMeta(task=kind), 3)
    assert said in refused.value.message
    hint = str(refused.value.hint)
    for example, _ in task_of(kind).wire.examples:
        assert json.dumps({"inputs": example}) in hint
        assert decode(body(inputs=example), FakeMeta(task=kind), 3).texts
    assert "a list of such inputs" in hint


@pytest.mark.parametrize(
    ("kind", "beside", "said"),
    [
        ("sentence-embedding", {"dimensions": 4}, "dimensions is not taken."),
        ("sentence-embedding", {"encoding_format": "base64"}, "encoding_format cannot be 'base64'"),
        ("sentence-embedding", {"prompt_name": "query"}, "prompt_name is not taken."),
        ("sentence-embedding", {"truncation_direction": "left"}, "cannot be 'left'"),
        ("sentence-embedding", {"normalize": 1}, "normalize is not true or false"),
        ("sentence-embedding", {"normalize": True, "parameters": [1]}, "parameters is not an obj"),
        ("question-answering", {"parameters": {"top_k": 0}}, "not a whole number >= 1"),
        ("question-answering", {"parameters": {"doc_stride": 3}}, "a field 'doc_stride'"),
        ("multi-label-classification", {"parameters": {"function_to_apply": "softmax"}}, "cannot"),
        ("regression", {"parameters": {"top_k": 1}}, "a field 'top_k'"),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_reason(
    kind: str, beside: dict[str, Any], said: str
) -> None:
    inputs, _ = task_of(kind).wire.examples[0]
    with pytest.raises(InputError) as refused:
        decode(body(inputs=inputs, **beside), FakeMeta(task=kind), 3)
    assert said in refused.value.message
    assert refused.value.message.startswith("parameters") or kind == "sentence-embedding"
    assert refused.value.hint
    assert "\n" not in refused.value.sentence()


def test_a_text_that_is_too_long_is_cut_unless_truncate_is_false(tmp_path: Path) -> None:
    engine = tiny_engine("sentence-embedding", tmp_path)
    texts = ["a b c", "a " * 99]
    for truncate in (None, True, False):
        request = decode(body(inputs=texts, truncate=truncate), engine.meta, 3)
        encoded = engine.encode(request.texts)
        if truncate is False:
            with pytest.raises(InputError, match="Text 2 of the request is longer"):
                request.admit(encoded)
            request.admit(encoded[:1])
        else:
            request.admit(encoded)


def test_vectors_have_length_1_and_nothing_else_can_be_had(tmp_path: Path) -> None:
    engine = tiny_engine("sentence-embedding", tmp_path)
    decode(body(inputs="a", normalize=True), engine.meta, 3).admit(engine.encode(["a"]))
    with pytest.raises(InputError, match="normalize can only be true"):
        decode(body(inputs="a", normalize=False), engine.meta, 3).admit(engine.encode(["a"]))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(sent: bytes) -> None:
    for meta in map(FakeMeta.of, kinds()):
        try:
            assert decode(sent, meta, 5).texts
        except InputError as refused:
            assert refused.message  # noqa: PT017 - either way is right


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "inputs",
                        "parameters",
                        "options",
                        "top_k",
                        "stride",
                        "x",
                        "question",
                        "context",
                        "text",
                        "text_pair",
                        "sentences",
                        "source_sentence",
                        "truncate",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_read_or_refused(value: Any) -> None:
    for meta in map(FakeMeta.of, kinds()):
        try:
            assert decode(json.dumps(value).encode("utf-8", "surrogatepass"), meta, 5).texts
        except InputError as refused:
            assert refused.message  # noqa: PT017 - either way is right


def test_texts_come_as_one_or_as_a_list() -> None:
    assert decode(body(inputs="a"), TEXT, 3).texts == ("a",)
    assert decode(body(inputs=["a", ""]), TEXT, 3).texts == ("a", "")
    assert decode(body(inputs="中文 \x00 🚲"), TEXT, 3).texts == ("中文 \x00 🚲",)


@pytest.mark.parametrize("absent", [{}, {"parameters": None}, {"parameters": {}}])
def test_what_old_clients_send_beside_is_taken(absent: dict[str, Any]) -> None:
    assert decode(body(inputs="a", options={"use_cache": False}, **absent), TEXT, 3).texts
    assert decode(body(inputs="a", **absent), TOKENS, 3).texts


def test_labels_are_nested_whether_one_text_or_several() -> None:
    one = rendered(TEXT, inputs="where is it")
    assert len(one) == 1
    assert len(one[0]) == 4
    assert set(one[0][0]) == {"label", "score"}
    assert one[0][0]["score"] == 0.55
    assert rendered(TEXT, inputs=["where is it", "b"])[0] == one[0]
    top = rendered(TEXT, inputs="where is it", parameters={"top_k": 2})
    assert top == [one[0][:2]]
    assert rendered(TEXT, inputs="where is it", parameters={"top_k": 10**30}) == one
    assert rendered(TEXT, inputs="a", parameters={"function_to_apply": "softmax"})


def test_entities_are_flat_for_a_text_and_nested_for_a_list() -> None:
    text = "from New York to Rome"
    place = {"entity_group": "LOC", "score": 0.9, "word": "New York", "start": 5, "end": 13}
    flat = rendered(TOKENS, inputs=text)
    assert flat[0] == place
    assert len(flat) == 2
    assert rendered(TOKENS, inputs=[text, "nothing here"]) == [flat, []]
    assert rendered(TOKENS, inputs=text, parameters={"aggregation_strategy": "max"}) == flat
    assert rendered(TOKENS, inputs=text, parameters={"ignore_labels": ["LOC"]}) == []


def test_without_aggregation_words_carry_their_tags() -> None:
    parameters: dict[str, Any] = {"aggregation_strategy": "none"}
    words = rendered(TOKENS, inputs="from New York", parameters=parameters)
    assert [(word["entity"], word["word"]) for word in words] == [
        ("B-LOC", "New"),
        ("I-LOC", "York"),
    ]
    parameters["ignore_labels"] = []
    everything = rendered(TOKENS, inputs="from New York", parameters=parameters)
    assert [word["entity"] for word in everything] == ["O", "B-LOC", "I-LOC"]
    assert set(everything[0]) == {"entity", "score", "word", "start", "end"}
