"""Rows in memory, in every container that can mark a value as missing, against the values that they were made of."""

from __future__ import annotations

import datetime
import importlib
import random
import warnings
from array import array
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import torch
from torch.masked import masked_tensor

from longshore.shared.datasets.columns.matrix import to_matrix
from longshore.shared.datasets.inline import decode_block, encode_block, to_table
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature, Signature
from tests.differential.cases import COMPARED, seeds

# Without types: those of the stubs are of one container each.
pd = importlib.import_module("pandas")
ma = importlib.import_module("numpy.ma")
sparse = importlib.import_module("scipy.sparse")

Values = Sequence[float | None]

#: What lies under a mask.
HIDDEN = -999.0


def _mask(values: Values) -> list[bool]:
    return [value is None for value in values]


def _filled(values: Values, hidden: float = HIDDEN) -> list[float]:
    return [hidden if value is None else value for value in values]


def _masked(values: Values, kind: str = "float64") -> object:
    return ma.array(np.array(_filled(values), kind), mask=_mask(values))


def _structured(values: Values) -> list[object]:
    """Each value as the field of one structured value, masked by field."""
    values_and_weights = np.array([(each, 1.0) for each in _filled(values)], [("v", "f8"), ("w", "f8")])
    mask = np.array([(missing, False) for missing in _mask(values)], [("v", "?"), ("w", "?")])
    record = ma.array(values_and_weights, mask=mask)
    return [record[index]["v"] for index in range(len(values))]


def _torch_masked(values: Values) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return masked_tensor(torch.tensor(_filled(values)), ~torch.tensor(_mask(values)))


def _missing(values: Values, mark: object) -> list[object]:
    return [mark if value is None else value for value in values]


#: Containers of some numbers, of which any can be missing.
NULLABLE: dict[str, Callable[[Values], object]] = {
    "list": list,
    "tuple": tuple,
    "deque": deque,
    "masked float64": _masked,
    "masked float32": lambda values: _masked(values, "float32"),
    "masked float16": lambda values: _masked(values, "float16"),
    "masked long double": lambda values: _masked(values, "longdouble"),
    "masked int64": lambda values: _masked(values, "int64"),
    "masked int16, big-endian": lambda values: _masked(values, ">i2"),
    "masked objects": lambda values: ma.array(_missing(values, HIDDEN), mask=_mask(values), dtype=object),
    "objects": lambda values: np.array(list(values), object),
    "masked constants": lambda values: _missing(values, np.ma.masked),
    "masked arrays of no axis": lambda values: [ma.array(HIDDEN if v is None else v, mask=v is None) for v in values],
    "structured masked": _structured,
    "NaN": lambda values: np.array(_filled(values, np.nan)),
    "pandas.NA": lambda values: _missing(values, pd.NA),
    "pandas.NaT": lambda values: _missing(values, pd.NaT),
    "numpy NaT": lambda values: _missing(values, np.datetime64("NaT")),
    "decimals": lambda values: [Decimal("NaN") if v is None else Decimal(repr(v)) for v in values],
    "pandas Int64": lambda values: pd.array([None if v is None else int(v) for v in values], dtype="Int64"),
    "pandas Float32": lambda values: pd.array(list(values), dtype="Float32"),
    "pandas Float64 series": lambda values: pd.Series(list(values), dtype="Float64"),
    "pandas series of objects": lambda values: pd.Series(_missing(values, pd.NA), dtype=object),
    "pandas index": lambda values: pd.Index(_filled(values, np.nan)),
    "pandas Arrow": lambda values: pd.array(list(values), dtype=pd.ArrowDtype(pa.float64())),
    "pandas Categorical": lambda values: pd.Categorical(list(values)),
    "pandas sparse": lambda values: pd.arrays.SparseArray(_filled(values, np.nan)),
    "pandas sparse zeros": lambda values: pd.arrays.SparseArray(_filled(values, np.nan), fill_value=0.0),
    "polars": lambda values: pl.Series(list(values), dtype=pl.Float64),
    "polars Int32": lambda values: pl.Series([None if v is None else int(v) for v in values], dtype=pl.Int32),
    "Arrow array": lambda values: pa.array(values, pa.float64()),
    "Arrow chunks": lambda values: pa.chunked_array(
        [pa.array(values[:1], pa.float64()), pa.array(values[1:], pa.float64())]
    ),
    "Arrow scalars": lambda values: [pa.scalar(value, pa.float64()) for value in values],
    "torch masked": _torch_masked,
}
#: Containers of some numbers, none of which can be missing.
FULL: dict[str, Callable[[list[float]], object]] = {
    "big-endian": lambda values: np.array(values, ">f8"),
    "long double": lambda values: np.array(values, "longdouble"),
    "array.array": lambda values: array("d", values),
    "not contiguous": lambda values: np.repeat(np.array(values), 2)[::2],
    "torch": torch.tensor,
    "torch bfloat16": lambda values: torch.tensor(values, dtype=torch.bfloat16),
    "torch with gradient": lambda values: torch.tensor(values, requires_grad=True),
    "torch sparse": lambda values: torch.tensor(values).to_sparse(),
    "torch scalars": lambda values: [torch.tensor(value) for value in values],
    "scipy sparse": lambda values: sparse.csr_array(np.array([values])),
    "scipy COO with repeats": lambda values: sparse.coo_array(
        ([each / 2 for each in values] * 2, ([0] * 2 * len(values), [*range(len(values))] * 2)), shape=(1, len(values))
    ),
}


