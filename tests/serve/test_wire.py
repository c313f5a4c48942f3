"""What a body may hold, and the sentence for what it may not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import FakeEngine, FakeMeta

from freehold.errors import InputError
from freehold.serve.wire import decode

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
        (b'{"inputs": null}', "neither a text nor a list"),
        (b'{"inputs": 3}', "neither a text nor a list"),
        (b'{"inputs": NaN}', "not JSON"),
        (b'{"inputs": {"text": "a"}}', "neither a text nor a list"),
        (b'{"inputs": []}', "empty list"),
        (b'{"inputs": ["a", 3]}', r"inputs\[1\] is not a text"),
        (b'{"inputs": ["a", null]}', r"inputs\[1\] is not a text"),
        (b'{"inputs": [["a"]]}', r"inputs\[0\] is not a text"),
        (b'{"inputs": ["a", "b", "c", "d"]}', "has 4 inputs; this server takes 3"),
        (b'{"inputs": "a", "texts": ["b"]}', "field 'texts'"),
        (b'{"inputs": "a", "parameters": []}', "not a JSON object"),
        (b'{"inputs": "a", "parameters": {"top_k": "1"}}', "parameters.top_k: expected int"),
        (b'{"inputs": "a", "parameters": {"top_k": 0}}', "less than 1"),
        (b'{"inputs": "a", "parameters": {"top_k": NaN}}', "not JSON"),
        (b'{"inputs": "a", "parameters": {"top_k": 1e400}}', "parameters.top_k"),
        (b'{"inputs": "a", "parameters": {"threshold": 1}}', "field 'threshold'"),
        (b'{"inputs": "a", "parameters": {"stride": 1}}', "field 'stride'"),
        (b'{"inputs": "a", "parameters": {"function_to_apply": "sigmoid"}}', "only be softmax"),
        (b'{"inputs": "a", "parameters": {"function_to_apply": "x"}}', "function_to_apply"),
        (b'{"inputs": "a", "options": ' + b"[" * 99999 + b"]" * 99999 + b"}", "nested too deeply"),
    ],
)
def test_what_is_refused_and_why(sent: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        decode(sent, TEXT, 3)
    assert refused.value.status == 422
    assert "\n" not in refused.value.sentence()
    assert len(refused.value.sentence()) < 250


def test_token_parameters_are_those_of_the_task() -> None:
    with pytest.raises(InputError, match="field 'top_k'"):
        decode(body(inputs="a", parameters={"top_k": 1}), TOKENS, 3)
    with pytest.raises(InputError, match="windows of 64 tokens"):
        decode(body(inputs="a", parameters={"stride": 8}), TOKENS, 3)
    decode(body(inputs="a", parameters={"stride": 0}), TOKENS, 3)
    with pytest.raises(InputError, match="aggregation_strategy"):
        decode(body(inputs="a", parameters={"aggregation_strategy": "best"}), TOKENS, 3)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(sent: bytes) -> None:
    for meta in (TEXT, TOKENS):
        try:
            assert decode(sent, meta, 5).texts
        except InputError as refused:
            assert refused.message  # noqa: PT017 - either way is right


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["inputs", "parameters", "options", "top_k", "stride", "x"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_read_or_refused(value: Any) -> None:
    for meta in (TEXT, TOKENS):
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
