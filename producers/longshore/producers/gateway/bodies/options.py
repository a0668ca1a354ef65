"""The options of each kind of request as schemas.

They describe the options to readers of OpenAPI. What checks a request is the client's own planning, whose errors get
the path of the option here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from copy import copy
from dataclasses import dataclass
from functools import cache

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from longshore.producers.options.table import SPECS, WITH_SHARDS, docstrings
from longshore.producers.planning.options import FORMAT
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.base import is_option, keyword_of
from longshore.shared.vocabulary import DataFormat


@cache
def options_model(kind: str) -> type[BaseModel]:
    """A schema of the options of a kind of request; every one can be left out."""
    fields: dict[str, tuple[object, FieldInfo]] = {
        name: (field.annotation, _described(spec, name, field)) for spec, name, field in _fields_of(kind)
    }
    if kind != "promote":
        form = FieldInfo(default=None, description="The format of a file whose suffix does not say it.")
        fields[FORMAT] = (DataFormat | None, form)
    title = f"{''.join(word.capitalize() for word in kind.split('_'))}Options"
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())
    return create_model(title, __config__=config, **fields)  # type: ignore[call-overload, no-any-return]


@cache
def option_names(kind: str) -> frozenset[str]:
    """The names of the options of a kind of request."""
    return frozenset({FORMAT, *(keyword_of(name, field) for _, name, field in _fields_of(kind))})


def option_path(error: InvalidInput, given: Collection[str], kind: str) -> InvalidInput:
    """An error of the client, with its option as the body has it: ``options.batch_size`` for ``batch_size``.

    :param given: the names of the options of the request, which need not be known.
    """
    name = error.field.partition(".")[0].partition("[")[0]
    if name == "if_":  # as Python has to call it
        return type(error)("if", error.reason)
    if name not in given and name not in option_names(kind):
        return error
    return type(error)(f"options.{error.field}", error.reason)


def _fields_of(kind: str) -> Iterator[tuple[type[BaseModel], str, FieldInfo]]:
    for spec in SPECS[kind]:
        for name, field in spec.model_fields.items():
            if is_option(field) and (name != "rows_per_shard" or kind in WITH_SHARDS):
                yield spec, name, field


def _described(spec: type[BaseModel], name: str, field: FieldInfo) -> FieldInfo:
    owner = next(base for base in spec.__mro__ if name in vars(base).get("__annotations__", {}))
    described = copy(field)
    described.description = docstrings(owner).get(name)
    return described


@dataclass(frozen=True)
class OptionsOf:
    """Marks the options of a kind of request: any object passes, and the schema has each option."""

    kind: str

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.dict_schema(core_schema.str_schema())

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(options_model(self.kind).__pydantic_core_schema__)
