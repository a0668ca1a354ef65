"""Opening files of this machine within the roots."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from longshore.shared.datasets.access.roots import Action, data_roots
from longshore.shared.errors import DataError

#: Where Linux shows the files that a process has open.
_OPEN_FILES = Path("/proc/self/fd")


def open_read(path: str) -> BinaryIO:
    """Open a file for reading and seeking, without a buffer.

    :raises DataError: it is outside the roots, or no ordinary file.
    """
    resolved = data_roots().resolve(path, "read")
    # A pipe or a device could block for ever.
    descriptor = os.open(resolved, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    return cast(BinaryIO, os.fdopen(_checked(descriptor, path, "read"), "rb", buffering=0))


def open_write(path: str) -> BinaryIO:
    """Create a file, replacing an existing one, but not what a link there leads to.

    :raises DataError: it is outside the roots.
    """
    folder, name = os.path.split(path)
    resolved = os.path.join(data_roots().resolve(folder, "write"), name)  # noqa: PTH118 - `name` is resolved on purpose
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.fdopen(_checked(os.open(resolved, flags, 0o666), path, "write"), "wb")


@contextmanager
def readable_path(path: str) -> Iterator[str]:
    """A path for libraries that open files by themselves; it leads to the file that was checked.

    :raises DataError: the file is outside the roots, or no ordinary file.
    """
    with open_read(path) as file:
        if _OPEN_FILES.is_dir():
            yield f"{_OPEN_FILES}/{file.fileno()}"
        else:
            yield data_roots().resolve(path, "read")


def _checked(descriptor: int, path: str, action: Action) -> int:
    """The same descriptor, if the file that is open now is an ordinary one within the roots."""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise DataError(f"cannot {action} {path}: not an ordinary file")
        if _OPEN_FILES.is_dir():  # a folder on the way may have become a link after it was resolved
            data_roots().resolve(str((_OPEN_FILES / str(descriptor)).readlink()), action)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
