"""Models, versions and aliases, as producers use them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from longshore.producers.models.adapter_importing import read_adapter_import
from longshore.producers.models.exporting import choose_format, needed_blobs, write_export
from longshore.producers.models.import_progress import ShowProgress, StepProgress
from longshore.producers.models.importing import (
    GenerationSettingsLike,
    SignatureLike,
    check_no_options,
    read_import,
)
from longshore.producers.planning.conditions import check_condition
from longshore.shared.errors import InvalidInput, NotPromoted
from longshore.shared.fault_point import fault_point
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.models.registry import NewVersion
from longshore.shared.ledger.models.rollback import Rollback
from longshore.shared.ledger.records import ModelChange, ModelRecord, VersionRecord
from longshore.shared.outages import outages_reported
from longshore.shared.references import ModelReference, check_alias, check_name
from longshore.shared.specs.signature import OutputKind
from longshore.shared.store.store import Store

#: The alias that a rollback moves, if none is named.
DEFAULT_ALIAS: Final = "production"


class ModelsClient:
    """The models of a cluster: ``client.models``."""

    def __init__(self, ledger: Ledger, store: Store, producer: str) -> None:
        self._ledger = ledger
        self._store = store
        self._producer = producer

    def list(self) -> Sequence[ModelRecord]:
        """All models, ordered by name.

        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        return self._ledger.models.names()

    def versions(self, model: str) -> Sequence[VersionRecord]:
        """All versions of a model, oldest first.

        :raises UnknownModel: there is no such model.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        versions = self._ledger.models.versions(check_name(model))
        if not versions:
            self.get(model)
        return versions

    def get(self, reference: str) -> VersionRecord:
        """The version that a reference currently resolves to: ``digits``, ``digits:3`` or ``digits@production``.

        :raises UnknownModel: there is no such version.
        :raises InvalidInput: the reference is not valid.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        return self._ledger.models.get(ModelReference.parse(reference))

    def promote(self, reference: str, alias: str, *, if_: str | None = None) -> VersionRecord:
        """Point an alias at a version. Jobs that are already submitted keep their version.

        :param if_: a condition on the metrics of the version, from its training or its newest evaluation, such as
            ``"accuracy >= 0.97 and accuracy >= production"``; see docs/reference/conditions.md.
        :raises UnknownModel: there is no such version.
        :raises InvalidInput: the condition is not valid; the message shows the position.
        :raises NotPromoted: the condition is false; the alias is unchanged.
        :raises ServiceUnavailable: Postgres or the store cannot be reached.
        """
        if if_ is not None:
            check_condition(if_, "if_")
        version, promotion = self._ledger.models.promote(ModelReference.parse(reference), alias, self._producer, if_)
        if not promotion.promoted:
            raise NotPromoted(f"{version.model}@{promotion.notes[0]}")
        self._store.write_alias_pointer(version.model, alias, version.version)
        return version

    def remove_alias(self, model: str, alias: str) -> VersionRecord:
        """Remove an alias. Jobs that are already submitted keep their version, and the history of the alias remains.

        :returns: the version that the alias pointed at.
        :raises UnknownModel: there is no such alias.
        :raises InvalidInput: a name is not valid.
        :raises ServiceUnavailable: Postgres or the store cannot be reached.
        """
        version = self._ledger.models.remove_alias(check_name(model), check_alias(alias), self._producer)
        self._store.write_alias_pointer(version.model, alias, None)
        return version

    def history(self, model: str, alias: str | None = None) -> Sequence[ModelChange]:
        """Who moved which alias when, by which job or by hand, and who deleted which version, oldest first.

        :param alias: only the moves of this alias. Default: all aliases, and deletions.
        :raises UnknownModel: there has never been such a model; only without ``alias``.
        :raises InvalidInput: a name is not valid.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        if alias is not None:
            return self._ledger.models.alias_history(check_name(model), check_alias(alias))
        changes = self._ledger.models.history(check_name(model))
        if not changes:
            self.get(model)
        return changes

    def rollback(self, reference: str, *, to: int | None = None, dry_run: bool = False) -> Rollback:
        """Move an alias back to the version that it pointed at before. Jobs that are already submitted keep theirs.

        As with ``helm rollback`` and ``kubectl rollout undo``, a second rollback undoes the first; ``to`` goes further
        back.

        :param reference: ``digits@production``, or ``digits`` for its alias ``production``.
        :param to: the version to go back to; the alias must have pointed at it before.
        :param dry_run: only return what would be done. Default: false.
        :raises UnknownModel: there is no such alias.
        :raises InvalidInput: there is no earlier version, or it was deleted.
        :raises AliasMoved: somebody else moved the alias in the same moment; it was not changed by this call.
        :raises ServiceUnavailable: Postgres or the store cannot be reached.
        """
        named = ModelReference.parse(reference)
        if named.version is not None:
            raise InvalidInput(
                "model",
                f"{reference!r}: name the alias to move back, as in {named.name}@production; `to` is the version",
            )
        alias = named.alias or DEFAULT_ALIAS
        rollback = self._ledger.models.roll_back(named.name, alias, self._producer, to=to, dry_run=dry_run)
        if not dry_run:
            self._store.write_alias_pointer(named.name, alias, rollback.version)
        return rollback

    def delete(self, *references: str, force: bool = False, dry_run: bool = False) -> Sequence[VersionRecord]:
        """Delete versions: all of them, or none. Their numbers are never reused.

        Their files stay in the store until :meth:`Client.clean` or :meth:`Client.sweep_store` removes those that no
        other version has. The results of their jobs stay, and so does their lineage, in the history.

        :param references: such as ``digits:3``.
        :param force: also versions from which others were trained, which do not need them. Default: false.
        :param dry_run: only check, and return the versions with their sizes. Default: false.
        :raises UnknownModel: there is no such version.
        :raises InvalidInput: a reference names no version.
        :raises VersionInUse: an alias points at one of them, jobs that have not ended use it, or others were trained
            from it. The message names each, and what to do.
        :raises ServiceUnavailable: Postgres or the store cannot be reached.
        """
        parsed = [ModelReference.parse(reference) for reference in references]
        versions = self._ledger.models.delete(parsed, self._producer, force=force, dry_run=dry_run)
        fault_point("models:deleted")
        if not dry_run:
            for version in versions:
                self._store.delete_version_pointer(version.model, version.version)
        return versions

    def export(
        self, reference: str, path: str | os.PathLike[str], format: str | None = None, *, merged: bool = False
    ) -> Path:
        """Export a version to a new folder or file.

        :param format: ``folder`` for the manifest with the weights as safetensors, the program as ONNX or JSON, or the
            files of the Hugging Face folder. A version of a family can also be exported as ``hdf5``, its parameters,
            and as ``onnx`` or ``pt2``, a program from float32 ``(rows, width)`` to logits or values, or from the
            columns of a table that the version preprocesses. These two need PyTorch on this machine. ``None`` chooses
            by the suffix of the path: ``.onnx``, ``.pt2``, ``.h5`` or ``.hdf5``; otherwise a folder. A version with an
            adapter is exported as ``adapter`` by default: a folder with the adapter alone, as the library peft reads
            it. Its ``folder`` also has the files of the base.
        :param merged: only for a version with an adapter: write the folder of a Hugging Face model whose weights
            contain the adapter, in the type of the base's weights. Default: false.
        :returns: the absolute path.
        :raises InvalidInput: the path already exists or cannot be created, or the version cannot be exported in this
            format.
        :raises CorruptBlob: a blob in the store does not match its digest.
        :raises UnknownModel: there is no such version.
        :raises ServiceUnavailable: Postgres or the store cannot be reached.
        """
        target = Path(path).expanduser().absolute()
        version = self.get(reference)
        manifest = self._store.get_manifest(version.digest)
        export_format = choose_format(target, format, manifest, merged=merged)
        files = {file: self._store.fetch_blob(blob) for file, blob in needed_blobs(export_format, manifest).items()}
        write_export(export_format, manifest, files, target)
        return target

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
        """Import a version from a folder or an HDF5 file that :meth:`export` wrote, on any cluster; from a Hugging Face
        folder that classifies, embeds or generates texts; or from an ONNX file or a ``.pt2`` program of
        ``torch.export``.

        Nothing in the file is executed. A Hugging Face folder needs the ``config.json`` of a built-in network, its
        weights as safetensors and a ``tokenizer.json``; for embeddings also the files of sentence-transformers.

        The first dimension of the inputs and of the output of an ONNX file is the rows. Its only input takes all
        features; if it has several, each takes the features that have its name or name it as their ``input``. For
        classification and multilabel the output has one number for each label. Files beside it in which it stores
        tensors are imported with it.

        A ``.pt2`` file is one that ``torch.export.save`` wrote, with one input and one output. It is neither unpickled
        nor evaluated.

        With ``base``, the path is the folder of a LoRA adapter, as the library peft writes it. The new version has the
        files of the base, which are not stored again, and the adapter. Other files of the folder are ignored: the
        version has the tokenizer and the chat template of its base.

        :param name: the model that gets the new version.
        :param alias: an alias to point at the new version.
        :param signature: the inputs and outputs of an ONNX or ``.pt2`` file, as a Signature, a mapping, or the path of
            a JSON file. Required for these, and not allowed for anything else. The types of the features, and the
            labels of a classifier of scikit-learn, are taken from the program.
        :param base: the version of a language model that the adapter was made for, such as ``chat:1``.
        :param output: the output to use of an ONNX file with several. Default: the only one that fits the signature.
        :param output_kind: what the outputs are: ``logits``, ``probabilities`` or ``scores``, of which none are made.
            Default: what can be detected, otherwise logits; ``job.notes`` says if trial rows disagree.
        :param generation: only for the folder of a language model: how engines run it, such as
            ``{"max_model_len": 4096}``. The keys are those of
            :class:`~longshore.shared.specs.generation_settings.GenerationSettings`. Default: the engine's choice.
        :param progress: called after each block of a file that is read or stored, with an
            :class:`~longshore.producers.models.import_progress.ImportProgress`: files of language models are large. An
            import that was interrupted can be repeated: files that the store has are not copied again.
        :raises InvalidInput: the path is none of these, or does not match its manifest or signature; the message names
            the file.
        :raises ServiceUnavailable: a file system cannot be reached at the moment.
        """
        check_name(name, "name")
        if alias is not None:
            check_alias(alias)
        with outages_reported():
            source = Path(path).expanduser().absolute()
            if base is None:
                imported = read_import(
                    source,
                    signature,
                    output=output,
                    output_kind=output_kind,
                    generation=generation,
                    progress=progress,
                )
            else:
                options = {"signature": signature, "output": output, "output_kind": output_kind}
                check_no_options({**options, "generation": generation}, source)
                imported = read_adapter_import(source, self.get(base), self._store)
        manifest = imported.manifest
        storing = StepProgress(progress, "store", sum(blob.size for blob in manifest.blobs.values()))
        try:
            for file, blob in manifest.blobs.items():
                if file not in imported.files:  # the base has it
                    self._store.refresh_blob(blob)
                    storing.of(file)(blob.size)
                    continue
                known = blob if imported.described else None
                stored = self._store.put_blob(imported.files[file], known, storing.of(file))
                if stored != blob:
                    raise InvalidInput(
                        "path", f"{imported.files[file]} does not match its manifest: its digest is {stored.digest}"
                    )
        finally:
            imported.close()
        digest = self._store.put_manifest(manifest)
        new = NewVersion(
            model=name, digest=digest, manifest=manifest.model_dump(mode="json"), alias=alias, set_by=self._producer
        )

        def write_pointers(version: int) -> None:
            self._store.write_version_pointer(name, version, digest)
            if alias is not None:
                self._store.write_alias_pointer(name, alias, version)

        version = self._ledger.models.add(new, write_pointers)
        return self._ledger.models.get(ModelReference(name, version))
