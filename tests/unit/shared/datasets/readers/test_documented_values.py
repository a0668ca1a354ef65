"""The table of values in docs/reference/data-checks.md: each row of it, in both formats, wherever the value stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from longshore.shared.datasets.columns.json_values import is_json, plain_texts
from longshore.shared.datasets.columns.matrix import to_matrix
from longshore.shared.datasets.columns.texts import to_texts
from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.open import open_source, with_uses
from longshore.shared.datasets.readers import lines
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.errors import DataError
from longshore.shared.specs.signature import Feature, Signature

PAGE = Path(__file__).parents[5] / "docs/reference/data-checks.md"
ERRORS = {"missing": "null", "not finite": "is not a finite", "not a number": "is not a number"}
NUMBER = Signature(features=(Feature(name="x"),), task="regression", target="y")
TEXT = Signature(
    features=(Feature(name="x", kind="text", width=8),), task="classification", target="y", labels=("a", "b")
)


class Documented(NamedTuple):
    use: str
    csv: str
    json: str
    meaning: str


def documented() -> list[Documented]:
    section = PAGE.read_text().split("## Values in text files")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (number|text|kept) \| (.*?) \| (.*?) \| (.*?) \|$", section, re.MULTILINE)
    return [Documented(*("" if cell == "(empty)" else cell.strip("`") for cell in row)) for row in rows]


def test_the_table_is_there() -> None:
    assert len(documented()) > 20


def write(folder: Path, suffix: str, row: Documented, first: bool) -> tuple[Path, int]:
    """A file with ordinary rows and the documented value, and the row of the value."""
    plain = {"csv": "1", "jsonl": "1" if row.use == "number" else '"1"'}[suffix]
    value = row.csv if suffix == "csv" else row.json
    values = [value, *[plain] * 20] if first else [*[plain] * 20, value]
    if suffix == "csv":
        content = "x,z\n" + "".join(f"{value},q\n" for value in values)
    else:
        content = "".join(f'{{"x": {value}, "z": "q"}}\n' for value in values)
    path = folder / f"rows.{suffix}"
    path.write_text(content)
    return path, 0 if first else 20


@pytest.mark.parametrize("row", documented(), ids=str)
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("block", [30, 1 << 20])
def test_a_value_is_read_as_documented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: Documented, suffix: str, first: bool, block: int
) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", block)
    path, index = write(tmp_path, suffix, row, first)
    signature = TEXT if row.use == "text" else NUMBER
    uses = ColumnUses(written=frozenset({"x"})) if row.use == "kept" else ColumnUses.of(signature)
    source = with_uses(open_source(detect(path)), uses)
    batches = [batch for cut in source.segments(None) for batch in source.batches(cut, ["x"], 1, strict=False)]
    batch = batches[index]
    if row.use == "kept":
        column = batch.column("x")
        assert (plain_texts(column) if is_json(column.type) else column).to_pylist() == [row.meaning]
    elif row.use == "text":
        texts = to_texts(batch, TEXT.features[0])
        assert (texts.values, texts.errors) == ([row.meaning], {})
    elif row.meaning in ERRORS:
        assert ERRORS[row.meaning] in to_matrix(batch, NUMBER).errors[0]
        assert not any(to_matrix(other, NUMBER).errors for other in batches if other is not batch)
    else:
        matrix = to_matrix(batch, NUMBER)
        assert (matrix.values.tolist(), matrix.errors) == ([[float(row.meaning)]], {})
    if row.meaning == "not a number":
        with pytest.raises(DataError, match=rf"row {index}: column 'x': .* is not a number"):
            [*source.batches(source.segments(None)[0], ["x"], 100)]
