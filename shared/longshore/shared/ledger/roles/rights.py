"""What each role may do with each table.

Every right here is needed by a statement in :mod:`longshore.shared.ledger.statements` that a process of the role
executes; the tests execute all of them with logins of each role. A right on some columns is written with their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeAlias


class Role(StrEnum):
    """The part of a role's name after the prefix, as in ``longshore_producer``."""

    #: Owns the tables; migrates.
    OWNER = "owner"
    #: Owns ``results``, ``row_errors`` and their partitions, which come and go.
    RESULTS = "results"
    #: Submits, cancels, retries and reads jobs; adds versions and moves aliases.
    PRODUCER = "producer"
    #: Serves producers over HTTP, each with what its token allows.
    GATEWAY = "gateway"
    #: A producer that can also prune results, delete versions and sweep the store.
    OPERATOR = "operator"
    #: Runs shards.
    WORKER = "worker"
    #: Keeps every job going; makes partitions.
    RELAY = "relay"
    #: Reads the state of jobs and workers, and neither rows nor results.
    MONITOR = "monitor"


#: The rights on each table, as GRANT takes them.
Rights: TypeAlias = Mapping[str, tuple[str, ...]]

#: Roles whose rights are those of another one, too.
MEMBERS: Final[tuple[tuple[Role, Role], ...]] = (
    (Role.OWNER, Role.RESULTS),
    (Role.RELAY, Role.RESULTS),
    (Role.OPERATOR, Role.RESULTS),
    (Role.OPERATOR, Role.PRODUCER),
)
#: The roles that people and processes log in as.
LOGIN_ROLES: Final = tuple(role for role in Role if role is not Role.RESULTS)
#: The tables that :attr:`Role.RESULTS` owns.
PARTITIONED: Final = ("results", "row_errors")

_READ: Final = ("SELECT",)
_NEW_SHARD: Final = 'job_id, index, action, state, queue, priority, start, stop, "offset", length, attempt_limit'
#: Adding a version takes its number, and can move an alias. No role but the operator changes or deletes a version.
_ADD_VERSIONS: Final[Rights] = {
    "models": ("SELECT", "INSERT (name, next_version)", "UPDATE (next_version)"),
    "model_versions": ("SELECT", "INSERT (model, version, digest, manifest, job_id)"),
    "model_aliases": ("SELECT", "INSERT (model, alias, version, set_by, gate)"),
    "deleted_versions": _READ,
    "version_blobs": _READ,
}
#: What all processes read to show a job and the cluster.
_OVERVIEW: Final[Rights] = {
    "jobs": _READ,
    "shards": _READ,
    "job_dependencies": _READ,
    # The speed of a training.
    "metrics": _READ,
    "workers": _READ,
    "alembic_version": _READ,
}

_PRODUCER: Final[Rights] = {
    **_OVERVIEW,
    **_ADD_VERSIONS,
    "jobs": (
        "SELECT",
        "INSERT (id, kind, state, producer, queue, priority, spec, model, version, digest, max_attempts, "
        "rows_per_shard, rows_total, shards_total, deadline, idempotency_key, request_digest)",
        "UPDATE (state, error, notes, finished_at, deadline, shards_done, shards_failed, rows_failed, "
        "rows_before_retry, expired)",
    ),
    "shards": (
        "SELECT",
        f"INSERT ({_NEW_SHARD}, published_at, message_id, batch_key)",
        "UPDATE (state, lease_until, published_at, message_id, rows_done, attempt_limit, batch_key, only_failed, "
        "not_before, waits_for, missing_since)",
    ),
    "job_dependencies": (
        "SELECT",
        "INSERT (job_id, depends_on, timeout)",
        "UPDATE (upstream_failed)",
    ),
    # Only workers say which job has moved an alias.
    "model_aliases": (*_ADD_VERSIONS["model_aliases"], "INSERT (is_rollback)"),
    # Inline rows are read by workers only.
    "inputs": ("INSERT (id, data, blob)",),
    "results": _READ,
    "row_errors": _READ,
    "checkpoints": _READ,
    "trials": _READ,
    "attempt_logs": _READ,
    "webhook_endpoints": (
        "SELECT",
        "INSERT (id, producer, url, types, description)",
        "UPDATE (url, types, description, disabled_at, disabled_reason, failing_since)",
        "DELETE",
    ),
    # Only the relay, which signs, reads the secrets.
    "webhook_secrets": (
        "SELECT (endpoint_id, expires_at)",
        "INSERT (endpoint_id, secret)",
        "UPDATE (expires_at)",
    ),
    "webhook_events": ("SELECT", "INSERT (id, producer, type, data)"),
    "webhook_deliveries": (
        "SELECT",
        "INSERT (event_id, endpoint_id, state, next_try_at)",
        "UPDATE (state, attempt, claims, next_try_at)",
        "DELETE",
    ),
}

