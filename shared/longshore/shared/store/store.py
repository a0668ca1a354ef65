"""The model store: manifests, blobs and pointers at one address."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from longshore.shared.store.blobs import Advance, Blobs, BlobWriter, StoredFile, ignore_progress, stored_file
from longshore.shared.store.manifest import Blob, Manifest
from longshore.shared.store.open import open_folder
from longshore.shared.store.pointers import AliasPointer, Pointers
from longshore.shared.store.presence import StorePresence


class Store:
    """Model versions and large input blocks, in a folder or behind an fsspec URL.

    The constructor reads and writes nothing. Every method raises ServiceUnavailable if the store cannot be reached or
    rejects the request. Instances may be shared between threads.

    :param url: a path, or a URL such as ``s3://bucket/models``.
    :param cache: folder for local copies of a remote store's blobs. Default: the user's cache folder.
    :param expected: whether the store must exist already; called only if it seems to be empty. If it must, an empty
        folder is an outage, such as a file server that is not mounted, and no new store. Default: it need not.
    :raises InvalidInput: the URL is empty, or its scheme cannot be used here; names ``store``.
    """

    def __init__(self, url: str, cache: Path | None = None, expected: Callable[[], bool] = lambda: False) -> None:
        self._folder = open_folder(url)
        presence = StorePresence(self._folder, expected)
        self._blobs = Blobs(self._folder, cache or _default_cache(), presence)
        self._pointers = Pointers(self._folder, presence)

    @property
    def name(self) -> str:
        """The address without user and password, safe to display."""
        return self._folder.name

    def __repr__(self) -> str:
        return f"Store({self.name!r})"

    def put_blob(self, source: bytes | Path, known: Blob | None = None, advance: Advance = ignore_progress) -> Blob:
        """Store bytes, or the content of a file. Storing the same bytes again changes nothing.

        :param known: what :func:`~longshore.shared.store.blobs.describe` returned for it. Default: it is called.
        :param advance: called with the number of bytes that have been stored since the last call.
        :raises InvalidInput: the file cannot be read.
        :raises DataError: the file changes while it is read.
        """
        return self._blobs.put(source, known, advance)

    def new_blob(self) -> BlobWriter:
        """Begin a blob whose bytes come one after the other, such as those of an upload. Commit or discard it."""
        return self._blobs.create()

    def blob_blocks(self, blob: Blob, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes of a blob from ``start`` to before ``stop``, in blocks. The whole of a blob is checked meanwhile.

        :param stop: Default: its end.
        :raises CorruptBlob: the blob is missing, or at the end of the whole of it, damaged.
        """
        return self._blobs.blocks(blob, start, blob.size if stop is None else stop)

    def read_blob(self, digest: str) -> bytes:
        """The whole content of a blob, checked against its digest.

        :raises CorruptBlob: the blob is missing or damaged.
        :raises InvalidInput: ``digest`` is not a valid digest.
        """
        return self._blobs.read(digest)

    def fetch_blob(self, blob: Blob) -> Path:
        """A file on this machine with the blob's content, checked against its digest. Do not modify the file.

        :raises CorruptBlob: the blob is missing or damaged.
        """
        return self._blobs.fetch(blob)

    def read_beginning(self, blob: Blob, nbytes: int) -> bytes:
        """The first bytes of a blob, all of them if it is shorter. Not checked against the digest.

        :raises CorruptBlob: the blob is missing.
        """
        return self._blobs.read_beginning(blob, nbytes)

    def refresh_blob(self, blob: Blob) -> None:
        """Count a blob as stored now, because a new version is about to refer to it.

        :raises CorruptBlob: the blob is missing.
        """
        self._blobs.refresh(blob)

    def old_blobs(self, before: datetime) -> Iterator[Blob]:
        """The blobs that were last stored before a point in time, ordered by digest; without those of unknown age."""
        return self._blobs.old(before)

    def delete_old_blob(self, digest: str, before: datetime) -> bool:
        """Remove an unreferenced blob, unless it was stored again since ``before``. Returns whether it was removed.

        The caller must know that nothing refers to the blob: see :mod:`longshore.shared.store_gc`.
        """
        return self._blobs.delete_old(digest, before)

    def files(self) -> Iterator[StoredFile]:
        """Every file in the store, in no order: blobs, pointers, and files that are being written or were left."""
        return (stored_file(path, size) for path, size in self._folder.files())

    def old_temporary_files(self, before: datetime) -> Iterator[StoredFile]:
        """Files that were being written when a process ended, and that were last written before a point in time."""
        for file in self.files():
            if file.is_temporary:
                modified = self._folder.modified(file.path)
                if modified is not None and modified < before:
                    yield file

    def delete_old_file(self, path: str, before: datetime) -> bool:
        """Remove a file, unless it was written since ``before``. Returns whether it was removed."""
        return self._folder.delete_old(path, before)

    def put_manifest(self, manifest: Manifest) -> str:
        """Store a manifest and return the version's digest. Store the blobs that it refers to first."""
        return self._blobs.put(manifest.canonical()).digest

    def get_manifest(self, digest: str) -> Manifest:
        """The manifest with a digest.

        :raises CorruptBlob: the manifest is missing or damaged.
        :raises InvalidInput: a newer release of Longshore wrote it.
        """
        return Manifest.parse(self._blobs.read(digest))

    def write_version_pointer(self, name: str, version: int, digest: str, created_at: str | None = None) -> None:
        """Set the manifest digest of ``name:version``. Setting the same digest again changes nothing.

        :param created_at: ISO 8601, UTC. Default: now.
        :raises InvalidInput: ``name`` is not a valid model name.
        """
        self._pointers.write_version(name, version, digest, created_at)

    def delete_version_pointer(self, name: str, version: int) -> None:
        """Remove the pointer of ``name:version``. Its blobs stay, because other versions may share them."""
        self._pointers.delete_version(name, version)

    def write_alias_pointer(self, name: str, alias: str, version: int | None, at: str | None = None) -> AliasPointer:
        """Point ``name@alias`` at a version, and add the change to the alias's history.

        :param version: the version number; ``None`` removes the alias.
        :param at: when the alias was set, ISO 8601, UTC. Default: now.
        """
        return self._pointers.write_alias(name, alias, version, at)

    def list_versions(self) -> Iterator[tuple[str, int, str]]:
        """Name, number and manifest digest of every version, ordered by name and number."""
        return ((name, version, pointer.digest) for name, version, pointer in self._pointers.versions())

    def list_aliases(self) -> Iterator[tuple[str, str, AliasPointer]]:
        """Name, alias and pointer (version, history) of every alias, ordered by name and alias."""
        return self._pointers.aliases()


def _default_cache() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("longshore"))
