"""Small files that map version numbers and aliases to digests.

models/<name>/versions/<n>.json      {"digest": "sha256:...", "created_at": "2026-..."}
models/<name>/aliases/<alias>.json   {"version": 3, "history": [{"version": 2, "at": "2026-..."}, ...]}

The file of a removed alias stays, with null as its version.

Postgres is the authority; these files allow its rows to be rebuilt from the store alone. In a path, the ``/`` of a
model name is written as ``~``, which no name contains.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.references import check_alias, check_name
from longshore.shared.store.folder import Folder
from longshore.shared.store.manifest import Digest
from longshore.shared.store.presence import StorePresence

_SUFFIX = ".json"
_VERSION = re.compile(r"[1-9][0-9]*")


class _Pointer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class VersionPointer(_Pointer):
    """The manifest digest of a version number. It never changes."""

    digest: Digest
    #: ISO 8601, UTC.
    created_at: str


class AliasChange(_Pointer):
    """An alias was set to a version, or removed (``None``)."""

    version: Annotated[int, Field(ge=1)] | None
    #: ISO 8601, UTC.
    at: str


class AliasPointer(_Pointer):
    """The version that an alias points at now, and its history, oldest first. The last entry is the current one."""

    version: Annotated[int, Field(ge=1)] | None
    history: tuple[AliasChange, ...]


P = TypeVar("P", bound=_Pointer)


class Pointers:
    """Reads and writes the pointers of one store."""

    def __init__(self, folder: Folder, presence: StorePresence) -> None:
        self._folder = folder
        self._presence = presence

    def write_version(self, name: str, version: int, digest: str, created_at: str | None) -> None:
        """Set the digest of a version number. The ledger assigns numbers: an existing file is from a lost attempt."""
        self._presence.begin_write()
        path = _path(name, "versions", str(version))
        current = self._read(path, VersionPointer)
        if current is None or current.digest != digest:
            self._write(path, VersionPointer(digest=digest, created_at=created_at or now()))

    def write_alias(self, name: str, alias: str, version: int | None, at: str | None) -> AliasPointer:
        """Point an alias at a version (``None`` removes it) and extend its history, unless it points there already."""
        path = _path(name, "aliases", check_alias(alias))
        self._presence.begin_write()  # before the read: a history that seems to be missing would be lost
        current = self._read(path, AliasPointer)
        if current is not None and current.version == version:
            return current
        history = () if current is None else current.history
        pointer = AliasPointer(version=version, history=(*history, AliasChange(version=version, at=at or now())))
        self._write(path, pointer)
        return pointer

    def delete_version(self, name: str, version: int) -> None:
        self._folder.delete(_path(name, "versions", str(version)))

    def versions(self) -> Iterator[tuple[str, int, VersionPointer]]:
        """Name, number and pointer of every version, ordered by name and number."""
        for name, stems in self._listed("versions"):
            for version in sorted(int(stem) for stem in stems if _VERSION.fullmatch(stem)):
                pointer = self._read(_path(name, "versions", str(version)), VersionPointer)
                if pointer is not None:  # None: deleted between listing and reading
                    yield name, version, pointer

    def aliases(self) -> Iterator[tuple[str, str, AliasPointer]]:
        """Name, alias and pointer of every alias, ordered by name and alias."""
        for name, stems in self._listed("aliases"):
            for alias in filter(_is_alias, stems):
                pointer = self._read(_path(name, "aliases", alias), AliasPointer)
                if pointer is not None:
                    yield name, alias, pointer

    def _listed(self, kind: str) -> Iterator[tuple[str, list[str]]]:
        self._presence.check()
        for name in filter(_is_name, (folder.replace("~", "/") for folder in self._folder.names("models"))):
            files = self._folder.names(f"models/{name.replace('/', '~')}/{kind}")
            yield name, [file.removesuffix(_SUFFIX) for file in files if file.endswith(_SUFFIX)]

    def _read(self, path: str, kind: type[P]) -> P | None:
        try:
            return kind.model_validate_json(self._folder.read(path))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise CorruptBlob(f"{path} in store {self._folder.name} is damaged: {first['msg']}") from None

    def _write(self, path: str, pointer: _Pointer) -> None:
        self._folder.write(path, iter([pointer.model_dump_json(indent=1).encode()]))


def now() -> str:
    """The current time in ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _is_name(text: str) -> bool:
    """Whether a folder is that of a model; other folders in the store are skipped."""
    try:
        return bool(check_name(text))
    except InvalidInput:
        return False


def _is_alias(text: str) -> bool:
    try:
        return bool(check_alias(text))
    except InvalidInput:
        return False


def _path(name: str, kind: str, stem: str) -> str:
    return f"models/{check_name(name).replace('/', '~')}/{kind}/{stem}{_SUFFIX}"
