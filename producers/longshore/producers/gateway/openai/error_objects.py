"""Errors in the shape of OpenAI's API, by which its packages choose the exception that they raise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import JsonValue
from pydantic_core import ErrorDetails

from longshore.producers.gateway.openai.parameters import UNSUPPORTED

#: The paths of OpenAI's API, and below them.
_PATHS: Final = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/files",
    "/v1/uploads",
    "/v1/batches",
    "/v1/models",
)
#: OpenAI's codes for kinds of errors of pydantic.
_VALUE_CODES: Final[Mapping[str, str]] = {
    "extra_forbidden": "unknown_parameter",
    "missing": "missing_required_parameter",
    UNSUPPORTED: "unsupported_parameter",
    "json_invalid": "invalid_json",
}
#: OpenAI's codes for some of ours.
_CODES: Final[Mapping[str, str]] = {
    "unknown_model": "model_not_found",
    "unauthorized": "invalid_api_key",
    "queue_full": "rate_limit_exceeded",
}


def is_openai_path(path: str) -> bool:
    """Whether a path belongs to OpenAI's API."""
    return any(path == each or path.startswith(f"{each}/") for each in _PATHS)


def has_openai_errors(path: str) -> bool:
    """Whether the statuses and codes of errors are OpenAI's. Most of what is below ``/v1/models`` is ours."""
    return is_openai_path(path) and not path.startswith("/v1/models")


def error_object(status: int, code: str, message: str, param: str | None) -> dict[str, JsonValue]:
    """The member ``error`` of an answer that is an error.

    :param status: of the answer.
    :param code: ours.
    :param param: the path of the parameter that is wrong, if one is.
    """
    kind = "rate_limit_error" if status == 429 else "server_error" if status >= 500 else "invalid_request_error"
    return {"message": message, "type": kind, "param": param, "code": _CODES.get(code, code)}


def code_of(error: ErrorDetails) -> str:
    """OpenAI's code for a value that pydantic refuses."""
    kind = error["type"]
    if kind in _VALUE_CODES:
        return _VALUE_CODES[kind]
    return "invalid_type" if kind.endswith("_type") else "invalid_value"


def described(error: ErrorDetails) -> tuple[str, str]:
    """The path of a value that pydantic refuses, as in ``messages[0].content``, and what is wrong with it."""
    location = error["loc"]
    if location and location[0] in ("body", "query", "path"):
        location = location[1:]
    if error["type"] == "json_invalid":
        return "body", f"not JSON, at the character {location[0]}" if location else "not JSON"
    path = path_of(location) or "body"
    if error["type"] == "extra_forbidden":
        return path, "unknown parameter; remove it"
    if error["type"] == "missing":
        return path, "required, but missing"
    return path, error["msg"].removeprefix("Value error, ")


def path_of(location: Sequence[str | int]) -> str:
    """``("messages", 0, "content")`` as ``messages[0].content``."""
    path = ""
    for step in location:
        if isinstance(step, str) and step.startswith("<"):
            continue  # which of several models it is
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path
