"""Mutants: the product with one mistake each, which the simulation has to find.

A mutant replaces a part of the text of a statement, or one function of the ledger or the broker, while it is applied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from types import ModuleType
from typing import Final, TypeAlias
from uuid import UUID

from longshore.broker import publishing, relay
from longshore.broker.tickets import pack_messages, tickets_by_message
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Database
from longshore.shared.ledger.jobs import submission
from longshore.shared.ledger.records import NewJob, Ticket
from longshore.shared.ledger.shards import attempts as attempts_module
from longshore.shared.ledger.shards import batching as batching_module
from longshore.shared.ledger.shards.batching import Finished
from longshore.shared.ledger.statements.fence import FENCE

Mutant: TypeAlias = Callable[[], AbstractContextManager[None]]

#: The condition that names a shard, without its attempt and its state.
_ANY_ATTEMPT: Final = "job_id = %(job)s AND index = %(shard)s"


@contextmanager
def _replaced(owner: object, name: str, value: object) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _text(module: ModuleType, name: str, *texts: str) -> Mutant:
    """A statement with another text.

    :param texts: what is replaced, and by what, any number of times.
    :raises AssertionError: its text does not contain what is replaced any more: the mutant has to follow it.
    """

    def apply() -> AbstractContextManager[None]:
        text = getattr(module, name)
        for old, new in zip(texts[::2], texts[1::2], strict=True):
            assert old in text, f"{name} does not contain {old!r}"
            text = text.replace(old, new)
        return _replaced(module, name, text)

    return apply


def _published_first() -> AbstractContextManager[None]:
    """Tickets are marked as published before they are: a relay that dies in between has said what is not so."""

    def publish(app: object, ledger: object, tickets: Sequence[Ticket]) -> int:
        messages = list(pack_messages(tickets))
        ledger.submissions.mark_published(tickets_by_message(messages))  # type: ignore[attr-defined]
        publishing.send(app, messages)
        return len(messages)

    return _replaced(relay, "publish", publish)


def _committed_twice() -> AbstractContextManager[None]:
    """The rows of a batch are committed before its fence, and not with it."""

    def commit_batch(
        database: Database, finished: Sequence[Finished], lines: memoryview, *, keyed: bool
    ) -> set[tuple[UUID, int]]:
        with suppress(ServiceUnavailable), database.transaction() as conn:
            batching_module._write(conn, finished, lines, keyed)
        return commit(database, finished, memoryview(b""))

    commit = batching_module.commit_batch
    return _replaced(attempts_module, "commit_batch", commit_batch)


def _keys_forgotten() -> AbstractContextManager[None]:
    """A key is not looked up, and the job has none."""
    write = submission._write

    def without_keys(conn: object, jobs: Sequence[NewJob], *rest: object, **options: object) -> None:
        write(conn, [replace(job, idempotency_key=None) for job in jobs], *rest, **options)  # type: ignore[arg-type]

    return _replaced(submission, "_write", without_keys)


attempts, batching, maintenance = statements.attempts, statements.batching, statements.maintenance
cancel_retry, chains = statements.cancel_retry, statements.chains

MUTANTS: Final[dict[str, Mutant]] = {
    "no fence": _text(attempts, "FINISH_SHARD", FENCE, _ANY_ATTEMPT),
    "a fence without the attempt": _text(attempts, "FINISH_SHARD", "AND attempt = %(attempt)s", ""),
    "no fence for batches": _text(batching, "FINISH_SHARDS", "shards.state = 'running'", "true"),
    "no fence for files": _text(attempts, "DECIDE_OUTPUT_FILE", FENCE, _ANY_ATTEMPT),
    "no fence for failures": _text(attempts, "FAIL_SHARD", FENCE, _ANY_ATTEMPT),
    "a renewal without a check": _text(attempts, "RENEW", FENCE, _ANY_ATTEMPT),
    "a claim of what is claimed": _text(
        *(attempts, "CLAIM"),
        *("AND state = 'queued' LIMIT 1", "AND state IN ('queued', 'running') LIMIT 1"),
        *("AND shards.state = 'queued'", "AND shards.state IN ('queued', 'running')"),
    ),
    "a lease that has not run out": _text(attempts, "EXPIRE_LEASES", "AND lease_until < now()", ""),
    "leases that never run out": _text(attempts, "EXPIRE_LEASES", "lease_until < now()", "false"),
    "published first": _published_first,
    "rows committed without the fence": _committed_twice,
    "counted twice": _text(attempts, "COUNT_SHARD_DONE", "rows_done + %(rows)s", "rows_done + 2 * %(rows)s"),
    "shards counted twice": _text(
        batching, "COUNT_SHARDS_DONE", "shards_done + done.shards,", "shards_done + 2 * done.shards,"
    ),
    "no limit of attempts": _text(
        attempts, "FAIL_SHARD", "attempt < attempt_limit AND NOT %(permanent)s", "NOT %(permanent)s"
    ),
    "unpublished shards are forgotten": _text(maintenance, "UNPUBLISHED", "shards.published_at IS NULL", "false"),
    "lost messages are forgotten": _text(maintenance, "WAITING_QUEUES", "state = 'queued'", "false"),
    "cancel leaves running shards": _text(cancel_retry, "CANCEL_SHARDS", "'queued', 'running'", "'queued'"),
    "cancel leaves the lease": _text(cancel_retry, "CANCEL_SHARDS", ", lease_until = NULL", ""),
    "a release counts": _text(attempts, "RELEASE_SHARD", ", attempt_limit = attempt_limit + 1", ""),
    "errors of rows that ran again stay": _text(attempts, "FORGET_ROW_ERRORS", "WHERE", "WHERE false AND"),
    "retry runs all rows": _text(cancel_retry, "RETRY_FAILED_ROWS", "only_failed OR ended.failed > 0", "only_failed"),
    "retry forgets what had failed": _text(
        cancel_retry, "RETRY_JOB", "shards_failed = 0", "shards_failed = shards_failed"
    ),
    "a chain goes on after a failure": _text(
        chains, "DUE_JOBS", "('succeeded', 'failed', 'cancelled')", "('succeeded')"
    ),
    "planned shards are not counted": _text(attempts, "COUNT_SHARD_DONE", "shards_total + %(added)s", "shards_total"),
    "no deadline": _text(maintenance, "PAST_DEADLINE", "deadline < now()", "false"),
    "keys are forgotten": _keys_forgotten,
}
