"""Finds the files in which an ONNX file stores tensors, and checks that they lie in its folder.

Such a file could make a worker read any path, so it is loaded only with files that are part of the version.
https://onnx.ai/onnx/repo-docs/ExternalData.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.onnx.messages import find, messages, text
from longshore.shared.model_formats.onnx.protobuf import Value, fields
from longshore.shared.store.manifest import CONTENT_FILES, MANIFEST_FILE, check_path
from longshore.shared.vocabulary import RuntimeName

#: Fields of a tensor: its name, the location of external values, and whether they are external (not 0).
_NAME, _EXTERNAL_DATA, _DATA_LOCATION = 8, 13, 14
_ENTRY_KEY, _ENTRY_VALUE = 1, 2


@dataclass(frozen=True)
class ExternalFile:
    """A file with tensors."""

    #: The first tensor in it.
    tensor: str
    #: Bytes up to the end of the last tensor with a known length.
    size: int


def external_files(model: memoryview) -> dict[str, ExternalFile]:
    """The files that any tensor, in any graph or function of the file, is stored in, by their locations.

    :raises ValueError: the file is not a protobuf message, or is nested too deeply.
    """
    files: dict[str, ExternalFile] = {}
    for tensor in find(model, "tensor"):
        if not any(_is_external(number, value) for number, value in fields(tensor)):
            continue
        entries = {text(entry, _ENTRY_KEY): text(entry, _ENTRY_VALUE) for entry in messages(tensor, _EXTERNAL_DATA)}
        location = entries.get("location", "")
        before = files.get(location, ExternalFile(text(tensor, _NAME), 0))
        end = _number(entries.get("offset", "")) + _number(entries.get("length", ""))
        files[location] = ExternalFile(before.tensor, max(before.size, end))
    return files


def check_locations(files: Mapping[str, ExternalFile], field: str) -> None:
    """:raises InvalidInput: a location is not a plain relative path in the folder of the program."""
    for location, file in files.items():
        try:
            check_path(location)
        except ValueError:
            raise InvalidInput(
                field,
                f"its tensor {file.tensor!r} is stored in {location[:80]!r}, which is not a relative path in its "
                "folder of letters, digits, '.', '_' and '-'; save the program with another location",
            ) from None
        if location in (CONTENT_FILES[RuntimeName.ONNX], MANIFEST_FILE):
            raise InvalidInput(
                field, f"its tensor {file.tensor!r} is stored in {location!r}, a name that a version uses itself"
            )


def locate(files: Mapping[str, ExternalFile], folder: Path, field: str) -> dict[str, Path]:
    """The paths of the files beside a program, by their locations.

    :param files: with checked locations.
    :param folder: of the program.
    :raises InvalidInput: a location leads out of the folder, or a file is missing or too short.
    """
    paths = {}
    for location, file in files.items():
        path = folder / location
        try:
            real = path.resolve(strict=True)
            size = real.stat().st_size
        except OSError as error:
            raise InvalidInput(
                field, f"cannot read {path}, which has its tensor {file.tensor!r}: {error.strerror}"
            ) from None
        if not real.is_relative_to(folder.resolve()):
            raise InvalidInput(field, f"{path}, which has its tensor {file.tensor!r}, is a link that leads out of it")
        if not real.is_file():
            raise InvalidInput(field, f"{path}, which has its tensor {file.tensor!r}, is not a file")
        if size < file.size:
            raise InvalidInput(field, f"{path} has {size} bytes, but its tensors end at {file.size}; copy it again")
        paths[location] = real
    return paths


def _is_external(number: int, value: Value) -> bool:
    return number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
