"""The zip archive that ``torch.export.save`` writes, looked at before anything in it is believed.

torch/export/pt2_archive: all is stored and nothing compressed, so that an archive cannot grow when it is read.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.pt2.model import ExportedProgram, Payload, Payloads, Version, parse
from longshore.shared.model_formats.pt2.program import MAX_PROGRAM

#: How every zip archive begins, and so what PyTorch writes.
ZIP = b"PK\x03\x04"
#: Files in an archive; one for each weight.
_MOST_FILES = 100_000
#: The version of the schema that is read.
_SCHEMA = 8
_WEIGHTS, _CONSTANTS = "data/weights/", "data/constants/"
#: What may lie in an archive. Sample inputs are pickled, and are never looked at.
_KNOWN = (_WEIGHTS, _CONSTANTS, "models/", "data/sample_inputs/", "extra/", ".data/", ".format_version")
_KNOWN_FILES = frozenset({"archive_format", "archive_version", "byteorder", ".storage_alignment"})


class Archive:
    """An open archive whose names were checked. :func:`open_archive` makes one."""

    def __init__(self, file: zipfile.ZipFile, field: str) -> None:
        self._file = file
        self._field = field
        self._root, self._entries = _entries(file, field)
        for name, wanted in (("archive_format", b"pt2"), ("byteorder", b"little")):
            found = self._read(name, 100)
            if found != wanted:
                raise InvalidInput(field, f"its {name} is {found[:20]!r}, not {wanted!r}")

    def program(self) -> tuple[str, ExportedProgram]:
        """The name of the one program, and what it says."""
        names = [name.removeprefix("models/") for name in self._entries if name.startswith("models/")]
        if len(names) != 1 or not names[0].endswith(".json"):
            raise InvalidInput(self._field, f"it must hold one program, and holds {len(names)}: {names[:3]}")
        content = self._read(f"models/{names[0]}", MAX_PROGRAM)
        version = parse(Version, content, names[0], self._field).schema_version.major
        if version != _SCHEMA:
            raise InvalidInput(
                self._field,
                f"it is written in version {version} of the schema, and version {_SCHEMA} is read; "
                "export it with PyTorch 2.8 or newer",
            )
        return names[0].removesuffix(".json"), parse(ExportedProgram, content, names[0], self._field)

    def payloads(self, model: str) -> dict[str, tuple[str, Payload]]:
        """Where each tensor of a program lies, by its name: the folder of its file, and what is said of it."""
        found: dict[str, tuple[str, Payload]] = {}
        for folder, config in ((_WEIGHTS, "weights_config"), (_CONSTANTS, "constants_config")):
            name = f"{folder}{model}_{config}.json"
            content = self._read(name, MAX_PROGRAM)
            for tensor, payload in parse(Payloads, content, name, self._field).config.items():
                if payload.use_pickle or payload.tensor_meta is None:
                    raise InvalidInput(
                        self._field,
                        f"{tensor[:80]!r} is pickled, and to unpickle it could run code that is hidden in it; "
                        "only plain tensors are read, so convert those of other classes and export again",
                    )
                if tensor in found:
                    raise InvalidInput(self._field, f"{tensor[:80]!r} is both a weight and a constant")
                found[tensor] = (folder, payload)
        return found

    def size(self, name: str) -> int:
        """Bytes of a file.

        :raises InvalidInput: there is none of this name.
        """
        if name not in self._entries:
            raise InvalidInput(self._field, f"there is no {name[:200]} in it")
        return self._entries[name].file_size

    def read(self, name: str) -> bytes:
        """All of a file."""
        return self._read(name, self.size(name))

    def _read(self, name: str, most: int) -> bytes:
        if self.size(name) > most:
            raise InvalidInput(self._field, f"{name[:200]} has more than {most} bytes")
        try:
            return self._file.read(self._entries[name])
        except (OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zipfile.BadZipFile) as error:
            raise InvalidInput(self._field, f"{name[:200]} in it is damaged: {error}") from None


@contextmanager
def open_archive(path: Path, field: str) -> Iterator[Archive]:
    """Open a file of PyTorch.

    :param field: names it in an error.
    :raises InvalidInput: it is no archive of ``torch.export.save``.
    """
    try:
        stream: IO[bytes] = path.open("rb")
    except OSError as error:
        raise InvalidInput(field, f"cannot read {path}: {error.strerror}") from None
    with stream:
        try:
            file = zipfile.ZipFile(stream)
        except (ValueError, NotImplementedError, OSError, zipfile.BadZipFile) as error:
            raise InvalidInput(field, f"{path} is a damaged archive: {error}") from None
        with file:
            yield Archive(file, field)


def _entries(file: zipfile.ZipFile, field: str) -> tuple[str, dict[str, zipfile.ZipInfo]]:
    """The folder that holds all, and its files by their path in it."""
    infos = file.infolist()
    if not infos or len(infos) > _MOST_FILES:
        raise InvalidInput(field, f"it holds {len(infos)} files; an archive has 1 to {_MOST_FILES}")
    root = infos[0].filename.split("/")[0]
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename.removeprefix(f"{root}/")
        parts = info.filename.split("/")
        if (
            parts[0] != root
            or len(parts) < 2
            or any(part in ("", ".", "..") for part in parts)
            or "\\" in info.filename
        ):
            raise InvalidInput(field, f"{info.filename[:200]!r} is no name of a file that torch.export.save writes")
        if name in found:
            raise InvalidInput(field, f"{name[:200]!r} is in it twice")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 1:
            raise InvalidInput(field, f"{name[:200]!r} is compressed or encrypted, as torch.export.save leaves no file")
        found[name] = info
    # What overlaps would make much of few bytes.
    if sum(info.file_size for info in infos) > _length(file):
        raise InvalidInput(field, "its files are together larger than itself")
    _check_known(found, field)
    return root, found


def _check_known(found: dict[str, zipfile.ZipInfo], field: str) -> None:
    if "archive_format" not in found:
        kind = "a pickle of PyTorch (.pt, .pth)" if "data.pkl" in found else "another archive"
        raise InvalidInput(
            field,
            f"it is {kind}, not one of torch.export; to load a pickle can run code that is hidden in it, "
            "so save the network with torch.export.save(torch.export.export(...), 'model.pt2')",
        )
    for name in found:
        if name.startswith("data/aotinductor/"):
            raise InvalidInput(field, f"{name[:200]!r} is machine code, which is never run; use torch.export.save")
        if not name.startswith(_KNOWN) and name not in _KNOWN_FILES:
            raise InvalidInput(field, f"{name[:200]!r} is nothing that torch.export.save writes")


def _length(file: zipfile.ZipFile) -> int:
    stream = file.fp
    assert stream is not None  # it is open
    return stream.seek(0, 2)
