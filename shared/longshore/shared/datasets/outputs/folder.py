"""The folder of a job's output files: hidden while they are written, then published by one rename.

Publishing can be tried again, by anybody: who finds the hidden file gone and the part there has nothing left to do.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from uuid import UUID

import fsspec.core

from longshore.shared.datasets.outputs.pattern import OutputPattern
from longshore.shared.datasets.outputs.writers import RowWriter, open_writer, writing
from longshore.shared.errors import DataError
from longshore.shared.store.address import is_remote, public
from longshore.shared.store.local import make_folder, sync_folder


class _Files(Protocol):
    """What is done with files; names are below the folder, and what is not there is no error."""

    def make_folder(self, name: str) -> None: ...
    def move(self, old: str, new: str) -> None: ...
    def exists(self, name: str) -> bool: ...
    def names(self, folder: str) -> list[str]: ...
    def remove(self, name: str) -> None: ...
    def remove_folder(self, name: str) -> None: ...


class OutputFolder:
    """One job's output files. Errors are those of :func:`~longshore.shared.datasets.outputs.writers.writing`."""

    def __init__(self, pattern: OutputPattern, job: UUID) -> None:
        self._pattern = pattern
        self._job = job
        with writing(pattern.folder):
            self._files: _Files = _Remote(pattern) if is_remote(pattern.folder) else _Local(Path(pattern.folder))

    def open(self, hidden: str) -> RowWriter:
        """Begin an attempt's file; folders are made as needed."""
        with writing(self._pattern.uri(hidden)):
            self._files.make_folder(self._pattern.hidden_folder(self._job))
        return open_writer(self._pattern.uri(hidden), self._pattern.format)

    def publish(self, hidden: str, shard: int) -> None:
        """Give a finished file its name.

        :raises DataError: neither the hidden file nor the part is there.
        """
        part = self._pattern.output_file(self._job, shard)
        with writing(self._pattern.uri(part)):
            if self._files.exists(hidden):
                with suppress(FileNotFoundError):  # somebody else was quicker
                    self._files.move(hidden, part)
            if not self._files.exists(part):
                raise DataError(f"{public(self._pattern.uri(part))}: was written, and is gone; submit the job again")

    def remove(self, hidden: str) -> None:
        """Remove an attempt's file, and the hidden folder if nothing is left in it."""
        with writing(self._pattern.uri(hidden)):
            self._files.remove(hidden)
            if not self._files.names(self._pattern.hidden_folder(self._job)):
                self._files.remove_folder(self._pattern.hidden_folder(self._job))

    def remove_earlier(self, shard: int, attempt: int) -> None:
        """Remove what earlier attempts at a shard have left behind; none of it was decided on."""
        folder = self._pattern.hidden_folder(self._job)
        with writing(self._pattern.uri(folder)):
            for name in self._files.names(folder):
                found, _, rest = name.partition("-")
                number = rest.partition(".")[0]
                if found == str(shard) and number.isdecimal() and int(number) < attempt:
                    self._files.remove(f"{folder}/{name}")

    def clean(self) -> None:
        """Remove all that is hidden, once every shard is done."""
        folder = self._pattern.hidden_folder(self._job)
        with writing(self._pattern.uri(folder)):
            for name in self._files.names(folder):
                self._files.remove(f"{folder}/{name}")
            self._files.remove_folder(folder)

    def published(self) -> list[str]:
        """The names of files that match the pattern, sorted, whoever wrote them; none where there is no folder."""
        with writing(self._pattern.folder):
            return [name for name in self._files.names("") if self._pattern.matches(name)]


class _Local:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make_folder(self, name: str) -> None:
        make_folder(self._folder / name)

    def move(self, old: str, new: str) -> None:
        (self._folder / old).replace(self._folder / new)
        sync_folder(self._folder)

    def exists(self, name: str) -> bool:
        return os.path.lexists(self._folder / name)

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(entry.name for entry in (self._folder / folder).iterdir())
        except FileNotFoundError:
            return []

    def remove(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)

    def remove_folder(self, name: str) -> None:
        try:
            (self._folder / name).rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            if not self.names(name):
                raise  # else another attempt has begun a file


class _Remote:
    """Where a rename is a copy and a removal, either may be done twice."""

    def __init__(self, pattern: OutputPattern) -> None:
        self._files, root = fsspec.core.url_to_fs(pattern.folder, skip_instance_cache=True)
        self._root = str(root).rstrip("/")

    def make_folder(self, name: str) -> None:
        if not self._is_store():
            self._files.makedirs(self._at(name), exist_ok=True)

    def move(self, old: str, new: str) -> None:
        if self._is_store():
            self._files.cp_file(self._at(old), self._at(new))
            self._files.rm_file(self._at(old))
        else:
            self._files.mv(self._at(old), self._at(new))

    def exists(self, name: str) -> bool:
        self._files.invalidate_cache()
        return bool(self._files.exists(self._at(name)))

    def names(self, folder: str) -> list[str]:
        self._files.invalidate_cache()
        try:
            found = self._files.ls(self._at(folder), detail=False)
        except FileNotFoundError:
            return []
        return sorted(str(name).rstrip("/").rpartition("/")[2] for name in found)

    def remove(self, name: str) -> None:
        try:
            self._files.rm_file(self._at(name))
        except FileNotFoundError:
            return

    def remove_folder(self, name: str) -> None:
        if not self._is_store() and self._files.exists(self._at(name)):
            self._files.rmdir(self._at(name))

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _is_store(self) -> bool:
        """Object stores have no folders; asked to make one, their drivers would make a bucket."""
        names = [self._files.protocol] if isinstance(self._files.protocol, str) else list(self._files.protocol)
        return not {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"}.isdisjoint(names)
