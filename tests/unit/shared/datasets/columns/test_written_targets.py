"""What the targets of a text file are: all values together tell it, in whichever blocks they come."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from longshore.shared.datasets.columns.json_values import json_column
from longshore.shared.datasets.columns.written_targets import WrittenTargets, read_written
from longshore.shared.errors import InvalidInput
from longshore.shared.vocabulary import TrainTask


def settled(values: list[str | None], task: TrainTask = "auto", block: int = 2) -> list[object]:
    written = WrittenTargets("y", task)
    column = pa.array(values, pa.string())
    for start in range(0, len(values), block):
        written.add(column.slice(start, block))
    return read_written(column, written.reading(), "y").to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("values", "task", "expected"),
    [
        (["1", "0", "-7"], "auto", [1, 0, -7]),
        (["01", "1", "001"], "auto", ["01", "1", "001"]),
        (["1", "x", "2"], "auto", ["1", "x", "2"]),
        (["1", "2", "NA"], "auto", [1, 2, None]),
        (["us", "na", "NA"], "auto", ["us", "na", "NA"]),
        (["us", "", "NA"], "auto", ["us", None, "NA"]),
        (["true", "False"], "auto", [True, False]),
        (["true", "1"], "auto", ["true", "1"]),
        (["1", "2.5", "nan"], "auto", [1.0, 2.5, None]),
        (["1", "2.0"], "classification", ["1", "2.0"]),
        (["1", "2.5"], "classification", [1.0, 2.5]),
        (["1.10", "x"], "classification", ["1.10", "x"]),
        (["01", "1"], "regression", [1.0, 1.0]),
        (["12345678901234567890", "12345678901234567891"], "auto", ["12345678901234567890", "12345678901234567891"]),
        (["NA", ""], "auto", [None, None]),
    ],
)
@pytest.mark.parametrize("block", [1, 2, 10])
def test_what_the_values_are(values: list[str | None], task: TrainTask, expected: list[object], block: int) -> None:
    found = settled(values, task, block)
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


@pytest.mark.parametrize(
    ("values", "task", "reason"),
    [
        (["1.5", "2", "oops"], "auto", "'oops' in row 2, which is not a number, and 1.5 in row 0"),
        ([*map(str, range(1500)), "oops"], "auto", "'oops' in row 1500, which is not a number, and 0 in row 0"),
        (["1", "2", "oops", "3"], "regression", "'oops' in row 2, which is not a number; correct or remove"),
    ],
)
def test_a_wrong_value_among_numbers_is_refused_with_its_row(
    values: list[str | None], task: TrainTask, reason: str
) -> None:
    with pytest.raises(InvalidInput, match=reason) as refused:
        settled(values, task)
    assert refused.value.field == "target"


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (["1", "2"], "read as whole numbers"),
        (["true", "false"], "read as True and False"),
        (["01", "1"], "'01' in row 0 is text, too"),
        (["x", "7"], "'7' in row 1 is text, too"),
        (["x", "y"], None),
        (["1.5", "2"], None),
        ([str(number) for number in range(2000)], None),
    ],
)
def test_a_note_tells_how_labels_were_read(values: list[str], note: str | None) -> None:
    written = WrittenTargets("y", "auto")
    written.add(pa.array(values))
    assert (written.note() is None) if note is None else (note in str(written.note()))


def read_json(values: list[object], task: TrainTask = "auto") -> list[object]:
    column = json_column(pa.array([None if value is None else json.dumps(value) for value in values], pa.string()))
    written = WrittenTargets("y", task)
    written.add(column)
    return read_written(column, written.reading(), "y").to_pylist()  # type: ignore[no-any-return]


def test_decimals_are_texts_as_labels_and_a_note_says_so() -> None:
    written = WrittenTargets("y", "classification")
    written.add(pa.array(["1.0", "2.0"]))
    assert written.reading() == "text"
    assert "were read as text, exactly as written" in str(written.note())
    assert "'1.0' in row 0 is text" in str(written.note())


def test_json_tells_texts_from_numbers() -> None:
    assert read_json(["1", "2"]) == ["1", "2"]
    assert read_json([1, 2, None]) == [1, 2, None]
    assert read_json([True, False]) == [True, False]
    assert read_json([1, 2.5]) == [1.0, 2.5]
    assert read_json(["NA", ""]) == ["NA", ""]
    assert read_json([2**70, 2**70 + 1]) == [str(2**70), str(2**70 + 1)]
    with pytest.raises(InvalidInput, match="'1' in row 1, which is not a number, and 1 in row 0"):
        read_json([1, "1"])
    with pytest.raises(InvalidInput, match="'5' in row 1, which is not a number; correct"):
        read_json([1, "5"], "regression")
    with pytest.raises(InvalidInput, match="row 1"):
        read_json([1, [2]])
