"""The OpenAPI document: what the routes say, and what the layers around them add to each."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from longshore.producers.gateway.problems import MEDIA_TYPE
from longshore.producers.gateway.serving.bodies import JSON
from longshore.producers.gateway.serving.examples import EXAMPLES
from longshore.producers.gateway.serving.idempotency import HEADER

Document = dict[str, "Document | list[Document] | str | int | bool"]

_PATHS: Final = "/v1/"
#: Where things with ids are made.
_MADE: Final = ("/v1/jobs", "/v1/files", "/v1/uploads", "/v1/batches", "/v1/webhooks")
_MSGPACK: Final = "application/msgpack"
#: What every operation of the API can be answered with.
_ALWAYS: Final = (400, 401, 403, 404, 406, 408, 409, 410, 422, 429, 503)
#: The same for those that have a body.
_WITH_BODY: Final = (413, 415)
#: What the results of a job that waits for its end can be answered with.
_LATE: Final = (504,)
_DESCRIPTION: Final = """\
Jobs, results and models of Longshore, and OpenAI's files, batches, chat completions and embeddings.

Every request shows a token of `longshore tokens create`, as `Authorization: Bearer lsk_...`. Bodies and answers are
JSON or msgpack (`Content-Type`, `Accept`). Errors are problem details (RFC 9457).
"""
_PROBLEM: Final = {
    "title": "Problem",
    "description": "An error, as RFC 9457 describes them. Below OpenAI's paths it has their `error`, too.",
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string", "description": "The status in words."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "code": {"type": "string", "description": "The kind of error, for programs."},
        "detail": {"type": "string", "description": "What is wrong and what to do, for people."},
        "errors": {
            "type": "array",
            "description": "For each wrong field its path, and what is wrong with it.",
            "items": {
                "type": "object",
                "required": ["field", "detail"],
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
        "error": {
            "type": "object",
            "description": "The same, as OpenAI's packages read it.",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        },
    },
    "examples": [
        {
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "code": "unknown_job",
            "detail": "job: there is no job 01890a5d-ac96-774b-bcce-b302099a8057",
            "errors": [{"field": "job", "detail": "there is no job 01890a5d-ac96-774b-bcce-b302099a8057"}],
        }
    ],
}
_KEY: Final = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "The same request with the same key has its effect once, and gets the same answer, for 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x21-\\x7e]+$"},
}


def describe(app: FastAPI) -> None:
    """Let an application describe itself with what is the same for all of its routes."""

    def openapi() -> dict[str, object]:
        if not app.openapi_schema:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, object]:
    document = get_openapi(
        title=app.title, version=app.version, openapi_version="3.1.0", description=_DESCRIPTION, routes=app.routes
    )
    schemas = cast("Document", document.setdefault("components", {}).setdefault("schemas", {}))
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = cast("Document", _PROBLEM)
    for path, operations in cast("dict[str, dict[str, Document]]", document["paths"]).items():
        for method, operation in operations.items():
            if path.startswith(_PATHS):
                _complete(method, path, operation)
    _link(cast("dict[str, dict[str, Document]]", document["paths"]))
    return document


def _link(paths: dict[str, dict[str, Document]]) -> None:
    """Say which operations take the id of what another one has made."""
    for made in _MADE:
        operation = paths.get(made, {}).get("post")
        if operation is None:
            continue
        taking = [each for path, all in paths.items() if path.startswith(f"{made}/{{id}}") for each in all.values()]
        links = {
            str(each["operationId"]): {
                "operationId": each["operationId"],
                "parameters": cast("Document", {"id": "$response.body#/id"}),
            }
            for each in taking
        }
        for status, response in cast("dict[str, Document]", operation["responses"]).items():
            if status < "300":
                response["links"] = cast("Document", links)


def _complete(method: str, path: str, operation: Document) -> None:
    responses = cast("dict[str, Document]", operation.setdefault("responses", {}))
    # FastAPI's own, whose form is another one.
    responses.pop("422", None)
    body = cast("Document | None", operation.get("requestBody"))
    statuses = {*_ALWAYS, *(_WITH_BODY if method in ("post", "put", "patch") else ()), *_LATE}
    for status in sorted(statuses):
        responses.setdefault(str(status), _problem(status))
    for status, response in responses.items():
        content = cast("dict[str, Document]", response.get("content", {}))
        if status < "400" and JSON in content:
            content[_MSGPACK] = content[JSON]
    if body is not None:
        content = cast("dict[str, Document]", body["content"])
        if JSON in content:
            if (example := EXAMPLES.get(f"{method.upper()} {path}")) is not None:
                content[JSON] = {**content[JSON], "examples": cast("Document", _named(example))}
            content[_MSGPACK] = content[JSON]
    if method == "post":
        cast("list[Document]", operation.setdefault("parameters", [])).append(cast("Document", _KEY))


def _named(examples: Mapping[str, object]) -> dict[str, object]:
    return {name: {"value": value} for name, value in examples.items()}


def _problem(status: int) -> Document:
    schema: Document = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: schema}}
