"""The arguments of a node, as ``torch.export`` writes them: objects with one key, which says what the value is.

torch/_export/serde/schema.py, version 8. What stands there and not here (graphs, objects of custom classes,
operators as values, complex numbers) is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: A value in a graph. Nothing is ever made of it but a key to find the value by.
Name = Annotated[str, Field(min_length=1, max_length=1000)]
Int = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
#: JSON has no word for the last three.
Float = Annotated[float, Field(allow_inf_nan=False)] | Literal["Infinity", "-Infinity", "NaN"]

#: Fields of the schema that are refused, and what they would be.
REFUSED = {
    "as_graph": "a graph within the graph, as torch.cond and other higher-order operators have; write it without them",
    "as_custom_obj": "an object of a class of its own, which only code of its own could make",
    "as_operator": "an operator as a value",
    "custom_obj": "an object of a class of its own, which only code of its own could make",
}


class Part(BaseModel):
    """The base of all of these: frozen, and no value is taken for another's type."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Tagged(Part):
    """One of its fields, and no other."""

    @model_validator(mode="after")
    def _check_one(self) -> Tagged:
        if len(self.model_fields_set) != 1 or getattr(self, self.kind) is None:
            raise ValueError(f"it has {len(self.model_fields_set)} values instead of one")
        return self

    @property
    def kind(self) -> str:
        """The one field that is set."""
        return next(iter(self.model_fields_set))


class Tensor(Part):
    """A tensor of the graph."""

    name: Name


class OptionalTensor(Tagged):
    as_tensor: Tensor | None = None
    as_none: bool | None = None


class SymInt(Tagged):
    """A size that is known when the program runs, by its name; or a number."""

    as_name: Name | None = None
    as_int: Int | None = None


class SymFloat(Tagged):
    as_name: Name | None = None
    as_float: Float | None = None


class SymBool(Tagged):
    as_name: Name | None = None
    as_bool: bool | None = None


class Device(Part):
    """Where the tensor was on the machine that exported; workers put it on their own device."""

    type: str
    index: int | None = None


class Argument(Tagged):
    """What a node is given, or gives."""

    as_none: bool | None = None
    as_tensor: Tensor | None = None
    as_tensors: tuple[Tensor, ...] | None = None
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
    #: 1 contiguous, 2 channels last, 3 channels last in three dimensions, 4 as it was.
    as_memory_format: Annotated[int, Field(ge=1, le=4)] | None = None
    #: 7: dense. No other is run.
    as_layout: Literal[7] | None = None
    as_device: Device | None = None

    def names(self) -> Iterator[tuple[str, bool]]:
        """The values of the graph in it, each with whether it is a tensor."""
        value = getattr(self, self.kind)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, OptionalTensor):
                each = each.as_tensor
            if isinstance(each, Tensor):
                yield each.name, True
            elif isinstance(each, SymInt | SymFloat | SymBool) and each.as_name is not None:
                yield each.as_name, False


class NamedArgument(Part):
    """An argument by the name that it has in the operator's schema."""

    name: Name
    arg: Argument
    #: 1: by its place, 2: by its name. The schema says it, too.
    kind: int | None = None


class Node(BaseModel):
    """One call of an operator. What else is written of it (stack traces, module names) is neither read nor kept."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    target: Name
    inputs: tuple[NamedArgument, ...]
    outputs: tuple[Argument, ...]
