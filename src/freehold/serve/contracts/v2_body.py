"""Bodies of the Open Inference Protocol V2: tensors in JSON, or behind it as bytes.

https://github.com/kserve/open-inference-protocol, with Triton's extensions for binary tensors and
classification. The bytes of a BYTES tensor are, for each text, its length as a little-endian uint32
and its UTF-8; others are little-endian, row after row.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from freehold.errors import InputError
from freehold.serve.contracts.base import Request
from freehold.serve.ports import ModelMeta
from freehold.tasks.base import Task
from freehold.tasks.registry import task_of
from freehold.tasks.shapes import said
from freehold.tasks.tensors import Tensor, Values

__all__ = ["Infer", "decode", "header_length"]

_encode = msgspec.json.Encoder().encode
_LENGTH = struct.Struct("<I")
_LITTLE = {"FP32": "<f4", "INT32": "<i4", "BOOL": "?"}
Count = Annotated[int, Meta(ge=0)]


class InputParameters(msgspec.Struct, forbid_unknown_fields=True):
    binary_data_size: Count | None = None


class Input(msgspec.Struct, forbid_unknown_fields=True):
    """A tensor of texts, of the shape [n] or [n, 1]."""

    name: str
    shape: Annotated[list[Count], Meta(min_length=1)]
    datatype: str
    parameters: InputParameters | None = None
    data: list[Any] | None = None


class OutputParameters(msgspec.Struct, forbid_unknown_fields=True):
    binary_data: bool | None = None
    classification: Count | None = None


class Output(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    parameters: OutputParameters | None = None


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    binary_data_output: bool | None = None
    timeout: Annotated[int, Meta(ge=1, le=10**15)] | None = None  # in microseconds


class Infer(msgspec.Struct, forbid_unknown_fields=True):
    inputs: Annotated[list[Input], Meta(min_length=1)]
    outputs: list[Output] | None = None
    parameters: Parameters | None = None
    id: str | None = None


_infer = msgspec.json.Decoder(Infer)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One tensor of the answer: as bytes or in JSON, and how many of its best labels instead of
    its figures (0: the figures)."""

    tensor: Tensor
    binary: bool
    classes: int


def decode(body: bytes, split: bytes | None, meta: ModelMeta) -> tuple[Request, float | None]:
    """Read a request's body, whose JSON is `split` bytes long (None: all of it), for a model's
    task; with it the seconds in which it has to begin. Raises InputError, saying what is wrong."""
    task = task_of(meta.task)
    length = len(body) if split is None else _number(split, len(body))
    try:
        asked = _infer.decode(memoryview(body)[:length])
    except msgspec.ValidationError as error:
        where = "" if " - at " in str(error) else "The body"
        raise InputError(said(str(error), where), hint=_hint(task)) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        nested = isinstance(error, RecursionError)
        reason = "it is nested too deeply" if nested else str(error)
        raise InputError(f"The body is not JSON: {reason}.", hint=_hint(task)) from None
    columns = _columns(asked, body[length:], task, split is not None)
    texts: Sequence[Any] = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
    wanted = _wanted(asked, task)

    def render(answers: Sequence[Any]) -> bytes:
        return _render(answers, asked.id, wanted, meta)

    timeout = asked.parameters.timeout if asked.parameters else None
    request = Request(tuple(texts), lambda encoded: None, render)
    return request, None if timeout is None else timeout / 1e6


def header_length(body: bytes) -> int | None:
    """How long the JSON before the binary tensors of an answer is; None where it is all of it.

    `_render` ends it with the only line break of the JSON.
    """
    return body.find(b"\n") + 1 or None


def _number(split: bytes, most: int) -> int:
    if not split.isdigit() or len(split) > 12 or int(split) > most:
        raise InputError(
            "Inference-Header-Content-Length is not the length of the JSON that the body begins "
            "with.",
            hint="Leave it out where there are no binary tensors.",
        )
    return int(split)


def _hint(task: Task) -> str:
    one = [
        {"name": name, "datatype": "BYTES", "shape": [1], "data": ["a text"]}
        for name in task.columns
    ]
    return f"Send {_encode({'inputs': one}).decode()}."


def _columns(asked: Infer, rest: bytes, task: Task, binary: bool) -> list[list[str]]:
    """The texts of each of the task's columns."""
    found: dict[str, list[str]] = {}
    at = 0
    for given in asked.inputs:
        if given.name not in task.columns or given.name in found:
            raise InputError(
                f"This model takes the inputs {', '.join(task.columns)}, each once.",
                hint=_hint(task),
            )
        count = _count(given)
        size = given.parameters.binary_data_size if given.parameters else None
        if size is None:
            texts = _from_json(given)
        else:
            if not binary or given.data is not None or at + size > len(rest):
                raise InputError(
                    f"The input {given.name} says that it has {size} bytes behind the JSON, but "
                    "they are not there.",
                    hint="Send Inference-Header-Content-Length and the bytes, or data.",
                )
            texts = _from_bytes(given.name, rest[at : at + size])
            at += size
        if len(texts) != count:
            raise InputError(
                f"The input {given.name} has {len(texts)} texts; its shape {given.shape} says "
                f"{count}.",
                hint="The shape is [n] or [n, 1].",
            )
        found[given.name] = texts
    if at != len(rest):
        raise InputError(
            f"Behind the JSON {len(rest)} bytes were sent; binary_data_size says {at}.",
            hint="Send as many as it says.",
        )
    columns = [found.get(name, []) for name in task.columns]
    if len({len(column) for column in columns}) > 1 or not columns[0]:
        raise InputError(
            f"The inputs {', '.join(task.columns)} do not have the same number of texts, at "
            "least 1."
            if len(columns) > 1
            else f"The input {task.columns[0]} has no text.",
            hint=_hint(task),
        )
    return columns


