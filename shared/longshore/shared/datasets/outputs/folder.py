"""The folder of a job's output files: each is hidden while it is written, then published by one rename.

Publishing is idempotent, and any process can repeat it: if the hidden file is gone and the output file exists, nothing
is left to do.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from uuid import UUID

import fsspec.core

from longshore.shared.datasets.access.roots import data_roots
from longshore.shared.datasets.outputs.pattern import OutputPattern
from longshore.shared.datasets.outputs.writers import RowWriter, open_writer, writing
from longshore.shared.errors import DataError
from longshore.shared.store.address import is_remote, public
from longshore.shared.store.local import make_folder, sync_folder


class _Files(Protocol):
    """The file operations; names are relative to the folder, and a missing file is not an error."""

    def make_folder(self, name: str) -> None: ...
    def move(self, old: str, new: str) -> None: ...
    def exists(self, name: str) -> bool: ...
    def names(self, folder: str) -> list[str]: ...
    def remove(self, name: str) -> None: ...
    def remove_folder(self, name: str) -> None: ...


class OutputFolder:
    """One job's output files. Raises the errors of :func:`~longshore.shared.datasets.outputs.writers.writing`."""

    def __init__(self, pattern: OutputPattern, job: UUID) -> None:
        self._pattern = pattern
        self._job = job
        with writing(pattern.folder):
            data_roots().check(pattern.folder, "write")
            self._files: _Files = _Remote(pattern) if is_remote(pattern.folder) else _Local(Path(pattern.folder))

    def open(self, hidden: str) -> RowWriter:
        """Create an attempt's hidden file, and its folders if they do not exist."""
        with writing(self._pattern.uri(hidden)):
            self._files.make_folder(self._pattern.hidden_folder(self._job))
        return open_writer(self._pattern.uri(hidden), self._pattern.format)

    def publish(self, hidden: str, shard: int) -> None:
        """Rename a finished hidden file to the shard's output file.

        :raises DataError: neither the hidden file nor the output file exists.
        """
        output_file = self._pattern.output_file(self._job, shard)
        with writing(self._pattern.uri(output_file)):
            if self._files.exists(hidden):
                with suppress(FileNotFoundError):  # another process has published it meanwhile
                    self._files.move(hidden, output_file)
            if not self._files.exists(output_file):
                address = public(self._pattern.uri(output_file))
                raise DataError(f"{address}: was written, but does not exist any more; submit the job again")

    def remove(self, hidden: str) -> None:
        """Remove an attempt's hidden file, and the hidden folder if it is then empty."""
        with writing(self._pattern.uri(hidden)):
            self._files.remove(hidden)
            if not self._files.names(self._pattern.hidden_folder(self._job)):
                self._files.remove_folder(self._pattern.hidden_folder(self._job))

    def remove_earlier(self, shard: int, attempt: int) -> None:
        """Remove the hidden files of earlier attempts at a shard; none of them was committed."""
        folder = self._pattern.hidden_folder(self._job)
        with writing(self._pattern.uri(folder)):
            for name in self._files.names(folder):
                file_shard, _, rest = name.partition("-")
                number = rest.partition(".")[0]
                if file_shard == str(shard) and number.isdecimal() and int(number) < attempt:
                    self._files.remove(f"{folder}/{name}")

    def clean(self) -> None:
        """Remove the hidden folder and its files, after every shard is done."""
        folder = self._pattern.hidden_folder(self._job)
        with writing(self._pattern.uri(folder)):
            for name in self._files.names(folder):
                self._files.remove(f"{folder}/{name}")
            self._files.remove_folder(folder)

    def published(self) -> list[str]:
        """The sorted names of all files that match the pattern, of any job; empty if the folder does not exist."""
        with writing(self._pattern.folder):
            return [name for name in self._files.names("") if self._pattern.matches(name)]


class _Local:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make_folder(self, name: str) -> None:
        data_roots().check(str(self._folder / name), "write")
        make_folder(self._folder / name)

    def move(self, old: str, new: str) -> None:
        data_roots().check(str(self._folder), "write")  # it may have become a link
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
                raise  # not empty: another attempt has created a file


class _Remote:
    """Object stores have no rename: a move is a copy and a removal, each of which can safely be repeated."""

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
            paths = self._files.ls(self._at(folder), detail=False)
        except FileNotFoundError:
            return []
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in paths)

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
        """Whether it is an object store: these have no folders, and ``makedirs`` would create a bucket."""
        names = [self._files.protocol] if isinstance(self._files.protocol, str) else list(self._files.protocol)
        return not {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"}.isdisjoint(names)
