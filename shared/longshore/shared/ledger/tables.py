"""The tables. Alembic compares them with a database.

jobs            what a producer has submitted, with its state and its counters
shards          ranges of a job's rows: queued, leased, retried and committed each on its own
inputs          inline rows in blocks that many jobs share (Arrow IPC; large blocks are in the store)
results         one JSON value per row of an inference job; a partition for each week in which jobs were submitted
row_errors      rows that could not be computed, and why; partitioned like results
metrics         metrics that a training attempt reports while it runs
models          the names of models
model_versions  numbered and immutable, with the manifest as in the store
model_aliases   every move of every alias; the newest row says where it points, or that it was removed
deleted_versions
                versions that were deleted; a trigger of model_versions fills it
version_blobs   the blobs in the store that a version consists of; a trigger of model_versions fills it
job_dependencies
                the job that another depends on; the other runs on the version that it has used or made
workers         the workers, and when each last reported that it is running
checkpoints     from which a training can be resumed; the bytes are in the store
attempt_logs    what attempts have said while they ran, in parts of some lines
partial_texts   texts that are being generated, in parts of some tokens: the next attempt goes on with them
trials          trials of a search and folds of a cross-validation, one for each shard
batch_sizes     the fastest batch sizes that workers have measured
producer_limits how many jobs a producer may have that have not ended
tokens          with which callers of the HTTP gateway prove who they are
webhook_endpoints
                URLs to which the events of a producer are sent
webhook_secrets with which their messages are signed; while one is replaced, an endpoint has two
webhook_events  the outbox: a trigger of jobs writes it when a job ends
webhook_deliveries
                events that are sent, or were sent, to an endpoint; a trigger of webhook_events adds them
files           uploaded to the HTTP gateway, or written by it; their bytes are in the store
uploads         of files in parts, and what came of them
upload_parts    of uploads that have not ended; their bytes are in the store
batches         requests in the format of OpenAI, which the gateway runs as jobs
kept_answers    of the HTTP gateway, for requests with an Idempotency-Key

``shards``, ``results``, ``row_errors``, ``metrics`` and ``partial_texts`` have no foreign key to ``jobs``. They are
only written in a transaction that has locked the job or its shard, and checking a key for each row would take a third
of the time of a bulk load.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

_STATES = "'waiting', 'queued', 'running', 'succeeded', 'failed', 'cancelled'"
_now = text("now()")
_zero = text("0")


def _moment(name: str, *, required: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=not required, server_default=_now if required else None)


jobs = Table(
    "jobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("producer", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("spec", JSONB, nullable=False),
    # The version to run, resolved at submission. A training job has only the name.
    Column("model", Text, nullable=False),
    Column("version", Integer),
    Column("digest", Text),
    Column("max_attempts", SmallInteger, nullable=False),
    Column("rows_per_shard", BigInteger),
    Column("idempotency_key", Text),
    Column("request_digest", Text),
    # Unknown until a planning shard has counted the input.
    Column("rows_total", BigInteger),
    Column("rows_done", BigInteger, nullable=False, server_default=_zero),
    Column("rows_failed", BigInteger, nullable=False, server_default=_zero),
    Column("shards_total", Integer, nullable=False),
    Column("shards_done", Integer, nullable=False, server_default=_zero),
    Column("shards_failed", Integer, nullable=False, server_default=_zero),
    # The result of a job that has no rows of results, such as the version that a training has made and its metrics.
    Column("outcome", JSONB),
    Column("error", Text),
    # What its owner should know though nothing failed, one sentence each.
    Column("notes", JSONB, nullable=False, server_default=text("'[]'")),
    # Rows that were done or had failed when the job was last retried, so that its speed counts later rows only.
    Column("rows_before_retry", BigInteger, nullable=False, server_default=_zero),
    # Its speed while it runs is that of later rows: since then, and so many were done or had failed then. NULL, or
    # before started_at: no row of this run is computed yet.
    _moment("computing_since"),
    Column("computing_rows", BigInteger, nullable=False, server_default=_zero),
    # When rows were last counted as done or failed.
    _moment("rows_at"),
    # Of a job that generates text, the tokens of its rows: {"prompt_tokens", "completion_tokens", "cached_tokens"}.
    Column("usage", JSONB),
    # Whether its deadline has ended it.
    Column("expired", Boolean, nullable=False, server_default=text("false")),
    _moment("created_at", required=True),
    _moment("started_at"),
    _moment("finished_at"),
    _moment("deadline"),
    # When its results, row errors and inline rows were pruned.
    _moment("pruned_at"),
    UniqueConstraint("producer", "idempotency_key"),
    CheckConstraint(f"state IN ({_STATES})", name="state"),
    CheckConstraint("priority BETWEEN 0 AND 9", name="priority"),
)
Index("jobs_state_idx", jobs.c.state, jobs.c.id)
Index("jobs_producer_idx", jobs.c.producer, jobs.c.id)
Index("jobs_open_idx", jobs.c.producer, postgresql_where=text("state IN ('waiting', 'queued', 'running')"))
Index("jobs_evaluations_idx", jobs.c.model, jobs.c.version, postgresql_where=text("kind = 'evaluate'"))
Index("jobs_deadline_idx", jobs.c.deadline, postgresql_where=text("state IN ('queued', 'running')"))

shards = Table(
    "shards",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("index", Integer, primary_key=True, autoincrement=False),
    # infer, plan, train, tune, cross_validate, evaluate, promote or generate: the Celery task is longshore.<action>.
    Column("action", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    # Rows start <= row < stop of the job; for text formats also their position in the file, in bytes.
    Column("start", BigInteger, nullable=False),
    Column("stop", BigInteger, nullable=False),
    Column("offset", BigInteger),
    Column("length", BigInteger),
    # The fencing token: the number of the newest attempt.
    Column("attempt", Integer, nullable=False, server_default=_zero),
    Column("attempt_limit", Integer, nullable=False),
    Column("worker", Text),
    # When the lease was granted or renewed, and when it ends.
    _moment("leased_at"),
    _moment("lease_until"),
    # When it was last published, and in which message: one message can name many shards.
    _moment("published_at"),
    Column("message_id", Uuid),
    # Small shards with the same key can be claimed and computed together; NULL for a shard that runs alone.
    Column("batch_key", Text),
    # The output file that an attempt has decided on; later attempts only publish it.
    Column("output_file", Text),
    # Runs again only the rows that have errors.
    Column("only_failed", Boolean, nullable=False, server_default=text("false")),
    Column("rows_done", BigInteger, nullable=False, server_default=_zero),
    # When an attempt had computed as many.
    _moment("rows_at"),
    # One entry for each attempt that failed: {"attempt", "worker", "error", "at"}.
    Column("errors", JSONB, nullable=False, server_default=text("'[]'")),
    # Not published and not claimed before this time: after an outage or an attempt that failed.
    _moment("not_before"),
    # How often it was handed back because the store or the data could not be reached. These are no failed attempts.
    Column("outages", Integer, nullable=False, server_default=_zero),
    # What the last outage was.
    Column("waits_for", Text),
    # Since when each look at the store or the data has found something missing.
    _moment("missing_since"),
    CheckConstraint(f"state IN ({_STATES})", name="state"),
)
# A queued shard is in one of these two: they say what comes next without reading the others.
Index(
    "shards_published_idx",
    shards.c.queue,
    shards.c.priority,
    shards.c.published_at,
    postgresql_where=text("state = 'queued' AND published_at IS NOT NULL"),
)
Index(
    "shards_unpublished_idx",
    shards.c.priority.desc(),
    shards.c.job_id,
    shards.c.index,
    postgresql_where=text("state = 'queued' AND published_at IS NULL"),
)
Index(
    "shards_batch_key_idx",
    shards.c.batch_key,
    shards.c.queue,
    shards.c.priority.desc(),
    shards.c.job_id,
    shards.c.index,
    postgresql_where=text("state = 'queued' AND batch_key IS NOT NULL"),
)
Index(
    "shards_not_before_idx",
    shards.c.not_before,
    postgresql_where=text("state = 'queued' AND not_before IS NOT NULL"),
)
Index("shards_lease_idx", shards.c.lease_until, postgresql_where=text("state = 'running'"))

job_dependencies = Table(
    "job_dependencies",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    # The upstream job, which must succeed first.
    Column("depends_on", Uuid, nullable=False),
    # Seconds from when the job is ready to its deadline.
    Column("timeout", Double),
    # When the upstream job had succeeded; from then on this job is like any other.
    _moment("ready_at"),
    # Whether the job ended because the upstream job did not succeed.
    Column("upstream_failed", Boolean, nullable=False, server_default=text("false")),
)
Index("job_dependencies_depends_on_idx", job_dependencies.c.depends_on)

inputs = Table(
    "inputs",
    metadata,
    Column("id", Uuid, primary_key=True),
    # One of the two: the bytes, or the digest of a blob in the store.
    Column("data", LargeBinary),
    Column("blob", Text),
    _moment("created_at", required=True),
    CheckConstraint("(data IS NULL) <> (blob IS NULL)", name="place"),
)

results = Table(
    "results",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("row", BigInteger, primary_key=True, autoincrement=False),
    Column("output", JSONB, nullable=False),
    # The columns of the input that the job keeps, by name; NULL if it keeps none.
    Column("key", JSONB),
    postgresql_partition_by="RANGE (job_id)",
)

row_errors = Table(
    "row_errors",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("row", BigInteger, primary_key=True, autoincrement=False),
    Column("error", Text, nullable=False),
    # As in results; also NULL if the key itself cannot be stored.
    Column("key", JSONB),
    postgresql_partition_by="RANGE (job_id)",
)

metrics = Table(
    "metrics",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("value", Double, nullable=False),
    _moment("recorded_at", required=True),
)

attempt_logs = Table(
    "attempt_logs",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    # Characters of the log before this part. Where a part does not begin at the end of another, lines were left out.
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    # Whole lines.
    Column("text", Text, nullable=False),
    _moment("written_at", required=True),
)

partial_texts = Table(
    "partial_texts",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("row", BigInteger, primary_key=True, autoincrement=False),
    # Which of the texts of the row.
    Column("index", Integer, primary_key=True, autoincrement=False),
    # Tokens of the text before this part. Each part begins at the end of another.
    Column("start", Integer, primary_key=True, autoincrement=False),
    Column("tokens", ARRAY(Integer), nullable=False),
    # Of the tokens, as the worker has written them; NULL if they were not asked for.
    Column("logprobs", JSON),
    _moment("saved_at", required=True),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    # Optimizer steps that are done.
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", Integer, nullable=False),
    # The epoch that was running, from 1.
    Column("epoch", Integer, nullable=False),
    Column("blob", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    _moment("created_at", required=True),
)

trials = Table(
    "trials",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    # The index of its shard.
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("worker", Text, nullable=False),
    Column("parameters", JSONB, nullable=False),
    Column("value", Double),
    Column("metrics", JSONB, nullable=False, server_default=text("'{}'")),
    # The value by epoch so far: {"1": 0.7, "2": 0.5}.
    Column("history", JSONB, nullable=False, server_default=text("'{}'")),
    Column("error", Text),
    # The version that it has stored, if it was the best when it ended.
    Column("manifest", JSONB),
    Column("digest", Text),
    _moment("started_at", required=True),
    _moment("finished_at"),
    CheckConstraint("state IN ('running', 'complete', 'pruned', 'failed')", name="state"),
)

models = Table(
    "models",
    metadata,
    Column("name", Text, primary_key=True),
    # The number of the next version. The number of a deleted version is never used again.
    Column("next_version", Integer, nullable=False, server_default=text("1")),
    _moment("created_at", required=True),
)

model_versions = Table(
    "model_versions",
    metadata,
    Column("model", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("manifest", JSONB, nullable=False),
    Column("job_id", Uuid),
    _moment("created_at", required=True),
    ForeignKeyConstraint(["model"], ["models.name"]),
)

model_aliases = Table(
    "model_aliases",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("model", Text, nullable=False),
    Column("alias", Text, nullable=False),
    # NULL: the alias was removed.
    Column("version", Integer),
    Column("set_by", Text, nullable=False),
    _moment("set_at", required=True),
    # The job that moved it; NULL if somebody did by hand, or a worker of an earlier release.
    Column("job_id", Uuid),
    # The condition that was true, and what was compared: {"condition", "parts"}.
    Column("gate", JSONB),
    Column("is_rollback", Boolean, nullable=False, server_default=text("false")),
    ForeignKeyConstraint(["model"], ["models.name"]),
)
Index("model_aliases_newest_idx", model_aliases.c.model, model_aliases.c.alias, model_aliases.c.id)

deleted_versions = Table(
    "deleted_versions",
    metadata,
    Column("model", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    # Its lineage stays readable.
    Column("manifest", JSONB, nullable=False),
    # The job that made it.
    Column("job_id", Uuid),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("deleted_by", Text, nullable=False),
    Column("deleted_at", DateTime(timezone=True), nullable=False),
)
Index("deleted_versions_digest_idx", deleted_versions.c.digest)

version_blobs = Table(
    "version_blobs",
    metadata,
    Column("model", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    ForeignKeyConstraint(["model", "version"], ["model_versions.model", "model_versions.version"], ondelete="CASCADE"),
)
Index("version_blobs_digest_idx", version_blobs.c.digest)

workers = Table(
    "workers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("device", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    # The families that it can train, so that a producer can refuse what no worker can.
    Column("families", ARRAY(Text), nullable=False),
    _moment("started_at", required=True),
    _moment("seen_at", required=True),
)

batch_sizes = Table(
    "batch_sizes",
    metadata,
    # For a version and a kind of device: "cpu", or the name of a GPU.
    Column("digest", Text, primary_key=True),
    Column("device", Text, primary_key=True),
    # Tokens in the longest row, rounded up to a power of two; 0 if rows have no length.
    Column("length", Integer, primary_key=True, autoincrement=False),
    Column("batch_size", Integer, nullable=False),
    # Measured with that batch size.
    Column("rows_per_second", Double, nullable=False),
    # Whether larger batches were tried and are slower, or do not fit.
    Column("settled", Boolean, nullable=False),
    _moment("measured_at", required=True),
)

producer_limits = Table(
    "producer_limits",
    metadata,
    # "*" stands for every producer without a limit of its own.
    Column("producer", Text, primary_key=True),
    Column("max_jobs", Integer, nullable=False),
    CheckConstraint("max_jobs >= 0", name="max_jobs"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    # The SHA-256 of its secret.
    Column("digest", LargeBinary, nullable=False),
    # Whose jobs it submits and sees.
    Column("producer", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    # Patterns of the models that it may use; empty for all.
    Column("models", ARRAY(Text), nullable=False),
    Column("note", Text, nullable=False, server_default=text("''")),
    Column("created_by", Text, nullable=False),
    _moment("created_at", required=True),
    _moment("expires_at"),
    _moment("revoked_at"),
    # Limits of its callers; NULL for none.
    Column("requests_per_minute", Integer),
    Column("rows_per_day", BigInteger),
    # Of texts that are generated, with those of their prompts.
    Column("tokens_per_day", BigInteger),
    # Jobs of its producer that have not ended, when one more is submitted.
    Column("queued_jobs", Integer),
)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", Text, primary_key=True),
    Column("producer", Text, nullable=False),
    Column("url", Text, nullable=False),
    # Patterns of the types of events that it gets, such as job.*; empty for all.
    Column("types", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("description", Text, nullable=False, server_default=text("''")),
    _moment("created_at", required=True),
    # Nothing is sent to it since then.
    _moment("disabled_at"),
    Column("disabled_reason", Text),
    # Since when each try has failed.
    _moment("failing_since"),
)
Index("webhook_endpoints_producer_idx", webhook_endpoints.c.producer)

webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("endpoint_id", Text, nullable=False),
    Column("secret", Text, nullable=False),
    _moment("created_at", required=True),
    # Of one that was replaced: until then messages are signed with it, too.
    _moment("expires_at"),
    ForeignKeyConstraint(["endpoint_id"], ["webhook_endpoints.id"], ondelete="CASCADE"),
)
Index("webhook_secrets_endpoint_id_idx", webhook_secrets.c.endpoint_id)

webhook_events = Table(
    "webhook_events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("producer", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("data", JSON, nullable=False),
    _moment("created_at", required=True),
)
Index("webhook_events_producer_idx", webhook_events.c.producer, webhook_events.c.created_at)
Index("webhook_events_created_at_idx", webhook_events.c.created_at)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("endpoint_id", Text, primary_key=True),
    Column("state", Text, nullable=False),
    # Tries that have ended, since the first or since it was sent again.
    Column("attempt", Integer, nullable=False, server_default=_zero),
    # The fencing token: how often a relay has claimed it.
    Column("claims", Integer, nullable=False, server_default=_zero),
    # While it is claimed, when the claim runs out. NULL: it has ended.
    _moment("next_try_at"),
    # One entry for each of the last tries: {"attempt", "at", "status", "duration_ms", "error"}.
    Column("tries", JSONB, nullable=False, server_default=text("'[]'")),
    _moment("created_at", required=True),
    CheckConstraint("state IN ('pending', 'delivered', 'failed')", name="state"),
    ForeignKeyConstraint(["event_id"], ["webhook_events.id"], ondelete="CASCADE"),
    # There is no foreign key to the endpoint: a job whose end is told to an endpoint that is being deleted would not
    # end, and all transactions that end jobs would lock the same row.
)
Index(
    "webhook_deliveries_due_idx",
    webhook_deliveries.c.endpoint_id,
    webhook_deliveries.c.next_try_at,
    postgresql_where=text("state = 'pending'"),
)
Index(
    "webhook_deliveries_listed_idx",
    webhook_deliveries.c.endpoint_id,
    webhook_deliveries.c.created_at,
    webhook_deliveries.c.event_id,
)

files = Table(
    "files",
    metadata,
    # file- and 32 random hexadecimal digits.
    Column("id", Text, primary_key=True),
    Column("producer", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    # For display only.
    Column("filename", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    # The blob in the store.
    Column("digest", Text, nullable=False),
    _moment("created_at", required=True),
    _moment("expires_at"),
)
Index("files_producer_idx", files.c.producer, files.c.created_at, files.c.id)
Index("files_expiry_idx", files.c.expires_at, postgresql_where=text("expires_at IS NOT NULL"))

uploads = Table(
    "uploads",
    metadata,
    # upload_ and 32 random hexadecimal digits.
    Column("id", Text, primary_key=True),
    Column("producer", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("filename", Text, nullable=False),
    # Of the whole file.
    Column("bytes", BigInteger, nullable=False),
    # Seconds after which the file expires.
    Column("file_expires_after", Integer),
    # One that is pending after expires_at has expired.
    Column("state", Text, nullable=False, server_default=text("'pending'")),
    # Of the completed upload.
    Column("part_ids", ARRAY(Text)),
    Column("file_id", Text),
    _moment("created_at", required=True),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("state IN ('pending', 'completed', 'cancelled')", name="state"),
)
Index("uploads_expiry_idx", uploads.c.expires_at)

upload_parts = Table(
    "upload_parts",
    metadata,
    # part_ and 32 random hexadecimal digits.
    Column("id", Text, primary_key=True),
    Column("upload_id", Text, nullable=False),
    Column("producer", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    # The blob in the store.
    Column("digest", Text, nullable=False),
    _moment("created_at", required=True),
    # With its upload.
    Column("expires_at", DateTime(timezone=True), nullable=False),
)
Index("upload_parts_upload_idx", upload_parts.c.producer, upload_parts.c.upload_id)
Index("upload_parts_expiry_idx", upload_parts.c.expires_at)

batches = Table(
    "batches",
    metadata,
    # batch_ and 32 random hexadecimal digits.
    Column("id", Text, primary_key=True),
    Column("producer", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'validating'")),
    Column("endpoint", Text, nullable=False),
    Column("input_file_id", Text, nullable=False),
    # As the caller wrote it, such as 24h.
    Column("completion_window", Text, nullable=False),
    # Seconds after which its files expire.
    Column("output_expires_after", Integer),
    Column("metadata", JSONB),
    # Of which token it is, and patterns of the models that this may use; empty for all.
    Column("token_id", Text),
    Column("model_patterns", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    # The versions that its lines name, as name:version.
    Column("models", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    _moment("created_at", required=True),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    _moment("in_progress_at"),
    _moment("finalizing_at"),
    _moment("completed_at"),
    _moment("failed_at"),
    _moment("expired_at"),
    _moment("cancelling_at"),
    _moment("cancelled_at"),
    # Lines, and those with an answer and with an error.
    Column("total", Integer, nullable=False, server_default=text("0")),
    Column("completed", Integer, nullable=False, server_default=text("0")),
    Column("failed", Integer, nullable=False, server_default=text("0")),
    Column("usage", JSONB),
    # Why it failed as a whole.
    Column("errors", JSONB),
    Column("output_file_id", Text),
    Column("error_file_id", Text),
    # The digest of what was read from the file, and of all blobs that are needed until the end.
    Column("plan", Text),
    Column("blobs", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    # NULL in place of a job that was not submitted: the batch was cancelled, or there is an error in its place.
    Column("jobs", ARRAY(Uuid)),
    Column("job_errors", ARRAY(Text)),
    # The gateway that drives it; until then, no other takes it.
    Column("leased_by", Text),
    _moment("lease_until"),
    # How often its next step has failed.
    Column("tries", Integer, nullable=False, server_default=_zero),
    CheckConstraint(
        "state IN ('validating', 'in_progress', 'finalizing', 'completed', 'failed', 'expired', 'cancelling', "
        "'cancelled')",
        name="state",
    ),
)
_open_batches = text("state IN ('validating', 'in_progress', 'finalizing', 'cancelling')")
Index("batches_producer_idx", batches.c.producer, batches.c.created_at, batches.c.id)
Index("batches_open_idx", batches.c.created_at, batches.c.id, postgresql_where=_open_batches)
Index("batches_input_idx", batches.c.input_file_id, postgresql_where=_open_batches)

kept_answers = Table(
    "kept_answers",
    metadata,
    Column("producer", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    # A digest that tells the request from others.
    Column("request", LargeBinary, nullable=False),
    # The attempt that is in progress; it is interrupted if it does not go on holding the key.
    Column("holder", Text, nullable=False),
    Column("held_until", DateTime(timezone=True), nullable=False),
    # The answer; NULL while the request is in progress.
    Column("status", Integer),
    Column("headers", JSONB),
    Column("content", LargeBinary),
    # The digest of the body, if that was an upload.
    Column("upload", LargeBinary),
    _moment("created_at", required=True),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)
Index("kept_answers_expiry_idx", kept_answers.c.expires_at)
