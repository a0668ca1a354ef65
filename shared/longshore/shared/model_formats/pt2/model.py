"""The schema of the files in an archive of ``torch.export.save``, as far as they are read.

See torch/_export/serde/schema.py, version 8, and torch/export/pt2_archive. Fields that do not affect what the program
computes are left out. Expressions over sizes are never evaluated: a single symbol is recognised by its text.
"""

from __future__ import annotations

import re
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.pt2.arguments import REFUSED, Argument, Int, Name, Node, Tagged, TensorArgument

M = TypeVar("M", bound=BaseModel)

#: Type names by their number in the schema. Other types cannot be in a weights file.
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
#: The only layout that is supported: dense, with strides.
STRIDED = 7

_SYMBOL = re.compile(r"Symbol\('(\w{1,40})'(?:, (?:positive|nonnegative|integer)=True)*\)|(\w{1,40})")


class _SchemaModel(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Expression(_SchemaModel):
    """A size as text. It is compared with others, and never evaluated."""

    expr_str: Annotated[str, Field(max_length=100_000)]

    @property
    def symbol(self) -> str | None:
        """The name of the symbol; ``None`` if it is a compound expression."""
        match = _SYMBOL.fullmatch(self.expr_str)
        return match and (match[1] or match[2])


class Size(_SchemaModel, Tagged):
    as_expr: Expression | None = None
    as_int: Int | None = None


class TensorMeta(_SchemaModel):
    """Type and sizes of a tensor, and its layout in the storage."""

    dtype: int
    sizes: tuple[Size, ...]
    strides: tuple[Size, ...]
    storage_offset: Size
    layout: int


class GraphData(_SchemaModel):
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]
    nodes: Annotated[tuple[Node, ...], Field(max_length=200_000)]
    tensor_values: dict[str, TensorMeta]


class UserInput(_SchemaModel):
    arg: Argument


class Parameter(_SchemaModel):
    arg: TensorArgument
    parameter_name: Name


class Buffer(_SchemaModel):
    arg: TensorArgument
    buffer_name: Name


class TensorConstant(_SchemaModel):
    arg: TensorArgument
    tensor_constant_name: Name


class Constant(_SchemaModel):
    name: str


class InputSpec(_SchemaModel, Tagged):
    user_input: UserInput | None = None
    parameter: Parameter | None = None
    buffer: Buffer | None = None
    tensor_constant: TensorConstant | None = None
    constant_input: Constant | None = None


class UserOutput(_SchemaModel):
    arg: Argument


class Mutation(_SchemaModel):
    buffer_name: str = ""
    parameter_name: str = ""
    user_input_name: str = ""

    @property
    def target(self) -> str:
        """The name of the buffer, parameter or input that is changed."""
        return self.buffer_name or self.parameter_name or self.user_input_name


class OutputSpec(_SchemaModel, Tagged):
    user_output: UserOutput | None = None
    buffer_mutation: Mutation | None = None
    parameter_mutation: Mutation | None = None
    user_input_mutation: Mutation | None = None


class GraphSignature(_SchemaModel):
    input_specs: tuple[InputSpec, ...]
    output_specs: tuple[OutputSpec, ...]


class GraphModule(_SchemaModel):
    graph: GraphData
    signature: GraphSignature


class Range(_SchemaModel):
    min_val: int | None = None
    max_val: int | None = None


class SchemaVersion(_SchemaModel):
    major: int


class ExportedProgram(_SchemaModel):
    """``models/model.json``."""

    graph_module: GraphModule
    range_constraints: dict[str, Range]


class Payload(_SchemaModel):
    """The location of a tensor in the archive."""

    path_name: Name
    use_pickle: bool
    tensor_meta: TensorMeta | None = None


class Payloads(_SchemaModel):
    """``data/weights/model_weights_config.json``, and the equivalent file for constants."""

    config: dict[str, Payload]


class Version(_SchemaModel):
    """The part of ``models/model.json`` that is read first."""

    schema_version: SchemaVersion


def parse(kind: type[M], content: bytes, file: str, field: str) -> M:
    """Parse the JSON of a file of the archive.

    :param file: the name of the file, for errors.
    :raises InvalidInput: the content does not match the schema; names the position in the file.
    """
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        location = ".".join(str(step) for step in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            reason = f"{REFUSED.get(str(first['loc'][-1]), 'this')} cannot be run; write the network without it"
        raise InvalidInput(field, f"{file} cannot be read{f' at {location}' if location else ''}: {reason}") from None
