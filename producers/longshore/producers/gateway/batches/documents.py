"""Batches as callers see them: OpenAI's objects."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from longshore.producers.gateway.files.documents import ExpiresAfter
from longshore.producers.gateway.openai.bodies import Metadata
from longshore.producers.gateway.openai.requests import Endpoint
from longshore.shared.ledger.gateway.batches import BatchRecord


class NewBatch(BaseModel):
    """The body of `POST /v1/batches`."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    input_file_id: Annotated[str, Field(max_length=100)]
    """A file with the purpose `batch`: JSON Lines, one request in each."""
    endpoint: Endpoint
    """The endpoint of all its requests."""
    completion_window: Annotated[str, Field(max_length=20)]
    """`24h`, or another duration such as `90s`, `30m` or `7d`, up to 30 days: what was not run by then has an error."""
    metadata: Metadata | None = None
    """Up to 16 keys of up to 64 characters, with values of up to 512."""
    output_expires_after: ExpiresAfter | None = None
    """When the files that the batch leaves expire. Default: never."""


class BatchError(BaseModel):
    """Why a batch has failed, or what is wrong with a line."""

    code: str
    line: int | None
    message: str
    param: str | None


class BatchErrors(BaseModel):
    """The first errors of a batch that has failed."""

    object: Literal["list"] = "list"
    data: list[BatchError]


class RequestCounts(BaseModel):
    """How many lines there are, have an answer, and have an error."""

    total: int
    completed: int
    failed: int


class InputTokensDetails(BaseModel):
    """Of the tokens of prompts."""

    cached_tokens: int


class OutputTokensDetails(BaseModel):
    """Of the tokens of texts."""

    reasoning_tokens: int


class BatchUsage(BaseModel):
    """The tokens of all answers."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class BatchDocument(BaseModel):
    """A batch. Moments are seconds since 1970."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    model: str | None
    """The version that it runs, if there is one."""
    errors: BatchErrors | None
    input_file_id: str
    completion_window: str
    status: Literal[
        "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
    ]
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    usage: BatchUsage | None
    metadata: dict[str, str] | None

    @classmethod
    def of(cls, batch: BatchRecord, rows: tuple[int, int, int] | None = None) -> BatchDocument:
        """The document of a batch in the ledger.

        :param rows: how many rows of its jobs are done, have failed and are there, of a batch that runs.
        """
        document = {
            **{name: getattr(batch, name) for name in ("id", "endpoint", "input_file_id", "completion_window")},
            **{name: getattr(batch, name) for name in ("output_file_id", "error_file_id", "usage", "metadata")},
            **{name: _seconds(getattr(batch, name)) for name in cls.model_fields if name.endswith("_at")},
            "status": batch.state,
            "model": batch.models[0] if len(batch.models) == 1 else None,
            "errors": None if batch.errors is None else {"data": batch.errors},
            "request_counts": _counts(batch, rows),
        }
        return cls.model_validate(document)


class BatchPage(BaseModel):
    """A page of batches."""

    object: Literal["list"] = "list"
    data: list[BatchDocument]
    first_id: str | None
    last_id: str | None
    has_more: bool

    @classmethod
    def of(cls, data: Sequence[BatchDocument], limit: int) -> BatchPage:
        """:param data: one more than ``limit``, if there are more."""
        page = list(data[:limit])
        ends = (page[0].id, page[-1].id) if page else (None, None)
        return cls(data=page, first_id=ends[0], last_id=ends[1], has_more=len(data) > limit)


def _counts(batch: BatchRecord, rows: tuple[int, int, int] | None) -> RequestCounts:
    """A line with several rows counts when as large a part of all rows is done."""
    if rows is None or not rows[2]:
        return RequestCounts(total=batch.total, completed=batch.completed, failed=batch.failed)
    done, failed, total = rows
    lines = batch.total - batch.failed
    return RequestCounts(
        total=batch.total, completed=lines * done // total, failed=batch.failed + lines * failed // total
    )


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
