"""Merges a LoRA adapter into the weights of its base: ``W + scale * B A``, file by file and some rows at a time.

Without PyTorch: numpy computes in float32, and results are rounded once to the type of the base, to nearest even.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.adapter import (
    ADAPTER_WEIGHTS,
    TRANSPOSED,
    AdapterLayer,
    find_weight,
    is_adapter_file,
    read_adapter,
)
from longshore.shared.model_formats.huggingface.files import read_object
from longshore.shared.model_formats.huggingface.network import CONFIG
from longshore.shared.model_formats.huggingface.tensors import TensorHeader, read_header
from longshore.shared.model_formats.weights import SIZES

#: Numbers that are computed at a time.
_BLOCK: Final = 1 << 22
#: The types of weights that are computed with.
_TYPES: Final = ("F32", "F16", "BF16")


@dataclass(frozen=True)
class _Product:
    """What is added to the weights of a layer."""

    layer: AdapterLayer
    #: (rank, inputs) and (outputs, rank), in float32; the second one is scaled.
    a: NDArray[np.float32]
    b: NDArray[np.float32]
    #: Whether the weights are (inputs, outputs).
    transposed: bool

    def rows(self, first: int, end: int) -> NDArray[np.float32]:
        """Rows of the product, as the weights have them."""
        if self.transposed:
            return self.a[:, first:end].T @ self.b.T
        return self.b[first:end] @ self.a


def write_merged(files: Mapping[str, Path], target: Path) -> None:
    """Write the folder of a language model into which the adapter of a version is merged.

    :param files: local files by their path in the folder of the version, with those of the adapter.
    :param target: an existing folder, which is empty.
    :raises InvalidInput: a weight has a type that is not computed with, or a sum is too large for its type.
    """
    products = _products(files)
    for name, path in files.items():
        if is_adapter_file(name):
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".safetensors"):
            _merge_file(path, target / name, products)
        else:
            shutil.copyfile(path, target / name)


def _products(files: Mapping[str, Path]) -> dict[str, _Product]:
    """By the name of the weight."""
    own = {name.partition("/")[2]: path for name, path in files.items() if is_adapter_file(name)}
    adapter = read_adapter(own, "model")
    transposed = read_object(files, CONFIG, "model").get("model_type") in TRANSPOSED
    matrices = dict(_matrices(own[ADAPTER_WEIGHTS]))
    tensors: dict[str, TensorHeader] = {}
    for name, path in files.items():
        if name.endswith(".safetensors") and not is_adapter_file(name):
            tensors |= read_header(path)
    products = {}
    for layer in adapter.layers:
        weight = find_weight(layer.module, tensors)
        if weight is None:
            raise InvalidInput("model", f"its adapter changes {layer.module}, which its base does not have")
        scale = np.float32(layer.scale)
        products[weight] = _Product(layer, matrices[layer.a], matrices[layer.b] * scale, transposed)
    return products


def _matrices(path: Path) -> Iterator[tuple[str, NDArray[np.float32]]]:
    with path.open("rb") as file:
        file.seek(8 + int.from_bytes(file.read(8), "little"))
        for name, tensor in read_header(path).items():
            yield name, _read_numbers(file, tensor.dtype, np.prod(tensor.shape, dtype=int)).reshape(tensor.shape)


def _merge_file(source: Path, target: Path, products: Mapping[str, _Product]) -> None:
    """Copy a file of weights, adding the products to those of its tensors that have one."""
    tensors = read_header(source)
    with source.open("rb") as file, target.open("xb") as out:
        out.write(file.read(8))
        file.seek(0)
        size = int.from_bytes(file.read(8), "little")
        out.write(file.read(size))
        for name, tensor in tensors.items():
            if name in products:
                _merge_tensor(file, out, name, tensor, products[name])
            else:
                _copy(file, out, int(np.prod(tensor.shape, dtype=int)) * SIZES[tensor.dtype])


def _merge_tensor(file: BinaryIO, out: BinaryIO, name: str, tensor: TensorHeader, product: _Product) -> None:
    if tensor.dtype not in _TYPES:
        raise InvalidInput("merged", f"{name} has the type {tensor.dtype}, not one of {', '.join(_TYPES)}")
    rows, width = tensor.shape
    step = max(1, _BLOCK // width)
    for first in range(0, rows, step):
        end = min(rows, first + step)
        weights = _read_numbers(file, tensor.dtype, (end - first) * width).reshape(end - first, width)
        numbers = _as_bytes(weights + product.rows(first, end), tensor.dtype)
        if numbers is None:
            raise InvalidInput("merged", f"the merged {name} is too large for its type {tensor.dtype}")
        out.write(numbers)


def _read_numbers(file: BinaryIO, dtype: str, count: int) -> NDArray[np.float32]:
    """Numbers as float32, which has all values of the other types."""
    content = file.read(count * SIZES[dtype])
    if dtype == "F32":
        return np.frombuffer(content, np.dtype("<f4"))
    if dtype == "F16":
        return np.frombuffer(content, np.dtype("<f2")).astype(np.float32)
    return (np.frombuffer(content, np.dtype("<u2")).astype(np.uint32) << 16).view(np.float32)  # its upper half


def _as_bytes(numbers: NDArray[np.float32], dtype: str) -> bytes | None:
    """Numbers rounded to a type; ``None`` if one becomes infinite."""
    content: bytes
    if dtype == "BF16":
        bits = np.ascontiguousarray(numbers).view(np.uint32)
        # Half of the last place that stays, less one if that place is even: a tie is rounded to the even neighbour.
        halves = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.dtype("<u2"))
        halves[np.isnan(numbers)] = 0x7FC0
        infinite, content = (halves & 0x7FFF) == 0x7F80, halves.tobytes()
    else:
        with np.errstate(over="ignore"):
            rounded = numbers.astype(np.dtype("<f2" if dtype == "F16" else "<f4"))
        infinite, content = np.isinf(rounded), rounded.tobytes()
    return None if np.any(infinite & np.isfinite(numbers)) else content


def _copy(file: BinaryIO, out: BinaryIO, nbytes: int) -> None:
    while nbytes:
        block = file.read(min(nbytes, 1 << 20))
        if not block:
            raise InvalidInput("model", "a file of weights is cut off")
        out.write(block)
        nbytes -= len(block)
