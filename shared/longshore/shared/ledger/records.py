"""The values that the ledger takes and returns. They are frozen, and most are one row of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol, TypeAlias
from uuid import UUID

from pydantic import JsonValue

from longshore.shared.notebook import html_table, numbers_text, signature_rows
from longshore.shared.vocabulary import State

Json: TypeAlias = Mapping[str, JsonValue]


@dataclass(frozen=True, kw_only=True)
class NewShard:
    """A shard to be queued. ``offset`` and ``length``, in bytes, are set only for text formats."""

    #: The Celery task that runs it is ``longshore.<action>``.
    action: str
    start: int
    stop: int
    offset: int | None = None
    length: int | None = None
    #: Shards with the same key can run together; see :mod:`~longshore.shared.ledger.shards.batching`.
    batch_key: str | None = None


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """A job to be submitted, after all checks."""

    id: UUID
    kind: str
    producer: str
    queue: str
    priority: int
    #: The spec as JSON text. Many jobs share it.
    spec: str
    model: str
    version: int | None
    digest: str | None
    max_attempts: int
    rows_per_shard: int | None
    timeout: float | None
    rows_total: int | None
    shards: Sequence[NewShard]
    idempotency_key: str | None = None
    request_digest: str | None = None
    #: The upstream job, which must succeed first. The version, the digest and the deadline are set then.
    depends_on: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class NewInput:
    """A block of inline rows: its bytes, or the digest of the blob that holds them."""

    id: UUID
    data: bytes | None = None
    blob: str | None = None


@dataclass(frozen=True)
class Ticket:
    """A message entry to be published: the name of a shard, its queue and priority, and what Flower shows of it."""

    job_id: UUID
    shard: int
    action: str
    queue: str
    priority: int
    start: int
    stop: int
    model: str
    version: int | None
    #: The number of attempts that the shard has had.
    attempt: int = 0
    #: Set only for a shard that was never tried; see :class:`NewShard`.
    batch_key: str | None = None


class AttemptId(Protocol):
    """Names an attempt at a shard."""

    @property
    def job_id(self) -> UUID: ...

    @property
    def shard(self) -> int: ...

    @property
    def attempt(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One attempt at a shard by one worker."""

    job_id: UUID
    shard: int
    attempt: int
    attempt_limit: int
    action: str
    start: int
    stop: int
    offset: int | None
    length: int | None
    kind: str
    spec: dict[str, JsonValue]
    model: str
    version: int | None
    digest: str | None
    rows_per_shard: int | None
    max_attempts: int
    producer: str
    queue: str
    priority: int
    #: See :class:`NewShard`.
    batch_key: str | None = None
    #: Run only the rows of the shard that have errors. The other rows have results already.
    only_failed: bool = False
    #: The file that an earlier attempt has decided on; empty if no row of the shard has an output.
    output_file: str | None = None
    #: Whether an earlier attempt has failed, or was lost.
    failed_before: bool = False

    @property
    def token(self) -> str:
        """``job/shard/attempt``: the name of everything that this attempt writes before it commits."""
        return f"{self.job_id}/{self.shard}/{self.attempt}"


@dataclass(frozen=True, kw_only=True)
class RowTimes:
    """When an attempt has computed its rows, in seconds before now."""

    #: Rows of its first batch, and the end of it; 0 rows if that is not known.
    first_rows: int = 0
    first_age_s: float = 0.0
    #: The end of its last batch.
    age_s: float = 0.0


#: Of an attempt that has computed nothing.
UNKNOWN_TIMES: Final = RowTimes()


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """A job in the ledger. Times are UTC."""

    id: UUID
    kind: str
    state: State
    producer: str
    queue: str
    priority: int
    #: URLs in it can contain passwords, so ``repr`` does not show it.
    spec: dict[str, JsonValue] = field(repr=False)
    model: str
    version: int | None
    digest: str | None
    rows_total: int | None
    rows_done: int
    rows_failed: int
    shards_total: int
    shards_done: int
    shards_failed: int
    outcome: dict[str, JsonValue] | None
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deadline: datetime | None
    #: When it was read, by the same clock as the times above. Records of the same state are equal.
    read_at: datetime = field(compare=False)
    #: When its results were pruned.
    pruned_at: datetime | None = None
    #: Rows computed by attempts that have not committed yet.
    rows_running: int = 0
    #: Rows that were done or had failed when the job was last retried.
    rows_before_retry: int = 0
    #: What its owner should know though nothing failed, a sentence each.
    notes: list[str] = field(default_factory=list)
    #: Tokens of the committed rows of a job that generates text: prompt_tokens, completion_tokens and cached_tokens.
    usage: dict[str, int] | None = None
    #: The outage for whose end a shard of the job waits; ``None`` if none does.
    waits_for: str | None = None
    #: The upstream job of a job that is part of a chain.
    depends_on: UUID | None = None
    #: Of a job that runs: how much was done, the seconds that it took, and the seconds since the last of it. Of a
    #: training, the epochs that its newest attempt has measured after its first one; ``None`` before the second. Of
    #: others, the rows since the end of the first batch, or since a generation began; ``None`` before it, and for
    #: workers of an earlier release.
    progress_span: list[float] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", State(self.state))

    @property
    def extends(self) -> UUID | None:
        """The training that this one goes on from; ``None`` if it began anew."""
        parent = self.spec.get("extends")
        return UUID(parent) if isinstance(parent, str) else None


