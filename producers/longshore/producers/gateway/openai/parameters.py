"""Parameters of OpenAI's API that are known, and have no effect here."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, JsonValue, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from longshore.shared.specs.validation import MAX_SHOWN_LENGTH, shorten

#: The type of the error of pydantic for a value that is not supported.
UNSUPPORTED: Final = "unsupported"
#: Half of a surrogate pair, which JSON can write and UTF-8 cannot.
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


class OpenAIBody(BaseModel):
    """The body of a request, or a part of it. Types are exact, and other keys are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, use_attribute_docstrings=True)


class RequestBody(OpenAIBody):
    """The body of a request as a whole."""

    @model_validator(mode="before")
    @classmethod
    def _check_texts(cls, values: object) -> object:
        """:raises ValueError: a text in it cannot be written as UTF-8."""
        waiting = [values]
        while waiting:
            value = waiting.pop()
            if isinstance(value, str) and _SURROGATE.search(value):
                raise ValueError(f"the text {shorten(value)} has half of a surrogate pair; remove it")
            if isinstance(value, dict):
                waiting += (*value.keys(), *value.values())
            elif isinstance(value, list):
                waiting += value
        return values


@dataclass(frozen=True)
class Only:
    """For a field that takes only the values that ask for nothing.

    :param reason: why others are refused, and what to do.
    :param values: those that are taken; null is always.
    """

    reason: str
    values: tuple[JsonValue, ...] = ()

    def check(self, value: JsonValue) -> JsonValue:
        """:raises PydanticCustomError: the value is not one of those that are taken."""
        if value is None or any(_equal(value, each) for each in self.values):
            return value
        raise PydanticCustomError(UNSUPPORTED, "{value} is not supported: {reason}", self._context(value))

    def _context(self, value: JsonValue) -> dict[str, str]:
        text = json.dumps(value)
        return {
            "value": text if len(text) <= MAX_SHOWN_LENGTH else f"{text[:MAX_SHOWN_LENGTH]}…",
            "reason": self.reason,
        }

    def __get_pydantic_core_schema__(self, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"enum": [None, *self.values]}


def _equal(value: JsonValue, other: JsonValue) -> bool:
    """Whether two values are the same in JSON, where true is not 1."""
    return isinstance(value, bool) == isinstance(other, bool) and value == other
