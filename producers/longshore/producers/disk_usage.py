"""How much space a cluster takes, and for what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.retention.space import JobBlob, LedgerSpace
from longshore.shared.store.store import Store

#: The tables that have figures of their own.
_TABLES: Mapping[str, str] = {
    "results": "results",
    "row_errors": "row_errors",
    "attempt_logs": "logs",
    "inputs": "inputs",
}


@dataclass(frozen=True, kw_only=True)
class StoreUsage:
    """The space that the store takes, in bytes. The parts add up to ``total``."""

    #: Its address, without passwords.
    name: str
    files: int
    total: int
    #: Manifests, weights, programs and tokenizers of all versions.
    models: int
    checkpoints: int
    #: Large blocks of rows that were passed with jobs.
    inputs: int
    #: Files that were uploaded, and those that batches have left.
    uploads: int
    #: What nothing of these names: pointers, files that are being written, and what a sweep removes.
    other: int


@dataclass(frozen=True, kw_only=True)
class DatabaseUsage:
    """The space that the tables in Postgres take, in bytes, with their indexes. The parts add up to ``total``."""

    total: int
    results: int
    row_errors: int
    logs: int
    inputs: int
    #: Jobs, shards, metrics, models and all other tables.
    other: int


@dataclass(frozen=True, kw_only=True)
class SpaceOf:
    """The space of a model or a job, in bytes."""

    #: Files of the versions; a file that several models have counts for each. 0 for a job.
    versions: int = 0
    checkpoints: int = 0
    results: int = 0
    row_errors: int = 0
    logs: int = 0
    #: Rows that were passed with the jobs, in Postgres and in the store.
    inputs: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.versions + self.checkpoints + self.results + self.row_errors + self.logs + self.inputs


@dataclass(frozen=True, kw_only=True)
class ModelSpace(SpaceOf):
    """The space of a model: its versions, and its jobs."""

    model: str


@dataclass(frozen=True, kw_only=True)
class JobDiskSpace(SpaceOf):
    """The space of a job."""

    id: UUID
    kind: str
    model: str


@dataclass(frozen=True, kw_only=True)
class DiskUsage:
    """The space that a cluster takes."""

    store: StoreUsage
    database: DatabaseUsage
    #: The largest models and jobs, the largest first.
    models: list[ModelSpace] = field(repr=False)
    jobs: list[JobDiskSpace] = field(repr=False)
    #: Whether results, row errors, logs and inline rows of models and jobs are estimates from a sample. No total is.
    sampled: bool

    @property
    def total(self) -> int:
        """Bytes of the store and of the tables."""
        return self.store.total + self.database.total


def disk_usage(ledger: Ledger, store: Store, top: int) -> DiskUsage:
    """Measure the store and the tables.

    :param top: how many models and jobs to list.
    :raises InvalidInput: ``top`` is negative.
    """
    if top < 0:
        raise InvalidInput("top", f"{top}: give 0 or more")
    space = ledger.space.read()
    blobs: dict[str, int] = {}
    files = total = 0
    for file in store.files():
        files, total = files + 1, total + file.size
        if file.digest is not None:
            blobs[file.digest] = file.size
    return DiskUsage(
        store=_store_usage(store.name, files, total, blobs, space),
        database=_database_usage(space.tables),
        models=_by_model(space, blobs)[:top],
        jobs=_by_job(space, blobs)[:top],
        sampled=space.sampled,
    )


def _store_usage(name: str, files: int, total: int, blobs: Mapping[str, int], space: LedgerSpace) -> StoreUsage:
    models = {digest for _, digest in space.files}
    inputs = space.input_blobs - models
    checkpoints = {each.digest for each in space.checkpoints} - models - inputs
    uploads = space.uploaded_blobs - models - inputs - checkpoints
    sizes = [sum(blobs.get(digest, 0) for digest in each) for each in (models, checkpoints, inputs, uploads)]
    return StoreUsage(
        name=name,
        files=files,
        total=total,
        models=sizes[0],
        checkpoints=sizes[1],
        inputs=sizes[2],
        uploads=sizes[3],
        other=total - sum(sizes),
    )


def _database_usage(tables: Mapping[str, int]) -> DatabaseUsage:
    parts = {part: tables[table] for table, part in _TABLES.items()}
    total = sum(tables.values())
    return DatabaseUsage(total=total, other=total - sum(parts.values()), **parts)


def _by_model(space: LedgerSpace, blobs: Mapping[str, int]) -> list[ModelSpace]:
    sums: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for model, digest in space.files:
        sums[model]["versions"] += blobs.get(digest, 0)
    for each in space.jobs:
        sums[each.model][_TABLES[each.table]] += each.size_bytes
    for what, blob, size in _job_blobs(space, blobs):
        sums[blob.model][what] += size
    models = [ModelSpace(model=model, **_whole(parts)) for model, parts in sums.items()]
    return sorted(models, key=lambda each: (-each.total, each.model))


def _by_job(space: LedgerSpace, blobs: Mapping[str, int]) -> list[JobDiskSpace]:
    sums: defaultdict[tuple[UUID, str, str], defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for each in space.jobs:
        sums[each.id, each.kind, each.model][_TABLES[each.table]] += each.size_bytes
    for what, blob, size in _job_blobs(space, blobs):
        sums[blob.id, blob.kind, blob.model][what] += size
    jobs = [JobDiskSpace(id=id_, kind=kind, model=model, **_whole(parts)) for (id_, kind, model), parts in sums.items()]
    return sorted(jobs, key=lambda each: (-each.total, each.id))


def _job_blobs(space: LedgerSpace, blobs: Mapping[str, int]) -> Iterable[tuple[str, JobBlob, float]]:
    for what, named in (("checkpoints", space.checkpoints), ("inputs", space.inputs)):
        for blob in named:
            yield what, blob, blobs.get(blob.digest, 0) * blob.part


def _whole(parts: Mapping[str, float]) -> dict[str, int]:
    return {name: round(size) for name, size in parts.items()}
