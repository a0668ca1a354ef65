"""Choosing and sorting the columns of a list."""

from __future__ import annotations

import pytest

from longshore.producers.cli.lists import JSON_LIMIT, TABLE_LIMIT, ListColumn, limit_of, print_records, sort_records
from longshore.producers.cli.main import run
from longshore.producers.cli.table_layout import TableColumn

COLUMNS = [
    ListColumn[tuple[str, float | None]](TableColumn("NAME"), lambda record: record[0], lambda record: record[0]),
    ListColumn[tuple[str, float | None]](
        TableColumn("LEFT"), lambda record: "" if record[1] is None else f"{record[1]:g}s", lambda record: record[1]
    ),
]
RECORDS = [("b", 2.0), ("c", None), ("a", 30.0)]


@pytest.mark.parametrize(
    ("order", "names"), [(None, "bca"), ("name", "abc"), ("-name", "cba"), ("left", "bac"), ("-left", "abc")]
)
def test_records_without_a_value_come_last(order: str | None, names: str) -> None:
    assert "".join(name for name, _ in sort_records(RECORDS, COLUMNS, order)) == names


def test_chosen_columns_are_shown_in_the_chosen_order(capsys: pytest.CaptureFixture[str]) -> None:
    print_records(RECORDS, COLUMNS, ("left", "name"))
    assert capsys.readouterr().out == "LEFT  NAME\n2s    b\n      c\n30s   a\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("jobs list --columns job,stat", "no column 'stat'; did you mean state? the columns are job, id, kind"),
        ("jobs list --sort=-speeed", "no column 'speeed'; did you mean speed?"),
        ("models list --columns x", "no column 'x'; the columns are model, versions"),
    ],
)
def test_a_column_that_does_not_exist(arguments: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments.split()) == 2
    assert said in capsys.readouterr().err


def test_tables_are_shorter_than_json() -> None:
    assert limit_of(None, as_json=False) == TABLE_LIMIT
    assert limit_of(None, as_json=True) == JSON_LIMIT
    assert limit_of(7, as_json=True) == 7
