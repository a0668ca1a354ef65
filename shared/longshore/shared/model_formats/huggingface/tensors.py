"""Reads the header of a safetensors file, and finds the files that contain a model's tensors.

https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.files import Files, parse_json, read_object

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
#: The largest header that the format allows.
_MAX_HEADER_BYTES = 100_000_000
#: Size of a number in bytes, for the types that a text model's weights can have. Quantised types would need code.
_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1}
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt", "model.pkl", "tf_model.h5")


@dataclass(frozen=True)
class TensorHeader:
    """Type and shape of one tensor, from the header."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


def find_weights(files: Files, field: str) -> tuple[tuple[str, ...], dict[str, TensorHeader]]:
    """The files that contain the tensors, with the index if there is one; and the tensors, by name.

    :raises InvalidInput: there are none, or the index does not match them.
    """
    if WEIGHTS in files:
        return (WEIGHTS,), _read_headers(files, (WEIGHTS,), field)[1]
    if INDEX not in files:
        raise InvalidInput(
            field,
            f"there is no {WEIGHTS} and no {INDEX}; pickles ({', '.join(_PICKLES[:1])}, *.pt, *.pkl) are never read, "
            "because loading one can run code that is hidden in it: save the model with "
            "save_pretrained(folder, safe_serialization=True)",
        )
    weight_map = read_object(files, INDEX, field).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InvalidInput(field, f"{INDEX} has no weight_map")
    for shard in weight_map.values():
        if not isinstance(shard, str) or "/" in shard or not shard.endswith(".safetensors") or shard not in files:
            raise InvalidInput(field, f"{INDEX} names {str(shard)[:80]!r}, which is not a safetensors file in it")
    shards = tuple(sorted(set(weight_map.values())))
    origins, tensors = _read_headers(files, shards, field)
    if origins != weight_map:
        wrong = sorted(origins.items() ^ weight_map.items())[0][0]
        raise InvalidInput(field, f"{INDEX} does not match the files that it names: see {wrong[:80]!r}")
    return (INDEX, *shards), tensors


def read_module_header(files: Files, name: str, field: str) -> dict[str, TensorHeader]:
    """The tensors of a file of a module beside the network, by name.

    :raises InvalidInput: the file is missing or damaged.
    """
    if name not in files:
        raise InvalidInput(
            field,
            f"there is no {name}; pickles are never read, because loading one can run code that is hidden in it: save "
            "the model with save(folder, safe_serialization=True)",
        )
    return _read_headers(files, (name,), field)[1]


def _read_headers(files: Files, names: tuple[str, ...], field: str) -> tuple[dict[str, str], dict[str, TensorHeader]]:
    """The file of every tensor, and its type and shape, both by its name."""
    origins: dict[str, str] = {}
    tensors: dict[str, TensorHeader] = {}
    for name in names:
        try:
            header = read_header(files[name])
        except OSError as error:
            raise InvalidInput(field, f"cannot read {name}: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise InvalidInput(field, f"{name} is not a valid safetensors file of a text model: {error}") from None
        origins |= dict.fromkeys(header, name)
        tensors |= header
    if not tensors:
        raise InvalidInput(field, f"{names[0]} has no tensors")
    return origins, tensors


def read_header(path: Path, types: Mapping[str, int] = _SIZES) -> dict[str, TensorHeader]:
    """The tensors of a file, in file order. Only the header is read.

    :param types: the allowed types, each with the size of a number in bytes. Default: those of text models.
    :raises ValueError: the file is cut off, its header is damaged, or a tensor has a wrong offset.
    """
    with path.open("rb") as file:
        return parse_header(file.read, path.stat().st_size, types)


def parse_header(
    read: Callable[[int], bytes], total: int, types: Mapping[str, int] = _SIZES
) -> dict[str, TensorHeader]:
    """The tensors of a file, as :func:`read_header` returns them.

    :param read: returns so many of the next bytes, from the beginning of the file on.
    :param total: the size of the file in bytes.
    :raises ValueError: as :func:`read_header`.
    """
    size = int.from_bytes(read(8), "little")
    if total < 8 or size > min(_MAX_HEADER_BYTES, total - 8):
        raise ValueError(f"its header would have {size} bytes, in a file of {total}")
    header = parse_json(read(size))
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    header.pop("__metadata__", None)
    entries = {name: _parse_entry(name, entry, types) for name, entry in header.items()}
    in_order = sorted(entries.items(), key=lambda item: item[1][1:])
    end = 0
    for name, (_, start, stop) in in_order:
        if start != end:
            raise ValueError(f"tensor {name[:80]!r} begins at byte {start}, not {end}")
        end = stop
    if end != total - 8 - size:
        raise ValueError(f"it has {total - 8 - size} bytes of values, but its header says {end}")
    return {name: tensor for name, (tensor, _, _) in in_order}


def _parse_entry(name: str, entry: object, types: Mapping[str, int]) -> tuple[TensorHeader, int, int]:
    """A tensor, and the offsets of its first byte and of the byte after it."""
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(start), int(stop)]}:
            sizes = tuple(size for size in shape if isinstance(size, int) and size >= 0)
            if dtype not in types:
                raise ValueError(f"tensor {name[:80]!r} has the type {dtype[:20]!r}, not one of {', '.join(types)}")
            if len(sizes) == len(shape) and stop - start == math.prod(sizes) * types[dtype]:
                return TensorHeader(dtype, sizes), start, stop
    raise ValueError(f"the header entry of tensor {name[:80]!r} is damaged")
