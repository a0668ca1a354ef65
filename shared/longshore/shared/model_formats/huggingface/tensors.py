"""The header of a safetensors file, and the files that a model's tensors lie in.

https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.files import Files, parse_json, read_object

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
#: Bytes of the largest header that the format allows.
_MAX_HEADER = 100_000_000
#: Bytes of a number, by the types that the weights of a text model have. Quantised ones need code of their own.
_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1}
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt", "model.pkl", "tf_model.h5")


@dataclass(frozen=True)
class Tensor:
    """What a header says of one tensor."""

    dtype: str
    shape: tuple[int, ...]


def find_weights(files: Files, field: str) -> tuple[str, ...]:
    """The files that hold the tensors, and the index if there is one.

    :raises InvalidInput: there are none, or the index does not go with them.
    """
    if WEIGHTS in files:
        _check_tensors(files, (WEIGHTS,), field)
        return (WEIGHTS,)
    if INDEX not in files:
        raise InvalidInput(
            field,
            f"there is no {WEIGHTS} and no {INDEX}; pickles ({', '.join(_PICKLES[:1])}, *.pt, *.pkl) are never read, "
            "as to load one can run code that is hidden in it: save the model with "
            "save_pretrained(folder, safe_serialization=True)",
        )
    placed = read_object(files, INDEX, field).get("weight_map")
    if not isinstance(placed, dict) or not placed:
        raise InvalidInput(field, f"{INDEX} has no weight_map")
    for shard in placed.values():
        if not isinstance(shard, str) or "/" in shard or not shard.endswith(".safetensors") or shard not in files:
            raise InvalidInput(field, f"{INDEX} names {str(shard)[:80]!r}, which is no safetensors file of the folder")
    shards = tuple(sorted(set(placed.values())))
    found = _check_tensors(files, shards, field)
    if found != placed:
        wrong = sorted(found.items() ^ placed.items())[0][0]
        raise InvalidInput(field, f"{INDEX} does not go with the files that it names: see {wrong[:80]!r}")
    return (INDEX, *shards)


def _check_tensors(files: Files, names: tuple[str, ...], field: str) -> dict[str, str]:
    """The file of every tensor."""
    found: dict[str, str] = {}
    for name in names:
        try:
            header = read_header(files[name])
        except OSError as error:
            raise InvalidInput(field, f"cannot read {name}: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise InvalidInput(field, f"{name} is no safetensors file of a text model: {error}") from None
        found |= dict.fromkeys(header, name)
    if not found:
        raise InvalidInput(field, f"{names[0]} holds no tensors")
    return found


def read_header(path: Path, types: Mapping[str, int] = _SIZES) -> dict[str, Tensor]:
    """The tensors of a file, in the order in which they lie. Of its contents, the header alone is read.

    :param types: bytes of a number by its type, of the types that a tensor may have.
    :raises ValueError: it is cut, its header is damaged, or a tensor is not where it should be.
    """
    total = path.stat().st_size
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if total < 8 or size > min(_MAX_HEADER, total - 8):
            raise ValueError(f"its header would have {size} bytes, in a file of {total}")
        header = parse_json(file.read(size))
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    header.pop("__metadata__", None)
    places = {name: _place(name, entry, types) for name, entry in header.items()}
    placed = sorted(places.items(), key=lambda item: item[1][1:])
    end = 0
    for name, (_, start, stop) in placed:
        if start != end:
            raise ValueError(f"tensor {name[:80]!r} begins at byte {start}, not {end}")
        end = stop
    if end != total - 8 - size:
        raise ValueError(f"it has {total - 8 - size} bytes of numbers, and its header says {end}")
    return {name: tensor for name, (tensor, _, _) in placed}


def _place(name: str, entry: object, types: Mapping[str, int]) -> tuple[Tensor, int, int]:
    """A tensor, and its first byte and the one after its last."""
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(start), int(stop)]}:
            sizes = tuple(size for size in shape if isinstance(size, int) and size >= 0)
            if dtype not in types:
                raise ValueError(f"tensor {name[:80]!r} is of the type {dtype[:20]!r}, not one of {', '.join(types)}")
            if len(sizes) == len(shape) and stop - start == math.prod(sizes) * types[dtype]:
                return Tensor(dtype, sizes), start, stop
    raise ValueError(f"what its header says of tensor {name[:80]!r} is damaged")
