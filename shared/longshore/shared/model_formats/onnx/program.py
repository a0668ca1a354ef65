"""The ends of an ONNX program, and whether they are those of a signature."""

from __future__ import annotations

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.onnx.external import has_external_data
from longshore.shared.model_formats.onnx.protobuf import Value, fields
from longshore.shared.model_formats.program_io import Ends, Port, fit
from longshore.shared.specs.signature import Signature

#: Bytes: no protobuf message can be larger.
MAX_SIZE = 2**31 - 1
#: ``TensorProto.FLOAT``.
_FLOAT = 1
#: Field numbers of onnx.proto.
_MODEL_GRAPH = 7
_GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT, _TENSOR_NAME = 5, 11, 12, 8
_VALUE_NAME, _VALUE_TYPE, _TYPE_TENSOR, _TENSOR_ELEMENT, _TENSOR_SHAPE = 1, 2, 1, 1, 2
_SHAPE_DIMENSION, _DIMENSION_VALUE = 1, 1


def read_program(content: bytes, signature: Signature, field: str) -> Ends:
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
    return fit(inputs, outputs, signature, field)


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