def _count(given: Input) -> int:
    """How many texts its shape says."""
    if given.datatype != "BYTES":
        raise InputError(
            f"The input {given.name} is {given.datatype[:40]}; texts are BYTES.",
            hint="Its datatype is BYTES.",
        )
    if len(given.shape) > 2 or given.shape[1:] not in ([], [1]):
        raise InputError(
            f"The input {given.name} has the shape {str(given.shape)[:80]}.",
            hint="The shape is [n] or [n, 1].",
        )
    return math.prod(given.shape)


def _from_json(given: Input) -> list[str]:
    data = given.data or []
    if data and all(isinstance(row, list) and len(row) == 1 for row in data):
        data = [row[0] for row in data]
    for place, text in enumerate(data):
        if not isinstance(text, str):
            raise InputError(
                f"Element {place} of the input {given.name} is not a text.",
                hint="data is a list of texts, or of lists of one.",
            )
    return data


def _from_bytes(name: str, content: bytes) -> list[str]:
    texts: list[str] = []
    at = 0
    while at < len(content):
        end = at + 4
        if end <= len(content):
            end += _LENGTH.unpack_from(content, at)[0]
        if end > len(content) or at + 4 > len(content):
            raise InputError(
                f"The bytes of the input {name} end within text {len(texts)}.",
                hint="Each text is its length as a little-endian uint32, then its UTF-8.",
            )
        try:
            texts.append(content[at + 4 : end].decode())
        except UnicodeDecodeError:
            raise InputError(
                f"Text {len(texts)} of the input {name} is not UTF-8.", hint="Encode it as UTF-8."
            ) from None
        at = end
    return texts


def _wanted(asked: Infer, task: Task) -> list[Wanted]:
    """The tensors of the answer: those asked for in that order, or all."""
    preset = bool(asked.parameters and asked.parameters.binary_data_output)
    if not asked.outputs:
        return [Wanted(tensor, preset, 0) for tensor in task.tensors]
    known = {tensor.name: tensor for tensor in task.tensors}
    wanted: dict[str, Wanted] = {}
    for output in asked.outputs:
        if output.name not in known or output.name in wanted:
            raise InputError(
                f"This model gives the outputs {', '.join(known)}, each once.",
                hint="Leave outputs out to have all.",
            )
        tensor, given = known[output.name], output.parameters or OutputParameters()
        if given.classification and tensor.per != "label":
            raise InputError(
                f"The output {tensor.name} has no figures of labels to classify by.",
                hint="Leave classification out.",
            )
        binary = preset if given.binary_data is None else given.binary_data
        wanted[output.name] = Wanted(tensor, binary, given.classification or 0)
    return list(wanted.values())


def _render(
    answers: Sequence[Any], identifier: str | None, wanted: Sequence[Wanted], meta: ModelMeta
) -> bytes:
    outputs: list[dict[str, Any]] = []
    behind: list[bytes] = []
    for one in wanted:
        values = one.tensor.of(answers, meta.labels)
        datatype: str = one.tensor.datatype
        shape = [len(values)] if isinstance(values, list) else list(np.shape(values))
        if one.classes and not isinstance(values, list):
            rows = _best(np.asarray(values), meta.labels, one.classes)
            values, datatype = [text for row in rows for text in row], "BYTES"
            shape = [len(rows), len(rows[0])]
        output: dict[str, Any] = {"name": one.tensor.name, "datatype": datatype, "shape": shape}
        if one.binary:
            content = _to_bytes(values, datatype)
            behind.append(content)
            output["parameters"] = {"binary_data_size": len(content)}
        else:
            output["data"] = values if isinstance(values, list) else np.ravel(values).tolist()
        outputs.append(output)
    document: dict[str, Any] = {"model_name": meta.model, "model_version": str(meta.version)}
    if identifier is not None:
        document["id"] = identifier
    header = _encode({**document, "outputs": outputs})
    return b"".join((header, b"\n", *behind)) if behind else header


def _best(values: NDArray[Any], labels: Sequence[str], most: int) -> list[list[str]]:
    """Of each row the highest figures, as Triton writes them: "figure:place:label"."""
    order = np.argsort(-values.astype(np.float64), axis=1, kind="stable")[:, :most].tolist()
    return [
        [f"{float(row[place]):f}:{place}:{labels[place]}" for place in places]
        for row, places in zip(values, order, strict=True)
    ]


def _to_bytes(values: Values, datatype: str) -> bytes:
    if datatype != "BYTES":
        return np.asarray(values).astype(_LITTLE[datatype]).tobytes()
    texts = [str(text).encode() for text in values]
    return b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))
