"""Content-addressed bytes: ``blobs/sha256/<first two digits>/<digest>``."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from longshore.shared.errors import DataError, InvalidInput, MissingBlob, ServiceUnavailable
from longshore.shared.outages import is_outage
from longshore.shared.store.folder import BLOCK_BYTES, TEMPORARY_FOLDER, Folder, NewFile
from longshore.shared.store.manifest import Blob, check_digest, digest_of
from longshore.shared.store.presence import MARKER, StorePresence

_ROOT = "blobs/sha256"
_NAME = re.compile(r"[0-9a-f]{64}")
#: The paths under which a local and a remote folder write files. A store can be in a folder with files of others: no
#: more than these may count as abandoned.
_TEMPORARY = re.compile(
    rf"{TEMPORARY_FOLDER}/[0-9a-f]{{32}}|((blobs|models)/.+|{re.escape(MARKER)})\.[0-9a-f]{{32}}\.tmp"
)
#: Called with a number of bytes that have been read or stored.
Advance: TypeAlias = Callable[[int], None]


def ignore_progress(count: int) -> None:
    """Nobody watches."""


class Blobs:
    """Stores and fetches blobs. Every blob that is returned has been checked against its digest.

    :param cache: folder on this machine for copies of a remote store's blobs; not used for a local store.
    """

    def __init__(self, folder: Folder, cache: Path, presence: StorePresence) -> None:
        self._folder = folder
        self._presence = presence
        self._cache = cache

    def put(self, source: bytes | Path, known: Blob | None = None, advance: Advance = ignore_progress) -> Blob:
        """Store bytes, or the content of a file. An existing blob is not written again, unless it is damaged.

        :param known: what :func:`describe` returned for it a moment ago. Default: it is called.
        :param advance: called with the number of bytes that have been stored since the last call.
        :raises InvalidInput: the file cannot be read.
        :raises DataError: the file changes while it is read.
        """
        blob = known or describe(source)
        self._presence.begin_write()
        # Refresh first: a concurrent sweep then either keeps the blob, or has removed it before we check for it.
        fresh = self._folder.refresh(blob_path(blob.digest))
        if fresh and self._contains(blob):
            advance(blob.size)
        else:
            self._write(source, blob, advance)
        return blob

    def _write(self, source: bytes | Path, blob: Blob, advance: Advance) -> None:
        path = blob_path(blob.digest)
        if isinstance(source, Path):

            def check(copy: Path) -> None:
                for _ in _unchanged(copy, blob, advance, name=source):
                    pass

            if self._folder.clone(path, source, check):
                return
        self._folder.write(path, _unchanged(source, blob, advance))

    def create(self) -> BlobWriter:
        """Begin a blob whose bytes come one after the other."""
        self._presence.begin_write()
        return BlobWriter(self._folder.create())

    def blocks(self, blob: Blob, start: int, stop: int) -> Iterator[bytes]:
        """A part of a blob; the whole of it is checked while it is read.

        :raises MissingBlob: the blob is missing, or at the end, if the whole of it was read and is damaged.
        """
        if (start, stop) == (0, blob.size):
            yield from self._checked(blob)
            return
        left = stop - start
        try:
            for block in self._folder.blocks(blob_path(blob.digest), start):
                yield block[:left]
                left -= len(block)
                if left <= 0:
                    return
        except FileNotFoundError:
            raise self._missing(blob.digest) from None
        if left > 0:
            raise self._corrupt(blob.digest, f"damaged ({left} of its {blob.size} bytes are missing)")

    def old(self, before: datetime) -> Iterator[Blob]:
        """The blobs that were last stored before a point in time, ordered by digest."""
        for start in self._folder.names(_ROOT):
            for name in self._folder.names(f"{_ROOT}/{start}"):
                path = f"{_ROOT}/{start}/{name}"
                if not _NAME.fullmatch(name) or not name.startswith(start):
                    continue  # a file that is not a blob
                modified, size = self._folder.modified(path), self._folder.size(path)
                if modified is not None and size is not None and modified < before:
                    yield Blob(digest=f"sha256:{name}", size=size)

    def delete_old(self, digest: str, before: datetime) -> bool:
        """Remove a blob unless it was stored again since ``before``. Returns whether it was removed."""
        return self._folder.delete_old(blob_path(digest), before)

    def read(self, digest: str) -> bytes:
        """The whole content of a blob.

        :raises MissingBlob: the blob is missing or damaged.
        :raises InvalidInput: ``digest`` is not a valid digest.
        """
        path = blob_path(digest)
        try:
            content = self._folder.read(path)
        except FileNotFoundError:
            raise self._missing(digest) from None
        if digest_of(content) != digest:
            raise self._corrupt(digest, f"damaged (its {len(content)} bytes have a different digest)")
        return content

    def read_beginning(self, blob: Blob, nbytes: int) -> bytes:
        """The first bytes of a blob.

        :raises MissingBlob: the blob is missing.
        """
        content = bytearray()
        try:
            for block in self._folder.blocks(blob_path(blob.digest)):
                content += block
                if len(content) >= nbytes:
                    break
        except FileNotFoundError:
            raise self._missing(blob.digest) from None
        return bytes(content[:nbytes])

    def refresh(self, blob: Blob) -> None:
        """Set the age of a blob to zero.

        :raises MissingBlob: the blob is missing.
        """
        path = blob_path(blob.digest)
        if not self._folder.refresh(path) and self._folder.size(path) is None:
            raise self._missing(blob.digest)

    def fetch(self, blob: Blob) -> Path:
        """A file with the blob's content: the store's own, or a copy in the cache. Do not modify the file.

        :raises MissingBlob: the blob is missing or damaged.
        :raises ServiceUnavailable: the store cannot be reached, or the cache cannot be written.
        """
        relative = blob_path(blob.digest)
        if self._folder.path is not None:
            for _ in self._checked(blob):
                pass
            return self._folder.path / relative
        cached = self._cache / relative
        if not _is_intact(cached, blob):
            self._download(blob, cached)
        return cached

    def _download(self, blob: Blob, target: Path) -> None:
        # Several workers may fetch the same blob at once: each writes its own file, and the last rename is harmless.
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("xb") as file:
                    for block in self._checked(blob):
                        file.write(block)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise ServiceUnavailable(
                f"blob cache {self._cache}: cannot write {blob.digest}: {error.strerror or error}; "
                "free disk space, or use another folder"
            ) from error

    def _checked(self, blob: Blob) -> Iterator[bytes]:
        """The blocks of a blob; raises MissingBlob at the end if they do not match its digest."""
        hasher, size = hashlib.sha256(), 0
        try:
            for block in self._folder.blocks(blob_path(blob.digest)):
                hasher.update(block)
                size += len(block)
                yield block
        except FileNotFoundError:
            raise self._missing(blob.digest) from None
        if f"sha256:{hasher.hexdigest()}" != blob.digest or size != blob.size:
            raise self._corrupt(blob.digest, f"damaged (it has {size} of {blob.size} bytes, or different content)")

    def _contains(self, blob: Blob) -> bool:
        """Whether the blob exists. For a remote store only its size is checked, to avoid a download."""
        if self._folder.path is not None:
            return _is_intact(self._folder.path / blob_path(blob.digest), blob)
        return self._folder.size(blob_path(blob.digest)) == blob.size

    def _missing(self, digest: str) -> MissingBlob:
        """:raises ServiceUnavailable: not the blob is missing, but the whole store."""
        self._presence.check_holds()
        return self._corrupt(digest, "missing")

    def _corrupt(self, digest: str, state: str) -> MissingBlob:
        return MissingBlob(f"{digest} in store {self._folder.name} is {state}: {blob_path(digest)}")


class BlobWriter:
    """A blob that is being written. Nobody finds it before :meth:`commit`. For one thread at a time."""

    def __init__(self, file: NewFile) -> None:
        self._file = file
        self._hasher = hashlib.sha256()
        #: Bytes so far.
        self.size = 0

    def write(self, block: bytes) -> None:
        """Add to its end."""
        self._hasher.update(block)
        self.size += len(block)
        self._file.write(block)

    @property
    def digest(self) -> str:
        """Of the bytes so far."""
        return f"sha256:{self._hasher.hexdigest()}"

    def commit(self) -> Blob:
        """Store it. An existing blob with the same bytes counts as stored now."""
        blob = Blob(digest=self.digest, size=self.size)
        self._file.commit(blob_path(blob.digest))
        return blob

    def discard(self) -> None:
        """Leave nothing; does nothing after :meth:`commit`."""
        self._file.discard()


@dataclass(frozen=True)
class StoredFile:
    """A file in the store."""

    #: Relative to the store.
    path: str
    #: In bytes.
    size: int
    #: ``None`` if it is no blob.
    digest: str | None
    #: Whether it is a file that is being written, or was when its process ended.
    is_temporary: bool = False


def stored_file(path: str, size: int) -> StoredFile:
    """A file by its relative path."""
    folder, _, name = path.rpartition("/")
    is_blob = folder == f"{_ROOT}/{name[:2]}" and _NAME.fullmatch(name) is not None
    return StoredFile(path, size, f"sha256:{name}" if is_blob else None, _TEMPORARY.fullmatch(path) is not None)


def blob_path(digest: str) -> str:
    """The path of a blob in the store.

    :raises InvalidInput: ``digest`` is not a valid digest, so it must not become part of a path.
    """
    try:
        hexadecimal = check_digest(digest).removeprefix("sha256:")
    except ValueError as error:
        raise InvalidInput("digest", str(error)) from None
    return f"{_ROOT}/{hexadecimal[:2]}/{hexadecimal}"


def describe(source: bytes | Path, advance: Advance = ignore_progress) -> Blob:
    """The digest and size of bytes, or of the content of a file.

    :param advance: called with the number of bytes that have been read since the last call.
    :raises InvalidInput: the file cannot be read.
    """
    if isinstance(source, bytes):
        return Blob(digest=digest_of(source), size=len(source))
    hasher, size = hashlib.sha256(), 0
    try:
        with source.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                hasher.update(block)
                size += len(block)
                advance(len(block))
        return Blob(digest=f"sha256:{hasher.hexdigest()}", size=size)
    except OSError as error:
        if is_outage(error):
            raise ServiceUnavailable(f"cannot read {source}: {error.strerror or error}") from None
        raise InvalidInput("path", f"cannot read {source}: {error.strerror or error}") from None


def _unchanged(source: bytes | Path, blob: Blob, advance: Advance, name: Path | None = None) -> Iterator[bytes]:
    """The content of a blob that is being stored; raises DataError at the end if the file has changed meanwhile.

    :param name: the file, if ``source`` is a copy of it.
    """
    if isinstance(source, bytes):
        yield source
        advance(len(source))
        return
    hasher = hashlib.sha256()
    try:
        with source.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                hasher.update(block)
                yield block
                advance(len(block))
    except OSError as error:
        if is_outage(error):
            raise ServiceUnavailable(f"cannot read {source}: {error.strerror or error}") from None
        raise DataError(f"cannot read {source}: {error.strerror or error}") from error
    if f"sha256:{hasher.hexdigest()}" != blob.digest:
        raise DataError(f"{name or source} changed while it was being stored; store it again")


def _is_intact(path: Path, blob: Blob) -> bool:
    try:
        if path.stat().st_size != blob.size:
            return False
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" == blob.digest
    except OSError:  # missing or unreadable: the write or download that follows reports the cause
        return False
