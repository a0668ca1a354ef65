"""A family's version as an HDF5 file, whose parameters others can read and write, and back.

A dataset for each tensor stands in the group ``parameters``, under the name that it has in the network. Attributes of
the file say what they belong to: ``family``, ``config`` and ``signature`` as JSON, and ``manifest``, the whole version.
Other files of the version stand in the group ``files``, as bytes. There is no bfloat16 in HDF5: its bits are kept as
uint16, and the attribute ``dtype`` of the dataset says so. https://docs.h5py.org
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
from longshore.shared.model_formats.weights import SIZES, Entry, header
from longshore.shared.store.blobs import describe
from longshore.shared.store.manifest import CONTENT_FILES, Manifest

#: The groups with the tensors, and with other files.
PARAMETERS, FILES = "parameters", "files"
#: What the weights are called in the folder of a version.
WEIGHTS = CONTENT_FILES["family"]
#: What HDF5 calls the types of a weights file.
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
_PLACE, _DTYPE, _PATH = "place", "dtype", "path"
#: Files that HDF5 1.8 reads, and attributes of any size.
_FORMAT = "v108"


def write_hdf5(manifest: Manifest, files: Mapping[str, Path], target: Path) -> None:
    """Write a version.

    :param files: local files by their path in the version's folder.
    :param target: a file that is not there yet.
    :raises InvalidInput: it is none of a family.
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
        for place, (name, dtype, values) in enumerate(_tensors(files[WEIGHTS])):
            if "/" in name or name in (".", ".."):
                raise InvalidInput("format", f"HDF5 has no place for a parameter of the name {name[:80]!r}")
            dataset = group.create_dataset(name, data=values)
            dataset.attrs[_DTYPE], dataset.attrs[_PLACE] = dtype, place
        others = file.create_group(FILES)
        for place, name in enumerate(sorted(files.keys() - {WEIGHTS})):
            dataset = others.create_dataset(str(place), data=np.fromfile(files[name], np.uint8))
            dataset.attrs[_PATH] = name


def _tensors(path: Path) -> Iterator[tuple[str, str, npt.NDArray[np.generic]]]:
    """Name, type and values of each tensor of a weights file, in its order; only one is in memory."""
    try:
        told = read_header(path, SIZES)
        with path.open("rb") as file:
            file.seek(8 + int.from_bytes(file.read(8), "little"))
            for name, tensor in told.items():
                kind = np.dtype(_TYPES[tensor.dtype])
                content = file.read(math.prod(tensor.shape) * kind.itemsize)
                yield name, tensor.dtype, np.frombuffer(content, kind).reshape(tensor.shape)
    except (OSError, ValueError) as error:
        raise CorruptBlob(f"{path} cannot be read as a safetensors file: {error}") from error


def read_hdf5(path: Path, folder: Path, field: str) -> tuple[Manifest, dict[str, Path]]:
    """The version that :func:`write_hdf5` wrote, and its files, made in a folder.

    Where the numbers are still the same, so is the version. Otherwise it is a new one, of the same family,
    configuration and signature, and without what was measured.

    :param field: names the file in an error.
    :raises InvalidInput: it is not such a file.
    """
    try:
        # Nobody writes it meanwhile, and network file systems often cannot lock.
        with h5py.File(path, "r", locking=False) as file:
            manifest = _manifest(file, path, field)
            files = _write_files(file, manifest, folder, field)
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:  # h5py raises all of these
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
    told = file.attrs.get("manifest")
    if not isinstance(told, str):
        raise InvalidInput(field, f"{path} has no attribute 'manifest'; give a file that Longshore exported")
    manifest = Manifest.parse(told.encode())
    if manifest.runtime != "family":
        raise InvalidInput(field, f"{path} says that it is of the runtime {manifest.runtime}, not of a family")
    return manifest


def _write_files(file: h5py.File, manifest: Manifest, folder: Path, field: str) -> dict[str, Path]:
    """The files of the version's folder; their digests are compared where they are stored."""
    paths = {name: folder / name for name in manifest.blobs}
    _write_weights(_parameters(file, field), paths[WEIGHTS])
    others = {dataset.attrs.get(_PATH): dataset for _, dataset in _datasets(file, FILES, field)}
    for name in paths.keys() - {WEIGHTS}:
        if name not in others:
            raise InvalidInput(field, f"{name} of the version is not in it")
        paths[name].parent.mkdir(parents=True, exist_ok=True)
        content = others[name][()].tobytes()
        with _writing(paths[name]) as target:
            target.write(content)
    return paths


def _parameters(file: h5py.File, field: str) -> list[tuple[Entry, h5py.Dataset]]:
    """The tensors, in the order of the weights file that they are from."""
    found = [
        (int(dataset.attrs.get(_PLACE, 0)), _entry(name, dataset, field), dataset)
        for name, dataset in _datasets(file, PARAMETERS, field)
    ]
    if not found:
        raise InvalidInput(field, f"its group {PARAMETERS!r} is empty")
    found.sort(key=lambda each: (each[0], each[1].name))
    return [(entry, dataset) for _, entry, dataset in found]


def _datasets(file: h5py.File, group_name: str, field: str) -> Iterator[tuple[str, h5py.Dataset]]:
    """:raises InvalidInput: not all in the group are datasets that lie in this file, as they are."""
    group = file.get(group_name)
    if not isinstance(file.get(group_name, getlink=True), h5py.HardLink) or not isinstance(group, h5py.Group):
        raise InvalidInput(field, f"it has no group {group_name!r}")
    for name in group:
        # A link could lead into any other file.
        dataset = group.get(name) if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
        if not isinstance(dataset, h5py.Dataset):
            raise InvalidInput(field, f"{name[:80]!r} in it is no dataset but a link or a group")
        # Data in other files, and what is not written at all but made up while it is read.
        is_plain = dataset.external is None and not dataset.is_virtual and dataset.chunks is None
        if not is_plain or dataset.id.get_storage_size() != dataset.nbytes:
            raise InvalidInput(field, f"{name[:80]!r} is in chunks, compressed or elsewhere; write it as one piece")
        yield name, dataset


def _entry(name: str, dataset: h5py.Dataset, field: str) -> Entry:
    """:raises InvalidInput: its numbers are of a type that no parameter has."""
    kinds = {kind: dtype for dtype, kind in _TYPES.items() if dtype != "BF16"}
    dtype = kinds.get(dataset.dtype.newbyteorder("<").str)
    if dataset.dtype.str == _TYPES["BF16"] and dataset.attrs.get(_DTYPE) == "BF16":
        dtype = "BF16"
    if dtype is None or dataset.dtype.str != _TYPES[dtype] or dataset.shape is None:
        raise InvalidInput(
            field, f"{name[:80]!r} holds {dataset.dtype}, which no parameter does; write little-endian numbers"
        )
    return Entry(name, dtype, dataset.shape, dataset.nbytes)


def _write_weights(tensors: list[tuple[Entry, h5py.Dataset]], target: Path) -> None:
    with _writing(target) as file:
        file.write(header(entry for entry, _ in tensors))
    for _, dataset in tensors:
        content = dataset[()].tobytes()
        with _writing(target) as file:
            file.write(content)


@contextmanager
def _writing(target: Path) -> Iterator[IO[bytes]]:
    # Apart from reading, whose errors are of the same kind.
    try:
        with target.open("ab") as file:
            yield file
    except OSError as error:
        raise ServiceUnavailable(f"cannot write {target}: {error.strerror}; is the disk full?") from error
