"""The arguments of a node, as ``torch.export`` writes them: objects with one key, which is the type of the value.

See torch/_export/serde/schema.py, version 8. Types that are not defined here (graphs, objects of custom classes,
operators as values, complex numbers) are rejected.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: The name of a value in a graph. It is only used as a dictionary key.
Name = Annotated[str, Field(min_length=1, max_length=1000)]
Int = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
#: The last three cannot be written as JSON numbers.
Float = Annotated[float, Field(allow_inf_nan=False)] | Literal["Infinity", "-Infinity", "NaN"]

#: Fields of the schema that are rejected, and what they contain.
REFUSED = {
    "as_graph": "a nested graph, as used by torch.cond and other higher-order operators,",
    "as_custom_obj": "an object of a custom class, which only its own code could create,",
    "as_operator": "an operator as a value",
    "custom_obj": "an object of a custom class, which only its own code could create,",
}


class SchemaModel(BaseModel):
    """The base of all of these: frozen, and without conversion between types."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Tagged(SchemaModel):
    """A union: exactly one of its fields is set."""

    @model_validator(mode="after")
    def _check_one(self) -> Tagged:
        if len(self.model_fields_set) != 1 or getattr(self, self.kind) is None:
            raise ValueError(f"it has {len(self.model_fields_set)} values instead of one")
        return self

    @property
    def kind(self) -> str:
        """The name of the field that is set."""
        return next(iter(self.model_fields_set))


class TensorArgument(SchemaModel):
    """A tensor of the graph."""

    name: Name


class OptionalTensor(Tagged):
    as_tensor: TensorArgument | None = None
    as_none: bool | None = None


class SymInt(Tagged):
    """A number, or the name of a size that is known when the program runs."""

    as_name: Name | None = None
    as_int: Int | None = None


class SymFloat(Tagged):
    as_name: Name | None = None
    as_float: Float | None = None


class SymBool(Tagged):
    as_name: Name | None = None
    as_bool: bool | None = None


class Device(SchemaModel):
    """The device of the tensor at export; workers use their own device instead."""

    type: str
    index: int | None = None


class Argument(Tagged):
    """An input or an output of a node."""

    as_none: bool | None = None
    as_tensor: TensorArgument | None = None
    as_tensors: tuple[TensorArgument, ...] | None = None
    as_optional_tensor: OptionalTensor | None = None
    as_optional_tensors: tuple[OptionalTensor, ...] | None = None
    as_int: Int | None = None
    as_ints: tuple[Int, ...] | None = None
    as_float: Float | None = None
    as_floats: tuple[Float, ...] | None = None
    as_bool: bool | None = None
    as_bools: tuple[bool, ...] | None = None
    as_string: Annotated[str, Field(max_length=10_000)] | None = None
    as_sym_int: SymInt | None = None
    as_sym_ints: tuple[SymInt, ...] | None = None
    as_sym_float: SymFloat | None = None
    as_sym_floats: tuple[SymFloat, ...] | None = None
    as_sym_bool: SymBool | None = None
    as_sym_bools: tuple[SymBool, ...] | None = None
    #: One of :data:`SCALAR_TYPES`.
    as_scalar_type: int | None = None
    #: 1 contiguous, 2 channels last, 3 channels last in three dimensions, 4 preserved.
    as_memory_format: Annotated[int, Field(ge=1, le=4)] | None = None
    #: 7: dense, the only layout that is supported.
    as_layout: Literal[7] | None = None
    as_device: Device | None = None

    def names(self) -> Iterator[tuple[str, bool]]:
        """The names of the graph's values in the argument, each with whether the value is a tensor."""
        value = getattr(self, self.kind)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, OptionalTensor):
                item = item.as_tensor
            if isinstance(item, TensorArgument):
                yield item.name, True
            elif isinstance(item, SymInt | SymFloat | SymBool) and item.as_name is not None:
                yield item.as_name, False


class NamedArgument(SchemaModel):
    """An argument with its name in the operator's schema."""

    name: Name
    arg: Argument
    #: 1: positional, 2: by keyword. The operator's schema defines it, too.
    kind: int | None = None


class Node(BaseModel):
    """One call of an operator, without its metadata (stack traces, module names)."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    target: Name
    inputs: tuple[NamedArgument, ...]
    outputs: tuple[Argument, ...]
