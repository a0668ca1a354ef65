"""Models, versions and aliases, over HTTP."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pydantic import TypeAdapter

from longshore.producers.http.connection import GatewayConnection, segment
from longshore.producers.http.records import (
    deletion,
    model_change,
    model_record,
    version_of_alias,
    version_record,
)
from longshore.producers.models.client import ModelsClient
from longshore.producers.models.import_progress import ShowProgress
from longshore.producers.models.importing import GenerationSettingsLike, SignatureLike
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.models.rollback import Rollback
from longshore.shared.ledger.records import ModelChange, ModelRecord, VersionRecord
from longshore.shared.references import ModelReference, check_alias, check_name
from longshore.shared.specs.signature import OutputKind

_ROLLBACK = TypeAdapter(Rollback)


class HttpModels(ModelsClient):
    """The models of a cluster: ``client.models``. Each method is described at :class:`ModelsClient`."""

    def __init__(self, connection: GatewayConnection) -> None:
        self._connection = connection

    def list(self) -> Sequence[ModelRecord]:
        """See :meth:`ModelsClient.list`. Only the models that the token may use."""
        return [model_record(each) for each in self._connection.items("/models")]

    def versions(self, model: str) -> Sequence[VersionRecord]:
        """See :meth:`ModelsClient.versions`."""
        path = f"/models/{segment(check_name(model))}/versions"
        return [version_record(each) for each in self._connection.items(path)]

    def get(self, reference: str) -> VersionRecord:
        """See :meth:`ModelsClient.get`."""
        return version_record(self._connection.get(f"/models/{_checked(reference)}"))

    def promote(self, reference: str, alias: str, *, if_: str | None = None) -> VersionRecord:
        """See :meth:`ModelsClient.promote`."""
        path = f"/models/{_checked(reference)}/promote"
        return self.get(version_of_alias(self._connection.post(path, {"alias": alias, "if": if_})))

    def remove_alias(self, model: str, alias: str) -> VersionRecord:
        """See :meth:`ModelsClient.remove_alias`."""
        path = f"/models/{segment(check_name(model))}/aliases/{segment(check_alias(alias))}"
        return self.get(version_of_alias(self._connection.delete(path)))

    def history(self, model: str, alias: str | None = None) -> Sequence[ModelChange]:
        """See :meth:`ModelsClient.history`."""
        path = f"/models/{segment(check_name(model))}/history"
        return [model_change(each) for each in self._connection.items(path, {"alias": alias})]

    def rollback(self, reference: str, *, to: int | None = None, dry_run: bool = False) -> Rollback:
        """See :meth:`ModelsClient.rollback`."""
        path = f"/models/{_checked(reference)}/rollback"
        return _ROLLBACK.validate_python(self._connection.post(path, {"to": to, "dry_run": dry_run}))

    def delete(self, *references: str, force: bool = False, dry_run: bool = False) -> Sequence[VersionRecord]:
        """See :meth:`ModelsClient.delete`. One version a call: the gateway deletes no several of them together.

        :raises InvalidInput: there are several references.
        """
        if len(references) > 1:
            raise InvalidInput("references", "the gateway deletes one version a call; call again for each of them")
        return [self._delete(reference, force, dry_run) for reference in references]

    def export(
        self, reference: str, path: str | os.PathLike[str], format: str | None = None, *, merged: bool = False
    ) -> Path:
        """:raises InvalidInput: always; the gateway sends no files of models."""
        refuse("export")

    def import_(
        self,
        path: str | os.PathLike[str],
        name: str,
        alias: str | None = None,
        *,
        signature: SignatureLike | None = None,
        base: str | None = None,
        output: str | None = None,
        output_kind: OutputKind | None = None,
        generation: GenerationSettingsLike | None = None,
        progress: ShowProgress | None = None,
    ) -> VersionRecord:
        """:raises InvalidInput: always; the gateway takes no files of models."""
        refuse("import_")

    def _delete(self, reference: str, force: bool, dry_run: bool) -> VersionRecord:
        path = f"/models/{_checked(reference)}"
        before = version_record(self._connection.get(path))
        done = deletion(self._connection.delete(path, {"force": force, "dry_run": dry_run}))
        return VersionRecord(
            model=done.model,
            version=done.version,
            digest=done.digest,
            manifest=before.manifest,
            job_id=before.job_id,
            created_at=before.created_at,
            aliases=before.aliases,
            size_bytes=done.size_bytes,
            shared_bytes=done.shared_bytes,
        )


def refuse(method: str) -> NoReturn:
    """:raises InvalidInput: always; a method cannot work over HTTP."""
    raise InvalidInput(
        method, "not over HTTP; call it, or the command of this name, where Redis, Postgres and the store are reached"
    )


def _checked(reference: str) -> str:
    """A reference as a part of a path.

    :raises InvalidInput: it is not valid.
    """
    ModelReference.parse(reference)
    return segment(reference)
