"""Models, versions and aliases, as producers see them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from longshore.producers.models.exporting import choose_format, write_export
from longshore.producers.models.importing import SignatureLike, read_import
from longshore.shared.conditions.language import parse
from longshore.shared.errors import InvalidInput, NotPromoted
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.models import NewVersion
from longshore.shared.ledger.records import AliasMove, ModelRecord, VersionRecord
from longshore.shared.references import ModelReference, check_alias, check_name
from longshore.shared.store.store import Store


class ModelsClient:
    """``client.models``."""

    def __init__(self, ledger: Ledger, store: Store, producer: str) -> None:
        self._ledger = ledger
        self._store = store
        self._producer = producer

    def list(self) -> Sequence[ModelRecord]:
        """Every model, by name."""
        return self._ledger.models.names()

    def versions(self, model: str) -> Sequence[VersionRecord]:
        """Every version of a model, oldest first.

        :raises UnknownModel: there is no such model.
        """
        found = self._ledger.models.versions(check_name(model))
        if not found:
            self.get(model)
        return found

    def get(self, reference: str) -> VersionRecord:
        """The version that ``digits``, ``digits:3`` or ``digits@production`` means now.

        :raises UnknownModel: there is none.
        """
        return self._ledger.models.resolve(ModelReference.parse(reference))

    def promote(self, reference: str, alias: str, *, if_: str | None = None) -> VersionRecord:
        """Point an alias at a version; jobs that were submitted before keep theirs.

        :param if_: a condition on what was measured of the version, when it was made or by its newest evaluation, as in
            ``"accuracy >= 0.97 and accuracy >= production"``; see docs/reference/conditions.md.
        :raises UnknownModel: there is no such version.
        :raises InvalidInput: the condition cannot be read; points at the place.
        :raises NotPromoted: the condition is false; the alias stays where it was.
        """
        if if_ is not None:
            parse(if_, "if_")
        version, promotion = self._ledger.models.promote(ModelReference.parse(reference), alias, self._producer, if_)
        if not promotion.promoted:
            raise NotPromoted(f"{version.model}@{promotion.notes[0]}")
        self._store.write_alias_pointer(version.model, alias, version.version)
        return version

    def remove_alias(self, model: str, alias: str) -> VersionRecord:
        """Take an alias away; jobs that were submitted with it keep their version, and its history is kept.

        :returns: the version that it pointed at.
        :raises UnknownModel: there is no such alias.
        """
        version = self._ledger.models.remove_alias(check_name(model), check_alias(alias), self._producer)
        self._store.write_alias_pointer(version.model, alias, None)
        return version

    def history(self, model: str, alias: str) -> Sequence[AliasMove]:
        """Every move of an alias, oldest first; one without a version has taken it away."""
        return self._ledger.models.alias_history(check_name(model), check_alias(alias))

    def delete(self, reference: str) -> VersionRecord:
        """Remove a version; its number is never given out again. Its bytes stay in the store.

        :raises InvalidInput: no version is named, an alias points at it, or jobs that have not ended use it.
        """
        version = self._ledger.models.delete(ModelReference.parse(reference))
        self._store.delete_version_pointer(version.model, version.version)
        return version

    def export(self, reference: str, path: str | os.PathLike[str], format: str | None = None) -> Path:
        """Write a version into a new folder or file.

        :param format: ``folder``: its manifest, with its weights as safetensors, its program as ONNX or JSON, or the
            files of its Hugging Face folder. Of a family's version also ``hdf5``, its parameters; and ``onnx`` and
            ``pt2``, a program from float32 ``(rows, width)`` to logits or values, for which PyTorch must be installed
            here. ``None``: by how the path ends, in ``.onnx``, ``.pt2``, ``.h5`` or ``.hdf5``, or else a folder.
        :raises InvalidInput: the path is there already, or cannot be made; or the version has no such format.
        :raises CorruptBlob: the store's bytes are not what their digest says.
        """
        target = Path(path).expanduser().absolute()
        form = choose_format(target, format)
        version = self.get(reference)
        manifest = self._store.get_manifest(version.digest)
        files = {file: self._store.fetch_blob(blob) for file, blob in manifest.blobs.items()}
        write_export(form, manifest, files, target)
        return target

    def import_(
        self,
        path: str | os.PathLike[str],
        name: str,
        alias: str | None = None,
        *,
        signature: SignatureLike | None = None,
    ) -> VersionRecord:
        """Make a version of a folder or an HDF5 file that :meth:`export` wrote, here or elsewhere, of a Hugging Face
        folder that classifies or embeds texts, or of an ONNX file or a program of ``torch.export``.

        Nothing in it is executed. A Hugging Face folder holds a ``config.json`` of a built-in encoder, its weights as
        safetensors, and a ``tokenizer.json``; for embeddings also what sentence-transformers writes. An ONNX file has
        all its tensors in itself, one input and one output, both float32, and rows as their first dimension. For
        classification and multilabel it puts out logits, one for each label.

        A ``.pt2`` file, as ``torch.export.save`` writes it, has the same ends; it is neither unpickled nor evaluated.

        :param signature: of an ONNX or ``.pt2`` file: what it takes and gives, as a Signature, a mapping, or a JSON
            file.
        :raises InvalidInput: it is none of these, or does not go with its manifest or signature; names the file.
        """
        check_name(name, "name")
        if alias is not None:
            check_alias(alias)
        imported = read_import(Path(path).expanduser().absolute(), signature)
        manifest = imported.manifest
        try:
            for file, blob in manifest.blobs.items():
                stored = self._store.put_blob(imported.files[file])
                if stored != blob:
                    raise InvalidInput("path", f"{imported.files[file]} is not what its manifest says: {stored.digest}")
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
        return self._ledger.models.resolve(ModelReference(name, version))
