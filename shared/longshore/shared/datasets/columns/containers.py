"""Values of other packages as plain Python values and NumPy arrays, in which a missing value is ``None``.

Arrow reads a masked array within a row as if it had no mask, and cannot read most other containers. A value is missing
if it is masked, ``pandas.NA``, ``NaT``, a decimal NaN or a null of its container.
"""

from __future__ import annotations

import sys
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

#: The kinds of ``numpy.dtype`` that are numbers: booleans, signed and unsigned integers, floats.
NUMBERS = "biuf"
#: Containers whose items are read one by one.
_ITEMS = (list, tuple, deque, range, array)
_SETS = (set, frozenset)
_NESTED = (*_ITEMS, Mapping)


def reads_masked(values: Iterable[object], kind: pa.DataType) -> bool:
    """Whether some of the values may have a mask that Arrow ignored. Looks at containers, not at single numbers.

    :param kind: the type as which Arrow has read the values.
    """
    if not pa.types.is_nested(kind):
        return False
    present = [value for value in values if value is not None]
    if any(issubclass(each, np.ndarray | pa.Scalar) and each is not np.ndarray for each in set(map(type, present))):
        return True
    if pa.types.is_struct(kind):
        nested = [field for field in kind if pa.types.is_nested(field.type)]
        rows = [value for value in present if isinstance(value, Mapping)]
        other = bool(nested) and len(rows) < len(present)
        return other or any(reads_masked([row.get(each.name) for row in rows], each.type) for each in nested)
    if pa.types.is_map(kind):
        return True
    inner = kind.value_type
    # All lists of one depth at once, without Python code for each.
    return pa.types.is_nested(inner) and reads_masked(
        chain.from_iterable(cast(Iterable[Iterable[object]], present)), inner
    )


def misreads(values: Iterable[object]) -> bool:
    """Whether Arrow must not be given the values as they are, in lists, arrays and dicts of any depth.

    It crashes the process on times of NumPy beside other values of NumPy, and reads a set in an arbitrary order.
    """
    times = others = False
    parents: list[Iterable[object]] = [values]
    while parents:
        # In two steps, so that numbers, which are most of the values, need no Python code for each.
        types = set(map(type, chain.from_iterable(parents)))
        if any(issubclass(each, _SETS) for each in types):
            return True
        times |= np.datetime64 in types
        others |= any(issubclass(each, np.generic) and each is not np.datetime64 for each in types)
        if not any(issubclass(each, (np.ndarray, *_NESTED)) for each in types):
            break
        items = [value for value in chain.from_iterable(parents) if isinstance(value, (np.ndarray, *_NESTED))]
        parents = []
        for value in items:
            if isinstance(value, np.ndarray) and value.dtype.kind != "O":
                times |= value.dtype.kind == "M"
                others |= value.dtype.kind != "M"
            else:
                parents.append(_children(value))
    return times and others


def _children(value: object) -> Iterable[object]:
    if isinstance(value, np.ndarray):
        return cast(Iterable[object], value.reshape(-1))
    return value.values() if isinstance(value, Mapping) else cast(Iterable[object], value)


def plain(value: object) -> object:
    """A value that Arrow reads right, at any depth; ``None`` if it is missing.

    :raises ValueError: the value cannot be represented; says why.
    """
    if value is None or type(value) in (str, bytes, bool, int, float):
        return value
    if isinstance(value, np.ndarray):
        return plain_array(value)
    if isinstance(value, np.generic):
        return _plain_number(value)
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, _ITEMS):
        return [plain(item) for item in value]
    if isinstance(value, _SETS):
        raise ValueError("a set has no order; give a list, such as sorted(values)")
    if isinstance(value, Decimal):
        return _plain_decimal(value)
    if isinstance(value, pa.Scalar):
        return value if pa.types.is_temporal(value.type) and value.is_valid else plain(value.as_py())
    if isinstance(value, pa.Array | pa.ChunkedArray):
        return [plain(item) for item in value]
    for package, convert in _PACKAGES.items():
        if package in sys.modules and type(value).__module__.partition(".")[0] == package:
            return convert(value)
    return value


def plain_array(values: npt.NDArray[np.generic]) -> object:
    """An array, of any number of axes, as Arrow reads it right: its values, with ``None`` for missing ones."""
    if isinstance(values, np.ma.MaskedArray):
        return _plain_masked(values)
    check_mask(values)
    values = np.asarray(values)
    if values.ndim == 0:
        return plain(values[()])
    if values.dtype.kind in NUMBERS:
        native = native_numbers(values)
        return native if native.ndim == 1 else native.tolist()
    if values.dtype.kind in "mM" and values.ndim == 1:
        return _arrow_times(values)
    return [plain(item) for item in values]


