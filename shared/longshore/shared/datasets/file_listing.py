"""Lists the files of a folder or a glob pattern."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import urlsplit

from longshore.shared.datasets.access.remote import open_filesystem
from longshore.shared.datasets.access.roots import data_roots
from longshore.shared.datasets.files import reading
from longshore.shared.errors import DataError
from longshore.shared.store.address import is_remote, public

#: Suffixes of files that can be read together as one dataset.
PARQUET = (".parquet", ".pq")
IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")
TEXTS = (".txt",)
#: Suffixes of images that earlier releases did not read. The listings of their jobs do not contain such files.
ADDED_IMAGES = (".tif", ".tiff")
#: What files are called, by their suffixes.
_NAMES = {PARQUET: "Parquet files", IMAGES: "images", TEXTS: "text files"}
#: How many suffixes of skipped files are listed at most.
MAX_LISTED_SUFFIXES = 6
_WILDCARD = re.compile(r"[*?\[]")


class FileEntry(Protocol):
    """The name and size of a file, known before it is read."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int: ...


@dataclass(frozen=True)
class DatasetFile:
    """One file of a dataset."""

    #: Its path relative to the folder, or to the part of a glob before the first wildcard; with ``/`` as separator.
    name: str
    uri: str
    #: In bytes.
    size: int


@dataclass(frozen=True)
class Listing:
    """The files of a folder or glob, sorted by name."""

    files: list[DatasetFile]
    #: The names of the files with other suffixes, which are not read.
    skipped: list[str]


def describe_skipped(names: Sequence[str]) -> str:
    """How many files were skipped, and which: ``3 files of other types: 2 .heic, 1 .txt, such as 'cat/1.heic'``."""
    counts = Counter(PurePosixPath(name).suffix.lower() or "without a suffix" for name in names)
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(MAX_LISTED_SUFFIXES))
    more = f" and {len(counts) - MAX_LISTED_SUFFIXES} more types" if len(counts) > MAX_LISTED_SUFFIXES else ""
    return f"{len(names)} files of other types: {kinds}{more}, such as {names[0]!r}"


def is_glob(address: str) -> bool:
    """Whether an address has wildcards: ``*`` in a URL; ``*``, ``?`` or ``[`` in a path that does not exist as such."""
    if is_remote(address):
        return "*" in urlsplit(address).path
    return bool(_WILDCARD.search(address)) and not os.path.lexists(address)


def list_files(address: str, suffixes: tuple[str, ...] = PARQUET) -> list[DatasetFile]:
    """The files with one of the suffixes in a folder or glob, sorted by name.

    Hidden files are skipped: those whose name, or whose folder's name, begins with ``.``. Parquet files are also
    skipped if it begins with ``_``, because writers use that for unfinished files; cameras use it for normal images.

    :param address: a path or a URL, of a folder or with wildcards.
    :param suffixes: lower-case suffixes. Default: those of Parquet files.
    :raises DataError: there are no such files, or they cannot be listed.
    """
    return list_all(address, suffixes).files


def list_all(address: str, suffixes: tuple[str, ...] = PARQUET) -> Listing:
    """The files with one of the suffixes, as :func:`list_files` returns them, and the names of the others."""
    with reading(address):
        data_roots().check(root_folder(address) or "/", "read")
        listed = _remote(address) if is_remote(address) else _local(address, suffixes)
        visible = sorted({file for file in listed if is_visible(file.name)}, key=lambda file: file.name.split("/"))
    files = [file for file in visible if file.name.lower().endswith(suffixes)]
    others = [file.name for file in visible if not file.name.lower().endswith(suffixes)]
    if not files:
        kinds = _NAMES.get(suffixes, "Parquet files, no images and no text files")
        skipped = "" if not others else f"; it has {describe_skipped(others)}"
        raise DataError(f"{public(address)} is a folder or a pattern with no {kinds}{skipped}")
    return Listing(files, others)


def listing_digest(files: Sequence[FileEntry]) -> str:
    """The SHA-256 of the names and sizes: it changes if files are added, removed or resized."""
    listing = "".join(f"{file.name}\0{file.size}\0" for file in files)
    return hashlib.sha256(listing.encode("utf-8", "surrogateescape")).hexdigest()


def root_folder(address: str) -> str:
    """The folder itself, or the folder of a glob before the first wildcard."""
    wildcard = _WILDCARD.search(address) if is_glob(address) else None
    return address.rstrip("/") if wildcard is None else address[: wildcard.start()].rpartition("/")[0]


def is_visible(name: str) -> bool:
    """Whether a file is one that readers of datasets look at, by its path."""
    prefixes = "._" if name.lower().endswith(PARQUET) else "."
    # A partition's folder may be called ``_year=2024``.
    return not any(step[:1] in prefixes and "=" not in step for step in name.split("/"))


def _local(address: str, suffixes: tuple[str, ...]) -> Iterator[DatasetFile]:
    root = root_folder(address)
    # Path.glob does not accept an absolute pattern.
    for match in glob.iglob(address, recursive=True) if is_glob(address) else [address]:  # noqa: PTH207
        if Path(match).is_file():
            paths = [match]
        else:
            paths = [str(Path(folder, name)) for folder, _, names in os.walk(match) for name in names]
        for path in paths:
            if Path(path).is_file():
                size = Path(path).stat().st_size if path.lower().endswith(suffixes) else 0
                yield DatasetFile(path[len(root) :].lstrip("/"), path, size)


def _remote(address: str) -> Iterator[DatasetFile]:
    root = root_folder(address)
    filesystem, path = open_filesystem(address)
    filesystem.invalidate_cache()  # this process may have cached older listings of folders at any depth
    prefix = filesystem._strip_protocol(root)
    listing = filesystem.glob(path, detail=True) if is_glob(address) else filesystem.find(path, detail=True)
    for name, info in listing.items():
        if info["type"] == "file":
            relative = name[len(prefix) :].lstrip("/")
            yield DatasetFile(relative, f"{root}/{relative}", int(info["size"] or 0))
