"""Lists the files of such a folder, and parses untrusted JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from longshore.shared.errors import InvalidInput

#: Local files by their path in the folder, with ``/`` as the separator.
Files = Mapping[str, Path]

#: The largest JSON file that is read: tokenizers of many languages take about 20 MB.
MAX_JSON_BYTES = 64 * 2**20
#: The most files and folders that are listed.
_MAX_ENTRIES = 10_000
#: Only files with these suffixes are needed.
_SUFFIXES = (".json", ".safetensors", ".jinja")


def find_files(folder: Path, field: str) -> dict[str, Path]:
    """The JSON and safetensors files, and the chat templates, of a folder and of its direct subfolders.

    :param field: names the folder in an error.
    :raises InvalidInput: it cannot be read, or a file is a link to a target outside the folder.
    """
    try:
        root = folder.resolve(strict=True)
        entries = list(root.iterdir())
        for inner in [entry for entry in entries if entry.is_dir()]:
            _check_inside(inner, root, field)
            entries += inner.iterdir()
            if len(entries) > _MAX_ENTRIES:
                raise InvalidInput(field, f"{folder} has more than {_MAX_ENTRIES} files; give the model's own folder")
    except OSError as error:
        raise InvalidInput(field, f"cannot read {folder}: {error.strerror}") from None
    files: dict[str, Path] = {}
    for entry in sorted(entries):
        if entry.name.endswith(_SUFFIXES) and (entry.is_symlink() or entry.is_file()):
            _check_inside(entry, root, field)
            if entry.is_file():
                files[entry.relative_to(root).as_posix()] = entry
    return files


def _check_inside(path: Path, root: Path, field: str) -> None:
    # Otherwise anyone who can write to the folder could have any file of this machine copied into the store.
    if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root):
        raise InvalidInput(
            field,
            f"{path.relative_to(root)} is a link to a target outside {root}, and is not followed; "
            "give a folder with the files themselves, for example a copy made with cp -rL",
        )


def read_object(files: Files, name: str, field: str) -> dict[str, object]:
    """Read a JSON file whose content is an object.

    :raises InvalidInput: it is missing, too large, not valid JSON, or not an object.
    """
    values = read_json(files, name, field)
    if not isinstance(values, dict):
        raise InvalidInput(field, f"{name} is not a JSON object")
    return values


def read_optional(files: Files, name: str, field: str) -> dict[str, object]:
    """Like :func:`read_object`, but an empty object if the file does not exist."""
    return read_object(files, name, field) if name in files else {}


def read_json(files: Files, name: str, field: str) -> object:
    """Read a JSON file.

    :raises InvalidInput: the file is missing, too large, not valid JSON, or has a duplicate key.
    """
    if name not in files:
        raise InvalidInput(field, f"there is no {name}")
    path = files[name]
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise InvalidInput(field, f"{name} is larger than {MAX_JSON_BYTES} bytes")
        return parse_json(path.read_bytes())
    except OSError as error:
        raise InvalidInput(field, f"cannot read {name}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(field, f"{name} is not JSON: {str(error) or 'nested too deeply'}") from None


def parse_json(content: bytes) -> object:
    """Parse JSON strictly.

    :raises ValueError: it is not valid JSON, or has a duplicate key, which parsers resolve differently.
    """
    return json.loads(content.decode(), object_pairs_hook=_unique_keys, parse_constant=_refuse)


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {repeated[:80]!r} is given more than once")
    return values


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not a number in JSON")
