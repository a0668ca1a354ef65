"""Tables that fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.producers.cli.table_layout import TableColumn, as_columns, cut, display_width, fit, lay_out, wrapped

ID = "019ac1f2-7a31-774b-bcce-b302099a8057"
COLUMNS = (
    TableColumn("JOB"),
    TableColumn("STATE", rank=1),
    TableColumn("MODEL", rank=2, min_width=8),
    TableColumn("FAILED", rank=9),
    TableColumn("AGE", rank=3),
)
ROWS = [[ID, "succeeded", "sentiment-of-reviews:12", "", "3m"], [ID, "running", "digits:3", "", "12s"]]


def lines(columns: tuple[TableColumn, ...], rows: list[list[str]], width: int | None) -> list[str]:
    return ["  ".join(line).rstrip() for line in lay_out(columns, rows, fit(columns, rows, width))]


@pytest.mark.parametrize(
    ("width", "header", "model"),
    [
        (None, ["JOB", "STATE", "MODEL", "FAILED", "AGE"], "sentiment-of-reviews:12"),
        (100, ["JOB", "STATE", "MODEL", "AGE"], "sentiment-of-reviews:12"),
        (70, ["JOB", "STATE", "MODEL", "AGE"], "sentiment-of-re…"),
        (62, ["JOB", "STATE", "MODEL", "AGE"], "sentime…"),
        (61, ["JOB", "STATE", "MODEL"], "sentiment"),
        (50, ["JOB", "STATE"], None),
        (20, ["JOB"], None),
    ],
)
def test_columns_are_cut_and_left_out_by_rank(width: int | None, header: list[str], model: str | None) -> None:
    shown = lines(COLUMNS, ROWS, width)
    assert shown[0].split() == header
    assert all(ID in line for line in shown[1:])
    assert model is None or model in shown[1]
    assert width is None or width < len(ID) or max(map(len, shown)) <= width


def test_a_text_wraps_at_spaces_and_an_id_never() -> None:
    columns = tuple(as_columns(("JOB", "ERROR")))
    shown = lines(columns, [[ID, "the file data.csv has no column 'target'; it has x and y"]], 60)
    assert shown[1:] == [
        f"{ID}  the file data.csv has",
        f"{'':38}no column 'target'; it",
        f"{'':38}has x and y",
    ]


def test_a_word_can_stay_whole_where_lines_may_be_wider() -> None:
    digest = "sha256:" + "0" * 64
    assert wrapped(f"digest {digest} of it", 40, break_words=False) == ["digest", digest, "of it"]
    assert max(map(len, wrapped(f"digest {digest} of it", 40))) == 40


def test_wide_characters_take_two_columns_and_marks_none() -> None:
    assert [display_width(text) for text in ("abc", "情绪", "e\u0301")] == [3, 4, 1]
    assert cut("情绪分类", 6) == "情绪…"
    shown = lines((TableColumn("模型"), TableColumn("N")), [["情绪", "1"], ["ab", "20"]], 40)
    assert shown == ["模型   N", "情绪   1", "ab    20"]


@given(st.lists(st.lists(st.text(max_size=60), min_size=4, max_size=4), max_size=5), st.integers(1, 120))
def test_no_line_is_wider_than_the_table_may_be(rows: list[list[str]], width: int) -> None:
    columns = (
        TableColumn("A", min_width=1),
        TableColumn("B", rank=1),
        TableColumn("C", rank=2, wrap=True),
        TableColumn("D", rank=3, min_width=4),
    )
    rows = [[" ".join(cell.split()) for cell in row] for row in rows]
    layout = fit(columns, rows, width)
    for line in lay_out(columns, rows, layout):
        assert [display_width(cell) for cell in line] == list(layout.widths)
        assert display_width("  ".join(line)) <= width
