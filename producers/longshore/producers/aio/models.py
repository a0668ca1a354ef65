"""Models, versions and aliases, as a coroutine uses them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from longshore.producers.aio.threads import Threads
from longshore.producers.models.client import ModelsClient
from longshore.producers.models.importing import GenerationSettingsLike, SignatureLike
from longshore.shared.ledger.models.rollback import Rollback
from longshore.shared.ledger.records import ModelChange, ModelRecord, VersionRecord
from longshore.shared.specs.signature import OutputKind


class AsyncModels:
    """The models of a cluster: :class:`~longshore.producers.models.client.ModelsClient` for asyncio, whose methods are
    described there.
    """

    def __init__(self, models: ModelsClient, threads: Threads) -> None:
        self._models = models
        self._threads = threads

    async def list(self) -> Sequence[ModelRecord]:
        """See :meth:`ModelsClient.list`."""
        return await self._threads.call(self._models.list)

    async def versions(self, model: str) -> Sequence[VersionRecord]:
        """See :meth:`ModelsClient.versions`."""
        return await self._threads.call(self._models.versions, model)

    async def get(self, reference: str) -> VersionRecord:
        """See :meth:`ModelsClient.get`."""
        return await self._threads.call(self._models.get, reference)

    async def promote(self, reference: str, alias: str, *, if_: str | None = None) -> VersionRecord:
        """See :meth:`ModelsClient.promote`."""
        return await self._threads.call(self._models.promote, reference, alias, if_=if_)

    async def remove_alias(self, model: str, alias: str) -> VersionRecord:
        """See :meth:`ModelsClient.remove_alias`."""
        return await self._threads.call(self._models.remove_alias, model, alias)

    async def history(self, model: str, alias: str | None = None) -> Sequence[ModelChange]:
        """See :meth:`ModelsClient.history`."""
        return await self._threads.call(self._models.history, model, alias)

    async def rollback(self, reference: str, *, to: int | None = None, dry_run: bool = False) -> Rollback:
        """See :meth:`ModelsClient.rollback`."""
        return await self._threads.call(self._models.rollback, reference, to=to, dry_run=dry_run)

    async def delete(self, *references: str, force: bool = False, dry_run: bool = False) -> Sequence[VersionRecord]:
        """See :meth:`ModelsClient.delete`."""
        return await self._threads.call(self._models.delete, *references, force=force, dry_run=dry_run)

    async def export(
        self, reference: str, path: str | os.PathLike[str], format: str | None = None, *, merged: bool = False
    ) -> Path:
        """See :meth:`ModelsClient.export`."""
        return await self._threads.call(self._models.export, reference, path, format, merged=merged)

    async def import_(
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
    ) -> VersionRecord:
        """See :meth:`ModelsClient.import_`."""
        return await self._threads.call(
            self._models.import_,
            path,
            name,
            alias,
            signature=signature,
            base=base,
            output=output,
            output_kind=output_kind,
            generation=generation,
        )
