from __future__ import annotations

import pyarrow as pa
import pytest

from longshore.shared.datasets.schemas import check_schema, infer_features
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature, Signature

SIGNATURE = Signature(features=(Feature(name="n"), Feature(name="l", width=4)), task="regression", target="y")
TENSOR = pa.fixed_shape_tensor(pa.float32(), [2, 2])


@pytest.mark.parametrize("number", [pa.int64(), pa.bool_(), pa.float16(), pa.decimal128(5, 2), pa.null()])
@pytest.mark.parametrize(
    "values",
    [
        pa.list_(pa.float32(), 4),
        pa.list_(pa.uint8()),
        pa.list_(pa.list_(pa.int8(), 2), 2),
        pa.list_(pa.list_(pa.int8(), 3)),
        TENSOR,
        pa.null(),
    ],
)
def test_data_that_fits(number: pa.DataType, values: pa.DataType) -> None:
    check_schema(pa.schema({"more": pa.string(), "l": values, "n": number}), SIGNATURE)


@pytest.mark.parametrize(
    ("number", "values", "said"),
    [
        (pa.string(), pa.list_(pa.int8()), "column 'n' has text (string), not one number per row"),
        (pa.date32(), pa.list_(pa.int8()), "column 'n' has dates or times"),
        (pa.list_(pa.int8()), pa.list_(pa.int8()), "column 'n' has lists of numbers"),
        (pa.int8(), pa.int8(), "column 'l' has one number per row (int8), not lists of 4 numbers"),
        (pa.int8(), pa.list_(pa.int8(), 5), "column 'l' has lists of 5 numbers, not lists of 4 numbers"),
        (pa.int8(), pa.list_(pa.list_(pa.int8(), 3), 2), "lists of 6 numbers"),
        (pa.int8(), pa.list_(pa.string()), "column 'l' has list<item: string>"),
        (pa.int8(), pa.struct({"a": pa.int8()}), "column 'l' has struct<a: int8>"),
    ],
)
def test_a_column_of_another_kind_is_named(number: pa.DataType, values: pa.DataType, said: str) -> None:
    with pytest.raises(InvalidInput) as error:
        check_schema(pa.schema({"n": number, "l": values}), SIGNATURE, "rows")
    assert error.value.field == "rows"
    assert said in error.value.reason


def test_a_missing_column_is_named_with_those_there_are() -> None:
    many = pa.schema({f"c{number}": pa.int8() for number in range(15)})
    with pytest.raises(InvalidInput, match=r"data: no column 'n'; the data has 'c0', .*'c11' and 3 more$"):
        check_schema(many, SIGNATURE)
    twice = pa.schema([("n", pa.int8()), ("n", pa.int8())])
    with pytest.raises(InvalidInput, match="2 columns are called 'n'"):
        check_schema(twice, SIGNATURE)


def batch() -> pa.RecordBatch:
    return pa.record_batch(
        {
            "label": ["a", "b", "c", "d"],
            "n": [1, 2, 3, None],
            "l": pa.array([None, [1, None], [1, 2, 3], [1]]),
            "image": pa.array([[[1, 2], [3, 4]]] * 4, pa.list_(pa.list_(pa.uint8(), 2), 2)),
        }
    )


def test_all_columns_but_the_target_are_features() -> None:
    expected = (Feature(name="n"), Feature(name="l", width=3), Feature(name="image", width=4))
    assert infer_features(batch().schema, batch(), "label") == expected


def test_chosen_features_keep_their_order() -> None:
    expected = (Feature(name="image", width=4), Feature(name="n"))
    assert infer_features(batch().schema, batch(), "label", ["image", "n"]) == expected


def test_a_text_is_read_alone() -> None:
    assert infer_features(batch().schema, batch(), "n", ["label"], tokens=64) == (
        Feature(name="label", width=64, kind="text"),
    )
    assert infer_features(batch().schema, batch(), "label", ["n"], tokens=64) == (Feature(name="n"),)
    with pytest.raises(InvalidInput, match="features: 'label' of 3 columns have text; a text must be the only feature"):
        infer_features(batch().schema, batch(), "n", tokens=64)


@pytest.mark.parametrize(
    ("target", "wanted", "said"),
    [
        ("y", None, "target: no column 'y'; the data has 'label', 'n'"),
        ("label", ["z"], "features: no column 'z'"),
        ("label", ["n", "label"], "features: 'label' is the target"),
        ("label", ["n", "n"], "features: 'n' is listed 2 times"),
        ("label", [], "features: there are no columns besides"),
    ],
)
def test_what_cannot_be_learned_from(target: str, wanted: list[str] | None, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        infer_features(batch().schema, batch(), target, wanted)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.nulls(2), "only nulls"),
        (pa.array([None, [None]], pa.list_(pa.int8())), "none of the first 2 rows"),
        (pa.array([[], []], pa.list_(pa.int8())), "empty lists"),
    ],
)
def test_columns_of_nothing_are_no_features(column: pa.Array, said: str) -> None:
    rows = pa.record_batch({"x": column, "y": [1, 2]})
    with pytest.raises(InvalidInput, match=f"features: .*{said}"):
        infer_features(rows.schema, rows, "y")


def test_texts_are_taken_by_a_version_that_reads_texts() -> None:
    texts = Signature(features=(Feature(name="t", kind="text"),), task="regression", target="y")
    for kind in (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.null()):
        check_schema(pa.schema({"t": kind}), texts)
    with pytest.raises(InvalidInput, match=r"data: column 't' has one number per row \(int64\), not text"):
        check_schema(pa.schema({"t": pa.int64()}), texts)
