"""Small files that must never be half-written or readable by others, and errors for folders that cannot be used."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from longshore.shared.errors import HomeError

_ELSEWHERE = "choose another home with --home or LONGSHORE_HOME"
_REASONS = {
    errno.ENOSPC: "no space is left on the device; free some, then run the command again",
    errno.EDQUOT: "the disk quota is used up; free some space, then run the command again",
    errno.EACCES: f"this user may not use it; {_ELSEWHERE}",
    errno.EPERM: f"this user may not use it; {_ELSEWHERE}",
    errno.EROFS: f"it is on a read-only file system; {_ELSEWHERE}",
    errno.ENOTDIR: f"a part of it is a file, not a folder; {_ELSEWHERE}",
    errno.EEXIST: f"it is a file, not a folder; {_ELSEWHERE}",
    errno.ENAMETOOLONG: f"its name is too long; {_ELSEWHERE}",
}


@contextmanager
def home_errors(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` inside the block into a ``HomeError``.

    :raises HomeError: names the file, or ``path`` if the error names none, and a remedy.
    """
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, f"{error.strerror or error}; {_ELSEWHERE}")
        raise HomeError(f"{error.filename or path}: {reason}") from error


def check_space(folder: Path, needed_bytes: int) -> None:
    """:raises HomeError: fewer than ``needed_bytes`` are free on the file system of ``folder``."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise HomeError(
            f"{folder}: {free // 2**20} MiB are free and a new home needs {needed_bytes // 2**20} MiB; "
            "free some, or choose another home with --home or LONGSHORE_HOME"
        )


def write_private(path: Path, content: str) -> None:
    """Replace a file atomically. Only its owner can read it, from the first byte on."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make new names in a folder survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def last_lines(path: Path, count: int = 6) -> str:
    """The last ``count`` non-empty lines of a log, for an error message."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return "(no log)"
    return "\n".join([line for line in lines if line.strip()][-count:]) or "(an empty log)"
