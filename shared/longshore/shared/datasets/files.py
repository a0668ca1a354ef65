"""Opens local and remote files, and turns the errors of every driver into one that names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from longshore.shared.datasets.access.local import open_read, readable_path
from longshore.shared.datasets.access.remote import open_filesystem
from longshore.shared.datasets.access.roots import data_roots
from longshore.shared.errors import DataError, LongshoreError, MissingData, ServiceUnavailable
from longshore.shared.outages import causes, http_status, is_outage
from longshore.shared.specs.jobs import FileInput
from longshore.shared.store.address import is_remote, public, without_secrets

#: Statuses of HTTP by which a server says that there is no such file, or not for this reader.
_MISSING_STATUSES = frozenset({403, 404, 410})


@dataclass(frozen=True)
class RemoteInfo:
    """Metadata of a remote file or folder."""

    is_folder: bool
    #: In bytes; ``None`` if the server does not report it.
    size: int | None


@contextmanager
def reading(uri: str) -> Iterator[None]:
    """Convert the errors of drivers and readers into an error that names the file.

    :raises MissingData: the file is missing, though its folder or its server is there.
    :raises DataError: it cannot be read, now and later.
    :raises ServiceUnavailable: its file system or its server cannot be reached at the moment.
    """
    try:
        yield
    except LongshoreError:
        raise
    except Exception as error:  # fsspec drivers and Arrow have their own classes; drop the cause, it can contain keys
        raise _read_error(uri, error) from None


def _read_error(uri: str, error: Exception) -> LongshoreError:
    # A driver may have hidden that an address was refused.
    refused = next((each for each in causes(error) if isinstance(each, LongshoreError)), None)
    if refused is not None:
        return refused
    status = http_status(error)
    if status is not None:
        reason = f"the server answers with status {status}"
    elif isinstance(error, FileNotFoundError) and not is_outage(error):
        reason = "No such file"
    else:
        reason = without_secrets(getattr(error, "strerror", None) or one_line(error), uri)
    message = f"cannot read {public(uri)}: {reason}"
    if is_outage(error):
        return ServiceUnavailable(message)
    if isinstance(error, FileNotFoundError) or status in _MISSING_STATUSES:
        if not is_remote(uri) and is_gone(Path(uri).parent):
            return ServiceUnavailable(f"{message}; its folder is missing or empty: mount it, or put the file back")
        return MissingData(message)
    return DataError(message)


def is_gone(folder: Path) -> bool:
    """Whether a folder looks as if its file system is not mounted: it is missing, or empty."""
    try:
        return next(folder.iterdir(), None) is None
    except NotADirectoryError:
        return False
    except OSError:
        return True


def remote_info(uri: str) -> RemoteInfo:
    """Look up a remote file or folder.

    :raises DataError: it does not exist, or its server cannot be reached.
    """
    with reading(uri):
        filesystem, path = open_filesystem(uri)
        filesystem.invalidate_cache(path)  # a cached listing may be old
        info = filesystem.info(path)
        size = info.get("size")
        return RemoteInfo(is_folder=info.get("type") == "directory", size=None if size is None else int(size))


def is_folder(uri: str) -> bool:
    """Whether an address is that of a folder.

    :raises DataError: a remote address cannot be looked up.
    """
    if is_remote(uri):
        return remote_info(uri).is_folder
    data_roots().check(uri, "read")
    return Path(uri).is_dir()


def check_size(data: FileInput) -> None:
    """Check that a file still has the size it had when the job was submitted.

    :raises DataError: its size has changed.
    """
    if data.size is None:
        return
    with reading(data.uri):
        data_roots().check(data.uri, "read")
        size = remote_info(data.uri).size if is_remote(data.uri) else Path(data.uri).stat().st_size
    if size not in (None, data.size):
        raise DataError(
            f"{public(data.uri)} has {size} bytes, but had {data.size} when the job was submitted; submit the job again"
        )


def open_bytes(uri: str) -> BinaryIO:
    """Open a file for reading and seeking. Call it inside :func:`reading`."""
    if is_remote(uri):
        return open_remote(uri)
    return open_read(uri)


def open_arrow(uri: str) -> pa.NativeFile:
    """Open a file for Arrow's readers. Call it inside :func:`reading`.

    Local files are not memory-mapped: if another process shortens a mapped file, this process crashes.
    """
    if is_remote(uri):
        return pa.PythonFile(open_remote(uri), mode="r")
    with readable_path(uri) as path:
        return pa.OSFile(path)


def open_remote(uri: str) -> BinaryIO:
    """Open a URL for reading and seeking. Call it inside :func:`reading`."""
    filesystem, path = open_filesystem(uri)
    return cast(BinaryIO, filesystem.open(path, "rb"))


def one_line(error: Exception) -> str:
    """The message of an error, cut to its first line."""
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.object[error.start]:#04x} is not UTF-8; save the file as UTF-8"
    return next(iter(str(error).splitlines()), "") or type(error).__name__
