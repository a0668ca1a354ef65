"""A store in a folder on this machine, or on a mounted file server."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.store.folder import BLOCK_BYTES, TEMPORARY_FOLDER
from longshore.shared.store.reflink import NoReflink, reflink


class LocalFolder:
    """Writes each file under a temporary name, syncs it to disk and renames it: a crash leaves the old or the new."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)

    def size(self, path: str) -> int | None:
        with self.store_errors("access", path):
            try:
                return (self.path / path).stat().st_size
            except FileNotFoundError:
                return None

    def blocks(self, path: str, start: int = 0) -> Iterator[bytes]:
        with self.store_errors("read", path), (self.path / path).open("rb") as file:
            file.seek(start)
            while block := file.read(BLOCK_BYTES):
                yield block

    def read(self, path: str) -> bytes:
        with self.store_errors("read", path):
            return (self.path / path).read_bytes()

    def write(self, path: str, blocks: Iterator[bytes]) -> None:
        with self.store_errors("write", path), self._replacement(path) as temporary, temporary.open("xb") as file:
            for block in blocks:
                file.write(block)
            file.flush()
            os.fsync(file.fileno())

    def create(self) -> LocalNewFile:
        with self.store_errors("write", "a new file"):
            temporary = self.path / TEMPORARY_FOLDER / uuid.uuid4().hex
            make_folder(temporary.parent)
            return LocalNewFile(temporary, temporary.open("xb"), self)

    def clone(self, path: str, source: Path, check: Callable[[Path], None]) -> bool:
        with self.store_errors("write", path), suppress(NoReflink), self._replacement(path) as temporary:
            reflink(source, temporary)
            check(temporary)
            return True
        return False

    @contextmanager
    def _replacement(self, path: str) -> Iterator[Path]:
        """The path of a new file that becomes ``path`` at the end. If an error is raised, it is removed."""
        target = self.path / path
        # In a folder of its own, so that the leftovers of killed processes are in one place and are never listed.
        temporary = self.path / TEMPORARY_FOLDER / uuid.uuid4().hex
        make_folder(temporary.parent)
        make_folder(target.parent)
        try:
            yield temporary
            temporary.replace(target)
            sync_folder(target.parent)
        finally:
            temporary.unlink(missing_ok=True)

    def delete(self, path: str) -> None:
        with self.store_errors("delete", path):
            (self.path / path).unlink(missing_ok=True)

    def modified(self, path: str) -> datetime | None:
        with self.store_errors("access", path):
            return _modified(self.path / path)

    def refresh(self, path: str) -> bool:
        # A file that another user owns can be replaced, but not touched.
        with self.store_errors("access", path), suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            os.utime(self.path / path)
            return True
        return False

    def delete_old(self, path: str, before: datetime) -> bool:
        file, aside = self.path / path, self.path / TEMPORARY_FOLDER / uuid.uuid4().hex
        with self.store_errors("delete", path):
            if (modified := _modified(file)) is None or modified >= before:
                return False
            make_folder(aside.parent)
            try:
                file.rename(aside)
            except FileNotFoundError:
                return False
            # Check again: a process that refreshed the file after the first check relies on it. Processes that look
            # for it from now on do not find it.
            if (modified := _modified(aside)) is None or modified >= before:
                aside.replace(file)
                return False
            aside.unlink()
            return True

    def names(self, path: str) -> list[str]:
        with self.store_errors("list", path):
            try:
                return sorted(entry.name for entry in (self.path / path).iterdir())
            except (FileNotFoundError, NotADirectoryError):
                return []

    def files(self) -> Iterator[tuple[str, int]]:
        with self.store_errors("list", "it"):
            for folder, _, names in os.walk(self.path):
                for name in names:
                    file = Path(folder, name)
                    with suppress(FileNotFoundError):
                        yield file.relative_to(self.path).as_posix(), file.stat().st_size

    @contextmanager
    def store_errors(self, action: str, path: str) -> Iterator[None]:
        """Report what fails as an outage of the store."""
        try:
            yield
        except OSError as error:
            if isinstance(error, FileNotFoundError) and action == "read":
                raise
            raise ServiceUnavailable(f"store {self.name}: cannot {action} {path}: {error.strerror or error}") from error


class LocalNewFile:
    """A file that is being written under a temporary name."""

    def __init__(self, temporary: Path, file: BinaryIO, folder: LocalFolder) -> None:
        self._temporary = temporary
        self._file = file
        self._folder = folder

    def write(self, block: bytes) -> None:
        with self._folder.store_errors("write", "a new file"):
            self._file.write(block)

    def commit(self, path: str) -> None:
        target = self._folder.path / path
        with self._folder.store_errors("write", path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            make_folder(target.parent)
            self._temporary.replace(target)
            sync_folder(target.parent)

    def discard(self) -> None:
        # What was not written yet may not fit on the disk; it is not needed either.
        with suppress(OSError):
            self._file.close()
        with self._folder.store_errors("delete", "a new file"):
            self._temporary.unlink(missing_ok=True)


def _modified(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def make_folder(path: Path) -> None:
    """Like ``mkdir -p``, but syncs the entry of each new folder to disk before anything is written into it."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Sync a folder's directory entries to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
