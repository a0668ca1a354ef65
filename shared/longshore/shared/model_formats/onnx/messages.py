"""Finds messages anywhere in an ONNX file: in its graph, the graphs in nodes, functions and training information."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from longshore.shared.model_formats.onnx.protobuf import fields

#: Deeper than the graphs of any real program; each nesting level of a graph takes three to four messages.
MAX_DEPTH = 64

#: The messages that can contain a node or a tensor, and their fields that lead to one (onnx.proto).
_PATHS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
#: Fields of an attribute with its lists of numbers.
_NUMBERS = frozenset({7, 8})


def find(
    message: memoryview, kind: Literal["node", "tensor"], inside: Literal["model", "node"] = "model"
) -> Iterator[memoryview]:
    """All messages of a kind, at any depth.

    :param inside: the kind of ``message``, which is the first of them if it is of the kind. Default: a whole file.
    :raises ValueError: the file is not a protobuf message, or is nested too deeply.
    """
    return _find(message, inside, kind, 0)


def messages(message: memoryview, field_number: int) -> list[memoryview]:
    """The messages in a field of a message."""
    return [value for number, value in fields(message) if number == field_number and isinstance(value, memoryview)]


def texts(message: memoryview, field_number: int) -> list[str]:
    """The texts in a field of a message."""
    return [bytes(value).decode("utf-8", "replace") for value in messages(message, field_number)]


def text(message: memoryview, field_number: int) -> str:
    """The first text in a field of a message; empty if there is none."""
    return next(iter(texts(message, field_number)), "")


def _find(message: memoryview, kind: str, wanted: str, depth: int) -> Iterator[memoryview]:
    if depth > MAX_DEPTH:
        raise ValueError(f"its graphs are nested more than {MAX_DEPTH} messages deep")
    if kind == wanted:
        yield message
    inner = _PATHS.get(kind, {})
    for number, value in fields(message, skip=_NUMBERS if kind == "attribute" else ()):
        if number in inner and isinstance(value, memoryview):
            yield from _find(value, inner[number], wanted, depth + 1)
