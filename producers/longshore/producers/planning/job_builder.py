"""A request on its way to becoming a job."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from uuid_utils.compat import uuid7

from longshore.shared.ledger.records import NewJob, NewShard
from longshore.shared.specs.jobs import JobOptions
from longshore.shared.vocabulary import JobKind


@dataclass(frozen=True, kw_only=True)
class Draft:
    """The fields that all jobs of a request share. Built once per request, for speed."""

    kind: JobKind
    model: str
    version: int | None
    digest: str | None
    options: JobOptions
    queue: str
    producer: str

    def job(self, spec: str, shards: Sequence[NewShard], rows_total: int | None, content: bytes) -> NewJob:
        """The job.

        :param spec: as JSON text.
        :param content: identifies the request, for idempotency keys: equal bytes mean the same request.
        """
        options = self.options
        key = options.idempotency_key
        return NewJob(
            id=uuid7(),
            kind=self.kind.value,
            producer=self.producer,
            queue=self.queue,
            priority=options.priority,
            spec=spec,
            model=self.model,
            version=self.version,
            digest=self.digest,
            max_attempts=options.max_attempts,
            rows_per_shard=options.rows_per_shard,
            timeout=options.timeout,
            rows_total=rows_total,
            shards=shards,
            idempotency_key=key,
            request_digest=None if key is None else self._digest(content),
        )

    def _digest(self, content: bytes) -> str:
        head = f"{self.kind}\n{self.digest}\n{self.options.model_dump_json()}\n".encode()
        return hashlib.sha256(head + content).hexdigest()
