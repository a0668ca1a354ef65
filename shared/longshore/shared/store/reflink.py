"""Copies of files that take no space: both share their bytes on disk until one of them is changed.

Btrfs, XFS and some file servers can do this, within one file system.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import Final

#: ``FICLONE`` of Linux: _IOW(0x94, 9, int).
_FICLONE: Final = 0x40049409


class NoReflink(Exception):
    """The file system cannot share the bytes of these files."""


def reflink(source: Path, target: Path) -> None:
    """Create a file with the content of another one, synced to disk.

    :raises NoReflink: the file system cannot do this; no file is left behind.
    :raises OSError: a file cannot be opened, or ``target`` exists.
    """
    with source.open("rb") as original, target.open("xb") as copy:
        try:
            fcntl.ioctl(copy, _FICLONE, original.fileno())
        except OSError as error:
            target.unlink()
            raise NoReflink(str(error)) from None
        os.fsync(copy.fileno())


def copy_file(source: Path, target: Path) -> None:
    """Create a file with the content of another one, as a reflink if the file system can do this.

    :raises OSError: a file cannot be opened or written, or ``target`` exists.
    """
    try:
        reflink(source, target)
    except NoReflink:
        shutil.copyfile(source, target)
