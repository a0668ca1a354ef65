"""Limits of an ONNX program: loops that end, and constants that do not ask for more memory than a machine has.

A program of a few bytes can run forever or fill any memory. What its constants say is checked here, without running it;
what depends on the values of rows is left to the limits of the process that runs it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from longshore.shared.model_formats.onnx.graph import (
    GRAPH_INITIALIZER,
    GRAPH_INPUT,
    GRAPH_NODE,
    MODEL_GRAPH,
    TENSOR_NAME,
    VALUE_NAME,
    OnnxNode,
    constant_numbers,
)
from longshore.shared.model_formats.onnx.messages import messages, text, texts

#: The most rounds of a loop.
MAX_ROUNDS = 1_000_000
#: The most operators that run for a batch, and that functions become when they are inlined.
MAX_RUNS, MAX_INLINED = 10_000_000, 1_000_000
#: The most elements of a tensor whose size the program states: 1 GiB of float32.
MAX_ELEMENTS = 2**28
#: How many operators a size may pass before it is a number of rounds, and how deep functions may call each other.
_MAX_CHAIN = 64
#: Dimensions of a tensor, and so numbers of a constant that state a size.
_MAX_RANK = 64

_MODEL_FUNCTION = 25
_FUNCTION_NAME, _FUNCTION_INPUT, _FUNCTION_NODE, _FUNCTION_DOMAIN = 1, 4, 7, 10
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS = 5, 6, 11
#: The inputs that state a size, by operator. The others are 0 or more sizes of the same tensor.
_SIZES = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "Tile": (1,),
    "Resize": (2, 3),
    "Upsample": (1,),
    "OneHot": (1,),
    "MaxUnpool": (2,),
    "AffineGrid": (1,),
    "Col2Im": (1,),
    "CenterCropPad": (1,),
    "HannWindow": (0,),
    "HammingWindow": (0,),
    "BlackmanWindow": (0,),
    "MelWeightMatrix": (0, 1),
    "DFT": (1,),
    "STFT": (3,),
}
#: Attributes that state a size.
_SIZE_ATTRIBUTES = ("output_shape", "repeats")
_PADDINGS = ("output_padding", "pads")
_SCALES = "scales"
#: Operators whose results are at most as large as their inputs, if these are sizes or constants.
_SIZE_STEPS = frozenset(
    {
        "Cast",
        "Concat",
        "Div",
        "Gather",
        "Identity",
        "Max",
        "Min",
        "ReduceMax",
        "ReduceMin",
        "Reshape",
        "Slice",
        "Squeeze",
        "Sub",
        "Unsqueeze",
    }
)
#: Operators whose results are sizes.
_SIZE_SOURCES = frozenset({"Shape", "Size"})
_LOOP = "Loop"


@dataclass
class _Scope:
    """All values of a file, by name: a name that is used again in an inner graph has several definitions."""

    #: The largest numbers of constants; ``None`` for an input of a graph or a function.
    constants: defaultdict[str, list[Sequence[float] | None]] = field(default_factory=lambda: defaultdict(list))
    producers: defaultdict[str, list[OnnxNode]] = field(default_factory=lambda: defaultdict(list))
    #: The nodes of each function, by its domain and name.
    functions: defaultdict[tuple[str, str], list[Sequence[OnnxNode]]] = field(default_factory=lambda: defaultdict(list))
    #: The operators that run in a function, by what is counted.
    counted: dict[tuple[tuple[str, str], bool], float] = field(default_factory=dict)
    #: The results of :func:`_bound`.
    bounds: dict[str, float | None] = field(default_factory=dict)


def find_excess(model: memoryview) -> str | None:
    """Why a program is not run, and the remedy; ``None`` if it is within the limits.

    :raises ValueError: the file is damaged.
    """
    scope = _Scope()
    main: list[OnnxNode] = []
    for graph in messages(model, MODEL_GRAPH):
        main += _read_graph(graph, scope)
    for function in messages(model, _MODEL_FUNCTION):
        key = (text(function, _FUNCTION_DOMAIN), text(function, _FUNCTION_NAME))
        for name in texts(function, _FUNCTION_INPUT):
            scope.constants[name].append(None)
        scope.functions[key].append(_read_nodes(function, _FUNCTION_NODE, scope))
    try:
        nodes = [*main, *(node for bodies in scope.functions.values() for body in bodies for node in body)]
        for node in _all_nodes(nodes):
            _check_sizes(node, scope)
        for rounds, most, what in ((False, MAX_INLINED, "become"), (True, MAX_RUNS, "run")):
            count = _count(main, scope, rounds, ())
            if count > most:
                raise _LimitError(
                    f"its loops and functions {what} {count:.3g} operators, more than {most}; export it with fewer"
                )
    except _LimitError as error:
        return str(error)
    return None


class _LimitError(Exception):
    """A limit, with the remedy."""


def _read_graph(graph: memoryview, scope: _Scope) -> list[OnnxNode]:
    """The nodes of a graph; its values are added to the scope."""
    names = set()
    for tensor in messages(graph, GRAPH_INITIALIZER):
        name = text(tensor, TENSOR_NAME)
        names.add(name)
        scope.constants[name].append(_numbers(tensor))
    for value in messages(graph, GRAPH_INPUT):
        name = text(value, VALUE_NAME)
        if name not in names:
            scope.constants[name].append(None)
    return _read_nodes(graph, GRAPH_NODE, scope)


def _read_nodes(message: memoryview, number: int, scope: _Scope) -> list[OnnxNode]:
    nodes = [OnnxNode.parse(node) for node in messages(message, number)]
    for node in nodes:
        for name in node.outputs:
            if node.operator == "Constant":
                scope.constants[name].append(_constant(node))
            else:
                scope.producers[name].append(node)
        for graph in _graphs(node):
            _read_graph(graph, scope)
    return nodes


def _graphs(node: OnnxNode) -> Iterator[memoryview]:
    for attribute in node.attributes.values():
        yield from messages(attribute, _ATTRIBUTE_GRAPH)
        yield from messages(attribute, _ATTRIBUTE_GRAPHS)


def _inner(node: OnnxNode) -> Iterator[list[OnnxNode]]:
    """The nodes of each graph inside a node."""
    for graph in _graphs(node):
        yield [OnnxNode.parse(each) for each in messages(graph, GRAPH_NODE)]


def _all_nodes(nodes: Sequence[OnnxNode]) -> Iterator[OnnxNode]:
    for node in nodes:
        yield node
        for body in _inner(node):
            yield from _all_nodes(body)


def _constant(node: OnnxNode) -> Sequence[float] | None:
    """The numbers of a node ``Constant``; ``None`` if it has none."""
    if "value" in node.attributes:
        tensors = messages(node.attributes["value"], _ATTRIBUTE_TENSOR)
        return _numbers(tensors[0]) if tensors else None
    number = node.integer("value_int")
    if number is not None:
        return [number]
    return node.integers("value_ints").tolist() or node.floats("value_floats").tolist() or None


def _numbers(tensor: memoryview) -> Sequence[float] | None:
    """The largest numbers of a tensor; ``None`` if it has none."""
    numbers = constant_numbers(tensor)
    if len(numbers) > _MAX_RANK:
        numbers = numbers[np.argsort(np.abs(numbers))[-_MAX_RANK:]]
    return numbers.tolist() or None


def _known(name: str, scope: _Scope) -> list[Sequence[float]]:
    """The numbers that a value may have if it is a constant; empty if it is not known."""
    return [values for values in scope.constants.get(name, []) if values is not None]


def _check_sizes(node: OnnxNode, scope: _Scope) -> None:
    products: list[Sequence[float]] = [node.integers(name).tolist() for name in _SIZE_ATTRIBUTES]
    products.append(node.floats(_SCALES).tolist())
    for place in _SIZES.get(node.operator, ()):
        products += _known(node.inputs[place], scope) if place < len(node.inputs) else []
    totals = [math.prod(max(abs(value), 1) for value in values) for values in products]
    paddings: list[Sequence[float]] = [node.integers(name).tolist() for name in _PADDINGS]
    if node.operator == "Pad" and len(node.inputs) > 1:
        paddings += _known(node.inputs[1], scope)
    totals += [max(map(abs, values), default=1) for values in paddings]
    for total in totals:
        if total > MAX_ELEMENTS:
            raise _LimitError(
                f"its operator {node.operator} states sizes of {total:.3g} elements, more than {MAX_ELEMENTS}; export "
                "it with smaller ones"
            )
    if node.operator == "Range" and len(node.inputs) == 3:
        start, limit, delta = (max(map(max, _known(name, scope)), default=0, key=abs) for name in node.inputs)
        if delta and abs(limit - start) / abs(delta) > MAX_ELEMENTS:
            raise _LimitError(f"its operator Range makes more than {MAX_ELEMENTS} numbers; export it with fewer")


def _count(nodes: Sequence[OnnxNode], scope: _Scope, rounds: bool, calls: tuple[tuple[str, str], ...]) -> float:
    """How many operators run.

    :param rounds: whether each round of a loop counts.
    :param calls: the functions in which the nodes are.
    """
    total = 0.0
    for node in nodes:
        key = (node.domain, node.operator)
        times = _rounds(node, scope) if node.operator == _LOOP else 1
        inner = sum(_count(body, scope, rounds, calls) for body in _inner(node))
        total += 1 + inner * (times if rounds else 1)
        if key not in scope.functions:
            continue
        if key in calls or len(calls) > _MAX_CHAIN:
            raise _LimitError(
                f"its function {node.operator} calls itself, or functions call each other more than {_MAX_CHAIN} deep; "
                "export it without functions"
            )
        if (key, rounds) not in scope.counted:
            scope.counted[key, rounds] = max(
                _count(body, scope, rounds, (*calls, key)) for body in scope.functions[key]
            )
        total += scope.counted[key, rounds]
    return total


def _rounds(node: OnnxNode, scope: _Scope) -> float:
    """The most rounds of a loop that its constants say, at least 1.

    :raises _LimitError: there are too many, or their number is neither a constant nor a size.
    """
    largest = _bound(node.inputs[0], scope, 0) if node.inputs and node.inputs[0] else None
    if largest is None:
        raise _LimitError(
            "its operator Loop has no limit of its rounds, so it may never end: its first input must be a constant or "
            f"a size of a tensor; export it with at most {MAX_ROUNDS} rounds"
        )
    if largest > MAX_ROUNDS:
        raise _LimitError(
            f"its operator Loop has {largest:.3g} rounds; export it with at most {MAX_ROUNDS}, as its first input"
        )
    return max(largest, 1)


def _bound(name: str, scope: _Scope, depth: int) -> float | None:
    """The largest absolute value of a whole number, beyond the sizes of tensors; ``None`` if it is not known."""
    if name not in scope.bounds:
        scope.bounds[name] = None  # of a value that is computed from itself
        bounds = [_whole(values) for values in scope.constants.get(name, [])]
        for node in scope.producers.get(name, []):
            if node.operator in _SIZE_SOURCES:
                bounds.append(0)
            elif node.operator in _SIZE_STEPS and depth < _MAX_CHAIN:
                bounds += [_bound(each, scope, depth + 1) for each in node.inputs if each]
            else:
                bounds.append(None)
        known = [bound for bound in bounds if bound is not None]
        scope.bounds[name] = max(known) if known and len(known) == len(bounds) else None
    return scope.bounds[name]


def _whole(values: Sequence[float] | None) -> float | None:
    """The largest absolute value of whole numbers; ``None`` for others, which a size could be divided by."""
    if values is None or not all(float(value).is_integer() for value in values):
        return None
    return max(map(abs, values))
