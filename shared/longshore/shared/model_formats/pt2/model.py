"""The files of an archive that ``torch.export.save`` writes, as far as they are read.

torch/_export/serde/schema.py, version 8; torch/export/pt2_archive. Fields that say nothing of what the program computes
are left out. Expressions over sizes are never evaluated: one that is a single symbol is told by how it is written.
"""

from __future__ import annotations

import re
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.pt2.arguments import REFUSED, Argument, Int, Name, Node, Tagged, Tensor

M = TypeVar("M", bound=BaseModel)

#: Names of types by the number that the schema gives them. Others have no place in a weights file.
SCALAR_TYPES = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    9: "complex32",
    10: "complex64",
    11: "complex128",
    12: "bool",
    13: "bfloat16",
}
FLOAT32 = 7
#: The only layout there is numbers of: dense, with strides.
STRIDED = 7

_SYMBOL = re.compile(r"Symbol\('(\w{1,40})'(?:, (?:positive|nonnegative|integer)=True)*\)|(\w{1,40})")


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Expression(_Read):
    """A size as a text. It is compared with others, and never evaluated."""

    expr_str: Annotated[str, Field(max_length=100_000)]

    @property
    def symbol(self) -> str | None:
        """The symbol that it is; ``None`` where it is computed of some."""
        found = _SYMBOL.fullmatch(self.expr_str)
        return found and (found[1] or found[2])


class Size(_Read, Tagged):
    as_expr: Expression | None = None
    as_int: Int | None = None


class TensorMeta(_Read):
    """Type and sizes of a tensor, and how it lies in its storage."""

    dtype: int
    sizes: tuple[Size, ...]
    strides: tuple[Size, ...]
    storage_offset: Size
    layout: int


class Graph(_Read):
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]
    nodes: Annotated[tuple[Node, ...], Field(max_length=200_000)]
    tensor_values: dict[str, TensorMeta]


class UserInput(_Read):
    arg: Argument


class Parameter(_Read):
    arg: Tensor
    parameter_name: Name


class Buffer(_Read):
    arg: Tensor
    buffer_name: Name


class TensorConstant(_Read):
    arg: Tensor
    tensor_constant_name: Name


class Constant(_Read):
    name: str


class InputSpec(_Read, Tagged):
    user_input: UserInput | None = None
    parameter: Parameter | None = None
    buffer: Buffer | None = None
    tensor_constant: TensorConstant | None = None
    constant_input: Constant | None = None


class UserOutput(_Read):
    arg: Argument


class Mutation(_Read):
    buffer_name: str = ""
    parameter_name: str = ""
    user_input_name: str = ""

    @property
    def what(self) -> str:
        """What is changed."""
        return self.buffer_name or self.parameter_name or self.user_input_name


class OutputSpec(_Read, Tagged):
    user_output: UserOutput | None = None
    buffer_mutation: Mutation | None = None
    parameter_mutation: Mutation | None = None
    user_input_mutation: Mutation | None = None


class Signature(_Read):
    input_specs: tuple[InputSpec, ...]
    output_specs: tuple[OutputSpec, ...]


class GraphModule(_Read):
    graph: Graph
    signature: Signature


class Range(_Read):
    min_val: int | None = None
    max_val: int | None = None


class SchemaVersion(_Read):
    major: int


class ExportedProgram(_Read):
    """``models/model.json``."""

    graph_module: GraphModule
    range_constraints: dict[str, Range]


class Payload(_Read):
    """Where a tensor lies in the archive."""

    path_name: Name
    use_pickle: bool
    tensor_meta: TensorMeta | None = None


class Payloads(_Read):
    """``data/weights/model_weights_config.json``, and the same of constants."""

    config: dict[str, Payload]


class Version(_Read):
    """What is looked at first of ``models/model.json``."""

    schema_version: SchemaVersion


def parse(kind: type[M], content: bytes, file: str, field: str) -> M:
    """:raises InvalidInput: the file does not hold a ``kind``; names the place in it."""
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            said = f"{REFUSED.get(str(first['loc'][-1]), 'this')} is nothing that can be run"
        raise InvalidInput(field, f"{file} cannot be read{f' at {place}' if place else ''}: {said}") from None
