"""What ``models import`` is given: an exported folder, a Hugging Face folder, an exported HDF5 file, or an ONNX
file or a program of ``torch.export`` with its signature.

Nothing in it is run.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from longshore.producers.models.exporting import hdf5_module
from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.files import find_files, read_object
from longshore.shared.model_formats.huggingface.model import read_model
from longshore.shared.model_formats.huggingface.network import CONFIG
from longshore.shared.model_formats.onnx.program import MAX_SIZE, read_program
from longshore.shared.model_formats.pt2.archive import ZIP
from longshore.shared.model_formats.pt2.reading import check_files, unpack
from longshore.shared.specs.signature import Signature
from longshore.shared.specs.tokenizer import TOKENIZER_FILE
from longshore.shared.specs.validation import build
from longshore.shared.store.blobs import describe
from longshore.shared.store.manifest import CONTENT_FILES, MANIFEST_FILE, Blob, Manifest, digest_of

#: How every HDF5 file begins.
HDF5 = b"\x89HDF\r\n\x1a\n"
#: A signature, its JSON as a mapping, or a file that holds it.
SignatureLike = Signature | Mapping[str, object] | str | os.PathLike[str]


@dataclass(frozen=True)
class Imported:
    """A version that can be put into the store."""

    manifest: Manifest
    #: Where the files that ``manifest.blobs`` names are.
    files: Mapping[str, Path]
    #: A folder with those of them that were made for this, until :meth:`close`.
    made: tempfile.TemporaryDirectory[str] | None = None

    def close(self) -> None:
        """Remove what was made."""
        if self.made is not None:
            self.made.cleanup()


def read_import(path: Path, signature: SignatureLike | None) -> Imported:
    """Look at what is to be imported. Close what comes back.

    :raises InvalidInput: it is no version and no program, or the signature does not go with it.
    """
    if path.is_dir():
        if signature is not None:
            raise InvalidInput("signature", f"the version in {path} has its own; leave this one out")
        if (path / CONFIG).is_file() and not (path / MANIFEST_FILE).exists():
            return _read_hugging_face(path)
        return _read_folder(path)
    if _begins_with(path, HDF5):
        if signature is not None:
            raise InvalidInput("signature", f"the version in {path} has its own; leave this one out")
        return _read_hdf5(path)
    is_archive = _begins_with(path, ZIP)
    content = b"" if is_archive else _read(path)
    if signature is None:
        raise InvalidInput(
            "signature", "required for a program, and not given; it says what the program takes and gives"
        )
    found = _read_signature(signature)
    if is_archive:
        return _read_archive(path, found)
    read_program(content, found, "path")
    manifest = Manifest(
        runtime="onnx",
        weights=Blob(digest=digest_of(content), size=len(content)),
        signature=found,
        lineage={"imported": path.name},
        created_at=datetime.now(UTC).isoformat(),
    )
    return Imported(manifest, {CONTENT_FILES["onnx"]: path})


def _read_archive(path: Path, signature: Signature) -> Imported:
    with _making() as made:
        files = unpack(path, signature, Path(made.name), "path")
        manifest = Manifest(
            runtime="pt2",
            files={name: describe(file) for name, file in files.items()},
            signature=signature,
            lineage={"imported": path.name},
            created_at=datetime.now(UTC).isoformat(),
        )
        return Imported(manifest, files, made)


def _read_hdf5(path: Path) -> Imported:
    reader = hdf5_module()
    with _making() as made:
        manifest, files = reader.read_hdf5(path, Path(made.name), "path")
        manifest.signature.check("manifest.signature")
        return Imported(manifest, files, made)


@contextmanager
def _making() -> Iterator[tempfile.TemporaryDirectory[str]]:
    """A folder that stays unless an error goes through here."""
    made = tempfile.TemporaryDirectory(prefix="longshore-import-")
    try:
        yield made
    except BaseException:
        made.cleanup()
        raise


def _read_hugging_face(folder: Path) -> Imported:
    found = find_files(folder, "path")
    model = read_model(found, "path")
    files = {name: found[name] for name in model.files}
    manifest = Manifest(
        runtime="huggingface",
        files={name: describe(path) for name, path in files.items()},
        signature=model.signature,
        lineage={"imported": folder.name},
        created_at=datetime.now(UTC).isoformat(),
    )
    return Imported(manifest, files)


def _read_folder(folder: Path) -> Imported:
    manifest = Manifest.parse(_read(folder / MANIFEST_FILE))
    files = {name: folder / name for name in manifest.blobs}
    for path in files.values():
        if not path.is_file():
            raise InvalidInput("path", f"cannot read {path}: there is no such file; give an exported folder")
    if manifest.runtime == "onnx":
        manifest.signature.check("manifest.signature")
        read_program(_read(files[CONTENT_FILES["onnx"]]), manifest.signature, "path")
    elif manifest.runtime == "pt2":
        manifest.signature.check("manifest.signature")
        check_files(files, manifest.signature, "path")
    elif manifest.tokenizer is not None:
        read_object(files, TOKENIZER_FILE, "path")
    elif manifest.runtime == "huggingface":
        found = find_files(folder, "path")
        model = read_model({name: path for name, path in found.items() if name in manifest.files}, "path")
        if model.signature != manifest.signature:
            raise InvalidInput("path", f"{folder / MANIFEST_FILE} has another signature than its model")
    return Imported(manifest, files)


def _read_signature(given: SignatureLike) -> Signature:
    if isinstance(given, str | os.PathLike):
        path = Path(given).expanduser().absolute()
        try:
            given = json.loads(_read(path, "signature"))
        except ValueError as error:
            raise InvalidInput("signature", f"{path} is not JSON: {error}") from None
        if not isinstance(given, dict):
            raise InvalidInput("signature", f"{path} does not hold a JSON object")
    signature = given if isinstance(given, Signature) else build(Signature, given, "signature.")
    signature.check("signature")
    return signature


def _begins_with(path: Path, start: bytes) -> bool:
    """``False`` of what cannot be read, too."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(start)) == start
    except OSError:
        return False


def _read(path: Path, field: str = "path") -> bytes:
    hint = "; give an exported folder, a Hugging Face folder, or an .onnx, .pt2 or .h5 file" if field == "path" else ""
    try:
        if path.exists() and not path.is_file():
            # A device or a pipe may have no end.
            raise InvalidInput(field, f"{path} is not a file{hint}")
        if path.stat().st_size > MAX_SIZE:
            raise InvalidInput(field, f"{path} is larger than the {MAX_SIZE} bytes that can be read{hint}")
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(field, f"cannot read {path}: {error.strerror}{hint}") from None
