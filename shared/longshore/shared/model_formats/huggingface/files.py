"""The files of such a folder, and JSON of files that nobody vouches for."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from longshore.shared.errors import InvalidInput

#: Local files by their path in the folder, ``/`` between its parts.
Files = Mapping[str, Path]

#: Bytes of the largest JSON file that is read: tokenizers of many languages come to some 20 MB.
MAX_JSON = 64 * 2**20
#: Files and folders that are looked at.
_MOST = 10_000
#: Only these are ever needed.
_SUFFIXES = (".json", ".safetensors")


def find_files(folder: Path, field: str) -> dict[str, Path]:
    """The JSON and safetensors files of a folder and of the folders in it.

    :param field: names the folder in an error.
    :raises InvalidInput: it cannot be read, or a file is a link that leads out of it.
    """
    try:
        root = folder.resolve(strict=True)
        entries = list(root.iterdir())
        for inner in [entry for entry in entries if entry.is_dir()]:
            _check_inside(inner, root, field)
            entries += inner.iterdir()
            if len(entries) > _MOST:
                raise InvalidInput(field, f"{folder} holds more than {_MOST} files; give the model's own folder")
    except OSError as error:
        raise InvalidInput(field, f"cannot read {folder}: {error.strerror}") from None
    found: dict[str, Path] = {}
    for entry in sorted(entries):
        if entry.name.endswith(_SUFFIXES) and (entry.is_symlink() or entry.is_file()):
            _check_inside(entry, root, field)
            if entry.is_file():
                found[entry.relative_to(root).as_posix()] = entry
    return found


def _check_inside(path: Path, root: Path, field: str) -> None:
    # Whoever may write into the folder could otherwise have any file of this machine copied into the store.
    if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root):
        raise InvalidInput(
            field,
            f"{path.relative_to(root)} is a link that leads out of {root}, and is not followed; "
            "give a folder with the files themselves, as cp -rL makes it",
        )


def read_object(files: Files, name: str, field: str) -> dict[str, object]:
    """A JSON file that holds an object.

    :raises InvalidInput: it is missing, too large, no JSON, or holds something else.
    """
    values = read_json(files, name, field)
    if not isinstance(values, dict):
        raise InvalidInput(field, f"{name} does not hold a JSON object")
    return values


def read_optional(files: Files, name: str, field: str) -> dict[str, object]:
    """As :func:`read_object`; of a file that is not there, nothing."""
    return read_object(files, name, field) if name in files else {}


def read_json(files: Files, name: str, field: str) -> object:
    """:raises InvalidInput: the file is missing, too large, or no JSON in which every key stands once."""
    if name not in files:
        raise InvalidInput(field, f"there is no {name}")
    path = files[name]
    try:
        if path.stat().st_size > MAX_JSON:
            raise InvalidInput(field, f"{name} is larger than {MAX_JSON} bytes")
        return parse_json(path.read_bytes())
    except OSError as error:
        raise InvalidInput(field, f"cannot read {name}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(field, f"{name} is not JSON: {str(error) or 'nested too deeply'}") from None


def parse_json(content: bytes) -> object:
    """:raises ValueError: it is no JSON, or says something twice: readers would differ in which they believe."""
    return json.loads(content.decode(), object_pairs_hook=_once, parse_constant=_refuse)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {repeated[:80]!r} is given more than once")
    return values


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not a number in JSON")
