"""Models, their versions and aliases.

A name can have slashes. So that ``team/digits/versions`` is the list of versions of ``team/digits``, a model whose name
ends with such a word is shown by a version or an alias: ``team/versions:1``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Body, Query, Response

from longshore.producers.documents.jobs import described
from longshore.producers.documents.models import (
    AliasDocument,
    ChangeDocument,
    DeletionDocument,
    VersionDocument,
    change_document,
    deletion_document,
    version_document,
)
from longshore.producers.gateway.access.callers import Caller, needs
from longshore.producers.gateway.access.models import check_reference, may_use
from longshore.producers.gateway.answers import MAX_LIMIT, Cursor, Limit, Page, answer, page_of
from longshore.producers.gateway.bodies.models import PromoteBody, RollbackBody
from longshore.producers.gateway.bodies.options import option_path
from longshore.producers.gateway.serving.idempotency import REPEATABLE
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.gateway.tokens import Scope
from longshore.shared.ledger.models.rollback import Rollback
from longshore.shared.ledger.records import ModelRecord

router = APIRouter(prefix="/models", tags=["models"])
Reader = Annotated[Caller, needs(Scope.MODELS_READ)]
Writer = Annotated[Caller, needs(Scope.MODELS_WRITE)]
#: What OpenAI's clients read as the owner of a model.
OWNER: Final = "longshore"


@described
@dataclass(frozen=True, kw_only=True)
class ModelDocument(ModelRecord):
    """A model, also as OpenAI's clients read it."""

    id: str
    """Its name, which stands for its newest version."""
    created: int
    """In seconds since 1970."""
    owned_by: str
    object: Literal["model"] = "model"


@described
@dataclass(frozen=True, kw_only=True)
class ModelVersionDocument(VersionDocument):
    """A version, also as OpenAI's clients read a model."""

    id: str
    """The reference that was asked for."""
    created: int
    """In seconds since 1970."""
    owned_by: str
    object: Literal["model"] = "model"


@router.get("", response_model=Page[ModelDocument])
async def list_models(caller: Reader, limit: Limit = MAX_LIMIT, cursor: Cursor = None) -> Response:
    """List the models that the token may use, by name."""
    models = [_model(record) for record in await caller.client.models.list() if may_use(caller, record.name)]
    return answer(page_of(models, lambda model: (model.name,), limit, cursor))


@router.get("/{name:path}/versions", response_model=Page[VersionDocument])
async def list_versions(name: str, caller: Reader, limit: Limit = MAX_LIMIT, cursor: Cursor = None) -> Response:
    """List the versions of a model, oldest first."""
    check_reference(caller, name)
    versions = [version_document(record) for record in await caller.client.models.versions(name)]
    return answer(page_of(versions, lambda version: (version.version,), limit, cursor))


@router.get("/{name:path}/aliases", response_model=Page[AliasDocument])
async def list_aliases(name: str, caller: Reader, limit: Limit = MAX_LIMIT, cursor: Cursor = None) -> Response:
    """List the aliases of a model, by name."""
    check_reference(caller, name)
    versions = await caller.client.models.versions(name)
    aliases = [
        AliasDocument(model=name, alias=alias, version=record.version)
        for record in versions
        for alias in record.aliases
    ]
    return answer(page_of(sorted(aliases, key=lambda each: each.alias), lambda each: (each.alias,), limit, cursor))


@router.get("/{name:path}/history", response_model=Page[ChangeDocument])
async def show_history(
    name: str,
    caller: Reader,
    alias: Annotated[str | None, Query(description="Only the moves of this alias.")] = None,
    limit: Limit = MAX_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """List who moved which alias when, and who deleted which version, oldest first."""
    check_reference(caller, name)
    changes = list(enumerate(await caller.client.models.history(name, alias)))
    page = page_of(changes, lambda change: (change[0],), limit, cursor)
    data = [change_document(change) for _, change in page.data]
    return answer(Page(data=data, has_more=page.has_more, next=page.next))


@router.post("/{reference:path}/promote", response_model=AliasDocument, dependencies=[REPEATABLE])
async def promote_version(reference: str, body: PromoteBody, caller: Writer) -> Response:
    """Point an alias at a version, if a condition is true. Jobs that are submitted already keep their version."""
    check_reference(caller, reference)
    try:
        record = await caller.client.models.promote(reference, body.alias, if_=body.if_)
    except InvalidInput as error:
        raise option_path(error, (), "promote") from None
    return answer(AliasDocument(model=record.model, alias=body.alias, version=record.version))


@router.post("/{reference:path}/rollback", response_model=Rollback)
async def roll_back(
    reference: str,
    caller: Writer,
    body: Annotated[RollbackBody, Body()] = RollbackBody(),  # noqa: B008
) -> Response:
    """Move an alias back to the version that it pointed at before: `digits@staging`, or `digits` for `production`."""
    check_reference(caller, reference)
    return answer(await caller.client.models.rollback(reference, to=body.to, dry_run=body.dry_run))


@router.delete("/{name:path}/aliases/{alias}", response_model=AliasDocument)
async def remove_alias(name: str, alias: str, caller: Writer) -> Response:
    """Remove an alias; the answer has the version that it pointed at. Jobs that are submitted keep their version."""
    check_reference(caller, name)
    record = await caller.client.models.remove_alias(name, alias)
    return answer(AliasDocument(model=record.model, alias=alias, version=record.version))


@router.delete("/{reference:path}", response_model=DeletionDocument)
async def delete_version(
    reference: str,
    caller: Writer,
    force: Annotated[bool, Query(description="Also if other versions were trained from it.")] = False,
    dry_run: Annotated[bool, Query(description="Only answer with what would be deleted.")] = False,
) -> Response:
    """Delete a version, such as `digits:3`. Its number is never used again."""
    check_reference(caller, reference)
    [record] = await caller.client.models.delete(reference, force=force, dry_run=dry_run)
    return answer(deletion_document(record, deleted=not dry_run))


@router.get("/{reference:path}", response_model=ModelVersionDocument)
async def show_version(reference: str, caller: Reader) -> Response:
    """Show a version: `digits:3`, `digits@production`, or `digits` for the newest one."""
    check_reference(caller, reference)
    record = await caller.client.models.get(reference)
    fields = vars(version_document(record))
    document = ModelVersionDocument(**fields, id=reference, created=_seconds(record.created_at), owned_by=OWNER)
    return answer(document)


def _model(record: ModelRecord) -> ModelDocument:
    return ModelDocument(**vars(record), id=record.name, created=_seconds(record.created_at), owned_by=OWNER)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
