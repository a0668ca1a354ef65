"""Reading a version to import: an exported folder, a Hugging Face folder, an exported HDF5 file, or an ONNX file or a
program of ``torch.export`` with its signature.

Nothing in it is executed.
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
from typing import TypeAlias

from pydantic import JsonValue

from longshore.producers.models.exporting import hdf5_module
from longshore.producers.models.import_progress import ShowProgress, StepProgress, total_size
from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.hdf5_process import read_hdf5
from longshore.shared.model_formats.huggingface.adapter import read_version_adapter
from longshore.shared.model_formats.huggingface.adapter_config import ADAPTER_CONFIG
from longshore.shared.model_formats.huggingface.files import find_files, read_object
from longshore.shared.model_formats.huggingface.language import (
    SIGNATURE,
    check_settings,
    is_language_model,
    read_language_model,
)
from longshore.shared.model_formats.huggingface.model import check_tokenizer, read_model
from longshore.shared.model_formats.huggingface.network import CONFIG
from longshore.shared.model_formats.onnx.external import locate
from longshore.shared.model_formats.onnx.program import MAX_BYTES, read_program
from longshore.shared.model_formats.pt2.archive import ZIP
from longshore.shared.model_formats.pt2.reading import check_files, unpack
from longshore.shared.specs.generation_settings import NO_SETTINGS, GenerationSettings
from longshore.shared.specs.signature import OutputKind, Signature
from longshore.shared.specs.validation import build
from longshore.shared.store.blobs import describe
from longshore.shared.store.manifest import CONTENT_FILES, MANIFEST_FILE, Blob, Manifest, digest_of
from longshore.shared.vocabulary import RuntimeName

#: The first bytes of every HDF5 file.
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
#: Settings of an engine, or a mapping of them.
GenerationSettingsLike: TypeAlias = GenerationSettings | Mapping[str, JsonValue]
#: A signature, its JSON document as a mapping, or the path of a JSON file.
SignatureLike = Signature | Mapping[str, object] | str | os.PathLike[str]


@dataclass(frozen=True)
class Imported:
    """A version that can be added to the store."""

    manifest: Manifest
    #: The local path of each file in ``manifest.blobs``.
    files: Mapping[str, Path]
    #: The folder of the files that were written during the import; :meth:`close` deletes it.
    temporary: tempfile.TemporaryDirectory[str] | None = None
    #: Whether the digests in the manifest were computed from these files just now.
    described: bool = False

    def close(self) -> None:
        """Delete the temporary files."""
        if self.temporary is not None:
            self.temporary.cleanup()


def read_import(
    path: Path,
    signature: SignatureLike | None,
    *,
    output: str | None = None,
    output_kind: OutputKind | None = None,
    generation: GenerationSettingsLike | None = None,
    progress: ShowProgress | None = None,
) -> Imported:
    """Read and check what is to be imported. The caller must close the result.

    :param output: see ``Signature.output``. Default: that of the signature.
    :param output_kind: see ``Signature.output_kind``. Default: that of the signature.
    :param generation: only for the folder of a language model. Default: nothing is set.
    :param progress: called while a Hugging Face folder is read, which can be large.
    :raises InvalidInput: the path is neither a version nor a program, or does not match the signature.
    """
    options = {"signature": signature, "output": output, "output_kind": output_kind}
    settings = _read_settings(generation)
    if path.is_dir():
        check_no_options(options, path)
        if (path / CONFIG).is_file() and not (path / MANIFEST_FILE).exists():
            return _read_hugging_face(path, settings, progress)
        if (path / ADAPTER_CONFIG).is_file() and not (path / MANIFEST_FILE).exists():
            raise InvalidInput(
                "base", f"required: {path} is an adapter; name the version that it was trained on (--base in a shell)"
            )
        check_no_options({"generation": settings}, path)
        return _read_folder(path)
    if settings is not None:
        raise InvalidInput("generation", f"{path} is not the folder of a language model; omit this option")
    if _begins_with(path, HDF5_MAGIC):
        check_no_options(options, path)
        return _read_hdf5(path)
    is_archive = _begins_with(path, ZIP)
    content = b"" if is_archive else _read(path)
    if signature is None:
        raise InvalidInput("signature", "required for a program; it describes the inputs and outputs")
    given = {name: value for name, value in options.items() if value is not None and name != "signature"}
    parsed = Signature.model_validate({**_read_signature(signature).model_dump(), **given})
    return _read_archive(path, parsed) if is_archive else _read_onnx(path, content, parsed)


def check_no_options(options: Mapping[str, object], path: Path) -> None:
    """:raises InvalidInput: an option is not ``None``, but the path has what it says."""
    for name, value in options.items():
        if value is not None:
            raise InvalidInput(name, f"the version in {path} has its own; omit this option")


def _read_onnx(path: Path, content: bytes, signature: Signature) -> Imported:
    program = read_program(content, signature, "path")
    files = locate(program.external, path.parent, "path")
    manifest = Manifest(
        runtime=RuntimeName.ONNX,
        weights=Blob(digest=digest_of(content), size=len(content)),
        files={name: describe(file) for name, file in files.items()},
        signature=program.signature,
        lineage={"imported": path.name},
        created_at=datetime.now(UTC).isoformat(),
    )
    return Imported(manifest, {CONTENT_FILES[RuntimeName.ONNX]: path, **files})


def _read_archive(path: Path, signature: Signature) -> Imported:
    with _temporary_folder() as temporary:
        signature.check("signature")
        files, signature = unpack(path, signature, Path(temporary.name), "path")
        manifest = Manifest(
            runtime=RuntimeName.PT2,
            files={name: describe(file) for name, file in files.items()},
            signature=signature,
            lineage={"imported": path.name},
            created_at=datetime.now(UTC).isoformat(),
        )
        return Imported(manifest, files, temporary=temporary)


def _read_hdf5(path: Path) -> Imported:
    hdf5_module()  # says what is missing
    with _temporary_folder() as temporary:
        manifest, files = read_hdf5(path, Path(temporary.name), "path")
        manifest.signature.check("manifest.signature")
        if manifest.tokenizer is not None:
            check_tokenizer(files, "path")
        return Imported(manifest, files, temporary=temporary)


@contextmanager
def _temporary_folder() -> Iterator[tempfile.TemporaryDirectory[str]]:
    """A temporary folder that is deleted only if an error is raised."""
    temporary = tempfile.TemporaryDirectory(prefix="longshore-import-")
    try:
        yield temporary
    except BaseException:
        temporary.cleanup()
        raise


def _read_hugging_face(folder: Path, settings: GenerationSettings | None, progress: ShowProgress | None) -> Imported:
    available = find_files(folder, "path")
    lineage: dict[str, JsonValue] = {"imported": folder.name}
    if is_language_model(read_object(available, CONFIG, "path")):
        language = read_language_model(available, "path")
        settings = settings or NO_SETTINGS
        check_settings(settings, language, "generation")
        signature, needed = SIGNATURE, language.files
        if language.generation.notes:
            lineage["notes"] = list(language.generation.notes)
    else:
        if settings is not None:
            raise InvalidInput("generation", f"the model in {folder} generates no text; omit this option")
        model = read_model(available, "path")
        signature, needed = model.signature, model.files
    files = {name: available[name] for name in needed}
    reading = StepProgress(progress, "read", total_size(files.values()))
    manifest = Manifest(
        runtime=RuntimeName.HUGGINGFACE,
        files={name: describe(path, reading.of(name)) for name, path in files.items()},
        signature=signature,
        generation=settings or NO_SETTINGS,
        lineage=lineage,
        created_at=datetime.now(UTC).isoformat(),
    )
    return Imported(manifest, files, described=True)


def _read_settings(settings: GenerationSettingsLike | None) -> GenerationSettings | None:
    if settings is None:
        return None
    return settings if isinstance(settings, GenerationSettings) else build(GenerationSettings, settings, "generation.")


def _read_folder(folder: Path) -> Imported:
    manifest = Manifest.parse(_read(folder / MANIFEST_FILE))
    files = {name: folder / name for name in manifest.blobs}
    for path in files.values():
        if not path.is_file():
            raise InvalidInput("path", f"cannot read {path}: there is no such file; specify an exported folder")
    if manifest.runtime in (RuntimeName.ONNX, RuntimeName.PT2):
        _check_untransformed(manifest.signature, "manifest.signature")
    if manifest.runtime is RuntimeName.ONNX:
        manifest.signature.check("manifest.signature")
        program = read_program(_read(files[CONTENT_FILES[RuntimeName.ONNX]]), manifest.signature, "path")
        if program.external.keys() != manifest.files.keys():
            raise InvalidInput("path", f"{folder / MANIFEST_FILE} does not name the files with the program's tensors")
        locate(program.external, folder, "path")
    elif manifest.runtime is RuntimeName.PT2:
        manifest.signature.check("manifest.signature")
        check_files(files, manifest.signature, "path")
    elif manifest.tokenizer is not None:
        check_tokenizer(files, "path")
    elif manifest.runtime is RuntimeName.HUGGINGFACE:
        available = find_files(folder, "path")
        inside = {name: path for name, path in available.items() if name in manifest.files}
        if manifest.signature.task == "generation":
            language = read_language_model(inside, "path")
            check_settings(manifest.generation, language, "manifest.generation")
            read_version_adapter(inside, "path")
            signature = SIGNATURE
        else:
            signature = read_model(inside, "path").signature
        if signature != manifest.signature:
            raise InvalidInput("path", f"{folder / MANIFEST_FILE} has a different signature from its model")
    return Imported(manifest, files)


def _read_signature(source: SignatureLike) -> Signature:
    if isinstance(source, str | os.PathLike):
        path = Path(source).expanduser().absolute()
        try:
            source = json.loads(_read(path, "signature"))
        except (ValueError, RecursionError) as error:
            raise InvalidInput("signature", f"{path} is not JSON: {error}") from None
        if not isinstance(source, dict):
            raise InvalidInput("signature", f"{path} does not contain a JSON object")
    signature = source if isinstance(source, Signature) else build(Signature, source, "signature.")
    _check_untransformed(signature, "signature")
    return signature


def _check_untransformed(signature: Signature, field: str) -> None:
    """:raises InvalidInput: a column of a program has preprocessing, as versions have that Longshore trained."""
    for feature in signature.features:
        if feature.transform is not None:
            raise InvalidInput(
                f"{field}.features",
                f"{feature.name!r} has a transform, but programs preprocess columns themselves; leave the transform "
                "out, and declare what the program takes: a category as a text, and a date as a number",
            )


def _begins_with(path: Path, magic: bytes) -> bool:
    """Whether a file begins with these bytes; ``False`` if it cannot be read."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError:
        return False


def _read(path: Path, field: str = "path") -> bytes:
    hint = (
        "; specify an exported folder, a Hugging Face folder, or an .onnx, .pt2 or .h5 file" if field == "path" else ""
    )
    try:
        if path.exists() and not path.is_file():
            # A device or a pipe may never end.
            raise InvalidInput(field, f"{path} is not a file{hint}")
        if path.stat().st_size > MAX_BYTES:
            raise InvalidInput(field, f"{path} is larger than the {MAX_BYTES} bytes allowed{hint}")
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(field, f"cannot read {path}: {error.strerror}{hint}") from None
