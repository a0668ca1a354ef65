"""Converts a family's version to an HDF5 file, whose parameters other programs can read and write, and back.

The group ``parameters`` has one dataset per tensor, with the tensor's name in the network. The file's attributes
describe the version: ``family``, ``config`` and ``signature`` as JSON, and ``manifest``, the complete manifest. Other
files of the version are in the group ``files``, as bytes. HDF5 has no bfloat16: its bits are stored as uint16, and the
dataset's attribute ``dtype`` marks them. https://docs.h5py.org
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import h5py
import numpy as np
import numpy.typing as npt

from longshore.shared.errors import CorruptBlob, InvalidInput, ServiceUnavailable
from longshore.shared.model_formats.huggingface.tensors import read_header
from longshore.shared.model_formats.weights import SIZES, TensorEntry, header
from longshore.shared.store.blobs import describe
from longshore.shared.store.manifest import CONTENT_FILES, Manifest

#: The groups of the tensors, and of the other files.
PARAMETERS, FILES = "parameters", "files"
#: The name of the weights file in a version's folder.
WEIGHTS = CONTENT_FILES["family"]
#: The HDF5 type of each type in a weights file.
_TYPES = {
    "BOOL": "|b1",
    "U8": "|u1",
    "I8": "|i1",
    "I16": "<i2",
    "F16": "<f2",
    "BF16": "<u2",
    "I32": "<i4",
    "F32": "<f4",
    "I64": "<i8",
    "F64": "<f8",
}
#: Attributes of a dataset: its index in the weights file, its type there, and the path of another file.
_INDEX, _DTYPE, _PATH = "place", "dtype", "path"
#: Readable by HDF5 1.8, and allows attributes of any size.
_FORMAT = "v108"


def write_hdf5(manifest: Manifest, files: Mapping[str, Path], target: Path) -> None:
    """Write a version to an HDF5 file.

    :param files: local files by their path in the version's folder.
    :param target: a file that does not exist yet.
    :raises InvalidInput: the version is not of a family, or a parameter's name is not allowed in HDF5.
    :raises CorruptBlob: the weights cannot be read.
    """
    if manifest.runtime != "family":
        raise InvalidInput("format", f"hdf5: the version is of the runtime {manifest.runtime}, not of a family")
    with h5py.File(target, "w-", libver=(_FORMAT, _FORMAT)) as file:
        file.attrs["family"] = manifest.family
        file.attrs["config"] = json.dumps(manifest.config)
        file.attrs["signature"] = manifest.signature.model_dump_json()
        file.attrs["manifest"] = manifest.canonical().decode()
        group = file.create_group(PARAMETERS)
        for index, (name, dtype, values) in enumerate(_tensors(files[WEIGHTS])):
            if "/" in name or name in (".", ".."):
                raise InvalidInput("format", f"hdf5: a parameter cannot have the name {name[:80]!r} in HDF5")
            dataset = group.create_dataset(name, data=values)
            dataset.attrs[_DTYPE], dataset.attrs[_INDEX] = dtype, index
        others = file.create_group(FILES)
        for index, name in enumerate(sorted(files.keys() - {WEIGHTS})):
            dataset = others.create_dataset(str(index), data=np.fromfile(files[name], np.uint8))
            dataset.attrs[_PATH] = name


def _tensors(path: Path) -> Iterator[tuple[str, str, npt.NDArray[np.generic]]]:
    """Name, type and values of each tensor of a weights file, in file order; only one is in memory at a time."""
    try:
        tensors = read_header(path, SIZES)
        with path.open("rb") as file:
            file.seek(8 + int.from_bytes(file.read(8), "little"))
            for name, tensor in tensors.items():
                dtype = np.dtype(_TYPES[tensor.dtype])
                content = file.read(math.prod(tensor.shape) * dtype.itemsize)
                yield name, tensor.dtype, np.frombuffer(content, dtype).reshape(tensor.shape)
    except (OSError, ValueError) as error:
        raise CorruptBlob(f"{path} cannot be read as a safetensors file: {error}") from error


def read_hdf5(path: Path, folder: Path, field: str) -> tuple[Manifest, dict[str, Path]]:
    """Read a file of :func:`write_hdf5` back: its manifest, and its files, written to a folder.

    If the parameters are unchanged, it is the same version. Otherwise it is a new version with the same family,
    configuration and signature, but without metrics.

    :param folder: where the files are written.
    :param field: names the file in an error.
    :raises InvalidInput: it is not such a file.
    :raises ServiceUnavailable: the files cannot be written.
    """
    try:
        # No locking: the file is not being written, and many network file systems cannot lock.
        with h5py.File(path, "r", locking=False) as file:
            manifest = _manifest(file, path, field)
            files = _write_files(file, manifest, folder, field)
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:  # h5py raises any of these
        raise InvalidInput(field, f"{path} is a damaged HDF5 file: {error}") from None
    weights = describe(files[WEIGHTS])
    if weights == manifest.weights:
        return manifest, files
    changed = {
        "weights": weights,
        "metrics": {},
        "lineage": {"imported": path.name, "changed": manifest.digest},
        "created_at": datetime.now(UTC).isoformat(),
    }
    return manifest.model_copy(update=changed), files


def _manifest(file: h5py.File, path: Path, field: str) -> Manifest:
    text = file.attrs.get("manifest")
    if not isinstance(text, str):
        raise InvalidInput(field, f"{path} has no attribute 'manifest'; give a file that Longshore exported")
    manifest = Manifest.parse(text.encode())
    if manifest.runtime != "family":
        raise InvalidInput(field, f"{path} is a version of the runtime {manifest.runtime}, not of a family")
    return manifest


def _write_files(file: h5py.File, manifest: Manifest, folder: Path, field: str) -> dict[str, Path]:
    """Write the files of the version's folder. Their digests are checked when they are stored."""
    paths = {name: folder / name for name in manifest.blobs}
    _write_weights(_parameters(file, field), paths[WEIGHTS])
    others = {dataset.attrs.get(_PATH): dataset for _, dataset in _datasets(file, FILES, field)}
    for name in paths.keys() - {WEIGHTS}:
        if name not in others:
            raise InvalidInput(field, f"the file {name} of the version is missing")
        paths[name].parent.mkdir(parents=True, exist_ok=True)
        content = others[name][()].tobytes()
        with _appending(paths[name]) as target:
            target.write(content)
    return paths


