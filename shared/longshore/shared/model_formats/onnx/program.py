"""The input and output of an ONNX program, and whether they match a signature."""

from __future__ import annotations

from dataclasses import replace

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.onnx.external import has_external_data
from longshore.shared.model_formats.onnx.protobuf import Value, fields
from longshore.shared.model_formats.program_io import Activation, ProgramIO, TensorSpec, match_signature
from longshore.shared.specs.signature import Signature

#: The largest protobuf message.
MAX_BYTES = 2**31 - 1
#: ``TensorProto.FLOAT``.
_FLOAT = 1
#: The first number that a varint of 64 bits reads as a negative one.
_NEGATIVE = 2**63
#: Operators that draw random numbers whenever they run.
_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
_ACTIVATIONS: dict[str, Activation] = {"Softmax": "softmax", "Sigmoid": "sigmoid"}
#: Operators that do not change the values of their first input.
_PASSING = frozenset({"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
#: Field numbers of onnx.proto.
_MODEL_GRAPH = 7
_GRAPH_NODE, _NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE = 1, 1, 2, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INT = 1, 3
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
        random = sorted({op for op, _, _ in _nodes(model)} & _RANDOM)
        trains = any(map(_in_training, _graph_nodes(model)))
    except ValueError as error:
        raise InvalidInput(field, f"it is not an ONNX file: {error}") from None
    if random:
        raise InvalidInput(
            field,
            f"its operator {random[0]} draws random numbers, so the same row would give different outputs; export the "
            "network without it",
        )
    if trains:
        raise InvalidInput(
            field,
            "its operator BatchNormalization runs in training mode, so the outputs of a row would depend on the other "
            "rows; call network.eval() before the export",
        )
    matched = match_signature(inputs, outputs, signature, field)
    return replace(matched, activation=_activation(model, matched.output.name))


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
    # Some exporters write -1, a very large number here, for any size.
    return sizes[0] if sizes and isinstance(sizes[0], int) and 0 < sizes[0] < _NEGATIVE else None


def _nodes(model: memoryview) -> list[tuple[str, list[str], list[str]]]:
    """Operator, inputs and outputs of each node of the graph."""
    return [
        (_text(node, _NODE_OPERATOR), _texts(node, _NODE_INPUT), _texts(node, _NODE_OUTPUT))
        for node in _graph_nodes(model)
    ]


def _graph_nodes(model: memoryview) -> list[memoryview]:
    return [node for graph in _messages(model, _MODEL_GRAPH) for node in _messages(graph, _GRAPH_NODE)]


def _in_training(node: memoryview) -> bool:
    """Whether a node normalises with the statistics of the batch."""
    return _text(node, _NODE_OPERATOR) == "BatchNormalization" and any(
        _text(attribute, _ATTRIBUTE_NAME) == "training_mode"
        and any(number == _ATTRIBUTE_INT and value != 0 for number, value in fields(attribute))
        for attribute in _messages(node, _NODE_ATTRIBUTE)
    )


def _activation(model: memoryview, output: str) -> Activation | None:
    """The function that computes the output from logits, if there is one."""
    producers = {name: (operator, inputs) for operator, inputs, outputs in _nodes(model) for name in outputs}
    for _ in range(len(producers)):
        operator, inputs = producers.get(output, ("", []))
        if operator not in _PASSING or not inputs:
            return _ACTIVATIONS.get(operator)
        output = inputs[0]
    return None


def _messages(message: memoryview, field_number: int) -> list[memoryview]:
    return [value for number, value in fields(message) if number == field_number and isinstance(value, memoryview)]


def _texts(message: memoryview, field_number: int) -> list[str]:
    return [bytes(value).decode("utf-8", "replace") for value in _messages(message, field_number)]


def _text(message: memoryview, field_number: int) -> str:
    values = _messages(message, field_number)
    return bytes(values[0]).decode("utf-8", "replace") if values else ""
