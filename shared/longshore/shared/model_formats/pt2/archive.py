"""Reads and validates the zip archive that ``torch.export.save`` writes.

See torch/export/pt2_archive. No member may be compressed, so that an archive cannot grow when it is read.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.pt2.model import ExportedProgram, Payload, Payloads, Version, parse
from longshore.shared.model_formats.pt2.program import MAX_PROGRAM_BYTES

#: The first bytes of every zip archive.
ZIP = b"PK\x03\x04"
#: The most files in an archive, which has one for each weight.
_MAX_FILES = 100_000
#: The supported version of the schema.
_SCHEMA = 8
_WEIGHTS, _CONSTANTS = "data/weights/", "data/constants/"
#: What an archive may contain. Sample inputs are pickled and are never read.
_KNOWN = (_WEIGHTS, _CONSTANTS, "models/", "data/sample_inputs/", "extra/", ".data/", ".format_version")
_KNOWN_FILES = frozenset({"archive_format", "archive_version", "byteorder", ".storage_alignment"})


class Archive:
    """An open archive whose names have been validated; see :func:`open_archive`."""

    def __init__(self, file: zipfile.ZipFile, field: str) -> None:
        self._file = file
        self._field = field
        self._root, self._entries = _entries(file, field)
        for name, expected in (("archive_format", b"pt2"), ("byteorder", b"little")):
            content = self._read(name, 100)
            if content != expected:
                raise InvalidInput(field, f"its {name} is {content[:20]!r}, not {expected!r}")

    def program(self) -> tuple[str, ExportedProgram]:
        """The name and the content of the only program."""
        names = [name.removeprefix("models/") for name in self._entries if name.startswith("models/")]
        if len(names) != 1 or not names[0].endswith(".json"):
            raise InvalidInput(self._field, f"it must have one program, but has {len(names)}: {names[:3]}")
        content = self._read(f"models/{names[0]}", MAX_PROGRAM_BYTES)
        version = parse(Version, content, names[0], self._field).schema_version.major
        if version != _SCHEMA:
            raise InvalidInput(
                self._field,
                f"it has version {version} of the schema, but only version {_SCHEMA} is supported; "
                "export it with PyTorch 2.8 or newer",
            )
        return names[0].removesuffix(".json"), parse(ExportedProgram, content, names[0], self._field)

    def payloads(self, model: str) -> dict[str, tuple[str, Payload]]:
        """The location of each tensor of a program, by name: the folder of its file, and its metadata."""
        payloads: dict[str, tuple[str, Payload]] = {}
        for folder, config in ((_WEIGHTS, "weights_config"), (_CONSTANTS, "constants_config")):
            name = f"{folder}{model}_{config}.json"
            content = self._read(name, MAX_PROGRAM_BYTES)
            for tensor, payload in parse(Payloads, content, name, self._field).config.items():
                if payload.use_pickle or payload.tensor_meta is None:
                    raise InvalidInput(
                        self._field,
                        f"{tensor[:80]!r} is pickled, and unpickling can run code that is hidden in it; "
                        "convert tensors of other classes to plain ones, and export again",
                    )
                if tensor in payloads:
                    raise InvalidInput(self._field, f"{tensor[:80]!r} is both a weight and a constant")
                payloads[tensor] = (folder, payload)
        return payloads

    def size(self, name: str) -> int:
        """The size of a file in bytes.

        :raises InvalidInput: the file does not exist.
        """
        if name not in self._entries:
            raise InvalidInput(self._field, f"there is no {name[:200]} in it")
        return self._entries[name].file_size

    def read(self, name: str) -> bytes:
        """The whole content of a file.

        :raises InvalidInput: the file does not exist or is damaged.
        """
        return self._read(name, self.size(name))

    def _read(self, name: str, max_bytes: int) -> bytes:
        if self.size(name) > max_bytes:
            raise InvalidInput(self._field, f"{name[:200]} has more than {max_bytes} bytes")
        try:
            return self._file.read(self._entries[name])
        except (OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zipfile.BadZipFile) as error:
            raise InvalidInput(self._field, f"{name[:200]} in it is damaged: {error}") from None


@contextmanager
def open_archive(path: Path, field: str) -> Iterator[Archive]:
    """Open an archive.

    :param field: names the archive in an error.
    :raises InvalidInput: it is not an archive of ``torch.export.save``.
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
    """The root folder of the archive, and its files by their path in it."""
    infos = file.infolist()
    if not infos or len(infos) > _MAX_FILES:
        raise InvalidInput(field, f"it has {len(infos)} files; an archive has 1 to {_MAX_FILES}")
    root = infos[0].filename.split("/")[0]
    entries: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename.removeprefix(f"{root}/")
        steps = info.filename.split("/")
        if (
            steps[0] != root
            or len(steps) < 2
            or any(step in ("", ".", "..") for step in steps)
            or "\\" in info.filename
        ):
            raise InvalidInput(field, f"{info.filename[:200]!r} is not a name that torch.export.save writes")
        if name in entries:
            raise InvalidInput(field, f"{name[:200]!r} is in it twice")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 1:
            raise InvalidInput(field, f"{name[:200]!r} is compressed or encrypted; torch.export.save does neither")
        entries[name] = info
    # Overlapping members could expand a few bytes to many.
    if sum(info.file_size for info in infos) > _length(file):
        raise InvalidInput(field, "its files are larger in total than the archive itself")
    _check_known(entries, field)
    return root, entries


def _check_known(entries: dict[str, zipfile.ZipInfo], field: str) -> None:
    if "archive_format" not in entries:
        kind = "a pickle of PyTorch (.pt, .pth)" if "data.pkl" in entries else "another archive"
        raise InvalidInput(
            field,
            f"it is {kind}, not one of torch.export; loading a pickle can run code that is hidden in it, "
            "so save the network with torch.export.save(torch.export.export(...), 'model.pt2')",
        )
    for name in entries:
        if name.startswith("data/aotinductor/"):
            raise InvalidInput(field, f"{name[:200]!r} is machine code, which is never run; use torch.export.save")
        if not name.startswith(_KNOWN) and name not in _KNOWN_FILES:
            raise InvalidInput(field, f"{name[:200]!r} is not a file that torch.export.save writes")


def _length(file: zipfile.ZipFile) -> int:
    stream = file.fp
    assert stream is not None  # it is open
    return stream.seek(0, 2)
