"""Content-addressed bytes: ``blobs/sha256/<first two digits>/<digest>``."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from longshore.shared.errors import CorruptBlob, DataError, InvalidInput, ServiceUnavailable
from longshore.shared.store.folder import BLOCK, Folder
from longshore.shared.store.manifest import Blob, check_digest, digest_of

_ROOT = "blobs/sha256"
_NAME = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """Puts and fetches blobs. What is handed out was checked against its digest.

    :param cache: where blobs of a remote store are kept on this machine; a local store needs none.
    """

    def __init__(self, folder: Folder, cache: Path) -> None:
        self._folder = folder
        self._cache = cache

    def put(self, source: bytes | Path) -> Blob:
        """Keep some bytes, or a file's. What is there already is not written again, unless it is damaged.

        :raises InvalidInput: the file cannot be read. :raises DataError: it changes while it is read.
        """
        blob = describe(source)
        # First, so that a sweep at the same time either leaves the blob or has removed it before it is looked for.
        fresh = self._folder.refresh(blob_path(blob.digest))
        if not (fresh and self._holds(blob)):
            self._folder.write(blob_path(blob.digest), _unchanged(source, blob))
        return blob

    def old(self, before: datetime) -> Iterator[Blob]:
        """The blobs that were put last before a moment, by digest."""
        for start in self._folder.names(_ROOT):
            for name in self._folder.names(f"{_ROOT}/{start}"):
                path = f"{_ROOT}/{start}/{name}"
                if not _NAME.fullmatch(name) or not name.startswith(start):
                    continue  # other files may lie here, too
                moment, size = self._folder.modified(path), self._folder.size(path)
                if moment is not None and size is not None and moment < before:
                    yield Blob(digest=f"sha256:{name}", size=size)

    def delete_old(self, digest: str, before: datetime) -> bool:
        """Remove a blob, unless it was put since; returns whether it was removed."""
        return self._folder.delete_old(blob_path(digest), before)

    def read(self, digest: str) -> bytes:
        """All the bytes of a blob.

        :raises CorruptBlob: there is no such blob, or it is damaged. :raises InvalidInput: ``digest`` is none.
        """
        path = blob_path(digest)
        try:
            content = self._folder.read(path)
        except FileNotFoundError:
            raise self._corrupt(digest, "missing") from None
        if digest_of(content) != digest:
            raise self._corrupt(digest, f"damaged (its {len(content)} bytes have another digest)")
        return content

    def fetch(self, blob: Blob) -> Path:
        """A file on this machine that holds the blob: the store's own, or a copy in the cache. Do not change it.

        :raises CorruptBlob: there is no such blob, or it is damaged.
        """
        relative = blob_path(blob.digest)
        if self._folder.path is not None:
            for _ in self._checked(blob):
                pass
            return self._folder.path / relative
        place = self._cache / relative
        if not _is_intact(place, blob):
            self._download(blob, place)
        return place

    def _download(self, blob: Blob, place: Path) -> None:
        # Several workers may fetch one blob at once: each writes its own file, and the last rename changes nothing.
        temporary = place.with_name(f".{place.name}.{uuid.uuid4().hex}")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("xb") as target:
                    for block in self._checked(blob):
                        target.write(block)
                temporary.replace(place)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise ServiceUnavailable(
                f"blob cache {self._cache}: cannot keep {blob.digest}: {error.strerror or error}; "
                "make room, or give another folder"
            ) from error

    def _checked(self, blob: Blob) -> Iterator[bytes]:
        """The blocks of a blob, and CorruptBlob at the end if they are not what its digest says."""
        hasher, size = hashlib.sha256(), 0
        try:
            for block in self._folder.blocks(blob_path(blob.digest)):
                hasher.update(block)
                size += len(block)
                yield block
        except FileNotFoundError:
            raise self._corrupt(blob.digest, "missing") from None
        if f"sha256:{hasher.hexdigest()}" != blob.digest or size != blob.size:
            raise self._corrupt(blob.digest, f"damaged (it has {size} bytes of {blob.size}, or other ones)")

    def _holds(self, blob: Blob) -> bool:
        """Whether the blob is there. A remote one is trusted by its size: to look closer would be to download it."""
        if self._folder.path is not None:
            return _is_intact(self._folder.path / blob_path(blob.digest), blob)
        return self._folder.size(blob_path(blob.digest)) == blob.size

    def _corrupt(self, digest: str, what: str) -> CorruptBlob:
        return CorruptBlob(f"{digest} in store {self._folder.name} is {what}: {blob_path(digest)}")


def blob_path(digest: str) -> str:
    """:raises InvalidInput: ``digest`` is none, and so must not become part of a path."""
    try:
        hexadecimal = check_digest(digest).removeprefix("sha256:")
    except ValueError as error:
        raise InvalidInput("digest", str(error)) from None
    return f"{_ROOT}/{hexadecimal[:2]}/{hexadecimal}"


def describe(source: bytes | Path) -> Blob:
    """The blob that some bytes, or a file's, would be.

    :raises InvalidInput: the file cannot be read.
    """
    if isinstance(source, bytes):
        return Blob(digest=digest_of(source), size=len(source))
    try:
        with source.open("rb") as file:
            return Blob(digest=f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}", size=file.tell())
    except OSError as error:
        raise InvalidInput("path", f"cannot read {source}: {error.strerror or error}") from None


def _unchanged(source: bytes | Path, blob: Blob) -> Iterator[bytes]:
    """The bytes of a blob that is being put, and an error at the end if they are not what was described."""
    if isinstance(source, bytes):
        yield source
        return
    hasher = hashlib.sha256()
    try:
        with source.open("rb") as file:
            while block := file.read(BLOCK):
                hasher.update(block)
                yield block
    except OSError as error:
        raise DataError(f"cannot read {source}: {error.strerror or error}") from error
    if f"sha256:{hasher.hexdigest()}" != blob.digest:
        raise DataError(f"{source} was changed while it was put into the store; put it again")


def _is_intact(path: Path, blob: Blob) -> bool:
    try:
        if path.stat().st_size != blob.size:
            return False
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" == blob.digest
    except OSError:  # not there, or unreadable: the write or the download that follows says why it cannot be mended
        return False
