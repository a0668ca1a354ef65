"""A store behind any URL that fsspec reaches."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec.core

from longshore.shared.errors import InvalidInput, LongshoreError, ServiceUnavailable
from longshore.shared.store.address import without_secrets
from longshore.shared.store.folder import BLOCK

#: What is younger is not refreshed. It is half of the shortest grace that a sweep can be given.
REFRESH_AFTER = timedelta(hours=1)


class RemoteFolder:
    """Files are uploaded under another name and then moved, for the file systems whose uploads are seen half done."""

    path: Path | None = None

    def __init__(self, url: str, name: str) -> None:
        self.name = name
        self._url = url
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise InvalidInput("store", f"{name}: {error}") from None
        except ValueError as error:
            raise InvalidInput("store", f"{name}: {without_secrets(str(error), url)}") from None
        except Exception as error:  # a driver may connect at once, and each has its own errors
            raise self._unavailable("open", "it", error) from None
        self._root = str(root).rstrip("/")

    def size(self, path: str) -> int | None:
        with self._translated("look at", path):
            # Other processes write too: what this one saw before says nothing.
            self._files.invalidate_cache(self._parent(path))
            try:
                return int(self._files.info(self._at(path))["size"])
            except FileNotFoundError:
                return None

    def blocks(self, path: str) -> Iterator[bytes]:
        with self._translated("read", path), self._files.open(self._at(path), "rb") as file:
            while block := file.read(BLOCK):
                yield bytes(block)

    def read(self, path: str) -> bytes:
        with self._translated("read", path):
            return bytes(self._files.cat_file(self._at(path)))

    def write(self, path: str, blocks: Iterator[bytes]) -> None:
        temporary = f"{self._at(path)}.{uuid.uuid4().hex}.tmp"
        with self._translated("write", path):
            self._files.makedirs(self._parent(path), exist_ok=True)
            try:
                with self._files.open(temporary, "wb") as file:
                    for block in blocks:
                        file.write(block)
                self._files.mv(temporary, self._at(path))
            except BaseException:
                if self._files.exists(temporary):
                    self._files.rm_file(temporary)
                raise
            self._files.invalidate_cache(self._parent(path))

    def delete(self, path: str) -> None:
        with self._translated("delete", path):
            try:
                self._files.rm_file(self._at(path))
            except FileNotFoundError:
                return
            self._files.invalidate_cache(self._parent(path))

    def modified(self, path: str) -> datetime | None:
        with self._translated("look at", path):
            self._files.invalidate_cache(self._parent(path))
            try:
                found = self._files.modified(self._at(path))
            except (FileNotFoundError, NotImplementedError):
                return None
            if not isinstance(found, datetime):
                return None
            return found if found.tzinfo is not None else found.replace(tzinfo=UTC)

    def refresh(self, path: str) -> bool:
        found = self.modified(path)
        # Most object stores have no way to do it but to copy the file, so what is young enough is left.
        if found is None or datetime.now(UTC) - found < REFRESH_AFTER:
            return True
        temporary = f"{self._at(path)}.{uuid.uuid4().hex}.tmp"
        with self._translated("write", path):
            try:
                self._files.cp_file(self._at(path), temporary)
            except FileNotFoundError:
                return False
            self._files.mv(temporary, self._at(path))
            self._files.invalidate_cache(self._parent(path))
        return True

    def delete_old(self, path: str, before: datetime) -> bool:
        found = self.modified(path)
        if found is None or found >= before:
            return False
        self.delete(path)
        return True

    def names(self, path: str) -> list[str]:
        with self._translated("list", path):
            self._files.invalidate_cache(self._at(path))
            try:
                found = self._files.ls(self._at(path), detail=False)
            except FileNotFoundError:
                return []
            return sorted(str(name).rstrip("/").rpartition("/")[2] for name in found)

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _parent(self, path: str) -> str:
        return self._at(path).rpartition("/")[0]

    def _unavailable(self, doing: str, path: str, error: Exception) -> ServiceUnavailable:
        said = without_secrets(str(error), self._url)
        return ServiceUnavailable(f"store {self.name}: cannot {doing} {path}: {type(error).__name__} {said}".rstrip())

    @contextmanager
    def _translated(self, doing: str, path: str) -> Iterator[None]:
        try:
            yield
        except LongshoreError:
            raise
        except Exception as error:  # each driver has its own errors; without their cause, which can hold keys
            if isinstance(error, FileNotFoundError) and doing == "read":
                raise
            raise self._unavailable(doing, path, error) from None
