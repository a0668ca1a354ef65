"""Every route of the gateway: the scopes that it needs, a body that it takes, and what it does with models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from longshore.shared.ledger.gateway.tokens import Scope

Json: TypeAlias = "Mapping[str, Json] | list[Json] | str | int | float | None"

#: A model that there is not, and that the tokens of a test may or may not use.
MODEL = "absent-model"
PUBLIC = frozenset({"GET /openapi.json", "HEAD /openapi.json", "GET /livez", "GET /readyz"})


@dataclass(frozen=True)
class Route:
    """What a test must know of a route.

    :param scopes: a token needs all of them.
    :param body: a request that the route would take, as JSON. It names :data:`MODEL`, if the route runs or changes one.
    :param form: a request as a form, with the bytes of files.
    :param names_model: whether the request names a model.
    :param submits: whether it makes jobs of the rows that it gets.
    """

    scopes: tuple[Scope, ...]
    body: Json = None
    form: Mapping[str, bytes] = field(default_factory=dict)
    names_model: bool = False
    submits: bool = False


READ, WRITE = (Scope.JOBS_READ,), (Scope.JOBS_WRITE,)
RUN = (Scope.JOBS_WRITE, Scope.JOBS_READ)
_INFER: Json = {"kind": "infer", "model": MODEL, "data": [{"x": 1.0}]}

_WEBHOOK_VERBS: Mapping[str, Json] = {
    "enable": None,
    "rotate": None,
    "test": None,
    "redeliver": {"since": "2026-01-01T00:00:00Z"},
}
_BATCH: Json = {"input_file_id": "file-0", "endpoint": "/v1/embeddings", "completion_window": "24h"}
_UPLOAD: Json = {"bytes": 1, "filename": "a.jsonl", "mime_type": "application/jsonl", "purpose": "user_data"}

ROUTES: Mapping[str, Route] = {
    "POST /v1/jobs": Route(WRITE, _INFER, names_model=True, submits=True),
    "POST /v1/jobs/batch": Route(WRITE, {"requests": [_INFER]}, names_model=True, submits=True),
    "GET /v1/jobs": Route(READ),
    "GET /v1/jobs/{id}": Route(READ),
    "POST /v1/jobs/{id}/cancel": Route(WRITE),
    "POST /v1/jobs/{id}/retry": Route(WRITE),
    "POST /v1/jobs/{id}/extend": Route(WRITE, {"epochs": 1}),
    "POST /v1/jobs/{id}/then": Route(WRITE, {"kind": "infer", "data": [{"x": 1.0}]}),
    **{
        f"GET /v1/jobs/{{id}}/{part}": Route(READ)
        for part in (
            *("why", "chain", "shards", "trials", "metrics", "evaluation", "errors", "rows_not_run", "parts", "logs"),
            *("results", "events"),
        )
    },
    "POST /v1/chat/completions": Route(
        RUN, {"model": MODEL, "messages": [{"role": "user", "content": "a"}]}, names_model=True, submits=True
    ),
    "POST /v1/completions": Route(RUN, {"model": MODEL, "prompt": "a"}, names_model=True, submits=True),
    "POST /v1/responses": Route(RUN, {"model": MODEL, "input": "a"}, names_model=True, submits=True),
    "POST /v1/embeddings": Route(RUN, {"model": MODEL, "input": "a"}, names_model=True, submits=True),
    "POST /v1/files": Route((Scope.FILES_WRITE,), form={"purpose": b"user_data", "file": b"{}\n"}),
    "GET /v1/files": Route((Scope.FILES_READ,)),
    "GET /v1/files/{id}": Route((Scope.FILES_READ,)),
    "GET /v1/files/{id}/content": Route((Scope.FILES_READ,)),
    "DELETE /v1/files/{id}": Route((Scope.FILES_WRITE,)),
    "POST /v1/uploads": Route((Scope.FILES_WRITE,), _UPLOAD),
    "GET /v1/uploads/{id}": Route((Scope.FILES_READ,)),
    "POST /v1/uploads/{id}/parts": Route((Scope.FILES_WRITE,), form={"data": b"a"}),
    "POST /v1/uploads/{id}/complete": Route((Scope.FILES_WRITE,), {"part_ids": ["part_0"]}),
    "POST /v1/uploads/{id}/cancel": Route((Scope.FILES_WRITE,)),
    "POST /v1/models/{ref:path}/predict": Route(RUN, {"rows": [{"x": 1.0}]}, names_model=True, submits=True),
    "POST /v1/models/{ref:path}/generate": Route(RUN, {"prompt": "a"}, names_model=True, submits=True),
    "GET /v1/models": Route((Scope.MODELS_READ,)),
    **{
        f"GET /v1/models/{path}": Route((Scope.MODELS_READ,), names_model=True)
        for path in ("{reference:path}", *(f"{{name:path}}/{part}" for part in ("versions", "aliases", "history")))
    },
    "POST /v1/models/{reference:path}/promote": Route((Scope.MODELS_WRITE,), {"alias": "a"}, names_model=True),
    "POST /v1/models/{reference:path}/rollback": Route((Scope.MODELS_WRITE,), names_model=True),
    "DELETE /v1/models/{name:path}/aliases/{alias}": Route((Scope.MODELS_WRITE,), names_model=True),
    "DELETE /v1/models/{reference:path}": Route((Scope.MODELS_WRITE,), names_model=True),
    "GET /v1/workers": Route((Scope.CLUSTER_READ,)),
    "GET /v1/queues": Route((Scope.CLUSTER_READ,)),
    "GET /v1/status": Route((Scope.CLUSTER_READ,)),
    "POST /v1/webhooks": Route((Scope.WEBHOOKS_WRITE,), {"url": "https://example.com/hook"}),
    "GET /v1/webhooks": Route((Scope.WEBHOOKS_READ,)),
    "GET /v1/webhooks/{id}": Route((Scope.WEBHOOKS_READ,)),
    "GET /v1/webhooks/{id}/deliveries": Route((Scope.WEBHOOKS_READ,)),
    "PATCH /v1/webhooks/{id}": Route((Scope.WEBHOOKS_WRITE,), {"description": "stolen"}),
    "DELETE /v1/webhooks/{id}": Route((Scope.WEBHOOKS_WRITE,)),
    **{
        f"POST /v1/webhooks/{{id}}/{verb}": Route((Scope.WEBHOOKS_WRITE,), body)
        for verb, body in _WEBHOOK_VERBS.items()
    },
    "POST /v1/batches": Route((Scope.JOBS_WRITE, Scope.FILES_READ), _BATCH),
    "GET /v1/batches": Route(READ),
    "GET /v1/batches/{id}": Route(READ),
    "POST /v1/batches/{id}/cancel": Route(WRITE),
}
#: Requests that name a thing elsewhere than in the path: the path of such things, the route, and its field.
REFERENCES = (
    ("/v1/files/", "POST /v1/batches", "input_file_id"),
    ("/v1/files/", "GET /v1/files", "after"),
    ("/v1/batches/", "GET /v1/batches", "after"),
)