def _parameters(file: h5py.File, field: str) -> list[tuple[TensorEntry, h5py.Dataset]]:
    """The tensors, in the order of the original weights file."""
    tensors = [
        (int(dataset.attrs.get(_INDEX, 0)), _entry(name, dataset, field), dataset)
        for name, dataset in _datasets(file, PARAMETERS, field)
    ]
    if not tensors:
        raise InvalidInput(field, f"its group {PARAMETERS!r} is empty")
    tensors.sort(key=lambda tensor: (tensor[0], tensor[1].name))
    return [(entry, dataset) for _, entry, dataset in tensors]


def _datasets(file: h5py.File, group_name: str, field: str) -> Iterator[tuple[str, h5py.Dataset]]:
    """The datasets of a group.

    :raises InvalidInput: an object in the group is not a plain dataset stored in this file.
    """
    group = file.get(group_name)
    if not isinstance(file.get(group_name, getlink=True), h5py.HardLink) or not isinstance(group, h5py.Group):
        raise InvalidInput(field, f"it has no group {group_name!r}")
    for name in group:
        # A link could point into any other file.
        dataset = group.get(name) if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
        if not isinstance(dataset, h5py.Dataset):
            raise InvalidInput(field, f"{name[:80]!r} is a link or a group, not a dataset")
        # Reject data in other files, and fill values that are not stored but created on reading.
        contiguous = dataset.external is None and not dataset.is_virtual and dataset.chunks is None
        if not contiguous or dataset.id.get_storage_size() != dataset.nbytes:
            raise InvalidInput(
                field, f"{name[:80]!r} is chunked, compressed or in another file; write it as one contiguous dataset"
            )
        yield name, dataset


def _entry(name: str, dataset: h5py.Dataset, field: str) -> TensorEntry:
    """:raises InvalidInput: a parameter cannot have this type."""
    dtypes = {hdf5_type: dtype for dtype, hdf5_type in _TYPES.items() if dtype != "BF16"}
    dtype = dtypes.get(dataset.dtype.newbyteorder("<").str)
    if dataset.dtype.str == _TYPES["BF16"] and dataset.attrs.get(_DTYPE) == "BF16":
        dtype = "BF16"
    if dtype is None or dataset.dtype.str != _TYPES[dtype] or dataset.shape is None:
        raise InvalidInput(
            field, f"{name[:80]!r} has the type {dataset.dtype}, which is not supported; write little-endian numbers"
        )
    return TensorEntry(name, dtype, dataset.shape, dataset.nbytes)


def _write_weights(tensors: list[tuple[TensorEntry, h5py.Dataset]], target: Path) -> None:
    with _appending(target) as file:
        file.write(header(entry for entry, _ in tensors))
    for _, dataset in tensors:
        content = dataset[()].tobytes()
        with _appending(target) as file:
            file.write(content)


@contextmanager
def _appending(target: Path) -> Iterator[IO[bytes]]:
    # Convert write errors here: errors on reading the HDF5 file are OSErrors, too.
    try:
        with target.open("ab") as file:
            yield file
    except OSError as error:
        raise ServiceUnavailable(f"cannot write {target}: {error.strerror}; check the free disk space") from error
