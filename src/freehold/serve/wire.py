"""The Hugging Face contract: what a request to a model may hold, and the shape of its answer.

What is sent back was checked with huggingface_hub's InferenceClient: text-classification answers a
list of labels for each input even where there is one input, token-classification answers the list
of entities itself for a single text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from freehold.errors import InputError
from freehold.serve.ports import ModelMeta

__all__ = ["Request", "decode"]

_encode = msgspec.json.Encoder().encode
_ABSENT = (b"", b"null")


@dataclass(frozen=True, slots=True)
class Request:
    """The texts of a request, and how their answers become the bytes that are sent."""

    texts: tuple[str, ...]
    render: Callable[[Sequence[Any]], bytes]


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    inputs: str | list[str]
    parameters: msgspec.Raw = msgspec.Raw(b"")
    # Hugging Face's own switches (wait_for_model, use_cache), which older clients send always.
    options: msgspec.Raw = msgspec.Raw(b"")


class _TextParameters(msgspec.Struct, forbid_unknown_fields=True):
    top_k: int | None = None
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = None


class _TokenParameters(msgspec.Struct, forbid_unknown_fields=True):
    aggregation_strategy: Literal["none", "simple", "first", "average", "max"] | None = None
    ignore_labels: list[str] | None = None
    stride: int | None = None


_body = msgspec.json.Decoder(_Body)
_text_parameters = msgspec.json.Decoder(_TextParameters)
_token_parameters = msgspec.json.Decoder(_TokenParameters)


def decode(body: bytes, meta: ModelMeta, max_inputs: int) -> Request:
    """Read a request's body for a model's task. Raises InputError, saying what is wrong."""
    try:
        found = _body.decode(body)
        texts = (found.inputs,) if isinstance(found.inputs, str) else tuple(found.inputs)
        single = isinstance(found.inputs, str)
        if meta.task == "token-classification":
            render = _token_render(bytes(found.parameters), single, meta)
        else:
            render = _text_render(bytes(found.parameters))
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise _malformed(body, error) from None
    except UnicodeDecodeError:
        raise InputError("The body is not UTF-8.", hint="Encode the JSON as UTF-8.") from None
    if not texts:
        raise InputError("inputs is an empty list.", hint="Send at least one text.")
    if len(texts) > max_inputs:
        raise InputError(
            f"The request has {len(texts)} inputs; this server takes {max_inputs} at once.",
            hint="Send them in several requests.",
        )
    return Request(texts, render)


def _text_render(given: bytes) -> Callable[[Sequence[Any]], bytes]:
    if given in _ABSENT:
        return _all_labels
    parameters = _text_parameters.decode(given)
    top_k = parameters.top_k
    if top_k is not None and top_k < 1:
        raise InputError("parameters.top_k is less than 1.", hint="Leave it out for all labels.")
    if parameters.function_to_apply not in (None, "softmax"):
        raise InputError(
            "parameters.function_to_apply can only be softmax: scores are probabilities here.",
            hint="Leave it out.",
        )
    if top_k is None:
        return _all_labels

    def render(answers: Sequence[Any]) -> bytes:
        return _labels(answers, top_k)

    return render


def _all_labels(answers: Sequence[Any]) -> bytes:
    return _labels(answers, None)


def _labels(answers: Sequence[Any], top_k: int | None) -> bytes:
    return _encode(
        [
            [{"label": label, "score": score} for label, score in answer.scores[:top_k]]
            for answer in answers
        ]
    )


def _token_render(given: bytes, single: bool, meta: ModelMeta) -> Callable[[Sequence[Any]], bytes]:
    parameters = _TokenParameters() if given in _ABSENT else _token_parameters.decode(given)
    if parameters.stride:
        raise InputError(
            "parameters.stride is not taken: "
            f"of a longer text the first {meta.max_length} tokens are read.",
            hint="Leave it out, and cut long texts into several inputs.",
        )
    ignored = frozenset(("O",) if parameters.ignore_labels is None else parameters.ignore_labels)
    of_one = _words if parameters.aggregation_strategy == "none" else _entities

    def render(answers: Sequence[Any]) -> bytes:
        rows = [of_one(answer, ignored) for answer in answers]
        return _encode(rows[0] if single else rows)

    return render


def _words(answer: Any, ignored: frozenset[str]) -> list[dict[str, Any]]:
    return [word.document() for word in answer.words if word.tag not in ignored]


def _entities(answer: Any, ignored: frozenset[str]) -> list[dict[str, Any]]:
    """Every strategy but "none": each word has one prediction, so they all come to the same."""
    return [entity.document() for entity in answer.entities if entity.type not in ignored]


def _invalid(reason: str) -> InputError:
    """What msgspec found wrong with JSON that is well-formed, in words."""
    expected, _, place = reason.partition(" - at ")
    place = place.strip("`").removeprefix("$").lstrip(".")
    if unknown := re.search(r"unknown field `(.*)`", expected):
        return InputError(
            f"The body has a field {unknown[1][:80]!r} that this model does not know.",
            hint="See /docs for those it knows.",
        )
    if missing := re.search(r"required field `(.*)`", expected):
        return InputError(
            f'The body has no "{missing[1]}".', hint='Send {"inputs": "a text"} or a list of texts.'
        )
    if place.startswith("inputs["):
        return InputError(f"{place} is not a text.", hint="Every input is a JSON string.")
    if place == "inputs":
        return InputError("inputs is neither a text nor a list of texts.")
    if not place:
        return InputError(
            'The body (or its parameters) is not a JSON object such as {"inputs": "a text"}.'
        )
    said = expected.replace("`", "").replace("Expected", "expected")
    return InputError(f"parameters.{place}: {said}.")


def _malformed(body: bytes, error: Exception) -> InputError:
    if not body:
        return InputError("The body is empty.", hint='Send {"inputs": "a text"}.')
    reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return InputError(f"The body is not JSON: {reason}.", hint="Check quotes and encoding.")
