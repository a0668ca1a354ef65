"""The ends of an ONNX program, and whether they are those of a signature."""

from __future__ import annotations

import math
from dataclasses import dataclass

from longshore.shared.errors import InvalidInput
from longshore.shared.onnx.external import has_external_data
from longshore.shared.onnx.wire import Value, fields
from longshore.shared.signature import Signature

#: Bytes: no protobuf message can be larger.
MAX_SIZE = 2**31 - 1
#: ``TensorProto.FLOAT``.
_FLOAT = 1
#: Field numbers of onnx.proto.
_MODEL_GRAPH = 7
_GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT, _TENSOR_NAME = 5, 11, 12, 8
_VALUE_NAME, _VALUE_TYPE, _TYPE_TENSOR, _TENSOR_ELEMENT, _TENSOR_SHAPE = 1, 2, 1, 1, 2
_SHAPE_DIMENSION, _DIMENSION_VALUE = 1, 1


@dataclass(frozen=True)
class Port:
    """One input or output."""

    name: str
    #: Whether it is a tensor of float32.
    is_float: bool
    #: Its dimensions, ``None`` for one of any size; ``None`` as a whole where the file does not say.
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        sizes = "" if self.shape is None else ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name!r} ({sizes})"


@dataclass(frozen=True)
class Program:
    """A program with one input and one output."""

    input: Port
    output: Port
    #: Rows in one run: 1, or ``None`` for any number.
    batch: int | None
    #: Dimensions of one row of the input; their product is the signature's width.
    row_shape: tuple[int, ...]


def read_program(content: bytes, signature: Signature, field: str) -> Program:
    """Look at an ONNX file. Nothing of it is run.

    :param field: names the file in an error.
    :raises InvalidInput: it is no ONNX file, keeps tensors in other files, or does not go with the signature.
    """
    if len(content) > MAX_SIZE:
        raise InvalidInput(field, f"{len(content)} bytes; an ONNX file has at most {MAX_SIZE}")
    try:
        model = memoryview(content)
        if has_external_data(model):
            raise InvalidInput(
                field,
                "it keeps tensors in other files, which are not read; write them into it, "
                "as torch.onnx.export(..., external_data=False) and onnx.save_model do",
            )
        inputs, outputs = _ports(model)
    except ValueError as error:
        raise InvalidInput(field, f"it is not an ONNX file: {error}") from None
    return _fitted(_only(inputs, "input", field), _only(outputs, "output", field), signature, field)


def _fitted(source: Port, output: Port, signature: Signature, field: str) -> Program:
    if not source.shape:
        raise InvalidInput(field, f"input {source} has no shape; export it with one, its first dimension the rows")
    batch, *rest = source.shape
    if batch not in (None, 1):
        raise InvalidInput(
            field,
            f"input {source} takes {batch} rows at a time, no more and no fewer; export it with a dynamic batch size",
        )
    row_shape = tuple(size for size in rest if size is not None)
    if len(row_shape) != len(rest):
        raise InvalidInput(field, f"input {source} must have fixed sizes but for its first dimension, the rows")
    if math.prod(row_shape) != signature.width:
        raise InvalidInput(
            field,
            f"input {source} takes {math.prod(row_shape)} numbers a row, but the signature's features give "
            f"{signature.width}; make them equal",
        )
    check_output(output, signature, field)
    return Program(source, output, batch, row_shape)


def check_output(output: Port, signature: Signature, field: str) -> None:
    """:raises InvalidInput: its sizes, as far as they are known, are not those that the signature asks for."""
    wanted = signature.outputs
    if wanted is None:  # an embedding, of any width
        if output.shape and len(output.shape) != 2:
            raise InvalidInput(field, f"output {output} is not (rows, numbers), as an embedding is")
        return
    fits = not output.shape or output.shape[1:] in ((wanted,), (None,)) or (wanted == 1 and len(output.shape) == 1)
    if not fits:
        raise InvalidInput(field, f"output {output} is not (rows, {wanted}), as the signature asks for")


def _only(ports: list[Port], what: str, field: str) -> Port:
    if len(ports) != 1:
        names = ", ".join(repr(port.name) for port in ports) or "none"
        raise InvalidInput(field, f"it must have one {what}, and has {names}")
    if not ports[0].is_float:
        raise InvalidInput(field, f"{what} {ports[0].name!r} must be a float32 tensor; export it as one")
    return ports[0]


def _ports(model: memoryview) -> tuple[list[Port], list[Port]]:
    """Inputs and outputs. Older files count the weights among their inputs; they are left out."""
    graphs = _messages(model, _MODEL_GRAPH)
    if len(graphs) != 1:
        raise ValueError(f"it has {len(graphs)} graphs instead of one")
    weights = {_text(tensor, _TENSOR_NAME) for tensor in _messages(graphs[0], _GRAPH_INITIALIZER)}
    inputs = [_port(value) for value in _messages(graphs[0], _GRAPH_INPUT)]
    outputs = [_port(value) for value in _messages(graphs[0], _GRAPH_OUTPUT)]
    return [port for port in inputs if port.name not in weights], outputs


def _port(value: memoryview) -> Port:
    name = _text(value, _VALUE_NAME)
    kinds = [tensor for kind in _messages(value, _VALUE_TYPE) for tensor in _messages(kind, _TYPE_TENSOR)]
    if len(kinds) != 1:
        return Port(name, False, None)
    elements = [found for number, found in fields(kinds[0]) if number == _TENSOR_ELEMENT]
    shapes = _messages(kinds[0], _TENSOR_SHAPE)
    shape = tuple(_size(each) for each in _messages(shapes[0], _SHAPE_DIMENSION)) if shapes else None
    return Port(name, elements == [_FLOAT], shape)


def _size(dimension: memoryview) -> int | None:
    sizes: list[Value] = [value for number, value in fields(dimension) if number == _DIMENSION_VALUE]
    return sizes[0] if sizes and isinstance(sizes[0], int) and sizes[0] > 0 else None


def _messages(message: memoryview, wanted: int) -> list[memoryview]:
    return [value for number, value in fields(message) if number == wanted and isinstance(value, memoryview)]


def _text(message: memoryview, wanted: int) -> str:
    found = _messages(message, wanted)
    return bytes(found[0]).decode("utf-8", "replace") if found else ""
