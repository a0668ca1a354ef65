"""A program in the form in which it is stored: only what is needed to run it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.program_io import (
    Ending,
    ProgramIO,
    TensorSpec,
    check_output,
    kind_of,
    match_inputs,
)
from longshore.shared.model_formats.pt2.arguments import Argument, Name, NamedArgument, Node
from longshore.shared.model_formats.pt2.model import SCALAR_TYPES, parse
from longshore.shared.model_formats.pt2.operators import aten_name, refusal
from longshore.shared.specs.signature import Signature, TensorType

#: The names of its files in a version's folder.
PROGRAM, WEIGHTS = "program.json", "weights.safetensors"
#: The largest program that is read, here and in an archive: a graph of about 40,000 nodes.
MAX_PROGRAM_BYTES = 64 * 2**20
#: Arguments that put an operator into training mode.
_TRAINING = ("train", "training")
_ENDINGS: dict[str, Ending] = {"softmax": "softmax", "_softmax": "softmax", "sigmoid": "sigmoid"}

Side = Annotated[int, Field(ge=0, le=2**40)]


class Program(BaseModel):
    """A graph that computes one tensor of rows from another. Nodes are in execution order."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    format: Literal[1] = 1
    #: The name of the input: shape (n, *row_shape).
    input: Name
    #: Written only if it is not float32.
    input_type: TensorType = "float32"
    row_shape: tuple[Side, ...]
    #: How many rows one run may have; ``None`` for no maximum.
    min_rows: Annotated[int, Field(ge=0, le=2)] = 0
    max_rows: Annotated[int, Field(ge=1)] | None = None
    output: Name
    #: The first dimension is the rows; ``None`` for a dimension that was not known at export.
    output_shape: tuple[Side | None, ...]
    #: The name of each weight in the graph, with its name in the weights file.
    weights: dict[Name, Name]
    nodes: tuple[Node, ...]

    def canonical(self) -> bytes:
        """The canonical form: UTF-8 JSON without fields that are not set."""
        return json.dumps(self.model_dump(exclude_unset=True) | {"format": self.format}, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, content: bytes, field: str) -> Program:
        """Read the JSON of a program.

        :raises InvalidInput: it is not a program that this release of Longshore can read.
        """
        if len(content) > MAX_PROGRAM_BYTES:
            raise InvalidInput(field, f"{PROGRAM} has more than {MAX_PROGRAM_BYTES} bytes")
        return parse(cls, content, PROGRAM, field)

    def check(self, signature: Signature, field: str) -> tuple[ProgramIO, Signature]:
        """Check that the program can be run for a signature.

        :param field: names the program in an error.
        :returns: its input and output, and the signature with what the program itself says.
        :raises InvalidInput: it cannot be run; names the node and the remedy.
        """
        self._check_names(field)
        for node in self.nodes:
            _check_node(node, field)
        rows = 1 if self.max_rows == 1 else None
        source = TensorSpec(self.input, self.input_type, (rows, *self.row_shape))
        output = TensorSpec(self.output, "float32", self.output_shape)
        inputs, batch, signature = match_inputs([source], signature, field)
        if signature.output is not None:
            raise InvalidInput("signature.output", "only for ONNX files with several outputs; leave it out")
        ending = self._ending()
        check_output(output, signature, ending, field)
        kind = signature.output_kind or kind_of(ending, output, signature)
        return ProgramIO(inputs, output, batch, ending), signature.model_copy(update={"output_kind": kind})

    def _ending(self) -> Ending | None:
        """How the output is made, as far as that can be seen."""
        makers = {name: node for node in self.nodes for each in node.outputs for name, _ in each.names()}
        name = aten_name(makers[self.output].target) if self.output in makers else None
        return _ENDINGS.get(name[0]) if name is not None else None

    def _check_names(self, field: str) -> None:
        """Check that every value is defined once, before it is used, and is used with its type."""
        if "__metadata__" in self.weights.values():  # means something else in a weights file
            raise InvalidInput(field, "a weight cannot be called '__metadata__'; rename it")
        known = dict.fromkeys((self.input, *self.weights), True)
        for number, node in enumerate(self.nodes):
            where = f"node {number} ({node.target[:80]})"
            for argument in node.inputs:
                for name, tensor in argument.arg.names():
                    if known.get(name) is not tensor:
                        raise InvalidInput(field, f"{where} uses {name[:80]!r}, which no node before it computes")
            for output in node.outputs:
                for name, tensor in _outputs(output, where, field):
                    if name in known:
                        raise InvalidInput(field, f"{where} computes {name[:80]!r}, which is already defined")
                    known[name] = tensor
        if known.get(self.output) is not True:
            raise InvalidInput(field, f"no node computes its output {self.output[:80]!r}")


def _outputs(output: Argument, where: str, field: str) -> Iterator[tuple[str, bool]]:
    if output.kind not in ("as_tensor", "as_tensors", "as_sym_int", "as_sym_float", "as_sym_bool", "as_none"):
        raise InvalidInput(field, f"{where} returns {output.kind.removeprefix('as_')}, which is not supported")
    yield from output.names()


def _check_node(node: Node, field: str) -> None:
    reason = refusal(node.target)
    if reason is not None:
        raise InvalidInput(field, reason)
    arguments = {argument.name: argument.arg for argument in node.inputs}
    if len(arguments) != len(node.inputs):
        raise InvalidInput(field, f"{node.target} has an argument twice")
    operator = aten_name(node.target)
    if operator and any(_is_true(arguments.get(name)) for name in _TRAINING):
        raise InvalidInput(
            field,
            f"{node.target} runs in training mode; call network.eval() before torch.export.export, and export again",
        )
    if (
        operator
        and operator[0] == "instance_norm"
        and _is_true(arguments.get("use_input_stats"))
        and _is_tensor(arguments, "running_mean")
    ):
        raise InvalidInput(
            field, f"{node.target} changes its running statistics; call network.eval() before the export"
        )
    dropout = arguments.get("dropout_p")
    if dropout is not None and dropout.as_float not in (None, 0.0):
        raise InvalidInput(field, f"{node.target} applies dropout; call network.eval() before torch.export.export")
    for argument in node.inputs:
        _check_type(node, argument, field)


def _check_type(node: Node, argument: NamedArgument, field: str) -> None:
    kind = argument.arg.as_scalar_type
    if kind is not None and kind not in SCALAR_TYPES:
        raise InvalidInput(field, f"{node.target} uses the number type {kind}, which is not supported")


def _is_true(argument: Argument | None) -> bool:
    return argument is not None and argument.as_bool is True


def _is_tensor(arguments: dict[str, Argument], name: str) -> bool:
    return name in arguments and any(tensor for _, tensor in arguments[name].names())
