"""The files of a folder or a glob, in order."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import fsspec.core

from longshore.shared.datasets.files import reading
from longshore.shared.errors import DataError
from longshore.shared.store.address import is_remote, public

#: Of the files that go together.
PARQUET = (".parquet", ".pq")
IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif")
_MAGIC = re.compile(r"[*?\[]")


class Listed(Protocol):
    """What is known of a file before it is read."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int: ...


@dataclass(frozen=True)
class DatasetFile:
    """One file of a dataset."""

    #: Its path below the folder, or below the last folder of a glob without wildcards; with ``/``.
    name: str
    uri: str
    #: Bytes.
    size: int


def is_glob(address: str) -> bool:
    """Whether an address has wildcards. A local file of just that name is no glob; in a URL, only ``*`` is one."""
    if is_remote(address):
        return "*" in urlsplit(address).path
    return bool(_MAGIC.search(address)) and not os.path.lexists(address)


def list_files(address: str, suffixes: tuple[str, ...] = PARQUET) -> list[DatasetFile]:
    """The files with some suffixes that an address stands for, sorted by name.

    Hidden ones, whose name or whose folder's begins with ``.``, are left out. So are Parquet files where it begins
    with ``_``, as writers call what they are not done with; cameras call good images so.

    :raises DataError: there are none, or they cannot be listed.
    """
    with reading(address):
        found = _remote(address) if is_remote(address) else _local(address)
        parts = sorted({part for part in found if _wanted(part.name, suffixes)}, key=lambda part: part.name.split("/"))
    if not parts:
        kinds = {PARQUET: "Parquet files", IMAGES: "images"}.get(suffixes, "Parquet files and no images")
        raise DataError(f"{public(address)} is a folder or a pattern that holds no {kinds}")
    return parts


def digest(parts: Sequence[Listed]) -> str:
    """Of the names and sizes: another one tells that files were added, removed or written again."""
    listing = "".join(f"{part.name}\0{part.size}\0" for part in parts)
    return hashlib.sha256(listing.encode("utf-8", "surrogateescape")).hexdigest()


def root_of(address: str) -> str:
    """A folder's address, or the folders of a glob before the first wildcard."""
    wildcard = _MAGIC.search(address) if is_glob(address) else None
    return address.rstrip("/") if wildcard is None else address[: wildcard.start()].rpartition("/")[0]


def _wanted(name: str, suffixes: tuple[str, ...]) -> bool:
    marks = "._" if name.lower().endswith(PARQUET) else "."
    # A partition's folder may be called ``_year=2024``.
    hidden = any(step[:1] in marks and "=" not in step for step in name.split("/"))
    return not hidden and name.lower().endswith(suffixes)


def _local(address: str) -> Iterator[DatasetFile]:
    root = root_of(address)
    # Unlike Path.glob, takes an absolute pattern.
    for match in glob.iglob(address, recursive=True) if is_glob(address) else [address]:  # noqa: PTH207
        if Path(match).is_file():
            paths = [match]
        else:
            paths = [str(Path(folder, name)) for folder, _, names in os.walk(match) for name in names]
        for path in paths:
            if path.lower().endswith(PARQUET + IMAGES) and Path(path).is_file():
                yield DatasetFile(path[len(root) :].lstrip("/"), path, Path(path).stat().st_size)


def _remote(address: str) -> Iterator[DatasetFile]:
    root = root_of(address)
    files, path = fsspec.core.url_to_fs(address)
    files.invalidate_cache()  # of earlier listings, in this process, of folders at any depth
    below = files._strip_protocol(root)
    found = files.glob(path, detail=True) if is_glob(address) else files.find(path, detail=True)
    for name, info in found.items():
        if info["type"] == "file":
            relative = name[len(below) :].lstrip("/")
            yield DatasetFile(relative, f"{root}/{relative}", int(info["size"] or 0))
