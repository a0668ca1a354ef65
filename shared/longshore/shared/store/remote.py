"""A store behind any URL that fsspec can open."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import fsspec.core

from longshore.shared.errors import InvalidInput, LongshoreError, ServiceUnavailable
from longshore.shared.outages import is_outage
from longshore.shared.store.address import without_secrets
from longshore.shared.store.folder import BLOCK_BYTES, TEMPORARY_FOLDER

#: Younger files are not refreshed. This is half of the shortest grace period that a sweep accepts.
REFRESH_AFTER = timedelta(hours=1)


class RemoteFolder:
    """Uploads each file under a temporary name and moves it, because some file systems show unfinished uploads."""

    path: Path | None = None

    def __init__(self, url: str, name: str) -> None:
        self.name = name
        self._url = url
        try:
            self.file_system, root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise InvalidInput("store", f"{name}: {error}") from None
        except ValueError as error:
            raise InvalidInput("store", f"{name}: {without_secrets(str(error), url)}") from None
        except Exception as error:  # a driver may connect here, and each driver has its own exception classes
            raise self._unavailable("open", "it", error) from None
        self._root = str(root).rstrip("/")

    def size(self, path: str) -> int | None:
        with self.store_errors("access", path):
            # Other processes write to the store too, so that a cached listing may be out of date.
            self.file_system.invalidate_cache(self.parent(path))
            try:
                return int(self.file_system.info(self.at(path))["size"])
            except FileNotFoundError:
                return None

    def blocks(self, path: str, start: int = 0) -> Iterator[bytes]:
        with self.store_errors("read", path), self.file_system.open(self.at(path), "rb") as file:
            file.seek(start)
            while block := file.read(BLOCK_BYTES):
                yield bytes(block)

    def read(self, path: str) -> bytes:
        with self.store_errors("read", path):
            return bytes(self.file_system.cat_file(self.at(path)))

    def write(self, path: str, blocks: Iterator[bytes]) -> None:
        temporary = f"{self.at(path)}.{uuid.uuid4().hex}.tmp"
        with self.store_errors("write", path):
            self.file_system.makedirs(self.parent(path), exist_ok=True)
            try:
                with self.file_system.open(temporary, "wb") as file:
                    for block in blocks:
                        file.write(block)
                self.file_system.mv(temporary, self.at(path))
            except BaseException:
                if self.file_system.exists(temporary):
                    self.file_system.rm_file(temporary)
                raise
            self.file_system.invalidate_cache(self.parent(path))

    def create(self) -> RemoteNewFile:
        temporary = f"{self.at(TEMPORARY_FOLDER)}/{uuid.uuid4().hex}"
        with self.store_errors("write", "a new file"):
            self.file_system.makedirs(self.at(TEMPORARY_FOLDER), exist_ok=True)
            return RemoteNewFile(temporary, self.file_system.open(temporary, "wb"), self)

    def clone(self, path: str, source: Path, check: Callable[[Path], None]) -> bool:
        return False

    def delete(self, path: str) -> None:
        with self.store_errors("delete", path):
            try:
                self.file_system.rm_file(self.at(path))
            except FileNotFoundError:
                return
            self.file_system.invalidate_cache(self.parent(path))

    def modified(self, path: str) -> datetime | None:
        with self.store_errors("access", path):
            self.file_system.invalidate_cache(self.parent(path))
            try:
                modified = self.file_system.modified(self.at(path))
            except (FileNotFoundError, NotImplementedError):
                return None
            if not isinstance(modified, datetime):
                return None
            return modified if modified.tzinfo is not None else modified.replace(tzinfo=UTC)

    def refresh(self, path: str) -> bool:
        modified = self.modified(path)
        # Most object stores can only change the time by a copy of the file, so skip files that are young enough.
        if modified is None or datetime.now(UTC) - modified < REFRESH_AFTER:
            return True
        temporary = f"{self.at(path)}.{uuid.uuid4().hex}.tmp"
        with self.store_errors("write", path):
            try:
                self.file_system.cp_file(self.at(path), temporary)
            except FileNotFoundError:
                return False
            self.file_system.mv(temporary, self.at(path))
            self.file_system.invalidate_cache(self.parent(path))
        return True

    def delete_old(self, path: str, before: datetime) -> bool:
        modified = self.modified(path)
        if modified is None or modified >= before:
            return False
        self.delete(path)
        return True

    def names(self, path: str) -> list[str]:
        with self.store_errors("list", path):
            self.file_system.invalidate_cache(self.at(path))
            try:
                paths = self.file_system.ls(self.at(path), detail=False)
            except FileNotFoundError:
                return []
            return sorted(str(name).rstrip("/").rpartition("/")[2] for name in paths)

    def files(self) -> Iterator[tuple[str, int]]:
        with self.store_errors("list", "it"):
            self.file_system.invalidate_cache()
            for path, info in self.file_system.find(self._root, detail=True).items():
                yield str(path).removeprefix(self._root).lstrip("/"), int(info.get("size") or 0)

    def at(self, path: str) -> str:
        """A path as the driver has it."""
        return f"{self._root}/{path}"

    def parent(self, path: str) -> str:
        """The folder of a path, as the driver has it."""
        return self.at(path).rpartition("/")[0]

    def _unavailable(self, action: str, path: str, error: Exception) -> ServiceUnavailable:
        reason = without_secrets(str(error), self._url)
        return ServiceUnavailable(
            f"store {self.name}: cannot {action} {path}: {type(error).__name__} {reason}".rstrip()
        )

    @contextmanager
    def store_errors(self, action: str, path: str) -> Iterator[None]:
        """Report what fails as an outage of the store."""
        try:
            yield
        except LongshoreError:
            raise
        except Exception as error:  # each driver has its own exception classes; drop the cause, it can contain keys
            if isinstance(error, FileNotFoundError) and action == "read" and not is_outage(error):
                raise
            raise self._unavailable(action, path, error) from None


class RemoteNewFile:
    """A file that is being uploaded under a temporary name."""

    def __init__(self, temporary: str, file: BinaryIO, folder: RemoteFolder) -> None:
        self._temporary = temporary
        self._file = file
        self._folder = folder
        self._committed = False

    def write(self, block: bytes) -> None:
        with self._folder.store_errors("write", "a new file"):
            self._file.write(block)

    def commit(self, path: str) -> None:
        folder = self._folder
        with folder.store_errors("write", path):
            self._file.close()
            folder.file_system.makedirs(folder.parent(path), exist_ok=True)
            folder.file_system.mv(self._temporary, folder.at(path))
            folder.file_system.invalidate_cache(folder.parent(path))
            self._committed = True

    def discard(self) -> None:
        if self._committed:
            return
        with self._folder.store_errors("delete", "a new file"):
            # An upload in parts is given up if the driver can; otherwise it ends, and the file is removed.
            getattr(self._file, "discard", self._file.close)()
            if self._folder.file_system.exists(self._temporary):
                self._folder.file_system.rm_file(self._temporary)
