"""Detects ONNX files that refer to other files.

Such a file could make a worker read any path, so it is never loaded.
"""

from __future__ import annotations

from longshore.shared.model_formats.onnx.protobuf import Value, fields

#: Deeper than the graphs of any real program; each nesting level of a graph takes three to four messages.
MAX_DEPTH = 64

#: The messages that can contain a tensor, and their fields that lead to one (onnx.proto).
_PATHS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
#: Fields of a tensor: the location of external values, and whether they are external (not 0).
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


def has_external_data(model: memoryview) -> bool:
    """Whether any tensor, in any graph or function of the file, has external values.

    :raises ValueError: the file is not a protobuf message, or is nested too deeply.
    """
    return _search(model, "model", 0)


def _search(message: memoryview, kind: str, depth: int) -> bool:
    if depth > MAX_DEPTH:
        raise ValueError(f"its graphs are nested more than {MAX_DEPTH} messages deep")
    if kind == "tensor":
        return any(_is_external(number, value) for number, value in fields(message))
    inner = _PATHS[kind]
    return any(
        _search(value, inner[number], depth + 1)
        for number, value in fields(message)
        if number in inner and isinstance(value, memoryview)
    )


def _is_external(number: int, value: Value) -> bool:
    return number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)
