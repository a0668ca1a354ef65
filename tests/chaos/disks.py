"""A disk of its own for a folder, which can be full or read-only while the machine's disk is not. Needs root."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

#: Bytes that are filled at once; what is left is filled in smaller pieces.
PIECE_BYTES = 1 << 28
#: Seconds in which a file system that is in use can be made read-only: between two files that are being written.
REMOUNT_TIMEOUT_S = 5.0


class Disk:
    """A file system in a file, mounted on a folder. The file takes only the space that is used.

    :param folder: where it is mounted; it must not exist.
    :param image: the file.
    """

    def __init__(self, folder: Path, image: Path, size_bytes: int) -> None:
        self._folder = folder
        self._image = image
        with image.open("wb") as file:
            file.truncate(size_bytes)
        _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1", "-m", "0", str(image))
        folder.mkdir()
        _run("mount", "-o", "loop,nosuid,nodev", str(image), str(folder))
        (folder / "lost+found").rmdir()

    @contextmanager
    def full(self) -> Iterator[None]:
        """No byte can be written.

        :raises OSError: the disk is away, or read-only.
        """
        filler = self._folder / "filler"
        try:
            with filler.open("wb") as file:
                size, piece = 0, PIECE_BYTES
                while piece >= 1:
                    try:
                        os.posix_fallocate(file.fileno(), size, piece)
                        size += piece
                    except OSError as error:
                        if error.errno != errno.ENOSPC:
                            raise
                        piece //= 2
                yield
        finally:
            filler.unlink(missing_ok=True)

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Files can be read and not written.

        :raises OSError: a file is always being written, or the disk is away.
        """
        deadline = time.monotonic() + REMOUNT_TIMEOUT_S
        while subprocess.run(["mount", "-o", "remount,ro", self._folder], capture_output=True).returncode != 0:
            if time.monotonic() > deadline:
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(self._folder))
            time.sleep(0.02)
        try:
            yield
        finally:
            _run("mount", "-o", "remount,rw", str(self._folder))

    def close(self) -> None:
        """Unmount it and remove the file."""
        unmount(self._folder)
        self._image.unlink()


@cache
def disks_can_be_made() -> bool:
    """Whether this user may mount, and the tools are there."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        return False
    folder = Path(tempfile.mkdtemp(prefix="longshore-test-"))
    try:
        Disk(folder / "disk", folder / "image", 1 << 24).close()
    except subprocess.CalledProcessError:
        return False
    finally:
        shutil.rmtree(folder)
    return True


def unmount(folder: Path) -> None:
    """Unmount a folder, at once or, if it is in use, when it is not any more."""
    _run("umount", "--lazy", str(folder))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