def _draw(random_: random.Random, rows: int, width: int, missing: float) -> list[list[float | None]]:
    return [
        [None if random_.random() < missing else float(random_.randint(-100, 100)) for _ in range(width)]
        for _ in range(rows)
    ]


def _plain(value: object) -> object:
    """For comparison: NaN as a missing value, and numbers of any type as floats."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if value is None or value != value:
        return None
    assert isinstance(value, int | float | Decimal)
    return float(value)


def _read(rows: object) -> list[object]:
    table = to_table(rows)
    return [_plain(value) for value in decode_block(encode_block(table)).column("x").to_pylist()]


def _nestings(build: Callable[[Values], object], rows: Sequence[Values]) -> Mapping[str, tuple[object, object]]:
    """The same rows at several places, each with the values that it must be read as."""
    lists = [build(row) for row in rows]
    nested: list[object] = [None] * len(rows)
    nested[:] = lists
    objects = pd.Series(nested, dtype=object)
    return {
        "rows": ([{"x": each} for each in lists], list(rows)),
        "a list of rows as a column": ({"x": lists}, list(rows)),
        "lists of lists": ([{"x": [each, each]} for each in lists], [[row, row] for row in rows]),
        "dicts in rows": ([{"x": {"a": each}} for each in lists], [{"a": row} for row in rows]),
        "dicts in lists": ([{"x": [{"a": each}]} for each in lists], [[{"a": row}] for row in rows]),
        "a frame of objects": (pd.DataFrame({"x": objects}), list(rows)),
        "a column": ({"x": lists[0]}, list(rows[0])),
    }


def _check(name: str, build: Callable[[Values], object], rows: Sequence[Values]) -> None:
    for place, (data, expected) in _nestings(build, rows).items():
        if place == "a column" and "scipy" in name:
            data, expected = {"x": build(rows[0])}, [list(rows[0])]
        assert _read(data) == expected, f"{name}, {place}"
        COMPARED.add()


@pytest.mark.parametrize("seed", seeds(3))
def test_a_missing_value_is_null_in_every_container(seed: int) -> None:
    random_ = random.Random(seed)
    width = random_.randint(1, 5)
    rows = _draw(random_, random_.randint(1, 4), width, random_.choice([0.2, 0.7]))
    rows[0][random_.randrange(width)] = 0.0  # a column of nulls alone has no type
    for name, build in NULLABLE.items():
        _check(name, build, rows)


@pytest.mark.parametrize("seed", seeds(3))
def test_containers_without_missing_values(seed: int) -> None:
    random_ = random.Random(f"full {seed}")
    rows = [[each or 0.0 for each in row] for row in _draw(random_, random_.randint(1, 4), random_.randint(1, 5), 0)]
    for name, build in FULL.items():
        _check(name, build, rows)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", seeds(5))
def test_containers_mix_in_one_column(seed: int) -> None:
    random_ = random.Random(f"mixed {seed}")
    rows = _draw(random_, 12, 3, 0.3)
    rows[0] = [0.0, 1.0, 2.0]
    without_decimals = {name: build for name, build in NULLABLE.items() if name != "decimals"}
    for _ in range(10):
        names = random_.choices(list(without_decimals), k=len(rows))
        data = [{"x": NULLABLE[name](row)} for name, row in zip(names, rows, strict=True)]
        assert _read(data) == rows, names
        COMPARED.add()


@pytest.mark.parametrize("name", [name for name in NULLABLE if name not in ("decimals", "numpy NaT", "pandas.NaT")])
@pytest.mark.parametrize("whole", [True, False], ids=["scalars", "lists"])
def test_a_missing_value_makes_its_row_bad_and_no_other(name: str, whole: bool) -> None:
    rows: list[list[float | None]] = [[1.0, 2.0, 3.0], [4.0, None, 6.0], [7.0, 8.0, 9.0]]
    if whole:
        data: object = {"x": NULLABLE[name]([1.0, None, 3.0])}
        signature = Signature(features=(Feature(name="x"),), task="regression", target="y")
        good: list[list[float]] = [[1.0], [3.0]]
    else:
        data = [{"x": NULLABLE[name](row)} for row in rows]
        signature = Signature(features=(Feature(name="x", width=3),), task="regression", target="y")
        good = [[1.0, 2.0, 3.0], [7.0, 8.0, 9.0]]
    made = to_matrix(to_table(data).combine_chunks().to_batches()[0], signature)
    assert list(made.errors) == [1]
    assert "column 'x'" in made.errors[1]
    assert made.values[[0, 2]].tolist() == good


@pytest.mark.parametrize("mark", [None, np.nan, pd.NA, pd.NaT, np.ma.masked, Decimal("NaN"), pa.scalar(None)], ids=repr)
def test_missing_texts(mark: object) -> None:
    assert to_table(["a", mark, "b"]).to_pydict() == {"text": ["a", None, "b"]}
    assert to_table([mark, "a"]).to_pydict() == {"text": [None, "a"]}
    assert to_table([{"x": "a"}, {"x": mark}]).to_pydict() == {"x": ["a", None]}
    assert to_table([{"x": mark}, {"x": "a"}]).to_pydict() == {"x": [None, "a"]}
    assert to_table([{"x": ["a", mark]}]).to_pydict() == {"x": [["a", None]]}
    assert to_table({"x": ["a", mark]}).to_pydict() == {"x": ["a", None]}
    assert to_table(pd.DataFrame({"x": pd.Series(["a", mark], dtype=object)})).to_pydict() == {"x": ["a", None]}


def test_texts_and_times_in_containers() -> None:
    texts: list[object] = [
        ma.array(["a", "hidden"], mask=[0, 1]),
        ma.array(["a", "hidden"], mask=[0, 1], dtype=object),
        pd.Categorical(["a", None]),
        pd.Series(["a", None]),
        pd.array(["a", None], dtype="string"),
        pl.Series(["a", None]),
        pl.Series(["a", None], dtype=pl.Categorical),
        pl.Series(["a", None], dtype=pl.Enum(["a", "b"])),
        pa.array(["a", None], pa.string_view()),
    ]
    for values in texts:
        assert to_table({"x": values}).to_pydict() == {"x": ["a", None]}
        assert to_table([{"x": values}]).to_pydict() == {"x": [["a", None]]}
    day = datetime.datetime(2024, 2, 29, 1, 2, 3, 4)
    times: list[object] = [
        ma.array(np.array([day, day], "M8[ns]"), mask=[0, 1]),
        ma.array(np.array([day, day], "M8[us]"), mask=[0, 1]),
        np.array([day, "NaT"], "M8[us]"),
        pd.Series([day, pd.NaT]),
        pd.array([day, None], dtype=pd.ArrowDtype(pa.timestamp("us"))),
        [day, pd.NaT],
        [pd.Timestamp(day), pd.NaT],
        pl.Series([day, None]),
    ]
    for values in times:
        assert to_table({"x": values}).to_pydict() == {"x": [day, None]}
        assert to_table([{"x": values}]).column("x").to_pylist() == [[day, None]]
        assert to_table([{"x": [values]}]).column("x").to_pylist() == [[[day, None]]]


TIMES: list[Callable[[str], object]] = [
    np.datetime64,
    lambda day: [np.datetime64(day)],
    lambda day: np.array([day], "M8[us]"),
    lambda day: np.array([np.datetime64(day)], object),
    lambda day: ma.array([day], dtype="M8[us]"),
]
NUMPY_VALUES = [np.float32(1), np.bool_(True), [np.float32(1)], np.array([1.0]), np.ones(1, "longdouble")]


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("value", NUMPY_VALUES, ids=repr)
@pytest.mark.parametrize("nest", [lambda each: each, lambda each: [each], lambda each: {"a": each}])
def test_times_beside_numbers(time: Callable[[str], object], value: object, nest: Callable[[object], object]) -> None:
    """Arrow crashes when it is given both, in this order."""
    several = isinstance(time("NaT"), list | np.ndarray)
    number = [1.0] if several else 1.0
    if several == isinstance(value, list | np.ndarray):
        missing = [None] if several else None
        assert _read([{"x": nest(time("NaT"))}, {"x": nest(value)}]) == [nest(missing), nest(number)]
    with pytest.raises(InvalidInput, match="column 'x'"):
        to_table([{"x": nest(time("2024-02-29"))}, {"x": nest(value)}])


def test_arrays_of_several_axes() -> None:
    values = np.arange(12.0).reshape(2, 3, 2)
    mask = np.zeros(values.shape, bool)
    mask[1, 2, 0] = True
    expected = values.tolist()
    expected[1][2][0] = None
    masked = ma.array(np.where(mask, HIDDEN, values), mask=mask)
    assert to_table([{"x": row} for row in masked]).column("x").to_pylist() == expected
    assert to_table({"x": masked}).column("x").to_pylist() == [[*row[0], *row[1], *row[2]] for row in expected]
    assert to_table({"x": torch.tensor(values)}).column("x").to_pylist() == values.reshape(2, 6).tolist()
    assert to_table({"x": [torch.tensor(row) for row in values]}).column("x").to_pylist() == values.tolist()
    nested = torch.nested.nested_tensor([torch.tensor([1.0]), torch.tensor([2.0, 3.0])], layout=torch.jagged)
    assert to_table({"x": nested}).column("x").to_pylist() == [[1.0], [2.0, 3.0]]


def test_whole_tables() -> None:
    dense = [[0.0, 1.0], [2.0, 0.0]]
    for rows in (sparse.csr_matrix(dense), sparse.coo_array(dense), torch.tensor(dense), np.array(dense)):
        assert to_table(rows).to_pydict() == {"features": dense}
    records = ma.array([(1, 2.0), (3, 4.0)], mask=[(0, 0), (0, 1)], dtype=[("a", "i4"), ("b", "f8")])
    assert to_table(records).to_pydict() == {"a": [1, 3], "b": [2.0, None]}
    assert to_table(np.rec.array([(1, "x")], dtype=[("a", "i4"), ("b", "U1")])).to_pydict() == {"a": [1], "b": ["x"]}
    frame = pd.DataFrame({"s": pd.arrays.SparseArray([0.0, np.nan], fill_value=0.0), "n": [1, 2]}, index=[7, 9])
    assert to_table(frame).column("n").to_pylist() == [1, 2]
    assert _plain(to_table(frame).column("s").to_pylist()) == [0.0, None]
    assert to_table(pl.DataFrame({"a": [1, None]})).to_pydict() == {"a": [1, None]}


class MaskedByOthers(np.ndarray):
    """An array of another package with a mask, as in astropy."""

    mask = np.array([False, True])


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (ma.array([1.0, 2.0], mask=[0, 1]), "a masked array; call filled"),
        (np.zeros(2).view(MaskedByOthers), "a masked array"),
        ([{"x": np.zeros(2).view(MaskedByOthers)}], "row 0, column 'x': .*MaskedByOthers has a mask"),
        ([{"x": 1.5}, {"x": Decimal("Infinity")}], "row 1, column 'x': .*not a finite number"),
        ([{"x": np.array([1j])}], "row 0, column 'x'"),
        ([{"x": torch.zeros(2, device="meta")}], "row 0, column 'x': .*tensor"),
        ([{"x": {1.5, 2.5}}], "row 0, column 'x': .*a set has no order; give a list, such as sorted"),
        ([{"x": [1.5]}, {"x": frozenset([1.5])}], "row 1, column 'x': .*a set has no order"),
        ({"x": [{"a"}]}, "row 0, column 'x': .*a set has no order"),
        ([{"x": [[1.5], {2.5}]}], "row 0, column 'x': .*a set has no order"),
        (pd.DataFrame({"x": [{"a", "b"}]}), "row 0, column 'x': .*a set has no order"),
        ([{"x": pd.Period("2024")}], "row 0, column 'x': Period does not fit: give numbers, texts, lists"),
        ([{"x": pd.DataFrame({"a": [1]})}], "row 0, column 'x': DataFrame does not fit: give numbers"),
        ({"x": torch.tensor(1.0)}, r"an array of shape \(\)"),
        (pd.Series(["a"], name="word"), r"Series is one column, not a table; give a dict such as \{'word': values\}"),
        (pd.Categorical(["a"]), r"Categorical is one column, not a table; give a dict such as \{'text': values\}"),
        (pl.Series(["a"]), "Series is one column, not a table"),
        (pl.LazyFrame({"a": [1]}), r"LazyFrame has no rows yet; call collect\(\)"),
        (pl.DataFrame({"a": pl.Series([object()])}), "column 'a' has Python objects"),
    ],
    # The representation of some rows has an address of memory, which differs in each process.
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_cannot_be_read_right_is_refused_by_name(rows: object, reason: str) -> None:
    with pytest.raises(InvalidInput, match=f"(?s){reason}"):
        to_table(rows)
