"""The graph of an ONNX file: its inputs, outputs, constants and nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from longshore.shared.model_formats.onnx.messages import messages, text, texts
from longshore.shared.model_formats.onnx.protobuf import Value, fields, floats, integers
from longshore.shared.model_formats.program_io import TensorSpec
from longshore.shared.specs.signature import TensorType

#: The types of ``TensorProto`` that have a type in NumPy.
_TYPES: dict[int, TensorType] = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
}
#: How those without one are called in errors.
_OTHER_TYPES = {0: "undefined", 14: "complex64", 15: "complex128", 16: "bfloat16"}
#: The first number that a varint of 64 bits reads as a negative one.
_NEGATIVE = 2**63
#: Field numbers of onnx.proto.
MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT = 1, 5, 11, 12
VALUE_NAME = 1
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_ATTRIBUTE_NAME, _INT, _STRING, _FLOATS, _INTS, _STRINGS = 1, 3, 4, 7, 8, 9
_VALUE_TYPE, _TYPE_TENSOR, _TENSOR_ELEMENT, _TENSOR_SHAPE = 2, 1, 1, 2
_SHAPE_DIMENSION, _DIMENSION_VALUE = 1, 1
#: Constants with more bytes state no sizes.
_MAX_NUMBERS_BYTES = 2**20
_FLOAT_DATA = 4
#: The types of ``TensorProto`` whose numbers are read.
_NUMBERS = {1: "<f4", 2: "<u1", 3: "<i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 10: "<f2", 11: "<f8", 12: "<u4"}
_DIMS, _DATA_TYPE, _INT32_DATA, _STRING_DATA, _INT64_DATA, TENSOR_NAME, _RAW_DATA = 1, 2, 5, 6, 7, 8, 9


@dataclass(frozen=True)
class OnnxNode:
    """One call of an operator."""

    operator: str
    #: Empty for the operators of ONNX itself.
    domain: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    #: Its attributes, by name.
    attributes: Mapping[str, memoryview]

    @classmethod
    def parse(cls, node: memoryview) -> OnnxNode:
        """Read a ``NodeProto``."""
        attributes = {_attribute_name(each): each for each in messages(node, _NODE_ATTRIBUTE)}
        return cls(
            text(node, _NODE_OPERATOR),
            text(node, _NODE_DOMAIN).removeprefix("ai.onnx").removeprefix("."),
            texts(node, _NODE_INPUT),
            texts(node, _NODE_OUTPUT),
            attributes,
        )

    def text(self, name: str) -> str:
        """An attribute; empty if the node does not have it."""
        return text(self.attributes[name], _STRING) if name in self.attributes else ""

    def texts(self, name: str) -> list[str]:
        """An attribute that is a list of texts; empty if the node does not have it."""
        return texts(self.attributes[name], _STRINGS) if name in self.attributes else []

    def integer(self, name: str) -> int | None:
        """An attribute; ``None`` if the node does not have it."""
        values = [value for number, value in fields(self.attributes.get(name, memoryview(b""))) if number == _INT]
        return _signed(values[0]) if values else None

    def integers(self, name: str) -> npt.NDArray[np.int64]:
        """An attribute that is a list of integers; empty if the node does not have it."""
        return integers(self.attributes.get(name, memoryview(b"")), _INTS)

    def floats(self, name: str) -> npt.NDArray[np.float32]:
        """An attribute that is a list of floats; empty if the node does not have it."""
        return floats(self.attributes.get(name, memoryview(b"")), _FLOATS)


@dataclass(frozen=True)
class OnnxGraph:
    """The main graph of a file."""

    #: Without the weights, which older files list as inputs.
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    nodes: Sequence[OnnxNode]
    #: The ``TensorProto`` of each constant, by name.
    constants: Mapping[str, memoryview]
    #: The node that computes each value.
    producers: Mapping[str, OnnxNode]

    @classmethod
    def parse(cls, model: memoryview) -> OnnxGraph:
        """Read the graph of a ``ModelProto``.

        :raises ValueError: it does not have one.
        """
        graphs = messages(model, MODEL_GRAPH)
        if len(graphs) != 1:
            raise ValueError(f"it has {len(graphs)} graphs instead of one")
        constants = {text(tensor, TENSOR_NAME): tensor for tensor in messages(graphs[0], GRAPH_INITIALIZER)}
        inputs = [_tensor_spec(value) for value in messages(graphs[0], GRAPH_INPUT)]
        nodes = [OnnxNode.parse(node) for node in messages(graphs[0], GRAPH_NODE)]
        return cls(
            [spec for spec in inputs if spec.name not in constants],
            [_tensor_spec(value) for value in messages(graphs[0], GRAPH_OUTPUT)],
            nodes,
            constants,
            {name: node for node in nodes for name in node.outputs},
        )


def constant_values(tensor: memoryview) -> list[str] | list[int]:
    """The texts or the integers of a ``TensorProto``; empty if it has something else."""
    kind = next((value for number, value in fields(tensor) if number == _DATA_TYPE), 0)
    if kind == 8:
        return texts(tensor, _STRING_DATA)
    dtype = {6: "<i4", 7: "<i8"}.get(kind if isinstance(kind, int) else 0)
    if dtype is None:
        return []
    raw = messages(tensor, _RAW_DATA)
    if raw:
        return [int(value) for value in np.frombuffer(raw[0], dtype)]
    return [int(value) for value in integers(tensor, _INT64_DATA if kind == 7 else _INT32_DATA)]


def constant_numbers(tensor: memoryview) -> npt.NDArray[np.float64]:
    """The numbers of a ``TensorProto`` that is small enough to state a size; empty if it has none."""
    if len(tensor) > _MAX_NUMBERS_BYTES:
        return np.zeros(0)
    kind = next((value for number, value in fields(tensor) if number == _DATA_TYPE and isinstance(value, int)), 0)
    if kind not in _NUMBERS:
        return np.zeros(0)
    raw = messages(tensor, _RAW_DATA)
    if raw:
        return np.frombuffer(raw[0], _NUMBERS[kind]).astype(np.float64)
    if kind == 1:
        return floats(tensor, _FLOAT_DATA).astype(np.float64)
    return integers(tensor, _INT64_DATA if kind == 7 else _INT32_DATA).astype(np.float64)


def _attribute_name(attribute: memoryview) -> str:
    # The name comes first, and lists of numbers can be long.
    return next(
        (
            bytes(value).decode("utf-8", "replace")
            for number, value in fields(attribute)
            if number == _ATTRIBUTE_NAME and isinstance(value, memoryview)
        ),
        "",
    )


def _tensor_spec(value: memoryview) -> TensorSpec:
    name = text(value, VALUE_NAME)
    tensors = [tensor for kind in messages(value, _VALUE_TYPE) for tensor in messages(kind, _TYPE_TENSOR)]
    if len(tensors) != 1:
        return TensorSpec(name, None, None, "not a tensor")
    element = next((value for number, value in fields(tensors[0]) if number == _TENSOR_ELEMENT), 0)
    element = element if isinstance(element, int) else 0
    shapes = messages(tensors[0], _TENSOR_SHAPE)
    shape = tuple(_size(dimension) for dimension in messages(shapes[0], _SHAPE_DIMENSION)) if shapes else None
    return TensorSpec(name, _TYPES.get(element), shape, _OTHER_TYPES.get(element, f"type {element}"))


def _size(dimension: memoryview) -> int | None:
    sizes: list[Value] = [value for number, value in fields(dimension) if number == _DIMENSION_VALUE]
    # Some exporters write -1, a very large number here, for any size.
    return sizes[0] if sizes and isinstance(sizes[0], int) and 0 < sizes[0] < _NEGATIVE else None


def _signed(value: Value) -> int:
    number = value if isinstance(value, int) else 0
    return number - 2**64 if number >= _NEGATIVE else number
