"""What ``models import`` is given: an exported folder, or an ONNX file with its signature. Nothing in it is run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from longshore.shared.errors import InvalidInput
from longshore.shared.onnx.program import MAX_SIZE, read_program
from longshore.shared.signature import Signature
from longshore.shared.store.manifest import Blob, Manifest, digest_of
from longshore.shared.validation import build

#: What an exported version's folder holds besides its weights or program.
MANIFEST_FILE = "manifest.json"
#: What the weights or the program are called there, by runtime.
CONTENT_FILES = {"family": "weights.safetensors", "onnx": "model.onnx"}
#: How zip archives begin, and so what PyTorch writes: ``.pt``, ``.pth`` and ``.pt2``.
_ZIP = b"PK\x03\x04"

#: A signature, its JSON as a mapping, or a file that holds it.
SignatureLike = Signature | Mapping[str, object] | str | os.PathLike[str]


@dataclass(frozen=True)
class Imported:
    """A version that can be put into the store."""

    manifest: Manifest
    #: The weights or the program: what ``manifest.weights`` names.
    content: Path


def read_import(path: Path, signature: SignatureLike | None) -> Imported:
    """Look at what is to be imported.

    :raises InvalidInput: it is no version and no program, or the signature does not go with it.
    """
    if path.is_dir():
        if signature is not None:
            raise InvalidInput("signature", f"the version in {path} has its own; leave this one out")
        return _read_folder(path)
    content = _read(path)
    if content.startswith(_ZIP):
        raise InvalidInput(
            "path",
            f"{path} is an archive of PyTorch, and to load one can run code that is hidden in it; "
            "export the model with torch.onnx.export and import that",
        )
    if signature is None:
        raise InvalidInput(
            "signature", "required for a program, and not given; it says what the program takes and gives"
        )
    found = _read_signature(signature)
    read_program(content, found, "path")
    manifest = Manifest(
        runtime="onnx",
        weights=Blob(digest=digest_of(content), size=len(content)),
        signature=found,
        lineage={"imported": path.name},
        created_at=datetime.now(UTC).isoformat(),
    )
    return Imported(manifest, path)


def _read_folder(folder: Path) -> Imported:
    manifest = Manifest.parse(_read(folder / MANIFEST_FILE))
    path = folder / CONTENT_FILES[manifest.runtime]
    if not path.is_file():
        raise InvalidInput("path", f"cannot read {path}: there is no such file; give an exported folder")
    if manifest.runtime == "onnx":
        manifest.signature.check("manifest.signature")
        read_program(_read(path), manifest.signature, "path")
    return Imported(manifest, path)


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


def _read(path: Path, field: str = "path") -> bytes:
    hint = "" if field != "path" else "; give an exported folder or an ONNX file"
    try:
        if path.exists() and not path.is_file():
            # A device or a pipe may have no end.
            raise InvalidInput(field, f"{path} is not a file{hint}")
        if path.stat().st_size > MAX_SIZE:
            raise InvalidInput(field, f"{path} is larger than the {MAX_SIZE} bytes that can be read{hint}")
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(field, f"cannot read {path}: {error.strerror}{hint}") from None
