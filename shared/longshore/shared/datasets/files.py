"""Opening files, local and remote, with every driver's errors turned into one that names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import fsspec.core
import pyarrow as pa

from longshore.shared.errors import DataError, LongshoreError
from longshore.shared.specs.jobs import FileInput
from longshore.shared.store.address import is_remote, public, without_secrets


@dataclass(frozen=True)
class RemoteInfo:
    """What is known of a remote file before it is read."""

    is_folder: bool
    #: Bytes; ``None`` where the server does not say.
    size: int | None


@contextmanager
def reading(uri: str) -> Iterator[None]:
    """Turn what drivers and readers raise into a DataError that names the file."""
    try:
        yield
    except LongshoreError:
        raise
    except FileNotFoundError:
        raise DataError(f"cannot read {public(uri)}: No such file") from None
    except (OSError, ImportError) as error:
        said = getattr(error, "strerror", None) or one_line(error)
        raise DataError(f"cannot read {public(uri)}: {without_secrets(said, uri)}") from None
    except Exception as error:  # each fsspec driver and Arrow have their own; without their cause, which can hold keys
        raise DataError(f"cannot read {public(uri)}: {without_secrets(one_line(error), uri)}") from None


def remote_info(uri: str) -> RemoteInfo:
    """:raises DataError: there is no such file, or its server cannot be reached."""
    with reading(uri):
        files, path = fsspec.core.url_to_fs(uri)
        files.invalidate_cache(path)  # what a folder held when it was last listed may be long ago
        info = files.info(path)
        size = info.get("size")
        return RemoteInfo(is_folder=info.get("type") == "directory", size=None if size is None else int(size))


def is_folder(uri: str) -> bool:
    """:raises DataError: a remote one cannot be looked at."""
    return remote_info(uri).is_folder if is_remote(uri) else Path(uri).is_dir()


def check_size(data: FileInput) -> None:
    """:raises DataError: a file is not as long as it was when the job was submitted."""
    if data.size is None:
        return
    with reading(data.uri):
        size = remote_info(data.uri).size if is_remote(data.uri) else Path(data.uri).stat().st_size
    if size not in (None, data.size):
        raise DataError(
            f"{public(data.uri)} has {size} bytes and had {data.size} when the job was submitted; "
            "it was changed, so submit again"
        )


def open_bytes(uri: str) -> BinaryIO:
    """A file to read and seek in. Call it under ``reading``."""
    if is_remote(uri):
        return cast(BinaryIO, fsspec.open(uri, "rb").open())
    return Path(uri).open("rb", buffering=0)


def open_arrow(uri: str) -> pa.NativeFile:
    """A file for Arrow's readers. Call it under ``reading``.

    Local files are read and not mapped: a mapped file that is shortened meanwhile ends the process.
    """
    if is_remote(uri):
        return pa.PythonFile(fsspec.open(uri, "rb").open(), mode="r")
    return pa.OSFile(uri)


def one_line(error: Exception) -> str:
    """What a reader says in one line."""
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.object[error.start]:#04x} is not UTF-8; save the file as UTF-8"
    return next(iter(str(error).splitlines()), "") or type(error).__name__