def native_numbers(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """The same numbers in a type of Arrow, which has neither other byte orders nor floats of more than 64 bits."""
    if values.dtype.itemsize > 8:
        return values.astype(np.float64)
    return np.ascontiguousarray(values, values.dtype.newbyteorder("="))


def as_lists(value: object) -> object:
    """A plain value with lists in place of arrays: Arrow does not mix arrays of different types."""
    if isinstance(value, list):
        return [as_lists(item) for item in value]
    if isinstance(value, dict):
        return {name: as_lists(item) for name, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


def check_mask(values: npt.NDArray[np.generic]) -> None:
    """:raises ValueError: it is an array of another package with a mask."""
    if getattr(values, "mask", None) is not None:
        raise ValueError(f"{type(values).__name__} has a mask; give a numpy.ma.MaskedArray, or None for missing values")


def _plain_masked(values: np.ma.MaskedArray[tuple[int, ...], np.dtype[np.generic]]) -> object:
    masks = np.ma.getmaskarray(values)
    if values.dtype.names is not None:
        # In a structured array, each field of a value can be masked.
        if values.ndim:
            return [plain_array(values[index, ...]) for index in range(len(values))]
        data, flags = cast(npt.NDArray[np.void], values.data), cast(npt.NDArray[np.void], masks)
        fields = {name: plain(np.ma.array(data[name], mask=flags[name])) for name in values.dtype.names}
        return None if _all_masked(flags) else fields
    if values.ndim == 0:
        return None if bool(masks[()]) else plain(values.data[()])
    if not masks.any():
        return plain_array(np.asarray(values.data))
    if values.ndim > 1:
        return [plain_array(np.ma.array(row, mask=mask)) for row, mask in zip(values.data, masks, strict=True)]
    return [None if mask else plain(item) for item, mask in zip(values.data, masks, strict=True)]


def _all_masked(masks: npt.NDArray[np.void]) -> bool:
    """Whether every field of one structured value is masked."""
    names = masks.dtype.names
    return bool(np.all(masks)) if names is None else all(_all_masked(masks[name]) for name in names)


def _plain_number(value: np.generic) -> object:
    if isinstance(value, np.void):
        names = value.dtype.names
        return value.tobytes() if names is None else {name: plain(value[name]) for name in names}
    if isinstance(value, np.datetime64 | np.timedelta64):
        return None if np.isnat(value) else _arrow_times(np.array([value]))[0]
    return float(value) if isinstance(value, np.longdouble) else value.item()


def _arrow_times(values: npt.NDArray[np.generic]) -> list[pa.Scalar | None]:
    """Times or durations as scalars of Arrow, which can stand beside other values; see :func:`misreads`."""
    return [value if value.is_valid else None for value in pa.array(values)]


def _plain_decimal(value: Decimal) -> Decimal | None:
    if value.is_infinite():
        raise ValueError(f"{value} is not a finite number")
    return None if value.is_nan() else value


def _plain_pandas(value: object) -> object:
    pandas = sys.modules["pandas"]
    if value is pandas.NA or value is pandas.NaT:
        return None
    if isinstance(value, pandas.DataFrame | pandas.MultiIndex):
        return value
    if isinstance(value, pandas.Series | pandas.Index | pandas.api.extensions.ExtensionArray):
        return [plain(item) for item in value]
    return value


def _plain_polars(value: object) -> object:
    polars = sys.modules["polars"]
    return [plain(item) for item in value] if isinstance(value, polars.Series) else value


def _plain_tensor(value: object) -> object:
    array = dense_array(value)
    if array is None:
        return [plain(item) for item in value.unbind()] if is_nested_tensor(value) else value  # type: ignore[attr-defined]
    plain_values = plain_array(array)
    # A sparse matrix of one row is a row.
    one_row = "scipy.sparse" in type(value).__module__ and isinstance(plain_values, list) and len(plain_values) == 1
    return plain_values[0] if one_row else plain_values  # type: ignore[index]


def is_nested_tensor(value: object) -> bool:
    """Whether it is a tensor of PyTorch whose rows have different shapes."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor) and value.is_nested


def dense_array(value: object) -> npt.NDArray[np.generic] | None:
    """A tensor of PyTorch or a sparse array of SciPy as an array, masked if it has a mask; ``None`` for other objects.

    :raises ValueError: NumPy cannot represent it.
    """
    sparse = sys.modules.get("scipy.sparse")
    if sparse is not None and sparse.issparse(value):
        return np.asarray(value.toarray())  # type: ignore[attr-defined]
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor) or value.is_nested:
        return None
    masked = getattr(sys.modules.get("torch.masked"), "MaskedTensor", None)
    if masked is not None and isinstance(value, masked):
        return np.ma.array(_dense_tensor(value.get_data()), mask=np.logical_not(_dense_tensor(value.get_mask())))
    return _dense_tensor(value)


def _dense_tensor(value: object) -> npt.NDArray[np.generic]:
    """:raises ValueError: NumPy cannot represent the tensor."""
    torch = sys.modules["torch"]
    try:
        tensor = torch.as_tensor(value).detach()
        tensor = tensor.dequantize() if tensor.is_quantized else tensor
        tensor = tensor.to_dense() if tensor.layout is not torch.strided else tensor
        if tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float32, torch.float64):
            tensor = tensor.float()  # NumPy has neither bfloat16 nor floats of 8 bits
        return np.asarray(tensor.cpu().resolve_conj().resolve_neg().numpy())
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise ValueError(f"a tensor that NumPy cannot represent: {next(iter(str(error).splitlines()), '')}") from None


#: How the values of each package are converted. None of them is imported here.
_PACKAGES: Mapping[str, Callable[[object], object]] = {
    "pandas": _plain_pandas,
    "polars": _plain_polars,
    "torch": _plain_tensor,
    "scipy": _plain_tensor,
}


def is_items(value: object) -> bool:
    """Whether a value is a container of items that :func:`plain` reads one by one."""
    return isinstance(value, Sequence | deque | array) and not isinstance(value, str | bytes | bytearray | memoryview)
