"""The places that jobs may read and write, from ``LONGSHORE_DATA_ROOTS``.

A producer names files that a worker opens with rights of its own. The limits are checked where a file is opened, on its
resolved path: a link leads nowhere else.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from longshore.shared.errors import DataError, InvalidInput
from longshore.shared.store.address import is_remote, public

DATA_ROOTS: Final = "LONGSHORE_DATA_ROOTS"
Action: TypeAlias = Literal["read", "write"]

#: Without roots: folders of the operating system, which contain passwords, devices and the memory of processes.
_SYSTEM: Final = ("/etc", "/proc", "/sys", "/dev", "/boot", "/run", "/var/run", "/var/spool")
#: And folders of programs, where nothing is written.
_PROGRAMS: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
#: Parts of these that belong to users.
_OF_USERS: Final = ("/dev/shm", "/run/user", "/run/media")
#: Drivers that read nothing but what the rest of a chained URL names. Any other one would open a file of its own.
_WRAPPERS: Final = frozenset({"zip", "tar", "libarchive", "simplecache", "filecache", "blockcache"})
#: Drivers that open whatever other addresses a file of theirs names, or files of this machine under another name.
_REFUSED_SCHEMES: Final = frozenset({"reference", "generic", "git", "dir", "asynclocal", "jupyter", "dask"})


@dataclass(frozen=True)
class DataRoots:
    """Folders and URL prefixes. ``None`` for both: no roots are set, and only system folders are refused."""

    #: Resolved paths.
    folders: tuple[str, ...] | None = None
    #: URLs up to a ``/``, such as ``s3://bucket/data/``, or a scheme, such as ``https://``.
    urls: tuple[str, ...] | None = None

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ) -> DataRoots:
        """Read the setting: folders and URL prefixes, with commas between.

        :raises InvalidInput: an entry is neither an absolute path nor a URL.
        """
        entries = [entry.strip() for entry in environ.get(DATA_ROOTS, "").split(",") if entry.strip()]
        if not entries:
            return cls()
        urls = tuple(entry for entry in entries if "://" in entry)
        paths = [entry for entry in entries if "://" not in entry]
        for path in paths:
            if not Path(path).is_absolute():
                raise InvalidInput(DATA_ROOTS, f"{path!r}: write absolute paths and URL prefixes, with commas between")
        return cls(tuple(os.path.realpath(path) for path in paths), urls)

    def check(self, address: str, action: Action) -> None:
        """Check the address of a file or a folder, which need not exist.

        :raises DataError: it is outside the roots.
        """
        if not is_remote(address):
            self.resolve(address, action)
            return
        if "://[" in address and "::" in address.partition("://[")[2]:
            raise DataError(f"cannot {action} {public(address)}: `::` chains URLs; write the IPv6 address in full")
        *wrappers, target = address.split("::")
        around = [part.partition("://")[0] for part in wrappers]
        if refused := {each.lower() for each in (*around, target.partition("://")[0])} & _REFUSED_SCHEMES:
            raise DataError(f"cannot {action} {public(address)}: {min(refused)}:// can lead to any other file")
        if other := [each for each in around if each not in _WRAPPERS]:
            raise DataError(
                f"cannot {action} {public(address)}: {other[0]!r} reads nothing of what follows it; before `::` write "
                f"one of {', '.join(sorted(_WRAPPERS))}"
            )
        if not is_remote(target):
            self.resolve(target.removeprefix("file://").removeprefix("local://"), action)
        elif self.urls is not None and not any(_begins_with(target, prefix) for prefix in self.urls):
            raise self._outside(public(address), action)

    def names_host(self, host: str) -> bool:
        """Whether a root names a server, which then may be on a private network."""
        return any(urlsplit(prefix).hostname == host.lower() for prefix in self.urls or ())

    def resolve(self, path: str, action: Action) -> str:
        """The path without links.

        :raises DataError: it is outside the roots, or a link that its owner was not entitled to make.
        """
        try:
            resolved = os.path.realpath(path)
        except ValueError as error:  # a null byte
            raise DataError(f"cannot {action} {path!r}: {error}") from None
        if self.folders is not None:
            if not any(_is_below(resolved, folder) for folder in self.folders):
                raise self._outside(path, action)
            return resolved
        refused = _SYSTEM if action == "read" else (*_SYSTEM, *_PROGRAMS)
        below = any(_is_below(resolved, folder) for folder in refused)
        if below and not any(_is_below(resolved, folder) for folder in _OF_USERS):
            raise DataError(
                f"cannot {action} {path}: a folder of the operating system; set {DATA_ROOTS} where the workers run, if "
                "jobs may use it"
            )
        _check_owner(path, action)
        return resolved

    def _outside(self, shown: str, action: Action) -> DataError:
        return DataError(
            f"cannot {action} {shown}: outside the folders and URLs that jobs may use; use one of these, or add it to "
            f"{DATA_ROOTS} where the workers and this program run"
        )


@cache
def data_roots() -> DataRoots:
    """The roots of this process.

    :raises InvalidInput: the setting is malformed.
    """
    return DataRoots.load()


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _begins_with(url: str, prefix: str) -> bool:
    """Whether a URL is below a prefix. A prefix of only a scheme has every URL of it below."""
    parts, root = urlsplit(url), urlsplit(prefix)
    if parts.scheme.lower() != root.scheme.lower():
        return False
    if not root.netloc:
        return True
    if parts.netloc.rpartition("@")[2].lower() != root.netloc.lower() or ".." in parts.path.split("/"):
        return False
    return _is_below(parts.path or "/", root.path or "/") if "%" not in parts.path else root.path in ("", "/")


def _check_owner(path: str, action: Action) -> None:
    """Refuse a link to a file of another user, unless root or this process's user has made the link.

    :raises DataError: somebody has put a link in the place of a file that only the worker may use.
    """
    current = Path("/")
    for step in Path(os.path.abspath(path)).parts[1:]:  # noqa: PTH100 - `..` after a link is resolved by realpath
        current /= step
        try:
            link = current.lstat()
            if stat.S_ISLNK(link.st_mode):
                target = current.stat()
                if link.st_uid not in (0, os.geteuid(), target.st_uid):
                    raise DataError(f"cannot {action} {path}: {current} is a link to a file of another user")
        except OSError:
            return  # what does not exist is reported by whoever opens it
