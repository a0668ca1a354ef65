"""Lays the files of a version out as a folder, as the libraries read it, without copying them.

Each process has a folder of its own below a shared one. It holds a lock on it as long as it lives, so that the next
process removes what a killed one left.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_LOCK: Final = "lock"


@contextmanager
def model_folders(parent: Path) -> Iterator[Path]:
    """A new folder for this process, which is removed at the end.

    :param parent: shared with other processes; folders of those that have ended are removed. Hard links are made if it
        is on the file system of the blobs, else symbolic links.
    """
    parent.mkdir(parents=True, exist_ok=True)
    root = parent / uuid.uuid4().hex
    with (parent / _LOCK).open("wb") as shared:
        fcntl.flock(shared, fcntl.LOCK_EX)
        for entry in parent.iterdir():
            if entry.is_dir():
                _remove_abandoned(entry)
        root.mkdir()
        lock = (root / _LOCK).open("wb")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with lock:
        try:
            yield root
        finally:
            shutil.rmtree(root, ignore_errors=True)


def lay_out(folder: Path, files: Mapping[str, Path], written: Mapping[str, bytes] | None = None) -> Path:
    """Make a folder of links to files, if it is not there yet.

    :param files: local files by their path in the folder.
    :param written: the content of files that are written instead, by their path.
    :returns: ``folder``.
    """
    if folder.is_dir():
        return folder
    new = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    written = written or {}
    for name in {*files, *written}:
        target = new / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if name in written:
            target.write_bytes(written[name])
        else:
            _link(files[name].resolve(), target)
    try:
        new.rename(folder)
    except OSError:
        shutil.rmtree(new)
        if not folder.is_dir():
            raise
    return folder


def _link(source: Path, target: Path) -> None:
    # A hard link keeps the content if the store's file is removed. Between file systems, or to the file of another
    # user, there is only the symbolic one.
    try:
        os.link(source, target)
    except OSError:
        target.symlink_to(source)


def _remove_abandoned(folder: Path) -> None:
    """Remove the folder of a process that has ended."""
    with suppress(OSError), (folder / _LOCK).open("rb") as lock:  # locked, or not such a folder
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
