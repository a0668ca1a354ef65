"""Errors as problem details (RFC 9457)."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from longshore.producers.gateway.openai.error_objects import (
    code_of,
    described,
    error_object,
    has_openai_errors,
    is_openai_path,
    path_of,
)
from longshore.shared.errors import (
    AliasMoved,
    CorruptBlob,
    HomeError,
    InvalidInput,
    JobFailed,
    LedgerRefused,
    LongshoreError,
    NotPromoted,
    QueueFull,
    ResultsPruned,
    ServiceUnavailable,
    SubmissionUncertain,
    UnknownJob,
    UnknownModel,
    UnknownWebhook,
    VersionInUse,
    WaitTimeout,
)
from longshore.shared.ledger.gateway.tokens import ValidToken

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
#: Seconds after which a caller may try again, if nothing better is known.
RETRY_AFTER_S: Final = 5
#: The status and the name of each kind of error; the first that fits counts.
_STATUS: Final[Sequence[tuple[type[LongshoreError], int, str]]] = (
    (UnknownModel, 404, "unknown_model"),
    (UnknownJob, 404, "unknown_job"),
    (UnknownWebhook, 404, "unknown_webhook"),
    (VersionInUse, 409, "version_in_use"),
    (ResultsPruned, 410, "results_pruned"),
    (QueueFull, 429, "queue_full"),
    (InvalidInput, 422, "invalid_input"),
    (NotPromoted, 409, "not_promoted"),
    (AliasMoved, 409, "alias_moved"),
    (JobFailed, 409, "job_failed"),
    (WaitTimeout, 504, "timeout"),
    (ServiceUnavailable, 503, "unavailable"),
    (HomeError, 503, "unavailable"),
    (CorruptBlob, 503, "store_damaged"),
)
#: What the framework says of requests for which there is no route.
_DETAILS: Final[Mapping[int, str]] = {
    404: "there is no such path; /openapi.json lists the paths",
    405: "this path has other methods; /openapi.json lists them",
}
#: What is wrong with values of these types of errors, where pydantic says it in its own terms.
_MESSAGES: Final[Mapping[str, str]] = {
    "extra_forbidden": "there is no such field; remove it",
    "missing": "required, but missing",
    "model_attributes_type": "give an object",
    "dict_type": "give an object",
}
#: Statuses after which the same request can succeed.
_TRY_AGAIN: Final = frozenset({429, 503})


class Problem(Exception):
    """An answer that is an error.

    :param status: the HTTP status.
    :param code: a name of the kind of error, for programs.
    :param detail: what is wrong and what to do, for people.
    :param errors: for each wrong field its path, as in ``rows[3].image``, and what is wrong with it.
    :param headers: more headers of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}


def problem_of(error: LongshoreError) -> Problem:
    """The answer to an error of the client. Where services are is for the log only."""
    status, code = next(((status, code) for kind, status, code in _STATUS if isinstance(error, kind)), (500, "failed"))
    errors = [(error.field, error.reason)] if isinstance(error, InvalidInput) else []
    detail = str(error)
    if isinstance(error, ServiceUnavailable | LedgerRefused | HomeError | CorruptBlob):
        log.error("%s", detail)
        detail = "what the gateway needs does not answer, or is damaged; its log says more"
        if isinstance(error, SubmissionUncertain):
            ids = ", ".join(str(job) for job in error.jobs[:10])
            detail = f"the jobs {ids} may have been submitted; look for them before you submit again"
    return Problem(status, code, detail, errors=errors)


def response_to(problem: Problem, path: str = "") -> JSONResponse:
    """The answer as problem details.

    :param path: of the request. Below those of OpenAI's API, the answer has what its packages read, too.
    """
    # OpenAI's API has no 422.
    status = 400 if problem.status == 422 and has_openai_errors(path) else problem.status
    content: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": problem.code,
        "detail": problem.detail,
    }
    if is_openai_path(path):
        param = problem.errors[0][0] if problem.errors else None
        content["error"] = error_object(status, problem.code, problem.detail, param)
    if problem.errors:
        content["errors"] = [{"field": field, "detail": detail} for field, detail in problem.errors]
    headers = dict(problem.headers)
    if problem.status in _TRY_AGAIN:
        headers.setdefault("Retry-After", str(RETRY_AFTER_S))
    return JSONResponse(content, status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error of a route with problem details."""

    @app.exception_handler(Problem)
    async def on_problem(request: Request, error: Problem) -> JSONResponse:
        return response_to(error, request.url.path)

    @app.exception_handler(LongshoreError)
    async def on_error(request: Request, error: LongshoreError) -> JSONResponse:
        token = getattr(request.state, "token", None)
        if isinstance(error, UnknownModel) and isinstance(token, ValidToken) and token.models:
            # What follows names models that the token may not use.
            error = UnknownModel(error.field, error.reason.partition(";")[0])
        return response_to(problem_of(error), request.url.path)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        path = request.url.path
        is_openai = has_openai_errors(path)
        errors = [described(each) if is_openai else _described(each, error.body) for each in error.errors()]
        detail = "; ".join(f"{field}: {message}" for field, message in errors[:5])
        code = code_of(error.errors()[0]) if is_openai else "invalid_input"
        return response_to(Problem(422, code, detail, errors=errors), path)

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> JSONResponse:
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(sorted(_allowed_methods(request)))
        detail = _DETAILS.get(error.status_code, str(error.detail))
        return response_to(Problem(error.status_code, code, detail, headers=headers), request.url.path)


def _allowed_methods(request: Request) -> set[str]:
    """The methods of all routes of a path; the framework names those of the first one."""
    paths = request.app.openapi()["paths"]
    matching = [each for path, each in paths.items() if re.fullmatch(_pattern(path), request.url.path)]
    return {method.upper() for each in matching for method in each}


def _pattern(path: str) -> str:
    """A path of the OpenAPI document as a pattern. Names of models have slashes."""
    return re.sub(r"\{(\w+)\}", lambda match: ".+" if match[1] in ("name", "ref", "reference") else "[^/]+", path)


def _described(error: Mapping[str, Any], body: object) -> tuple[str, str]:
    """The field that an error of validation names, and what is wrong with it."""
    message = _MESSAGES.get(error["type"], str(error["msg"]))
    return path_of(_in_body(_location(error["loc"], error["type"]), body)), message


def _location(location: Sequence[str | int], error: str) -> Sequence[str | int]:
    """Where a value is wrong; if that is the kind of a body, its ``kind``."""
    return (*location, "kind") if error.startswith("union_tag") else location


def _in_body(location: Sequence[str | int], body: object) -> Sequence[str | int]:
    """A location as the caller sees it: without ``body``, ``query`` or ``path``, and without the kinds of unions."""
    first, *rest = location
    steps: list[str | int] = []
    value = body if first == "body" else None
    for step in rest:
        if isinstance(value, dict) and step == value.get("kind") and step not in value:
            continue
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        steps.append(step)
    return steps or location
