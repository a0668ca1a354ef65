"""Exporting a version: as a folder, as its parameters, or as a program for other runtimes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args

from longshore.producers.models.merging import write_merged
from longshore.shared.errors import InvalidInput, LongshoreError, ServiceUnavailable
from longshore.shared.model_formats.huggingface.adapter import is_adapter_file
from longshore.shared.outages import is_outage
from longshore.shared.specs.families import TREES
from longshore.shared.store.manifest import CONTENT_FILES, MANIFEST_FILE, Blob, Manifest
from longshore.shared.store.reflink import copy_file
from longshore.shared.vocabulary import RuntimeName

#: The formats a version can be exported in. The last two are for versions of a language model with an adapter.
ExportFormat = Literal["folder", "onnx", "pt2", "hdf5", "adapter", "merged"]
#: Formats by the suffix of the path; any other suffix means a folder.
_FORMAT_BY_SUFFIX: dict[str, ExportFormat] = {".onnx": "onnx", ".pt2": "pt2", ".h5": "hdf5", ".hdf5": "hdf5"}
#: The packages that a format needs, and the extras that install them.
_PACKAGES = {"onnx": ("torch", "onnx", "onnxscript"), "pt2": ("torch",)}
_EXTRAS = {"onnx": "worker,export", "pt2": "worker"}


def choose_format(target: Path, name: str | None, manifest: Manifest, *, merged: bool = False) -> ExportFormat:
    """The format with this name, or, if there is no name, that of the target's suffix. Without both, an adapter is
    exported alone, and any other version as a folder.

    :param merged: merge the adapter into the weights.
    :raises InvalidInput: there is no such format, or the version has no adapter.
    """
    has_adapter = any(is_adapter_file(file) for file in manifest.files)
    if merged:
        if name not in (None, "folder", "merged"):
            raise InvalidInput("format", f"{name}: a merged version is exported as a folder; leave the format out")
        name = "merged"
    if name in ("adapter", "merged") and not has_adapter:
        raise InvalidInput(name if merged else "format", f"the version has no adapter, so it cannot be {name}")
    if name is None:
        return _FORMAT_BY_SUFFIX.get(target.suffix.lower(), "adapter" if has_adapter else "folder")
    export_format: ExportFormat
    for export_format in get_args(ExportFormat):
        if name == export_format:
            return export_format
    raise InvalidInput("format", f"{name!r} is not a format; the formats are {', '.join(get_args(ExportFormat))}")


def write_export(export_format: ExportFormat, manifest: Manifest, files: Mapping[str, Path], target: Path) -> None:
    """Write a version to ``target``. Nothing is overwritten, and a failed export leaves no file behind.

    :param files: local files by their path in the folder of the version.
    :raises InvalidInput: the target exists or cannot be written, or the version cannot be exported in this format.
    """
    if target.exists():
        raise InvalidInput("path", f"cannot write {target}: it already exists")
    try:
        if export_format == "folder":
            _write_folder(manifest, files, target)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        # Next to the target, which appears only when it is complete.
        with tempfile.TemporaryDirectory(prefix=".longshore-", dir=target.parent) as folder:
            if export_format in ("adapter", "merged"):
                complete = Path(folder) / "export"
                complete.mkdir()
                _write_adapter(files, complete) if export_format == "adapter" else write_merged(files, complete)
                complete.rename(target)
                return
            temporary = Path(folder) / f"export.{export_format}"
            _write_file(export_format, manifest, files, temporary, Path(folder))
            os.link(temporary, target)  # unlike a rename, it never overwrites a file
    except OSError as error:
        if is_outage(error):
            raise ServiceUnavailable(f"cannot write {target}: {error.strerror or error}") from None
        raise InvalidInput("path", f"cannot write {target}: {error.strerror or error}") from None


def needed_blobs(export_format: ExportFormat, manifest: Manifest) -> dict[str, Blob]:
    """What must be fetched from the store, by path in the folder of the version."""
    if export_format == "adapter":
        return {file: blob for file, blob in manifest.blobs.items() if is_adapter_file(file)}
    return manifest.blobs


def hdf5_module() -> ModuleType:
    """Import the module that reads and writes HDF5 files.

    :raises InvalidInput: h5py is not installed.
    """
    try:
        from longshore.shared.model_formats import hdf5
    except ImportError:
        raise InvalidInput("format", "hdf5 needs the package h5py: pip install 'longshore[hdf5]'") from None
    return hdf5


def _write_folder(manifest: Manifest, files: Mapping[str, Path], target: Path) -> None:
    target.mkdir(parents=True)
    for name, path in files.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        copy_file(path, target / name)
    (target / MANIFEST_FILE).write_bytes(manifest.canonical())


def _write_adapter(files: Mapping[str, Path], target: Path) -> None:
    for name, path in files.items():
        shutil.copyfile(path, target / name.partition("/")[2])


def _write_file(
    export_format: ExportFormat, manifest: Manifest, files: Mapping[str, Path], target: Path, folder: Path
) -> None:
    if export_format == manifest.runtime == RuntimeName.ONNX:
        if manifest.files:
            raise InvalidInput(
                "format", "onnx: the program stores tensors in other files; export the version as a folder"
            )
        shutil.copyfile(files[CONTENT_FILES[RuntimeName.ONNX]], target)
        return
    if manifest.runtime is not RuntimeName.FAMILY:
        raise InvalidInput(
            "format",
            f"{export_format}: a version of the runtime {manifest.runtime} can only be exported as a folder",
        )
    if manifest.family in TREES:
        raise InvalidInput(
            "format",
            f"{export_format}: a version of the family {manifest.family} is exported as a folder, in which "
            f"{manifest.content_file} has its trees",
        )
    if export_format == "hdf5":
        hdf5_module().write_hdf5(manifest, files, target)
        return
    _run_export(export_format, manifest, files[manifest.content_file], target, folder)


def _run_export(export_format: ExportFormat, manifest: Manifest, weights: Path, target: Path, folder: Path) -> None:
    """Run the export in its own process: producers do not import the code of the workers, or PyTorch."""
    missing = [package for package in _PACKAGES[export_format] if find_spec(package) is None]
    if missing:
        install = f"pip install 'longshore[{_EXTRAS[export_format]}]'"
        raise InvalidInput("format", f"{export_format} needs {missing[0]}, which is not installed; run: {install}")
    (folder / MANIFEST_FILE).write_bytes(manifest.canonical())
    # -P: files in the current folder must not shadow packages.
    command = [sys.executable, "-P", "-m", "longshore.workers.jobs.export", export_format]
    process = subprocess.run(
        [*command, folder / MANIFEST_FILE, weights, target],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if process.returncode != 0 or not target.is_file():
        raise _failure(export_format, process)


def _failure(export_format: ExportFormat, process: subprocess.CompletedProcess[str]) -> LongshoreError:
    last_line = next(reversed(process.stderr.strip().splitlines()), f"it exited with code {process.returncode}")
    try:
        document = json.loads(last_line)
        if "outage" in document:
            return ServiceUnavailable(str(document["outage"]))
        return InvalidInput(str(document["field"]), str(document["reason"]))
    except (ValueError, TypeError, KeyError):
        return InvalidInput("format", f"cannot write {export_format}: {last_line[:300]}")
