"""A store behind any URL that fsspec can open."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec.core

from longshore.shared.errors import InvalidInput, LongshoreError, ServiceUnavailable
from longshore.shared.outages import is_outage
from longshore.shared.store.address import without_secrets
from longshore.shared.store.folder import BLOCK_BYTES

#: Younger files are not refreshed. This is half of the shortest grace period that a sweep accepts.
REFRESH_AFTER = timedelta(hours=1)


class RemoteFolder:
    """Uploads each file under a temporary name and moves it, because some file systems show unfinished uploads."""

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
        except Exception as error:  # a driver may connect here, and each driver has its own exception classes
            raise self._unavailable("open", "it", error) from None
        self._root = str(root).rstrip("/")

    def size(self, path: str) -> int | None:
        with self._store_errors("access", path):
            # Other processes write to the store too, so that a cached listing may be out of date.
            self._files.invalidate_cache(self._parent(path))
            try:
                return int(self._files.info(self._at(path))["size"])
            except FileNotFoundError:
                return None

    def blocks(self, path: str) -> Iterator[bytes]:
        with self._store_errors("read", path), self._files.open(self._at(path), "rb") as file:
            while block := file.read(BLOCK_BYTES):
                yield bytes(block)

    def read(self, path: str) -> bytes:
        with self._store_errors("read", path):
            return bytes(self._files.cat_file(self._at(path)))

    def write(self, path: str, blocks: Iterator[bytes]) -> None:
        temporary = f"{self._at(path)}.{uuid.uuid4().hex}.tmp"
        with self._store_errors("write", path):
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

    def clone(self, path: str, source: Path, check: Callable[[Path], None]) -> bool:
        return False

    def delete(self, path: str) -> None:
        with self._store_errors("delete", path):
            try:
                self._files.rm_file(self._at(path))
            except FileNotFoundError:
                return
            self._files.invalidate_cache(self._parent(path))

    def modified(self, path: str) -> datetime | None:
        with self._store_errors("access", path):
            self._files.invalidate_cache(self._parent(path))
            try:
                modified = self._files.modified(self._at(path))
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
        temporary = f"{self._at(path)}.{uuid.uuid4().hex}.tmp"
        with self._store_errors("write", path):
            try:
                self._files.cp_file(self._at(path), temporary)
            except FileNotFoundError:
                return False
            self._files.mv(temporary, self._at(path))
            self._files.invalidate_cache(self._parent(path))
        return True

    def delete_old(self, path: str, before: datetime) -> bool:
        modified = self.modified(path)
        if modified is None or modified >= before:
            return False
        self.delete(path)
        return True

    def names(self, path: str) -> list[str]:
        with self._store_errors("list", path):
            self._files.invalidate_cache(self._at(path))
            try:
                paths = self._files.ls(self._at(path), detail=False)
            except FileNotFoundError:
                return []
            return sorted(str(name).rstrip("/").rpartition("/")[2] for name in paths)

    def files(self) -> Iterator[tuple[str, int]]:
        with self._store_errors("list", "it"):
            self._files.invalidate_cache()
            for path, info in self._files.find(self._root, detail=True).items():
                yield str(path).removeprefix(self._root).lstrip("/"), int(info.get("size") or 0)

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _parent(self, path: str) -> str:
        return self._at(path).rpartition("/")[0]

    def _unavailable(self, action: str, path: str, error: Exception) -> ServiceUnavailable:
        reason = without_secrets(str(error), self._url)
        return ServiceUnavailable(
            f"store {self.name}: cannot {action} {path}: {type(error).__name__} {reason}".rstrip()
        )

    @contextmanager
    def _store_errors(self, action: str, path: str) -> Iterator[None]:
        try:
            yield
        except LongshoreError:
            raise
        except Exception as error:  # each driver has its own exception classes; drop the cause, it can contain keys
            if isinstance(error, FileNotFoundError) and action == "read" and not is_outage(error):
                raise
            raise self._unavailable(action, path, error) from None
