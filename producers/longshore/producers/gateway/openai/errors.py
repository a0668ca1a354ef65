"""Answers to requests that cannot be run, or were not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from longshore.producers.gateway.openai.error_objects import code_of, described
from longshore.producers.gateway.problems import Problem
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.generate import ROW_OPTIONS

#: Tells OpenAI's packages that the same request would end the same way, or that its job still runs.
NO_RETRY: Final[Mapping[str, str]] = {"x-should-retry": "false"}
#: What is wrong with the first row of the data.
_OPTION_OF_ROW: Final = re.compile(r"row 0: (?P<option>[a-z_]+): (?P<reason>.+)", re.DOTALL)
#: Of the errors of a body, those that its answer names.
_MAX_ERRORS: Final = 5


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
    names = names or {}
    # An option of the request is a column of its row.
    in_row = _OPTION_OF_ROW.match(error.reason) if error.field == "data" else None
    if in_row is not None and in_row["option"] in ROW_OPTIONS:
        return invalid(names.get(in_row["option"], in_row["option"]), in_row["reason"])
    return invalid(names.get(error.field, error.field), error.reason.removeprefix("row 0: "))


def invalid_body(error: ValidationError) -> Problem:
    """The answer to a body that does not fit its model."""
    return invalid_values(error.errors(include_url=False, include_context=False))


def invalid_values(errors: Sequence[ErrorDetails]) -> Problem:
    """The answer to the values that pydantic refuses."""
    reasons = [described(each) for each in errors]
    detail = "; ".join(f"{path}: {reason}" for path, reason in reasons[:_MAX_ERRORS])
    return Problem(400, code_of(errors[0]), detail, errors=reasons)