@dataclass(frozen=True, kw_only=True)
class ShardRecord:
    """A shard in the ledger."""

    index: int
    action: str
    state: State
    start: int
    stop: int
    attempt: int
    attempt_limit: int
    worker: str | None
    rows_done: int
    #: Only the rows that have errors run again.
    only_failed: bool = False
    errors: list[dict[str, JsonValue]] = field(default_factory=list)
    #: The output file that an attempt has decided on; empty if no row of the shard has an output.
    output_file: str | None = None
    #: How often it was handed back because the store or the data could not be reached; these are no failed attempts.
    outages: int = 0
    #: What the last outage was.
    waits_for: str | None = None
    #: It does not run before this time.
    not_before: datetime | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", State(self.state))


@dataclass(frozen=True, kw_only=True)
class MetricRecord:
    """One metric that a training attempt has reported."""

    step: int
    name: str
    value: float
    recorded_at: datetime = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class CheckpointRecord:
    """A checkpoint, from which a training can be resumed."""

    job_id: UUID
    #: Optimizer steps that are done.
    step: int
    attempt: int
    #: The epoch that was running, from 1.
    epoch: int
    #: The digest of its blob in the store.
    blob: str
    size_bytes: int
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial of a search, or one fold of a cross-validation."""

    #: From 0; equal to the index of its shard.
    number: int
    #: running, complete, pruned (ended early because others were better) or failed.
    state: str
    worker: str
    #: The options that it tries, by name.
    parameters: dict[str, JsonValue]
    #: The final value of the searched metric; ``None`` until the trial ends, and if it failed.
    value: float | None
    #: All metrics of its last epoch.
    metrics: dict[str, float]
    #: The searched metric by epoch.
    history: dict[str, float]
    #: Why it has failed.
    error: str | None
    #: The digest of the version that it has stored; ``None`` if an earlier trial was better.
    digest: str | None
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class VersionRecord:
    """A version of a model. ``manifest`` is the manifest in the store, as JSON."""

    model: str
    version: int
    digest: str
    manifest: dict[str, JsonValue] = field(repr=False)
    job_id: UUID | None
    created_at: datetime
    aliases: list[str] = field(default_factory=list)
    #: Bytes of its files in the store, without the manifest; ``None`` if they were not looked up.
    size_bytes: int | None = None
    #: Those among them that other versions have, too: a deletion does not free them.
    shared_bytes: int | None = None

    def _repr_html_(self) -> str:
        rows = {
            "family": self.manifest.get("family"),
            **signature_rows(self.manifest.get("signature")),
            "metrics": numbers_text(self.manifest.get("metrics")),
            "runtime": self.manifest.get("runtime"),
            "aliases": ", ".join(self.aliases) or None,
            "created": f"{self.created_at:%Y-%m-%d %H:%M:%S} UTC",
            "job": self.job_id,
            "digest": self.digest,
        }
        return html_table(f"{self.model}:{self.version}", rows)


@dataclass(frozen=True, kw_only=True)
class ModelChange:
    """An entry of a model's history: an alias was moved or removed, or a version was deleted."""

    #: ``moved``, ``rolled back``, ``removed`` or ``deleted``.
    action: str
    #: ``None`` if a version was deleted.
    alias: str | None
    #: The version that the alias points at since, or that was deleted; ``None`` if the alias was removed.
    version: int | None
    #: The version that the alias pointed at before; ``None`` if there was none.
    previous: int | None
    #: The producer whose job or whose hand it was.
    set_by: str
    set_at: datetime
    #: The job that moved the alias; ``None`` if somebody did by hand.
    job_id: UUID | None
    #: The condition that was true, and what was compared: ``condition`` and ``parts``.
    gate: dict[str, JsonValue] | None


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """A model: how many versions it has, and where its aliases point."""

    name: str
    versions: int
    newest: int | None
    aliases: dict[str, int]
    created_at: datetime
    #: Bytes of the files of its versions in the store, each once.
    size_bytes: int = 0
    #: Those among them that versions of other models have, too.
    shared_bytes: int = 0

    def _repr_html_(self) -> str:
        rows = {
            "versions": self.versions,
            "newest": self.newest,
            "aliases": ", ".join(f"{alias} -> {version}" for alias, version in self.aliases.items()) or None,
            "created": f"{self.created_at:%Y-%m-%d %H:%M:%S} UTC",
        }
        return html_table(self.name, rows)


@dataclass(frozen=True, kw_only=True)
class WorkerRecord:
    """A worker that has reported that it is running."""

    name: str
    device: str
    queue: str
    host: str
    pid: int
    families: list[str]
    started_at: datetime
    seen_at: datetime
    alive: bool


@dataclass(frozen=True, kw_only=True)
class BatchSizeRecord:
    """The fastest measured batch size for rows of up to ``length`` tokens. ``length`` is 0 for rows of numbers."""

    length: int
    batch_size: int
    #: 0 if it was not measured.
    rows_per_second: float
    #: Whether larger batch sizes were tried.
    settled: bool
