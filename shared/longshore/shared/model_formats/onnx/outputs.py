"""Rewrites an ONNX file so that it computes only some of its values."""

from __future__ import annotations

from collections.abc import Sequence

from longshore.shared.model_formats.onnx.graph import GRAPH_NODE, GRAPH_OUTPUT, MODEL_GRAPH, VALUE_NAME, OnnxNode
from longshore.shared.model_formats.onnx.messages import find, messages
from longshore.shared.model_formats.onnx.protobuf import encode, fields


def with_outputs(content: bytes, names: Sequence[str]) -> bytes:
    """The program with these values as its only outputs, without the nodes that they do not need.

    :param names: of any values of the main graph.
    """
    parts = [
        encode(number, _graph(value, names) if number == MODEL_GRAPH and isinstance(value, memoryview) else value)
        for number, value in fields(memoryview(content))
    ]
    return b"".join(parts)


def _graph(graph: memoryview, names: Sequence[str]) -> bytes:
    needed = _needed(graph, names)
    nodes = iter(needed)
    parts = [
        encode(number, value)
        for number, value in fields(graph)
        if number != GRAPH_OUTPUT and (number != GRAPH_NODE or next(nodes))
    ]
    parts += [encode(GRAPH_OUTPUT, encode(VALUE_NAME, name.encode())) for name in names]
    return b"".join(parts)


def _needed(graph: memoryview, names: Sequence[str]) -> list[bool]:
    """Whether each node of a graph, in its order, is needed to compute some values. Nodes come after those they use."""
    values = set(names)
    needed = []
    for message in reversed(messages(graph, GRAPH_NODE)):
        use = not values.isdisjoint(OnnxNode.parse(message).outputs)
        if use:  # graphs inside a node use values of the graph outside
            values |= {value for each in find(message, "node", "node") for value in OnnxNode.parse(each).inputs}
        needed.append(use)
    return needed[::-1]
