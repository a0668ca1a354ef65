"""The input and output of an ONNX program, and whether they match a signature."""

from __future__ import annotations

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.onnx.external import has_external_data
from longshore.shared.model_formats.onnx.protobuf import Value, fields
from longshore.shared.model_formats.program_io import ProgramIO, TensorSpec, match_signature
from longshore.shared.specs.signature import Signature

#: The largest protobuf message.
MAX_BYTES = 2**31 - 1
#: ``TensorProto.FLOAT``.
_FLOAT = 1
#: Field numbers of onnx.proto.
_MODEL_GRAPH = 7
_GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT, _TENSOR_NAME = 5, 11, 12, 8
_VALUE_NAME, _VALUE_TYPE, _TYPE_TENSOR, _TENSOR_ELEMENT, _TENSOR_SHAPE = 1, 2, 1, 1, 2
_SHAPE_DIMENSION, _DIMENSION_VALUE = 1, 1


def read_program(content: bytes, signature: Signature, field: str) -> ProgramIO:
    """Inspect an ONNX file without running it.

    :param field: names the file in an error.
    :raises InvalidInput: it is not an ONNX file, stores tensors in other files, or does not match the signature.
    """
    if len(content) > MAX_BYTES:
        raise InvalidInput(field, f"{len(content)} bytes; an ONNX file has at most {MAX_BYTES}")
    try:
        model = memoryview(content)
        if has_external_data(model):
            raise InvalidInput(
                field,
                "it stores tensors in other files, which are not read; save it as one file with "
                "torch.onnx.export(..., external_data=False) or onnx.save_model",
            )
        inputs, outputs = _tensor_specs(model)
    except ValueError as error:
        raise InvalidInput(field, f"it is not an ONNX file: {error}") from None
    return match_signature(inputs, outputs, signature, field)


def _tensor_specs(model: memoryview) -> tuple[list[TensorSpec], list[TensorSpec]]:
    """Inputs and outputs, without the weights, which older files list as inputs."""
    graphs = _messages(model, _MODEL_GRAPH)
    if len(graphs) != 1:
        raise ValueError(f"it has {len(graphs)} graphs instead of one")
    weights = {_text(tensor, _TENSOR_NAME) for tensor in _messages(graphs[0], _GRAPH_INITIALIZER)}
    inputs = [_tensor_spec(value) for value in _messages(graphs[0], _GRAPH_INPUT)]
    outputs = [_tensor_spec(value) for value in _messages(graphs[0], _GRAPH_OUTPUT)]
    return [spec for spec in inputs if spec.name not in weights], outputs


def _tensor_spec(value: memoryview) -> TensorSpec:
    name = _text(value, _VALUE_NAME)
    tensors = [tensor for kind in _messages(value, _VALUE_TYPE) for tensor in _messages(kind, _TYPE_TENSOR)]
    if len(tensors) != 1:
        return TensorSpec(name, False, None)
    element_types = [element for number, element in fields(tensors[0]) if number == _TENSOR_ELEMENT]
    shapes = _messages(tensors[0], _TENSOR_SHAPE)
    shape = tuple(_size(dimension) for dimension in _messages(shapes[0], _SHAPE_DIMENSION)) if shapes else None
    return TensorSpec(name, element_types == [_FLOAT], shape)


def _size(dimension: memoryview) -> int | None:
    sizes: list[Value] = [value for number, value in fields(dimension) if number == _DIMENSION_VALUE]
    return sizes[0] if sizes and isinstance(sizes[0], int) and sizes[0] > 0 else None


def _messages(message: memoryview, field_number: int) -> list[memoryview]:
    return [value for number, value in fields(message) if number == field_number and isinstance(value, memoryview)]


def _text(message: memoryview, field_number: int) -> str:
    values = _messages(message, field_number)
    return bytes(values[0]).decode("utf-8", "replace") if values else ""
