"""The files of a folder or a glob, in order."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import fsspec.core

from longshore.shared.datasets.files import reading
from longshore.shared.errors import DataError
from longshore.shared.store.address import is_remote, public

SUFFIXES = (".parquet", ".pq")
_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Part:
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


def list_parts(address: str) -> list[Part]:
    """The Parquet files that an address stands for, sorted by name.

    Hidden ones, those whose name or whose folder's begins with ``.`` or ``_``, are left out.

    :raises DataError: there are none, or they cannot be listed.
    """
    with reading(address):
        found = _remote(address) if is_remote(address) else _local(address)
        parts = sorted({part for part in found if _wanted(part.name)}, key=lambda part: part.name.split("/"))
    if not parts:
        raise DataError(f"{public(address)} is a folder or a pattern that holds no Parquet files")
    return parts


def digest(parts: list[Part]) -> str:
    """Of the names and sizes: another one tells that files were added, removed or written again."""
    listing = "".join(f"{part.name}\0{part.size}\0" for part in parts)
    return hashlib.sha256(listing.encode("utf-8", "surrogateescape")).hexdigest()


def root_of(address: str) -> str:
    """A folder's address, or the folders of a glob before the first wildcard."""
    wildcard = _MAGIC.search(address) if is_glob(address) else None
    return address.rstrip("/") if wildcard is None else address[: wildcard.start()].rpartition("/")[0]


def _wanted(name: str) -> bool:
    # A partition's folder may be called ``_year=2024``.
    hidden = any(step[:1] in "._" and "=" not in step for step in name.split("/"))
    return not hidden and name.lower().endswith(SUFFIXES)


def _local(address: str) -> Iterator[Part]:
    root = root_of(address)
    # Unlike Path.glob, takes an absolute pattern.
    for match in glob.iglob(address, recursive=True) if is_glob(address) else [address]:  # noqa: PTH207
        if Path(match).is_file():
            paths = [match]
        else:
            paths = [str(Path(folder, name)) for folder, _, names in os.walk(match) for name in names]
        for path in paths:
            if path.lower().endswith(SUFFIXES) and Path(path).is_file():
                yield Part(path[len(root) :].lstrip("/"), path, Path(path).stat().st_size)


def _remote(address: str) -> Iterator[Part]:
    root = root_of(address)
    files, path = fsspec.core.url_to_fs(address)
    below = files._strip_protocol(root)
    found = files.glob(path, detail=True) if is_glob(address) else files.find(path, detail=True)
    for name, info in found.items():
        if info["type"] == "file":
            relative = name[len(below) :].lstrip("/")
            yield Part(relative, f"{root}/{relative}", int(info["size"] or 0))
