"""What ``models export`` writes: the folder of a version, its parameters, or a program for others."""

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

from longshore.shared.errors import InvalidInput
from longshore.shared.store.manifest import CONTENT_FILES, MANIFEST_FILE, Manifest

#: What a version can be written as.
Format = Literal["folder", "onnx", "pt2", "hdf5"]
#: The format that a name stands for, by how it ends; any other is that of a folder.
_SUFFIXES: dict[str, Format] = {".onnx": "onnx", ".pt2": "pt2", ".h5": "hdf5", ".hdf5": "hdf5"}
#: The packages that write a format, and the extras that bring them.
_NEEDED = {"onnx": ("torch", "onnx", "onnxscript"), "pt2": ("torch",)}
_EXTRAS = {"onnx": "worker,export", "pt2": "worker"}


def choose_format(target: Path, given: str | None) -> Format:
    """:raises InvalidInput: there is no such format."""
    if given is None:
        return _SUFFIXES.get(target.suffix.lower(), "folder")
    for known in get_args(Format):
        if given == known:
            found: Format = known
            return found
    raise InvalidInput("format", f"{given!r} is none; the formats are {', '.join(get_args(Format))}")


def write_export(form: Format, manifest: Manifest, files: Mapping[str, Path], target: Path) -> None:
    """Write a version. What is there already is never written over, and nothing is left of what fails.

    :param files: local files by their path in the version's folder.
    :raises InvalidInput: it cannot be written in this format, or there.
    """
    if target.exists():
        raise InvalidInput("path", f"cannot write {target}: it is there already")
    try:
        if form == "folder":
            _write_folder(manifest, files, target)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target: it appears when it is complete.
        with tempfile.TemporaryDirectory(prefix=".longshore-", dir=target.parent) as folder:
            made = Path(folder) / f"made.{form}"
            _write_file(form, manifest, files, made, Path(folder))
            os.link(made, target)  # unlike a rename, not over another file
    except OSError as error:
        raise InvalidInput("path", f"cannot write {target}: {error.strerror or error}") from None


def hdf5_module() -> ModuleType:
    """:raises InvalidInput: h5py is not installed."""
    try:
        from longshore.shared.model_formats import hdf5
    except ImportError:
        raise InvalidInput("format", "hdf5 needs the package h5py: pip install 'longshore[hdf5]'") from None
    return hdf5


def _write_folder(manifest: Manifest, files: Mapping[str, Path], target: Path) -> None:
    target.mkdir(parents=True)
    for name, path in files.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / name)
    (target / MANIFEST_FILE).write_bytes(manifest.canonical())


def _write_file(form: Format, manifest: Manifest, files: Mapping[str, Path], made: Path, folder: Path) -> None:
    if form == manifest.runtime == "onnx":
        shutil.copyfile(files[CONTENT_FILES["onnx"]], made)
        return
    if manifest.runtime != "family":
        raise InvalidInput(
            "format",
            f"{form}: a version of the runtime {manifest.runtime} is written as a folder, with what it is made of",
        )
    if form == "hdf5":
        hdf5_module().write_hdf5(manifest, files, made)
        return
    _run(form, manifest, files[CONTENT_FILES["family"]], made, folder)


def _run(form: Format, manifest: Manifest, weights: Path, made: Path, folder: Path) -> None:
    """In a process of its own: a producer knows nothing of the workers' code, and has no PyTorch in its memory."""
    missing = [package for package in _NEEDED[form] if find_spec(package) is None]
    if missing:
        raise InvalidInput(
            "format",
            f"{form} needs {missing[0]}, which is not installed; run: pip install 'longshore[{_EXTRAS[form]}]'",
        )
    (folder / MANIFEST_FILE).write_bytes(manifest.canonical())
    # -P: a file in this folder that is named like a package must not take that package's place.
    command = [sys.executable, "-P", "-m", "longshore.workers.jobs.export", form]
    done = subprocess.run(
        [*command, folder / MANIFEST_FILE, weights, made],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0 or not made.is_file():
        raise _failure(form, done)


def _failure(form: Format, done: subprocess.CompletedProcess[str]) -> InvalidInput:
    last = next(reversed(done.stderr.strip().splitlines()), f"it ended with {done.returncode}")
    try:
        said = json.loads(last)
        return InvalidInput(str(said["field"]), str(said["reason"]))
    except (ValueError, TypeError, KeyError):
        return InvalidInput("format", f"cannot write {form}: {last[:300]}")
