"""A store in a folder of this machine, or of a file server mounted on it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.store.folder import BLOCK

#: Holds files that are being written; what is in it is part of nothing.
TEMPORARY = "tmp"


class LocalFolder:
    """Files are written under another name, brought to the disk, and renamed: a crash leaves the old or the new."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)

    def size(self, path: str) -> int | None:
        with self._translated("look at", path):
            try:
                return (self.path / path).stat().st_size
            except FileNotFoundError:
                return None

    def blocks(self, path: str) -> Iterator[bytes]:
        with self._translated("read", path), (self.path / path).open("rb") as file:
            while block := file.read(BLOCK):
                yield block

    def read(self, path: str) -> bytes:
        with self._translated("read", path):
            return (self.path / path).read_bytes()

    def write(self, path: str, blocks: Iterator[bytes]) -> None:
        target = self.path / path
        # In a folder of its own, so that what a killed process leaves is found in one place and never listed.
        temporary = self.path / TEMPORARY / uuid.uuid4().hex
        with self._translated("write", path):
            make_folder(temporary.parent)
            make_folder(target.parent)
            try:
                with temporary.open("xb") as file:
                    for block in blocks:
                        file.write(block)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(target)
                sync_folder(target.parent)
            finally:
                temporary.unlink(missing_ok=True)

    def delete(self, path: str) -> None:
        with self._translated("delete", path):
            (self.path / path).unlink(missing_ok=True)

    def modified(self, path: str) -> datetime | None:
        with self._translated("look at", path):
            return _modified(self.path / path)

    def refresh(self, path: str) -> bool:
        # A file of another user can only be replaced.
        with self._translated("look at", path), suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            os.utime(self.path / path)
            return True
        return False

    def delete_old(self, path: str, before: datetime) -> bool:
        file, aside = self.path / path, self.path / TEMPORARY / uuid.uuid4().hex
        with self._translated("delete", path):
            if (found := _modified(file)) is None or found >= before:
                return False
            make_folder(aside.parent)
            try:
                file.rename(aside)
            except FileNotFoundError:
                return False
            # Whoever refreshed it since it was looked at counts on it; whoever comes now finds that it is not there.
            if (found := _modified(aside)) is None or found >= before:
                aside.replace(file)
                return False
            aside.unlink()
            return True

    def names(self, path: str) -> list[str]:
        with self._translated("list", path):
            try:
                return sorted(entry.name for entry in (self.path / path).iterdir())
            except (FileNotFoundError, NotADirectoryError):
                return []

    @contextmanager
    def _translated(self, doing: str, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if isinstance(error, FileNotFoundError) and doing == "read":
                raise
            raise ServiceUnavailable(f"store {self.name}: cannot {doing} {path}: {error.strerror or error}") from error


def _modified(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def make_folder(path: Path) -> None:
    """Like ``mkdir -p``, and each new folder's entry is on the disk before anything is put into it."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
