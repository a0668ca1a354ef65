"""Versions of models and their history as documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import JsonValue

from longshore.producers.documents.jobs import described
from longshore.shared.ledger.records import ModelChange, VersionRecord


@described
@dataclass(frozen=True, kw_only=True)
class VersionDocument:
    """A version of a model."""

    model: str
    version: int
    digest: str
    aliases: Sequence[str]
    """The aliases that point at it."""
    job: UUID | None
    """The job that has made it."""
    created_at: datetime
    size_bytes: int | None
    """Of its files in the store; null if they were not looked up."""
    shared_bytes: int | None
    """Of those files, the ones that other versions have, too."""
    manifest: Mapping[str, JsonValue]
    """Its signature, family, configuration, metrics and lineage."""


@described
@dataclass(frozen=True, kw_only=True)
class AliasDocument:
    """An alias and the version that it points at."""

    model: str
    alias: str
    version: int


@described
@dataclass(frozen=True, kw_only=True)
class DeletionDocument:
    """A version that was deleted, or would be."""

    model: str
    version: int
    digest: str
    deleted: bool
    size_bytes: int | None
    """Of its files in the store."""
    shared_bytes: int | None
    """Of those files, the ones that other versions have, too."""


@described
@dataclass(frozen=True, kw_only=True)
class ChangeDocument:
    """An entry of a model's history."""

    action: str
    """moved, rolled back, removed or deleted."""
    alias: str | None
    """Null if a version was deleted."""
    version: int | None
    """The version that the alias points at since, or that was deleted."""
    previous: int | None
    """The version that the alias pointed at before."""
    by: str
    """The producer who made the change."""
    at: datetime
    job: UUID | None
    """The job that moved the alias; null if somebody did by hand."""
    gate: Mapping[str, JsonValue] | None
    """The condition that was true, and what was compared."""


def version_document(record: VersionRecord) -> VersionDocument:
    """A version as a document, with its manifest."""
    return VersionDocument(
        model=record.model,
        version=record.version,
        digest=record.digest,
        aliases=record.aliases,
        job=record.job_id,
        created_at=record.created_at,
        size_bytes=record.size_bytes,
        shared_bytes=record.shared_bytes,
        manifest=record.manifest,
    )


def change_document(change: ModelChange) -> ChangeDocument:
    """An entry of a model's history as a document."""
    return ChangeDocument(
        action=change.action,
        alias=change.alias,
        version=change.version,
        previous=change.previous,
        by=change.set_by,
        at=change.set_at,
        job=change.job_id,
        gate=change.gate,
    )


def deletion_document(record: VersionRecord, *, deleted: bool) -> DeletionDocument:
    """A deletion as a document."""
    return DeletionDocument(
        model=record.model,
        version=record.version,
        digest=record.digest,
        deleted=deleted,
        size_bytes=record.size_bytes,
        shared_bytes=record.shared_bytes,
    )
