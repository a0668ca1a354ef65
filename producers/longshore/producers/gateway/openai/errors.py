"""Errors as the packages for OpenAI's API read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypedDict

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from longshore.producers.gateway.openai.parameters import UNSUPPORTED
from longshore.producers.gateway.problems import Problem
from longshore.shared.errors import InvalidInput

#: OpenAI's codes for kinds of errors of pydantic.
_CODES: Final[Mapping[str, str]] = {
    "extra_forbidden": "unknown_parameter",
    "missing": "missing_required_parameter",
    UNSUPPORTED: "unsupported_parameter",
}
#: Of the errors of a body, those that its answer names.
_MAX_ERRORS: Final = 5


class ErrorObject(TypedDict):
    """The member ``error`` of an answer that is an error."""

    message: str
    type: str
    param: str | None
    code: str | None


def invalid(param: str, reason: str, code: str = "invalid_value") -> Problem:
    """The answer to a parameter that cannot be used.

    :param param: its path, as in ``messages[0].content``.
    :param code: a name of the kind of error, as OpenAI has it.
    """
    return Problem(400, code, f"{param}: {reason}", errors=[(param, reason)])


def invalid_input(error: InvalidInput, names: Mapping[str, str] | None = None) -> Problem:
    """The answer to an option that the client refuses.

    :param names: how the parameters of options are called that have other names.
    """
    return invalid((names or {}).get(error.field, error.field), error.reason)


def invalid_body(error: ValidationError) -> Problem:
    """The answer to a body that does not fit its model."""
    return invalid_values(error.errors(include_url=False, include_context=False))


def invalid_values(errors: Sequence[ErrorDetails]) -> Problem:
    """The answer to the values that pydantic refuses."""
    reasons = [(path_of(each["loc"]) or "body", _reason(each)) for each in errors]
    detail = "; ".join(f"{path}: {reason}" for path, reason in reasons[:_MAX_ERRORS])
    return Problem(400, _code(errors[0]), detail, errors=reasons)


def path_of(location: Sequence[str | int]) -> str:
    """``("messages", 0, "content")`` as ``messages[0].content``."""
    path = ""
    for step in location:
        if isinstance(step, str) and step.startswith("<"):
            continue  # which of several models it is
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path


def _reason(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown parameter; remove it"
    if error["type"] == "missing":
        return "required, but missing"
    return error["msg"].removeprefix("Value error, ")


def _code(error: ErrorDetails) -> str:
    kind = error["type"]
    if kind in _CODES:
        return _CODES[kind]
    return "invalid_type" if kind.endswith("_type") else "invalid_value"
