"""The model store: manifests, blobs and pointers at one address."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from longshore.shared.store.blobs import Blobs
from longshore.shared.store.folder import open_folder
from longshore.shared.store.manifest import Blob, Manifest
from longshore.shared.store.pointers import AliasPointer, Pointers


class Store:
    """Versions and large input blocks, in a folder or behind an fsspec URL.

    Nothing is touched before the first call. Every method raises ServiceUnavailable when the store cannot be reached
    or refuses. Instances may be shared between threads.

    :param url: a path, or a URL such as ``s3://bucket/models``.
    :param cache: where copies of a remote store's blobs are kept; the user's cache folder by default.
    :raises InvalidInput: the URL is of a kind that cannot be used here; names ``store``.
    """

    def __init__(self, url: str, cache: Path | None = None) -> None:
        self._folder = open_folder(url)
        self._blobs = Blobs(self._folder, cache or _default_cache())
        self._pointers = Pointers(self._folder)

    @property
    def name(self) -> str:
        """The address, fit to be shown: no user, no password."""
        return self._folder.name

    def __repr__(self) -> str:
        return f"Store({self.name!r})"

    def put_blob(self, source: bytes | Path) -> Blob:
        """Keep some bytes, or a file's; a second put of the same bytes changes nothing.

        :raises InvalidInput: the file cannot be read. :raises DataError: it changes while it is read.
        """
        return self._blobs.put(source)

    def read_blob(self, digest: str) -> bytes:
        """All the bytes of a blob, checked against its digest.

        :raises CorruptBlob: there is no such blob, or it is damaged. :raises InvalidInput: ``digest`` is none.
        """
        return self._blobs.read(digest)

    def fetch_blob(self, blob: Blob) -> Path:
        """A file on this machine that holds the blob, checked against its digest. Do not change it.

        :raises CorruptBlob: there is no such blob, or it is damaged.
        """
        return self._blobs.fetch(blob)

    def old_blobs(self, before: datetime) -> Iterator[Blob]:
        """The blobs that were put last before a moment, by digest. Those whose age cannot be told are left out."""
        return self._blobs.old(before)

    def delete_old_blob(self, digest: str, before: datetime) -> bool:
        """Remove a blob that nothing names, unless it was put since ``before``; returns whether it was removed.

        Whether something names it is for the caller to know: see :mod:`longshore.shared.store_gc`.
        """
        return self._blobs.delete_old(digest, before)

    def put_manifest(self, manifest: Manifest) -> str:
        """Keep a manifest and return the version's digest. Put the blobs it names first."""
        return self._blobs.put(manifest.canonical()).digest

    def get_manifest(self, digest: str) -> Manifest:
        """:raises CorruptBlob: it is missing or damaged. :raises InvalidInput: a newer Longshore wrote it."""
        return Manifest.parse(self._blobs.read(digest))

    def write_version_pointer(self, name: str, version: int, digest: str, created_at: str | None = None) -> None:
        """Say what ``name:version`` is. To say it again changes nothing.

        :param created_at: ISO 8601, UTC; now by default.
        :raises InvalidInput: the store says that it is something else.
        """
        self._pointers.write_version(name, version, digest, created_at)

    def delete_version_pointer(self, name: str, version: int) -> None:
        """Forget what ``name:version`` is. Its blobs stay: other versions may share them."""
        self._pointers.delete_version(name, version)

    def write_alias_pointer(self, name: str, alias: str, version: int | None, at: str | None = None) -> AliasPointer:
        """Say where ``name@alias`` points since ``at`` (ISO 8601, UTC; now by default), and keep where it pointed.

        :param version: ``None`` takes the alias away.
        """
        return self._pointers.write_alias(name, alias, version, at)

    def list_versions(self) -> Iterator[tuple[str, int, str]]:
        """Name, number and manifest digest of every version, by name and number."""
        return ((name, version, pointer.digest) for name, version, pointer in self._pointers.versions())

    def list_aliases(self) -> Iterator[tuple[str, str, AliasPointer]]:
        """Name, alias and pointer (version, history) of every alias, by name and alias."""
        return self._pointers.aliases()


def _default_cache() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("longshore"))
