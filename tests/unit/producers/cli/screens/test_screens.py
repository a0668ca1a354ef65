"""The main screens at 60, 80 and 120 columns, as files that people can look at."""

from __future__ import annotations

import pytest

from longshore.producers.cli.lists import HISTORY_COLUMNS, JOB_COLUMNS, MODEL_COLUMNS, VERSION_COLUMNS
from longshore.producers.cli.table_layout import display_width
from longshore.producers.cli.views.job_list import job_columns
from longshore.producers.cli.views.model_lists import change_columns, model_columns, version_columns
from tests.unit.producers.cli.screens.screens import EXPECTED, SCREENS, SHORT_IDS, WIDTHS, capture


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_is_as_expected_and_fits(name: str, width: int) -> None:
    shown = capture(width)[name]
    assert shown == (EXPECTED / f"{name}-{width}.txt").read_text()
    assert max(map(display_width, shown.splitlines())) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_every_width_has_whole_ids(width: int) -> None:
    shown = (EXPECTED / f"jobs-{width}.txt").read_text()
    assert [line.split()[0] for line in shown.splitlines()[1:]] == list(SHORT_IDS.values())


def test_the_columns_that_can_be_chosen_are_those_of_the_lists() -> None:
    assert tuple(column.name for column in job_columns({})) == JOB_COLUMNS
    assert tuple(column.name for column in model_columns()) == MODEL_COLUMNS
    assert tuple(column.name for column in version_columns()) == VERSION_COLUMNS
    assert tuple(column.name for column in change_columns()) == HISTORY_COLUMNS
