"""A program as the store keeps it: what is needed to run it, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.program_io import Ends, Port, fit
from longshore.shared.model_formats.pt2.arguments import Argument, Name, NamedArgument, Node
from longshore.shared.model_formats.pt2.model import SCALAR_TYPES, parse
from longshore.shared.model_formats.pt2.operators import aten_name, refusal
from longshore.shared.specs.signature import Signature

#: What its files are called in the folder of a version.
PROGRAM, WEIGHTS = "program.json", "weights.safetensors"
#: Bytes of the largest program that is read, here and in an archive: graphs of some 40,000 nodes.
MAX_PROGRAM = 64 * 2**20
#: Arguments that say that an operator runs as it does in training.
_TRAINING = ("train", "training")

Side = Annotated[int, Field(ge=0, le=2**40)]


class Program(BaseModel):
    """A graph from one tensor of rows to another. Nodes stand in the order in which they are run."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    format: Literal[1] = 1
    #: The rows, float32 ``(n, *row_shape)``.
    input: Name
    row_shape: tuple[Side, ...]
    #: Rows that one run may have; ``None`` for any number.
    min_rows: Annotated[int, Field(ge=0, le=2)] = 0
    max_rows: Annotated[int, Field(ge=1)] | None = None
    output: Name
    #: ``None`` for a dimension that was not known when it was exported; the first are the rows.
    output_shape: tuple[Side | None, ...]
    #: The tensors of the graph that are weights, each with its name in the weights file.
    weights: dict[Name, Name]
    nodes: tuple[Node, ...]

    def canonical(self) -> bytes:
        """The one way to write it: UTF-8 JSON without what is not set."""
        return json.dumps(self.model_dump(exclude_unset=True) | {"format": self.format}, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, content: bytes, field: str) -> Program:
        """:raises InvalidInput: it is no program that this release of Longshore reads."""
        if len(content) > MAX_PROGRAM:
            raise InvalidInput(field, f"{PROGRAM} has more than {MAX_PROGRAM} bytes")
        return parse(cls, content, PROGRAM, field)

    def check(self, signature: Signature, field: str) -> Ends:
        """Whether it can be run for a signature.

        :param field: names the program in an error.
        :raises InvalidInput: it cannot; names the node and what to do.
        """
        self._check_names(field)
        for node in self.nodes:
            _check_node(node, field)
        batch = 1 if self.max_rows == 1 else None
        source = Port(self.input, True, (batch, *self.row_shape))
        return fit([source], [Port(self.output, True, self.output_shape)], signature, field)

    def _check_names(self, field: str) -> None:
        """Every value is made once, before it is used, and used as what it is."""
        if "__metadata__" in self.weights.values():  # means something else in a weights file
            raise InvalidInput(field, "a weight cannot be called '__metadata__'; give it another name")
        known = dict.fromkeys((self.input, *self.weights), True)
        for number, node in enumerate(self.nodes):
            where = f"node {number} ({node.target[:80]})"
            for argument in node.inputs:
                for name, tensor in argument.arg.names():
                    if known.get(name) is not tensor:
                        raise InvalidInput(field, f"{where} uses {name[:80]!r}, which nothing before it makes")
            for output in node.outputs:
                for name, tensor in _made(output, where, field):
                    if name in known:
                        raise InvalidInput(field, f"{where} makes {name[:80]!r}, which is there already")
                    known[name] = tensor
        if known.get(self.output) is not True:
            raise InvalidInput(field, f"nothing makes its output {self.output[:80]!r}")


def _made(output: Argument, where: str, field: str) -> Iterator[tuple[str, bool]]:
    if output.kind not in ("as_tensor", "as_tensors", "as_sym_int", "as_sym_float", "as_sym_bool", "as_none"):
        raise InvalidInput(field, f"{where} gives {output.kind.removeprefix('as_')}, which is not done")
    yield from output.names()


def _check_node(node: Node, field: str) -> None:
    why = refusal(node.target)
    if why is not None:
        raise InvalidInput(field, why)
    given = {argument.name: argument.arg for argument in node.inputs}
    if len(given) != len(node.inputs):
        raise InvalidInput(field, f"{node.target} is given an argument twice")
    found = aten_name(node.target)
    if found and any(_is_true(given.get(name)) for name in _TRAINING):
        raise InvalidInput(
            field,
            f"{node.target} runs as in training; call network.eval() before torch.export.export, and export again",
        )
    if (
        found
        and found[0] == "instance_norm"
        and _is_true(given.get("use_input_stats"))
        and _is_tensor(given, "running_mean")
    ):
        raise InvalidInput(
            field, f"{node.target} changes its running statistics; call network.eval() before the export"
        )
    dropped = given.get("dropout_p")
    if dropped is not None and dropped.as_float not in (None, 0.0):
        raise InvalidInput(field, f"{node.target} drops at random; call network.eval() before torch.export.export")
    for argument in node.inputs:
        _check_type(node, argument, field)


def _check_type(node: Node, argument: NamedArgument, field: str) -> None:
    kind = argument.arg.as_scalar_type
    if kind is not None and kind not in SCALAR_TYPES:
        raise InvalidInput(field, f"{node.target} asks for the type of number {kind}, which is not known here")


def _is_true(argument: Argument | None) -> bool:
    return argument is not None and argument.as_bool is True


def _is_tensor(given: dict[str, Argument], name: str) -> bool:
    return name in given and any(tensor for _, tensor in given[name].names())
