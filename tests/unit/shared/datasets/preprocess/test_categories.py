from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from longshore.shared.datasets.columns.column import Column
from longshore.shared.datasets.columns.json_values import json_column
from longshore.shared.datasets.preprocess.categories import category_texts
from longshore.shared.datasets.preprocess.encode import encode_column
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.transforms import CategoryTransform

UNKNOWN = "has categories that no row to train on had, or too few; the network gets them as unknown"
MISSING = "has missing values, and no row to train on had; the network gets them as unknown"


def encode(array: pa.Array, *categories: str, missing: bool = False) -> Column:
    transform = CategoryTransform(categories=categories, missing=missing)
    return encode_column(array, Feature(name="x", kind="category", transform=transform))


def codes(made: Column) -> list[float]:
    assert made.values.shape == (len(made.values), 1)
    assert made.values.dtype == np.float32
    assert made.errors == {}
    flat: list[float] = made.values[:, 0].tolist()
    return flat


def test_codes_are_the_places_of_the_categories() -> None:
    made = encode(pa.array(["b", "a", "c", "b"]), "c", "b", "a")
    assert codes(made) == [2, 3, 1, 2]
    assert made.note is None


def test_unknown_and_missing_categories() -> None:
    texts = pa.array(["a", "z", None, ""])
    made = encode(texts, "a", "b", missing=True)
    assert codes(made) == [1, 0, 3, 3]
    assert made.note == UNKNOWN
    assert codes(encode(texts, "a", "b")) == [1, 0, 0, 0]
    only_missing = encode(pa.array(["a", None]), "a")
    assert codes(only_missing) == [1, 0]
    assert only_missing.note == MISSING
    assert encode(pa.array(["a", None]), "a", missing=True).note is None


@pytest.mark.parametrize(
    ("array", "texts"),
    [
        (pa.array([1, 2, None], pa.int8()), ["1", "2", None]),
        (pa.array([2**63 - 1, -(2**63)]), [str(2**63 - 1), str(-(2**63))]),
        (pa.array([1.0, 2.5, None, np.nan, -0.0]), ["1", "2.5", None, None, "0"]),
        (pa.array([1.0, 0.1, None], pa.float32()), ["1", "0.1", None]),
        (pa.array([1.0, 2.5, np.nan], pa.float16()), ["1", "2.5", None]),
        (pa.array([2.0**52, -3.0]), [str(2**52), "-3"]),
        (pa.array([Decimal("1.00"), Decimal("2.50"), None]), ["1", "2.50", None]),
        (pa.array([True, False, None]), ["true", "false", None]),
        (pa.array([None, None]), [None, None]),
        (pa.array(["1", "01", "1.0", " ", ""]), ["1", "01", "1.0", " ", None]),
        (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
        (pa.array([7, None, 7]).dictionary_encode(), ["7", None, "7"]),
        (pa.array(["x", "a", None]).slice(1), ["a", None]),
        (json_column(pa.array(['"a"', "1", "true", None, '"\\u00e9"'])), ["a", "1", "true", None, "é"]),
        (pa.array([], pa.string()), []),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else None,
)
def test_values_as_categories(array: pa.Array, texts: list[str | None]) -> None:
    assert category_texts(array).to_pylist() == texts


@pytest.mark.parametrize("kind", [pa.binary(), pa.timestamp("us"), pa.list_(pa.string()), pa.date32()])
def test_other_types_are_refused(kind: pa.DataType) -> None:
    with pytest.raises(TypeError):
        encode(pa.array([None], kind), "a")


def test_texts_that_are_not_utf8_are_categories_of_their_own() -> None:
    texts = pa.array([b"caf\xe9", b"cafe", None], pa.binary())
    broken = pa.Array.from_buffers(pa.string(), len(texts), texts.buffers())
    [known, *_] = category_texts(broken).to_pylist()
    assert known == "caf\N{REPLACEMENT CHARACTER}"
    assert codes(encode(broken, known, "cafe")) == [1, 2, 0]


def test_the_same_value_as_another_format_writes_it() -> None:
    # pandas writes true as True, and floats in a column with a missing value.
    assert codes(encode(pa.array(["True", "FALSE", "true", "tRue"]), "false", "true")) == [2, 1, 2, 0]
    assert codes(encode(pa.array([True, False]), "False", "True")) == [2, 1]
    assert codes(encode(pa.array(["1.0", "-2.00", "3", "4.5"]), "-2", "1", "3")) == [2, 1, 3, 0]
    assert codes(encode(pa.array([1, 2]), "1.0", "2.5")) == [1, 0]
    # Those told apart in the training stay apart.
    assert codes(encode(pa.array(["1", "1.0", "01"]), "01", "1", "1.0")) == [2, 3, 1]
    assert codes(encode(pa.array(["1", "01", "1.0.0"]), "1.0")) == [1, 0, 0]
