"""Converts what ``torch.export`` writes to a program that can be stored and run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import get_args

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.pt2.arguments import Argument, Node
from longshore.shared.model_formats.pt2.model import (
    FLOAT32,
    SCALAR_TYPES,
    ExportedProgram,
    InputSpec,
    OutputSpec,
    Size,
    TensorMeta,
)
from longshore.shared.model_formats.pt2.operators import HARMLESS, IGNORED, aten_name
from longshore.shared.model_formats.pt2.program import Program
from longshore.shared.specs.signature import TensorType

#: A program that takes any number of rows has no range, or one up to about the largest int.
_UNBOUNDED_ROWS = 2**62


def convert(exported: ExportedProgram, field: str) -> Program:
    """Keep what the program computes, and drop metadata and unused weights.

    :raises InvalidInput: it does not have one input and one float32 output, or it changes its weights or input.
    """
    graph, specs = exported.graph_module.graph, exported.graph_module.signature
    [source, *more] = list(_user_inputs(specs.input_specs)) or [None]
    if source is None or more:
        raise InvalidInput(field, f"it must have one input, a tensor, but has {1 + len(more) if source else 'none'}")
    output = _output(specs.output_specs, field)
    input_meta, output_meta = _meta(graph.tensor_values, source, field), _meta(graph.tensor_values, output, field)
    input_type = _input_type(input_meta, source, field)
    if output_meta.dtype != FLOAT32:
        raise InvalidInput(field, f"{output[:80]!r} must be a float32 tensor; export it as one")
    low, high = _rows(input_meta, exported, field)
    if high != 1 and output_meta.sizes and output_meta.sizes[0].as_int is not None:
        raise InvalidInput(
            field,
            f"its output always has {output_meta.sizes[0].as_int} rows; it must have as many rows as the input",
        )
    nodes = tuple(_node(node) for node in graph.nodes if not _is_ignored(node))
    used = {name for node in nodes for argument in node.inputs for name, _ in argument.arg.names()} | {output}
    weights = {graph_name: name for graph_name, name in _weights(specs.input_specs) if graph_name in used}
    program = Program(
        input=source,
        row_shape=_fixed(input_meta.sizes[1:], field),
        min_rows=low,
        max_rows=high,
        output=output,
        output_shape=tuple(size.as_int for size in output_meta.sizes),
        weights=weights,
        nodes=nodes,
    )
    # Not written for float32, so that the digests of such programs do not change.
    return program if input_type == "float32" else program.model_copy(update={"input_type": input_type})


def _user_inputs(specs: tuple[InputSpec, ...]) -> Iterator[str | None]:
    for spec in specs:
        if spec.user_input is not None:
            tensor = spec.user_input.arg.as_tensor
            yield None if tensor is None else tensor.name


def _weights(specs: tuple[InputSpec, ...]) -> Iterator[tuple[str, str]]:
    """The name of each weight in the graph, and in the archive."""
    for spec in specs:
        if spec.parameter is not None:
            yield spec.parameter.arg.name, spec.parameter.parameter_name
        elif spec.buffer is not None:
            yield spec.buffer.arg.name, spec.buffer.buffer_name
        elif spec.tensor_constant is not None:
            yield spec.tensor_constant.arg.name, spec.tensor_constant.tensor_constant_name


def _output(specs: tuple[OutputSpec, ...], field: str) -> str:
    for spec in specs:
        mutated = spec.buffer_mutation or spec.parameter_mutation or spec.user_input_mutation
        if mutated is not None:
            raise InvalidInput(
                field,
                f"it changes {mutated.target[:80]!r} whenever it runs; "
                "call network.eval() before torch.export.export, or remove the change from the network",
            )
    outputs = [spec.user_output.arg for spec in specs if spec.user_output is not None]
    if len(outputs) != 1 or outputs[0].as_tensor is None:
        raise InvalidInput(field, f"it must have one output, a tensor, but has {len(outputs)}")
    return outputs[0].as_tensor.name


def _meta(values: Mapping[str, TensorMeta], name: str, field: str) -> TensorMeta:
    meta = values.get(name)
    if meta is None:
        raise InvalidInput(field, f"it has no metadata of the tensor {name[:80]!r}")
    return meta


def _input_type(meta: TensorMeta, name: str, field: str) -> TensorType:
    named = SCALAR_TYPES.get(meta.dtype, "")
    kind: TensorType
    for kind in get_args(TensorType):
        if kind == named:
            return kind
    raise InvalidInput(field, f"{name[:80]!r} is a {named or 'unknown'} tensor; export it as float32")


def _rows(meta: TensorMeta, exported: ExportedProgram, field: str) -> tuple[int, int | None]:
    """The smallest and the largest number of rows in one run."""
    dynamic = 'with dynamic_shapes=({0: torch.export.Dim("batch")},)'
    if not meta.sizes:
        raise InvalidInput(field, f"its input has no dimensions; export it with a first dimension for rows, {dynamic}")
    rows = meta.sizes[0]
    if rows.as_expr is None:
        if rows.as_int != 1:
            raise InvalidInput(
                field,
                f"it takes exactly {rows.as_int} rows at a time; export it for any number, {dynamic}",
            )
        return 1, 1
    symbol = rows.as_expr.symbol
    if symbol is None:
        raise InvalidInput(field, f"the number of its rows is an expression; export it for any number, {dynamic}")
    limits = exported.range_constraints.get(symbol)
    low, high = (0, None) if limits is None else (max(0, limits.min_val or 0), limits.max_val)
    if low > 2:
        raise InvalidInput(field, f"it takes at least {low} rows; export it for any number, {dynamic}")
    if high is not None and high < max(low, 2):
        raise InvalidInput(field, f"it takes at most {high} rows; export it for any number, {dynamic}")
    return low, None if high is None or high >= _UNBOUNDED_ROWS else high


def _fixed(sizes: tuple[Size, ...], field: str) -> tuple[int, ...]:
    fixed = tuple(size.as_int for size in sizes if size.as_int is not None)
    if len(fixed) != len(sizes):
        raise InvalidInput(field, "its input must have a fixed size in every dimension but the first, the rows")
    return fixed


def _is_ignored(node: Node) -> bool:
    operator = aten_name(node.target)
    return (
        operator is not None
        and operator[0] in IGNORED
        and not any(True for output in node.outputs for _ in output.names())
    )


def _node(node: Node) -> Node:
    target = HARMLESS.get(node.target, node.target)
    # An operator without a result is written with no outputs, or with one output that is None.
    outputs: tuple[Argument, ...] = tuple(output for output in node.outputs if output.kind != "as_none")
    return node.model_copy(update={"target": target, "outputs": outputs})
