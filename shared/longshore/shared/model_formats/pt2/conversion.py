"""From what ``torch.export`` writes to a program that can be kept and run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.pt2.arguments import Argument, Node
from longshore.shared.model_formats.pt2.model import FLOAT32, ExportedProgram, InputSpec, OutputSpec, Size, TensorMeta
from longshore.shared.model_formats.pt2.operators import HARMLESS, IGNORED, aten_name
from longshore.shared.model_formats.pt2.program import Program

#: What takes any number of rows has no range, or one to the largest int.
_LARGEST = 2**62


def convert(exported: ExportedProgram, field: str) -> Program:
    """Keep what is computed, and leave out what is not: what is said about it, and weights that nothing uses.

    :raises InvalidInput: it has not one input and one output of float32, or changes its weights or its input.
    """
    graph, specs = exported.graph_module.graph, exported.graph_module.signature
    [source, *more] = list(_user_inputs(specs.input_specs)) or [None]
    if source is None or more:
        raise InvalidInput(field, f"it must have one input, a tensor, and has {1 + len(more) if source else 'none'}")
    output = _output(specs.output_specs, field)
    taken, given = _meta(graph.tensor_values, source, field), _meta(graph.tensor_values, output, field)
    low, high = _rows(taken, exported, field)
    if high != 1 and given.sizes and given.sizes[0].as_int is not None:
        raise InvalidInput(
            field,
            f"its output has {given.sizes[0].as_int} rows, whatever the number of rows of its input; make it the same",
        )
    nodes = tuple(_node(node) for node in graph.nodes if not _is_ignored(node))
    used = {name for node in nodes for argument in node.inputs for name, _ in argument.arg.names()} | {output}
    weights = {graph_name: name for graph_name, name in _weights(specs.input_specs) if graph_name in used}
    return Program(
        input=source,
        row_shape=_fixed(taken.sizes[1:], field),
        min_rows=low,
        max_rows=high,
        output=output,
        output_shape=tuple(size.as_int for size in given.sizes),
        weights=weights,
        nodes=nodes,
    )


def _user_inputs(specs: tuple[InputSpec, ...]) -> Iterator[str | None]:
    for spec in specs:
        if spec.user_input is not None:
            tensor = spec.user_input.arg.as_tensor
            yield None if tensor is None else tensor.name


def _weights(specs: tuple[InputSpec, ...]) -> Iterator[tuple[str, str]]:
    """What the graph calls its weights, and what the archive calls them."""
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
                f"it changes {mutated.what[:80]!r} whenever it runs; "
                "call network.eval() before torch.export.export, and write the network without that",
            )
    outputs = [spec.user_output.arg for spec in specs if spec.user_output is not None]
    if len(outputs) != 1 or outputs[0].as_tensor is None:
        raise InvalidInput(field, f"it must have one output, a tensor, and has {len(outputs)}")
    return outputs[0].as_tensor.name


def _meta(values: Mapping[str, TensorMeta], name: str, field: str) -> TensorMeta:
    found = values.get(name)
    if found is None:
        raise InvalidInput(field, f"it says nothing of the tensor {name[:80]!r}")
    if found.dtype != FLOAT32:
        raise InvalidInput(field, f"{name[:80]!r} must be a float32 tensor; export it as one")
    return found


def _rows(taken: TensorMeta, exported: ExportedProgram, field: str) -> tuple[int, int | None]:
    """Rows that one run may have, least and most."""
    dynamic = 'as dynamic_shapes=({0: torch.export.Dim("batch")},)'
    if not taken.sizes:
        raise InvalidInput(field, f"its input has no dimensions; give it one for the rows, {dynamic}")
    rows = taken.sizes[0]
    if rows.as_expr is None:
        if rows.as_int != 1:
            raise InvalidInput(
                field,
                f"it takes {rows.as_int} rows at a time, no more and no fewer; export it for any number, {dynamic}",
            )
        return 1, 1
    symbol = rows.as_expr.symbol
    if symbol is None:
        raise InvalidInput(field, f"the number of its rows is an expression; export it for any number, {dynamic}")
    found = exported.range_constraints.get(symbol)
    low, high = (0, None) if found is None else (found.min_val or 0, found.max_val)
    if low > 2:
        raise InvalidInput(field, f"it takes no fewer than {low} rows; export it for any number, {dynamic}")
    if high is not None and high < max(low, 2):
        raise InvalidInput(field, f"it takes no more than {high} rows; export it for any number, {dynamic}")
    return low, None if high is None or high >= _LARGEST else high


def _fixed(sizes: tuple[Size, ...], field: str) -> tuple[int, ...]:
    found = tuple(size.as_int for size in sizes if size.as_int is not None)
    if len(found) != len(sizes):
        raise InvalidInput(field, "its input must have fixed sizes but for its first dimension, the rows")
    return found


def _is_ignored(node: Node) -> bool:
    found = aten_name(node.target)
    return found is not None and found[0] in IGNORED and not any(True for each in node.outputs for _ in each.names())


def _node(node: Node) -> Node:
    target = HARMLESS.get(node.target, node.target)
    # An operator that gives nothing is written with no outputs, or with one that is none.
    outputs: tuple[Argument, ...] = tuple(output for output in node.outputs if output.kind != "as_none")
    return node.model_copy(update={"target": target, "outputs": outputs})