RIGHTS: Final[Mapping[Role, Rights]] = {
    Role.PRODUCER: _PRODUCER,
    Role.GATEWAY: {
        **_PRODUCER,
        # With the scope models:write. A trigger refuses versions that jobs of any producer use.
        "model_versions": (*_PRODUCER["model_versions"], "DELETE"),
        "kept_answers": ("SELECT", "INSERT", "UPDATE", "DELETE"),
        "files": (
            "SELECT",
            "INSERT (id, producer, purpose, filename, bytes, digest, expires_at)",
            "DELETE",
        ),
        "uploads": (
            "SELECT",
            "INSERT (id, producer, purpose, filename, bytes, file_expires_after, expires_at)",
            "UPDATE (state, part_ids, file_id)",
        ),
        "upload_parts": (
            "SELECT",
            "INSERT (id, upload_id, producer, bytes, digest, expires_at)",
            "DELETE",
        ),
        "batches": (
            "SELECT",
            "INSERT (id, producer, endpoint, input_file_id, completion_window, output_expires_after, metadata, "
            "token_id, model_patterns, expires_at)",
            "UPDATE (state, in_progress_at, finalizing_at, completed_at, failed_at, expired_at, cancelling_at, "
            "cancelled_at, models, total, completed, failed, usage, errors, output_file_id, error_file_id, plan, "
            "blobs, jobs, job_errors, leased_by, lease_until, tries)",
        ),
    },
    Role.OPERATOR: {
        "jobs": ("UPDATE (pruned_at)",),
        "inputs": ("SELECT", "DELETE"),
        "attempt_logs": ("DELETE",),
        "partial_texts": ("SELECT (job_id)", "DELETE"),
        "checkpoints": ("DELETE",),
        "workers": ("DELETE",),
        "model_versions": ("DELETE",),
        "tokens": ("SELECT", "INSERT", "UPDATE (revoked_at)"),
        "files": ("SELECT (digest)",),
        "upload_parts": ("SELECT (digest)",),
        "batches": ("SELECT (blobs)",),
        # Only the owner sets a limit.
        "producer_limits": _READ,
    },
    Role.WORKER: {
        **_OVERVIEW,
        **_ADD_VERSIONS,
        "jobs": (
            "SELECT",
            "UPDATE (state, error, notes, outcome, started_at, finished_at, rows_total, rows_done, rows_failed, "
            "shards_total, shards_done, shards_failed, usage, computing_since, computing_rows, rows_at)",
        ),
        "shards": (
            "SELECT",
            f"INSERT ({_NEW_SHARD})",
            "UPDATE (state, attempt, attempt_limit, worker, leased_at, lease_until, published_at, message_id, "
            "output_file, only_failed, rows_done, rows_at, errors, not_before, waits_for, missing_since, outages)",
        ),
        "model_aliases": (*_ADD_VERSIONS["model_aliases"], "INSERT (job_id)"),
        "inputs": _READ,
        # Which rows are done, and not what came out.
        "results": ("INSERT", "SELECT (job_id, row)"),
        "row_errors": ("SELECT", "INSERT", "DELETE"),
        "metrics": ("SELECT", "INSERT", "DELETE"),
        "checkpoints": ("SELECT", "INSERT", "UPDATE", "DELETE"),
        "attempt_logs": ("SELECT", "INSERT", "DELETE"),
        "partial_texts": (
            "SELECT (job_id, row, index, start, tokens, logprobs)",
            "INSERT (job_id, row, index, start, tokens, logprobs)",
            "DELETE",
        ),
        "trials": ("SELECT", "INSERT", "UPDATE"),
        "workers": ("SELECT", "INSERT", "UPDATE", "DELETE"),
        "batch_sizes": ("SELECT", "INSERT", "UPDATE"),
    },
    Role.RELAY: {
        **_OVERVIEW,
        "jobs": (
            "SELECT",
            "UPDATE (state, error, expired, version, digest, deadline, finished_at, notes, shards_failed)",
        ),
        "shards": (
            "SELECT",
            "UPDATE (state, leased_at, lease_until, published_at, message_id, rows_done, errors, not_before, "
            "waits_for, missing_since)",
        ),
        "job_dependencies": ("SELECT", "UPDATE (ready_at, upstream_failed)"),
        "webhook_endpoints": ("SELECT", "UPDATE (disabled_at, disabled_reason, failing_since)"),
        "webhook_secrets": ("SELECT", "DELETE"),
        "webhook_events": ("SELECT", "DELETE"),
        "webhook_deliveries": ("SELECT", "UPDATE (attempt, claims, state, next_try_at, tries)"),
        "kept_answers": ("SELECT (producer, key, expires_at)", "DELETE"),
        # Removes files and uploads that have expired.
        "files": ("SELECT (id, expires_at)", "DELETE"),
        "uploads": ("SELECT (id, expires_at)", "DELETE"),
        "upload_parts": ("SELECT (id, expires_at)", "DELETE"),
        "batches": ("SELECT (input_file_id, state)",),
    },
    Role.MONITOR: {
        **_OVERVIEW,
        "producer_limits": _READ,
        "checkpoints": _READ,
        "trials": _READ,
        "models": _READ,
        "model_versions": _READ,
        "model_aliases": _READ,
        "deleted_versions": _READ,
        "version_blobs": _READ,
    },
}

#: The functions that a role may call. They act with the rights of the tables' owner, and see all producers.
FUNCTION_RIGHTS: Final[Mapping[str, Role]] = {
    # One token, by its id: nobody who gets the gateway to run a query of theirs can list them.
    "longshore_read_token(text)": Role.GATEWAY,
    "longshore_take_batches(text, float8, int)": Role.GATEWAY,
}
