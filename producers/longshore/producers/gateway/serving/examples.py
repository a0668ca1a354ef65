"""Examples of bodies in the OpenAPI document: for each operation some, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_CHAT: Final = {"model": "assistant@production", "messages": [{"role": "user", "content": "Say hello."}]}

EXAMPLES: Final[Mapping[str, Mapping[str, object]]] = {
    "POST /v1/jobs": {
        "inference on rows": {"kind": "infer", "model": "digits@production", "data": [{"pixels": [0.0, 1.0]}]},
        "training on files": {
            **{"kind": "train", "model": "digits", "family": "mlp", "data": "s3://bucket/digits.parquet"},
            **{"target": "label", "options": {"epochs": 30}},
        },
    },
    "POST /v1/jobs/batch": {
        "two models": {
            "requests": [
                {"kind": "infer", "model": "digits:1", "data": [{"pixels": [0.0, 1.0]}]},
                {"kind": "infer", "model": "digits:2", "data": [{"pixels": [0.0, 1.0]}]},
            ]
        }
    },
    "POST /v1/jobs/{id}/retry": {"rows with errors, too": {"rows": "failed"}},
    "POST /v1/jobs/{id}/extend": {"ten more": {"epochs": 10}},
    "POST /v1/jobs/{id}/then": {"promote": {"kind": "promote", "alias": "production"}},
    "POST /v1/models/{ref}/predict": {"rows": {"rows": [{"pixels": [0.0, 1.0]}]}},
    "POST /v1/models/{ref}/generate": {
        "a prompt": {"prompt": "Once upon a time", "options": {"max_tokens": 50}},
        "a chat": {"messages": _CHAT["messages"]},
    },
    "POST /v1/models/{reference}/promote": {
        "if it is better": {"alias": "production", "if": "accuracy > production"},
    },
    "POST /v1/models/{reference}/rollback": {"to a version": {"to": 2}},
    "POST /v1/uploads": {
        "a large file": {
            **{"bytes": 268435456, "filename": "rows.parquet", "mime_type": "application/vnd.apache.parquet"},
            "purpose": "user_data",
        }
    },
    "POST /v1/uploads/{id}/complete": {
        "two parts": {
            "part_ids": ["part_0123456789abcdef0123456789abcdef", "part_fedcba9876543210fedcba9876543210"],
        }
    },
    "POST /v1/batches": {
        "a day": {
            "input_file_id": "file-0123456789abcdef0123456789abcdef",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
        }
    },
    "POST /v1/webhooks": {"ends of jobs": {"url": "https://example.com/hooks", "types": ["job.*"]}},
    "PATCH /v1/webhooks/{id}": {"another URL": {"url": "https://example.com/other"}},
    "POST /v1/webhooks/{id}/redeliver": {"after an outage": {"since": "2026-11-30T08:00:00Z"}},
    "POST /v1/chat/completions": {"a question": _CHAT, "as a stream": {**_CHAT, "stream": True}},
    "POST /v1/embeddings": {"two texts": {"model": "sentences@production", "input": ["one text", "another one"]}},
    "POST /v1/completions": {"a prompt": {"model": "assistant@production", "prompt": "Once upon a time"}},
    "POST /v1/responses": {"a question": {"model": "assistant@production", "input": "Say hello."}},
}
